"""Says what to do with a message, from facts alone: no I/O, no clock."""
