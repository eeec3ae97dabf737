"""Tables that ship with the scanners; each names its source and licence."""
