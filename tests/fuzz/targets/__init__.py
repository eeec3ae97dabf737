"""One file per target, each with ``def target() -> Target``."""
