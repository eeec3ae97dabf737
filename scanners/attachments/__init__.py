"""What is inside attachments; all of it runs in sandboxed decoder processes."""
