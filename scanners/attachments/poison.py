"""Which content has crashed a decoder before: a small table in one shared file, so that no worker walks into the same hole twice.

A record is the content's SHA-256 and its count of crashes. Workers share the file through mmap; a record is written by one locked update,
so a worker that dies in the middle leaves the old or the new record. The file is a memory, not a promise: losing it costs one more crash.
"""

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SLOTS = 4_096
"""Records: 160 kB. A full neighbourhood forgets its oldest."""
_PROBES = 8
_RECORD = struct.Struct("<32sII")
GIVE_UP = 2
"""Crashes after which content is not decoded any more."""


class Poison(Protocol):
    """Counts crashes by content."""

    def count(self, sha256: str) -> int:
        """Crashes so far."""
        ...

    def crashed(self, sha256: str) -> int:
        """One more; returns the new count."""
        ...


@dataclass(slots=True)
class PoisonMemory:
    """The same without a file, for one process and for commands."""

    counts: dict[str, int]

    def count(self, sha256: str) -> int:
        """Crashes so far."""
        return self.counts.get(sha256, 0)

    def crashed(self, sha256: str) -> int:
        """One more; returns the new count."""
        if len(self.counts) >= SLOTS:
            self.counts.pop(next(iter(self.counts)))
        self.counts[sha256] = self.counts.get(sha256, 0) + 1
        return self.counts[sha256]


class PoisonTable:
    """The shared table at ``path``, made when missing, remade when its size is wrong."""

    def __init__(self, path: Path) -> None:
        size = SLOTS * _RECORD.size
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size != size:
            os.ftruncate(self._file, 0)
            os.ftruncate(self._file, size)  # a crash here leaves an empty table, which is valid
        self._map = mmap.mmap(self._file, size)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._file)

    def count(self, sha256: str) -> int:
        """Crashes so far."""
        digest = bytes.fromhex(sha256)
        for slot in self._slots(digest):
            known, crashes, _ = _RECORD.unpack_from(self._map, slot)
            if known == digest:
                return int(crashes)
        return 0

    def crashed(self, sha256: str) -> int:
        """One more; returns the new count."""
        digest = bytes.fromhex(sha256)
        fcntl.flock(self._file, fcntl.LOCK_EX)  # held for microseconds, and only after a crash
        try:
            records = [(slot, *_RECORD.unpack_from(self._map, slot)) for slot in self._slots(digest)]
            order = 1 + max(age for _, _, _, age in records) & 0xFFFFFFFF
            for slot, known, crashes, _ in records:
                if known == digest:
                    _RECORD.pack_into(self._map, slot, digest, crashes + 1, order)
                    return int(crashes + 1)
            oldest = min(records, key=lambda record: record[3])[0]
            _RECORD.pack_into(self._map, oldest, digest, 1, order)
            return 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    @staticmethod
    def _slots(digest: bytes) -> list[int]:
        first = int.from_bytes(digest[:4], "little")
        return [((first + step) % SLOTS) * _RECORD.size for step in range(_PROBES)]
