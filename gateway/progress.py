"""How far a long command is, said on standard error now and then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

TERMINAL_S, FILE_S = 2.0, 30.0
"""Pause between lines: a person waits and looks; in a cron job's mail a line per half minute is enough."""


@dataclass
class Progress:
    """Call it with what is done and what there is to do. ``clock`` is monotonic seconds; short work says nothing."""

    words: str
    clock: Callable[[], float]
    out: TextIO
    last: float = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.clock()

    def __call__(self, done: int, total: int) -> None:
        """So many of so many; cheap enough for every few events."""
        now = self.clock()
        if now - self.last >= (TERMINAL_S if self.out.isatty() else FILE_S):
            self.last = now
            share = f" ({100 * done // total} %)" if total else ""
            print(f"... {done:,} / {total:,} {self.words}{share}", file=self.out, flush=True)
