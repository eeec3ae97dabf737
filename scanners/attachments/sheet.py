"""Worksheets of xlsx: cells in rows, shared strings put in their places.

Nearly all programs write the same plain form: that is cut with ``split`` (a third of the cost of a parser). Anything unusual in it
(prefixes, CDATA, comments, other quotes or blanks) goes to the parser; both give the same text.
"""

import html
from dataclasses import dataclass, field

import re2

from scanners.attachments import xml
from scanners.attachments.budget import MAX_TEXT, LimitReached
from scanners.attachments.reading import Reading

_FLUSH = 2_000
"""Cells joined at a time; their length is added up before they are joined, since one shared string may be named a million times."""
_ODD = re2.compile(rb"<!|='| =\"|= \"|:si>|:c[ >]|:v>|:row|<c[>\n\t\r]|<v[ \n\t\r]|<si[ /\n\t\r]|\x00")
"""Signs of another way of writing, looked for in one pass."""


def _plain(content: bytes, root: bytes) -> bool:
    head = content[:4096]
    if root not in head or head.startswith((b"\xff", b"\xfe")):
        return False
    declaration = head[: head.find(b"?>") + 1].lower()
    if b"encoding" in declaration and b"utf-8" not in declaration:
        return False
    return _ODD.search(content) is None


def _value(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


def _stripped(raw: bytes) -> str:
    """Character data of a fragment."""
    return _value(b"".join(piece.partition(b">")[2] for piece in raw.split(b"<")))


@dataclass(slots=True)
class Sheets:
    """One workbook: its shared strings, and which of them a cell has named."""

    shared: list[str] = field(default_factory=list)
    used: bytearray = field(default_factory=bytearray)
    binary: list[str] = field(default_factory=list)
    """The shared strings of an xlsb."""

    def share(self, content: bytes, reading: Reading) -> None:
        """Take in sharedStrings.xml; what came before a fault in it is kept."""
        try:
            self._share(content, reading)
        finally:
            self.used.extend(bytes(len(self.shared) - len(self.used)))

    def _share(self, content: bytes, reading: Reading) -> None:
        if _plain(content, b"<sst"):
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

        xml.parse(content, reading, xml.Handlers(lambda name, given: None, end, pieces.append))

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
        for start in range(0, len(left), _FLUSH):
            _say(left[start : start + _FLUSH], reading, "\n")

    def sheet(self, content: bytes, reading: Reading) -> None:
        """Say one sheet."""
        start = content.find(b"<sheetData>")
        end = content.find(b"</sheetData>")
        if 0 < start < end and _plain(content, b"<worksheet"):
            self._quickly(content[start:end], reading)
            xml.say_text(content[:start] + content[end + 12 :], reading)
        else:
            self._slowly(content, reading)

    def _quickly(self, rows: bytes, reading: Reading) -> None:
        out: list[str] = []
        for row in rows.split(b"<row"):
            for piece in row.split(b"<c ")[1:]:
                head, _, rest = piece.partition(b">")
                place = rest.find(b"<v>")
                if place == 0:
                    raw = rest[3 : rest.find(b"<", 3)]
                    out.append(self.lookup(raw) if b't="s"' in head else _value(raw))
                elif head[-1:] != b"/":
                    out.append(
                        _stripped(rest.replace(b"</f>", b"</f>\t"))
                    )  # a formula before its value, or text in the cell
                out.append("\t")
            out.append("\n")
            if len(out) > _FLUSH:
                _say(out, reading)
                out.clear()
        _say(out, reading)

    def _slowly(self, content: bytes, reading: Reading) -> None:
        out: list[str] = []
        texts: list[str] = []
        kind = ""

        def start(name: str, given: dict[str, str]) -> None:
            nonlocal kind
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


def _say(pieces: list[str], reading: Reading, between: str = "") -> None:
    length = sum(map(len, pieces))
    if length > MAX_TEXT:
        reading.say(between.join(piece[:100_000] for piece in pieces[:100]))
        raise LimitReached("text", MAX_TEXT)
    reading.say(between.join(pieces))
