"""What was found in an attachment, remembered by its bytes, names and the rules' version, within a byte budget. One per worker."""

from collections import OrderedDict
from dataclasses import dataclass

from scanners.attachments.protocol import FoundFinding, FoundPart

DEFAULT_BYTES = 32_000_000
"""Of text and names per worker."""
LARGEST = 4
"""An entry may take a quarter of the budget: one book must not push out everything."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything found in one attachment; paths are relative to it (``""`` is the attachment itself, ``!a`` a member)."""

    parts: tuple[FoundPart, ...]
    findings: tuple[FoundFinding, ...]
    version: str = ""
    """Of the rules it was found with."""

    @property
    def weight(self) -> int:
        """Bytes it takes, about."""
        parts = sum(
            400 + len(part.path) + len(part.filename) + 2 * len(part.text or "") + 2 * len(part.other)
            for part in self.parts
        )
        return parts + 300 * len(self.findings)


@dataclass(frozen=True, slots=True)
class Key:
    """All that a result depends on."""

    sha256: str
    filename: str
    declared: str
    version: str


class Cache:
    """Least recently used goes first. ``capacity`` 0 switches it off."""

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Key, Opened] = OrderedDict()
        self.weight = 0
        self.hits = 0

    def get(self, key: Key) -> Opened | None:
        """What is known, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        self.hits += 1
        return found

    def put(self, key: Key, opened: Opened) -> None:
        """Remember, and forget the oldest when full."""
        weight = opened.weight
        if weight * LARGEST > self._capacity or key in self._entries:
            return
        self._entries[key] = opened
        self.weight += weight
        while self.weight > self._capacity:
            _, oldest = self._entries.popitem(last=False)
            self.weight -= oldest.weight
