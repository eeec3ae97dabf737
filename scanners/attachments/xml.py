"""XML of documents, streamed by expat: no entities, no network, bounded elements and depth, memory flat, any prefix."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.parsers import expat

import re2

from scanners import charset
from scanners.attachments.budget import MAX_NODES, LimitReached
from scanners.attachments.codes import MACRO
from scanners.attachments.reading import Note, Reading, UnreadableContent

MAX_DEPTH = 256
"""Nested elements; office files have some thirty."""
_STEP = 262_144
"""Bytes fed at a time: between steps the time is looked at."""
_ENDS_LINE = frozenset(
    """
    p h tr row br cr si comment author list-item title subject creator keywords description definedName lpstr sp
    """.split()  # noqa: SIM905 - words read better than a column of strings
)
_ENDS_CELL = frozenset(["tc", "tab", "c", "table-cell", "covered-table-cell"])
_PAGE = frozenset(f"{page}{place}" for page in ("odd", "even", "first") for place in ("Header", "Footer"))
"""Of a worksheet: ``&C`` and the like put what follows in the middle, and are no letters of it."""
_UNSEEN = frozenset(("r", "vanish", "delText", "instrText", "delInstrText"))
_UNSEEN_UNTIL = frozenset(("r", "delText", "instrText", "delInstrText"))
_OFF = frozenset(("0", "false", "off"))
_DDE = re2.compile(r"(?i)(?:^|\s)DDE(?:AUTO)?\s+[^\s]")
"""A field that starts a program (ECMA-376 17.16.5.14)."""
_SHOWN = {
    "sheet": ("name",),
    "docPr": ("descr", "title"),
    "cNvPr": ("descr", "title"),
    "hyperlink": ("tooltip", "location", "display"),
    "table": ("name", "displayName"),
    "a": ("href", "title"),
    "object": ("href",),
    "dataValidation": ("prompt", "promptTitle", "error"),
    "tableColumn": ("name",),
    "comment": ("author",),
    "user-defined": ("name",),
    "property": ("name",),
    "fldSimple": ("instr",),
    "s": ("v",),
}
"""Attributes that a program shows to its user, by element."""


class _EntityDeclared(Exception):
    """A document type with entities: office files have none, bombs do."""


@dataclass(slots=True)
class Handlers:
    """What to call; names come without namespace."""

    start: Callable[[str, dict[str, str]], None]
    end: Callable[[str], None]
    characters: Callable[[str], None]


def parse(content: bytes, reading: Reading, handlers: Handlers) -> None:
    """Feed ``content`` to ``handlers``.

    Raises:
        LimitReached: time, elements, depth, or declared entities (``content.limit.entities``).
        UnreadableContent: not well-formed; what came before it has been handed on.
    """
    try:
        _feed(content, reading, handlers, None)
    except (
        ValueError,
        LookupError,
    ):  # the library knows no charset of several bytes a character; it says so before any text
        _transcoded(content, reading, handlers)
    except expat.ExpatError as error:
        if error.code != expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING]:
            raise UnreadableContent("xml is not well-formed") from None
        _transcoded(content, reading, handlers)


def _transcoded(content: bytes, reading: Reading, handlers: Handlers) -> None:
    try:
        _feed(charset.decode(content).text.encode(), reading, handlers, "utf-8")
    except expat.ExpatError:
        raise UnreadableContent("xml is not well-formed") from None


def _feed(content: bytes, reading: Reading, handlers: Handlers, encoding: str | None) -> None:
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    nodes = depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal nodes, depth
        nodes += 1
        depth += 1
        if depth > MAX_DEPTH:
            raise LimitReached("depth", MAX_DEPTH)
        if nodes > MAX_NODES:
            raise LimitReached("nodes", MAX_NODES)
        handlers.start(name.rpartition(":")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        handlers.end(name.rpartition(":")[2])

    def entity(*_: object) -> None:
        raise _EntityDeclared

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handlers.characters
    parser.EntityDeclHandler = entity
    source = io.BytesIO(content)
    try:
        while chunk := source.read(_STEP):
            reading.budget.tick()
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except _EntityDeclared:
        raise LimitReached("entities", 0) from None


@dataclass(slots=True)
class _Text:
    """Collects what a reader would see."""

    separate: bool
    out: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    unseen: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of ``out`` that a word processor does not show: deleted, hidden, instructions of fields."""
    fields: list[str] = field(default_factory=list)
    began: int = -1

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _UNSEEN:
            if name == "r":
                self.began = -1
            elif self.began < 0 and not _OFF.intersection(attributes.values()):
                self.began = len(self.out)
        wanted = _SHOWN.get(name)
        if wanted and attributes:
            for key, value in attributes.items():
                if value and key.rpartition(":")[2] in wanted:
                    self.shown.append(value)

    def end(self, name: str) -> None:
        if self.began >= 0 and name in _UNSEEN_UNTIL:
            self.unseen.append((self.began, len(self.out)))
            if name == "instrText":
                self.fields.append("".join(self.out[self.began :]))
            self.began = -1
        if self.separate or name in _ENDS_LINE:
            self.out.append("\n")
        elif name in _ENDS_CELL:
            self.out.append("\t")
        elif name in _PAGE and self.out:
            for code in ("&L", "&C", "&R"):
                self.out[-1] = self.out[-1].replace(code, "\n")
            self.out.append("\n")

    def seen(self) -> str:
        """Without what is not shown: letters between which hidden ones stand are neighbours to the reader."""
        pieces: list[str] = []
        position = 0
        for start, end in self.unseen:
            pieces += self.out[position:start]
            position = end
        return "".join((*pieces, *self.out[position:])).strip()


def say_text(content: bytes, reading: Reading, *, separate: bool = False) -> None:
    """Say all character data in order (runs joined, paragraphs and rows on lines, cells parted by tabs), then shown attributes.

    ``separate``: every element is a line of its own, as in lists of properties.
    """
    collected = _Text(separate)
    try:
        parse(content, reading, Handlers(collected.start, collected.end, collected.out.append))
    finally:
        text = "".join(collected.out).strip()
        if collected.shown:
            text += "\n" + "\n".join(collected.shown)
        reading.say(text)
        if collected.unseen:
            reading.say(collected.seen())
        if "DDE" in "".join((*collected.fields, *collected.shown)).upper() and _DDE.search(
            "".join(collected.fields) + "\n" + "\n".join(collected.shown)
        ):
            reading.note(Note(MACRO, "a field that starts a program (DDE)", about="dde"))


def attributes(content: bytes, reading: Reading, wanted: str) -> list[dict[str, str]]:
    """Attributes of every element named ``wanted``, prefixes aside."""
    found: list[dict[str, str]] = []

    def start(name: str, given: dict[str, str]) -> None:
        if name == wanted:
            found.append({key.rpartition(":")[2]: value for key, value in given.items()})

    parse(content, reading, Handlers(start, lambda name: None, lambda text: None))
    return found
