"""The bounds of one job. Each says why it is what it is; meeting one yields ``content.limit.<which>`` and never an exception outside."""

from collections.abc import Callable
from dataclasses import dataclass

MAX_DEPTH = 8
"""Containers within containers: real mail has three (eml, zip, docx); a quine zip has no end."""
MAX_ENTRIES = 2_000
"""Members over all containers of a message: a source tree in a zip fits, 42.zip does not."""
MAX_BYTES = 256_000_000
"""Unpacked bytes over the whole message: four times the largest mail that is accepted."""
MAX_MEMBER = 64_000_000
"""Unpacked bytes of one member: it is held in memory once."""
MAX_RATIO = 200
"""Unpacked to packed, for members over RATIO_FROM: deflate's most is 1032, real text stays under 50."""
RATIO_FROM = 8_000_000
"""A small member may be as dense as it likes."""
MAX_TEXT = 16_000_000
"""Characters of text per part and over the message: every word of it is matched later."""
MAX_NODES = 4_000_000
"""XML elements or PDF objects of one document."""


class LimitReached(Exception):
    """A bound was met; ``which`` is the last word of the code, ``bound`` what it allows."""

    def __init__(self, which: str, bound: int) -> None:
        super().__init__(f"{which} over {bound}")
        self.which = which
        self.bound = bound


@dataclass(slots=True)
class Budget:
    """What is left for one job. ``clock`` is monotonic seconds; ``deadline`` on the same clock."""

    clock: Callable[[], float]
    deadline: float
    time_ms: int
    entries: int = MAX_ENTRIES
    bytes: int = MAX_BYTES
    text: int = MAX_TEXT

    def tick(self) -> None:
        """Raise when the time is over."""
        if self.clock() > self.deadline:
            raise LimitReached("time", self.time_ms)

    def entry(self) -> None:
        """One more member."""
        self.tick()
        if self.entries <= 0:
            raise LimitReached("entries", MAX_ENTRIES)
        self.entries -= 1

    def unpacked(self, size: int) -> None:
        """So many more bytes came out of a container."""
        if size > self.bytes:
            self.bytes = 0
            raise LimitReached("bytes", MAX_BYTES)
        self.bytes -= size

    def room(self) -> int:
        """Bytes one member may still unpack to."""
        return min(MAX_MEMBER, self.bytes)

    def check_ratio(self, packed: int, unpacked: int) -> None:
        """Raise when a stream unpacks to far more than it takes."""
        if unpacked > RATIO_FROM and unpacked > MAX_RATIO * max(1, packed):
            raise LimitReached("ratio", MAX_RATIO)
