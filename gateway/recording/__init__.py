"""The way into the audit log: the keeper process that writes it, and the recorder that speaks to it."""
