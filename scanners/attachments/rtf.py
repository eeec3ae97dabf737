"""RTF: its text, and the objects it embeds. One linear pass; groups that only describe are skipped."""

from scanners.attachments.budget import MAX_NODES, LimitReached
from scanners.attachments.codes import EMBEDDED, TEMPLATE
from scanners.attachments.reading import Note, Reading

_SKIPPED = frozenset(
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "pict",
        "themedata",
        "colorschememapping",
        "latentstyles",
        "datastore",
        "listtable",
        "generator",
        "xmlnstbl",
    ]
)
_BREAKS = {"par": "\n", "line": "\n", "row": "\n", "sect": "\n", "page": "\n", "cell": "\t", "tab": "\t"}
_MARKS = {"emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•"}
_CHARSETS = {
    "134": "gb18030",
    "136": "cp950",
    "128": "cp932",
    "129": "cp949",
    "204": "cp1251",
    "161": "cp1253",
    "222": "cp874",
}
"""Of fonts (``\\fcharset``): Word writes Chinese in the code page of its font, whatever ``\\ansicpg`` says."""
_HIDDEN = frozenset(("v", "deleted"))
_CODEPAGES = {"936": "gb18030", "950": "cp950", "932": "cp932", "949": "cp949", "65001": "utf-8"}
MAX_GROUPS = 10_000
"""Nested groups held; deeper ones are a bomb."""
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class _Walk:
    """The state of one pass."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.codec = "cp1252"
        self.out: list[str] = []
        self.unseen: list[tuple[int, int]] = []
        self.hidden = -1
        """Where in ``out`` text began that a word processor does not show."""
        self.other: list[str] = []
        """What bytes without a code page would be in Chinese."""
        self.bytes = bytearray()
        self.stack: list[tuple[str, int, str, int]] = []
        self.skip = ""
        self.fonts: dict[str, str] = {}
        self.font = ""
        self.named = "0"
        self.unicode_skip = 1
        self.pending_skip = 0
        self.object = bytearray()

    def flush(self) -> None:
        if self.bytes:
            codec = self.font or self.codec
            self.out.append(self.bytes.decode(codec, "replace"))
            if codec == "cp1252" and not self.bytes.isascii():
                self.other.append(self.bytes.decode("gb18030", "replace"))
            self.bytes.clear()

    def hide(self, on: bool) -> None:
        self.flush()
        if on and self.hidden < 0:
            self.hidden = len(self.out)
        elif not on and self.hidden >= 0:
            self.unseen.append((self.hidden, len(self.out)))
            self.hidden = -1

    def open(self) -> None:
        self.pending_skip = 0  # a brace ends what stands in for a character
        if len(self.stack) >= MAX_GROUPS:
            raise LimitReached("depth", MAX_GROUPS)
        self.stack.append((self.skip, self.unicode_skip, self.font, self.hidden))

    def close(self) -> None:
        self.pending_skip = 0
        if self.stack:
            previous = self.skip
            self.skip, self.unicode_skip, self.font, hidden = self.stack.pop()
            if self.hidden >= 0 and hidden < 0:
                self.hide(False)
            if previous == "objdata" and self.skip != "objdata":
                self.embedded()

    def embedded(self) -> None:
        digits = bytes(byte for byte in self.object if byte in b"0123456789abcdefABCDEF")
        self.object.clear()
        raw = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        self.reading.note(Note(EMBEDDED, "embedded OLE object", about="rtf"))
        start = raw.find(b"\xd0\xcf\x11\xe0")
        if raw:
            self.reading.budget.unpacked(len(raw))
            self.reading.member("object.bin", raw[start:] if start >= 0 else raw, "")

    def word(self, name: str, number: str) -> None:
        if name == "ansicpg":
            self.codec = _CODEPAGES.get(
                number, f"cp{number}" if number in ("1250", "1251", "1252", "1253", "1254", "1255", "874") else "cp1252"
            )
        elif name == "u" and number:
            self.flush()
            value = int(number[:8]) & 0xFFFF
            if not self.skip:
                self.out.append(chr(value))
            self.pending_skip = self.unicode_skip
        elif name == "f":
            self.named = number
            if self.skip != "fonttbl":
                self.flush()
                self.font = self.fonts.get(number, "")
        elif name == "fcharset":
            if self.skip == "fonttbl" and number in _CHARSETS and len(self.fonts) < MAX_GROUPS:
                self.fonts[self.named] = _CHARSETS[number]
        elif name in ("plain", "pard"):
            self.flush()
            self.font = "" if name == "plain" else self.font
            self.hide(False)
        elif name in _HIDDEN:
            self.hide(number != "0")
        elif name == "uc":
            self.unicode_skip = max(0, min(8, int(number or "1")))  # a negative one would skip all that follows
        elif name in _BREAKS and not self.skip:
            self.flush()
            self.out.append(_BREAKS[name])
        elif name in _MARKS and not self.skip:
            self.flush()
            self.out.append(_MARKS[name])
        elif name in _SKIPPED or name == "objdata":
            self.skip = self.skip or name
        elif name == "template":
            self.reading.note(Note(TEMPLATE, "attached template", about="rtf"))

    def binary(self, data: bytes) -> None:
        """What ``\\bin`` says is no text: braces in it open nothing. Of an object it is the object; else a second reading, as text."""
        if self.skip == "objdata":
            self.object += data.hex().encode()
        elif data:
            self.other.append(data.decode(self.font or self.codec, "replace"))

    def byte(self, value: int) -> None:
        if self.pending_skip:
            self.pending_skip -= 1
        elif self.skip == "objdata":
            self.object.append(value)
        elif not self.skip:
            self.bytes.append(value)


def read(data: bytes, reading: Reading) -> None:
    """Text in order, objects as members."""
    walk = _Walk(reading)
    try:
        _run(data, walk)
    finally:  # a bound stops the reading, not the saying of what was read
        walk.hide(False)
        _say(walk, reading)


def _run(data: bytes, walk: _Walk) -> None:
    position, size, steps = 0, len(data), 0
    while position < size:
        steps += 1
        if steps & 0xFFFF == 0:
            walk.reading.budget.tick()
            if steps > 10 * MAX_NODES:
                raise LimitReached("nodes", 10 * MAX_NODES)
        byte = data[position]
        if byte == 0x5C:
            position = _control(data, position + 1, walk)
            continue
        if byte == 0x7B:
            walk.open()
        elif byte == 0x7D:
            walk.flush()
            walk.close()
        elif byte not in (0x0D, 0x0A, 0):
            stop = position + 1
            if not walk.pending_skip and walk.skip != "objdata" and not walk.skip:
                while stop < size and data[stop] not in b"\\{}\r\n\0":
                    stop += 1
                walk.bytes += data[position:stop]
                position = stop
                continue
            walk.byte(byte)
        position += 1


def _say(walk: _Walk, reading: Reading) -> None:
    """All text, then what is left of it for a reader where some is hidden, then the Chinese that no code page was named for."""
    reading.say(_sound("".join(walk.out)))
    if walk.unseen:
        seen: list[str] = []
        position = 0
        for start, end in walk.unseen:
            seen += walk.out[position:start]
            position = max(position, end)
        reading.say(_sound("".join((*seen, *walk.out[position:]))))
    if walk.other:
        reading.also("".join(walk.other))


def _sound(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _control(data: bytes, position: int, walk: _Walk) -> int:
    """After a backslash: a word with its number, a hex byte, or a symbol. Returns the next place."""
    size = len(data)
    if position >= size:
        return size
    if data[position] not in _LETTERS:
        symbol = data[position : position + 1]
        if symbol == b"'":
            try:
                walk.byte(int(data[position + 1 : position + 3], 16))
            except ValueError:
                return position + 1
            return position + 3
        if symbol in (b"\\", b"{", b"}"):
            walk.byte(symbol[0])
        elif symbol == b"~":
            walk.byte(0x20)
        elif walk.pending_skip:
            walk.pending_skip -= 1
        return position + 1
    stop = position
    while stop < size and data[stop] in _LETTERS and stop - position < 32:
        stop += 1
    name = data[position:stop].decode("ascii")
    start = stop
    if stop < size and data[stop] == 0x2D:
        stop += 1
    while stop < size and 0x30 <= data[stop] <= 0x39 and stop - start < 11:
        stop += 1
    number = data[start:stop].decode("ascii")
    end = stop + 1 if stop < size and data[stop] == 0x20 else stop
    if name == "bin" and number.isdigit():
        after = min(size, end + int(number))
        walk.binary(data[end:after])
        walk.pending_skip = max(0, walk.pending_skip - 1)
        return after
    if walk.pending_skip:
        walk.pending_skip -= 1  # in place of a character a word counts as one, and does nothing
        return end
    walk.word(name, "" if number == "-" else number)
    return end
