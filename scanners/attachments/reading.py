"""What a format's reader gets: the bytes' name, the budget, and where to put text, members and notes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from scanners.attachments.budget import MAX_TEXT, Budget, LimitReached
from scanners.attachments.codes import LIMIT
from scanners.finding import Code, Severity


class UnreadableContent(Exception):
    """The bytes are not what their type promises; ``reason`` is a few public words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Note:
    """A finding before its place is known. ``suffix`` completes a starred code."""

    code: Code
    summary: str = ""
    about: str = ""
    suffix: str = ""
    severity: Severity | None = None
    count: int = 1
    offset: int = -1
    length: int = 0


@dataclass(slots=True)
class Reading:
    """One part being read. ``member`` opens what was found inside at once, so that its bytes can be let go."""

    name: str
    declared: str
    budget: Budget
    words: tuple[str, ...]
    member: Callable[[str, bytes, str], None]
    note: Callable[[Note], None]
    texts: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    length: int = 0

    def limited(self, which: str, bound: int, severity: Severity | None = None) -> None:
        """Say that a bound was met here, where what lies beside it is still read."""
        self.note(Note(LIMIT, f"stopped at the bound {which} = {bound}", str(bound), which, severity))

    def also(self, text: str) -> None:
        """Add another reading of what was said: the charset is in doubt."""
        room = self.budget.text
        self.others.append(text[:room])
        self.budget.text -= min(len(text), room)

    def say(self, text: str) -> None:
        """Add text a reader of this part would see, as a paragraph of its own."""
        if not text:
            return
        self.budget.tick()
        room = min(self.budget.text, MAX_TEXT - self.length)
        self.texts.append(text[:room])
        taken = min(len(text), room)
        self.length += taken + 1
        self.budget.text -= taken
        if taken < len(text):
            raise LimitReached("text", MAX_TEXT)

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.texts)
