"""Worksheets of xlsx: cells in rows, shared strings put in their places.

Nearly all programs write the same plain form: that is cut with ``split`` (a third of the cost of a parser). Anything unusual in it
(prefixes, CDATA, comments, other quotes or blanks) goes to the parser; both give the same text.
"""

import re
from dataclasses import dataclass, field

import re2

from scanners import text
from scanners.attachments import xml
from scanners.attachments.budget import MAX_TEXT, LimitReached
from scanners.attachments.codes import MACRO
from scanners.attachments.marks import Marks
from scanners.attachments.reading import Note, Reading

_DDE = re2.compile(
    rb"<(?:[a-z]{1,9}:)?f(?: [^<>]{0,200})?>[ =+@-]{0,4}[A-Za-z0-9_.]{1,40}\|(?:'|&apos;|&#39;|[A-Za-z])"
)
"""A formula that names a program and a topic: ``cmd|' /c calc'!A0``."""
_FLUSH = 2_000
"""Cells joined at a time; their length is added up before they are joined, since one shared string may be named a million times."""
_ODD, _LOOSE, _CLOSED, _FORMULA, _SHARED = range(5)
_MARKS = Marks(
    (
        rb"<!|='| =\"|= \"|:si>|:c[ >]|:v>|:row|<c[>\n\t\r]|<v[ \n\t\r]|<si[ /\n\t\r]|\x00",
        rb"</(?:c|row)>[ \r\n]",
        rb"/>",
        rb"</f>",
        rb" t=\"s\"",
    )
)
"""Signs of another way of writing, and what only some sheets have; ``in`` would stop at every tag."""


def _plain(content: bytes, root: bytes, marks: frozenset[int]) -> bool:
    head = content[:4096]
    if root not in head or head.startswith((b"\xff", b"\xfe")):
        return False
    declaration = head[: head.find(b"?>") + 1].lower()
    if b"encoding" in declaration and b"utf-8" not in declaration:
        return False
    return _ODD not in marks


def unescaped(value: str) -> str:
    """``value`` with its character references resolved; each different one is looked up once."""
    if "&" not in value:
        return value
    pieces = _REFERENCE.split(value)
    references = pieces[1::2]
    known = {reference: text.unescaped(reference) for reference in set(references)}
    pieces[1::2] = map(known.__getitem__, references)
    return "".join(pieces)


def _value(raw: bytes) -> str:
    return unescaped(raw.decode("utf-8", "replace"))


def _stripped(raw: bytes) -> str:
    """Character data of a fragment."""
    return _value(b"".join(piece.partition(b">")[2] for piece in raw.split(b"<")))


# Fixed patterns of which none can go back over what it read: each begins at a mark and ends at the next one.
_STRETCH = 1_000_000
"""Bytes of rows read at a time; between stretches the time is looked at."""
_NAMED = re.compile(rb' t="s"[^<>]{0,200}><v>([^<]*)</v>')
"""A cell that names a shared string. Bounded, since its mark may stand again and again before the tag's end."""
_EMPTY = re.compile(rb"<c [^<>]*/>")
_CHARACTERS = re.compile(rb">([^<]+)")
_INDENTED = re.compile(rb"(</(?:c|row)>)[ \t\r\n]+")
_REFERENCE = re.compile(r"(&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?))")
"""As html.unescape finds them."""


