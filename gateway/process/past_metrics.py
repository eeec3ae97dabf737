"""The figures of processes that have ended, added up in one file: each life leaves files, and a node lives through many of them."""

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

PAST = 0
"""No process has this id, so files under it are nobody's."""
UNREADABLE = (OSError, ValueError, RuntimeError, struct.error)
"""What a file gives whose process was killed while it made it."""


def fold(folder: Path, alive: Callable[[int], bool]) -> int:
    """Add what ended processes counted to the files of ``PAST`` and remove theirs; gives how many were removed.

    Counters and histograms are added up, so that no figure ever falls; a gauge says what is, and goes with its process. Only for the
    process that reads them, between two readings. A crash between adding and removing counts a file twice: figures, not evidence.
    """
    removed = 0
    for path in sorted(folder.glob("*_*.db")):
        kind, _, owner = path.stem.rpartition("_")
        if not owner.isdigit() or int(owner) == PAST or alive(int(owner)):
            continue
        with contextlib.suppress(*UNREADABLE):  # torn: it had hardly begun to count
            if not kind.startswith("gauge"):
                _add(path, folder / f"{kind}_{PAST}.db")
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed


def _add(source: Path, target: Path) -> None:
    found = [(key, value, at) for key, value, at, _ in MmapedDict.read_all_values_from_file(str(source))]  # type: ignore[no-untyped-call]
    sums = MmapedDict(str(target))  # type: ignore[no-untyped-call]
    try:
        for key, value, at in found:
            before, then = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, max(at, then))  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]


def running(pid: int) -> bool:
    """Whether there is a process of that id; one of somebody else's that took it over counts, and its file waits for its end."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
