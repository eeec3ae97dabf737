"""What the gateway may do to a message before it leaves, one file each."""