@dataclass(slots=True)
class Sheets:
    """One workbook: its shared strings, and which of them a cell has named."""

    shared: list[str] = field(default_factory=list)
    used: bytearray = field(default_factory=bytearray)
    binary: list[str] = field(default_factory=list)
    """The shared strings of an xlsb."""
    named: set[int] = field(default_factory=set)
    """Which of those a cell has named."""

    def share(self, content: bytes, reading: Reading) -> None:
        """Take in sharedStrings.xml; what came before a fault in it is kept."""
        try:
            self._share(content, reading)
        finally:
            self.used.extend(bytes(len(self.shared) - len(self.used)))

    def _share(self, content: bytes, reading: Reading) -> None:
        if _plain(content, b"<sst", _MARKS.found(content)):
            for number, piece in enumerate(content.split(b"<si>")[1:]):
                if number & 0xFFFF == 0:
                    reading.budget.tick()
                if piece.startswith(b"<t>"):
                    end = piece.find(b"<", 3)
                    if piece[end : end + 9] == b"</t></si>":
                        self.shared.append(_value(piece[3:end]))
                        continue
                self.shared.append(_stripped(piece.partition(b"</si>")[0]))
        else:
            self._share_slowly(content, reading)

    def _share_slowly(self, content: bytes, reading: Reading) -> None:
        pieces: list[str] = []

        def end(name: str) -> None:
            if name == "si":
                self.shared.append("".join(pieces))
                pieces.clear()

        try:
            xml.parse(content, reading, xml.Handlers(lambda name, given: None, end, pieces.append))
        finally:
            self.shared.append("".join(pieces))  # under this name may stand another part, with text that is no string

    def lookup(self, index: str | bytes) -> str:
        """The shared string of a cell; a number that points nowhere is empty."""
        try:
            number = int(index)
            self.used[number] = 1
            return self.shared[number]
        except (ValueError, IndexError):
            return ""

    def rest(self, reading: Reading) -> None:
        """Strings no cell names are still in the file."""
        left = [text for text, used in zip(self.shared, self.used, strict=True) if not used and text]
        left += [text for number, text in enumerate(self.binary) if text and number not in self.named]
        for start in range(0, len(left), _FLUSH):
            _say(left[start : start + _FLUSH], reading, "\n")

    def sheet(self, content: bytes, reading: Reading) -> None:
        """Say one sheet."""
        if b"|" in content and _DDE.search(content):
            reading.note(Note(MACRO, "a formula that starts a program (DDE)", about="dde"))
        start = content.find(b"<sheetData>")
        end = content.rfind(b"</sheetData>")
        if not 0 < start < end:
            self._slowly(content, reading)
            return
        rows, rest = content[start:end], content[:start] + content[end + 12 :]
        marks = _MARKS.found(rows)
        if _plain(content, b"<worksheet", marks | _MARKS.found(rest)):
            self._quickly(rows, marks, reading)
            xml.say_text(rest, reading)
        else:
            self._slowly(content, reading)

    def _quickly(self, rows: bytes, marks: frozenset[int], reading: Reading) -> None:
        """Whole stretches of rows at a time: cells and rows end in marks, then what stands between tags is taken."""
        position = 0
        while position < len(rows):
            end = rows.find(b"<row", position + _STRETCH)
            end = len(rows) if end < 0 else end
            _say(self._stretch(rows[position:end], marks), reading)
            position = end

    def _stretch(self, rows: bytes, marks: frozenset[int]) -> list[str]:
        if _LOOSE in marks:
            rows = _INDENTED.sub(rb"\1", rows)
        named = _NAMED.findall(rows) if _SHARED in marks else []
        if named:
            rows = _NAMED.sub(b">\0", rows)
        if _CLOSED in marks:
            rows = _EMPTY.sub(b"\t", rows)
        if _FORMULA in marks:
            rows = rows.replace(b"</f>", b"\t")
        # The first two leave nothing for the third in most sheets; with it alone each cell would be two pieces below.
        for ending in (b"</v></c>", b"</t></is></c>", b"</c>"):
            rows = rows.replace(ending, b"\t")
        rows = b"\n<row".join(rows.split(b"<row"))
        text = unescaped(b"".join(_CHARACTERS.findall(rows)).decode("utf-8", "replace"))
        if not named:
            return [text, "\n"]
        pieces = text.split("\0")
        out = [piece for pair in zip(pieces, map(self.lookup, named), strict=False) for piece in pair]
        return [*out, pieces[-1], "\n"]

    def _slowly(self, content: bytes, reading: Reading) -> None:
        out: list[str] = []
        texts: list[str] = []
        kind = root = ""

        def start(name: str, given: dict[str, str]) -> None:
            nonlocal kind, root
            root = root or name
            if name == "c":
                kind = given.get("t", "")
                texts.clear()
            elif name in ("v", "f", "is"):
                texts.clear()

        def end(name: str) -> None:
            if name == "v":
                joined = "".join(texts)
                out.append(self.lookup(joined.strip()) if kind == "s" else joined)
            elif name in ("f", "is", "oddHeader", "oddFooter", "evenHeader", "evenFooter", "formula1", "formula2"):
                out.append("".join(texts))
                out.append("\t")
            elif name in ("c", "row"):
                out.append("\n" if name == "row" else "\t")
            if len(texts) > 10_000 and name not in ("t", "r"):
                texts.clear()
            if len(out) > _FLUSH:
                _say(out, reading)
                out.clear()

        try:
            xml.parse(content, reading, xml.Handlers(start, end, texts.append))
        finally:
            _say(out, reading)
        if root not in _ROOTS:
            xml.say_text(content, reading)


_ROOTS = ("worksheet", "macrosheet", "chartsheet", "dialogsheet")
"""Of what stands in a folder of sheets; anything else there is read as any other part."""


def _say(pieces: list[str], reading: Reading, between: str = "") -> None:
    length = sum(map(len, pieces))
    if length > MAX_TEXT:
        reading.say(between.join(piece[:100_000] for piece in pieces[:100]))
        raise LimitReached("text", MAX_TEXT)
    reading.say(between.join(pieces))
