"""What may go wrong with a store."""


class StoreUnavailable(Exception):
    """The store cannot be read or written now; nothing was changed that is not durable."""


class StoreDamaged(Exception):
    """What was read is not what was written: wrong key, or somebody changed it."""
