"""What may be said of an exception in the log."""

import traceback
from pathlib import Path

MAX_FRAMES = 8
"""Callers named in the log when something breaks."""


def fault(error: BaseException) -> str:
    """An exception for the log: its type and where, not its text, which may quote the mail."""
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    return type(error).__name__ + "".join(f" < {Path(each.filename).name}:{each.lineno}" for each in reversed(frames))
