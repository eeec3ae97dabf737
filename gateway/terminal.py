"""What may go to a terminal, a log or a line of a mail of ours: text of others can't move the cursor, hide itself or begin a line."""

from typing import Any, TextIO

KEPT = frozenset("\n\t")
"""What our own layout is made of."""


def safe(text: str) -> str:
    """One line of it, without anything that a terminal would act on: for a value that somebody else wrote."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def harmless(text: str) -> str:
    """Whole output: what is neither printable nor layout is written ``\\u001b``, which is also how JSON writes it."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each.isprintable() or each in KEPT else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class Harmless:
    """A text stream that writes nothing a terminal would act on; in all else the stream it stands in front of."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """As TextIO."""
        self._out.write(harmless(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
