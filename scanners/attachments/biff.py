"""Excel's binary records: BIFF8 of xls (MS-XLS) and BIFF12 of xlsb (MS-XLSB). Cells are said in file order, row by row.

Own readers, since libraries lay a sheet out as a dense table: two cells at its far corners are then a memory bomb.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from scanners.attachments.budget import MAX_NODES, LimitReached
from scanners.attachments.codes import ENCRYPTED, MACRO
from scanners.attachments.reading import Note, Reading

_FLUSH = 2_000
MAX_STRINGS = 1_000_000
"""Shared strings of one workbook."""


@dataclass(slots=True)
class Rows:
    """Collects cells; says them in portions whose length is known before they are joined."""

    reading: Reading
    out: list[str] = field(default_factory=list)
    length: int = 0
    row: int = -1

    def cell(self, row: int, text: str) -> None:
        """One more cell."""
        self.out.append("\t" if row == self.row else "\n")
        self.out.append(text)
        self.row = row
        self.length += len(text)
        if len(self.out) > _FLUSH or self.length > 1_000_000:
            self.flush()

    def flush(self) -> None:
        """Say what is there."""
        self.reading.say("".join(self.out))
        self.out.clear()
        self.length = 0


def number(value: float) -> str:
    """As a person sees it: an identity number typed as a number keeps its digits."""
    return str(int(value)) if value == value and abs(value) < 1e22 and value.is_integer() else repr(value)


def rk(raw: int) -> str:
    """The packed number of RK records (MS-XLS 2.5.122)."""
    if raw & 2:
        value = float((raw >> 2) - (1 << 30 if raw & 0x80000000 else 0))
    else:
        value = struct.unpack("<d", struct.pack("<Q", (raw & 0xFFFFFFFC) << 32))[0]
    return number(value / 100 if raw & 1 else value)


def records(stream: bytes, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """BIFF8 records in order."""
    position = count = 0
    while position + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, position)
        yield kind, stream[position + 4 : position + 4 + length]
        position += 4 + length
        count += 1
        if count & 0xFFFF == 0:
            reading.budget.tick()
            if count > MAX_NODES:
                raise LimitReached("nodes", MAX_NODES)


class _Chars:
    """Strings over a record and its continuations: each continuation begins with a new width flag (MS-XLS 2.5.293)."""

    def __init__(self, segments: list[bytes]) -> None:
        self._segments = segments
        self._index = 0
        self._place = 0

    def take(self, count: int) -> bytes:
        out = b""
        while len(out) < count and self._index < len(self._segments):
            piece = self._segments[self._index][self._place : self._place + count - len(out)]
            out += piece
            self._place += len(piece)
            if self._place >= len(self._segments[self._index]):
                self._index, self._place = self._index + 1, 0
        return out

    @property
    def over(self) -> bool:
        return self._index >= len(self._segments)

    def string(self) -> str:
        head = self.take(3)
        if len(head) < 3:
            return ""
        left, flags = struct.unpack("<HB", head)
        runs = int.from_bytes(self.take(2), "little") if flags & 8 else 0
        extra = int.from_bytes(self.take(4), "little") if flags & 4 else 0
        wide = flags & 1
        out: list[str] = []
        while left > 0 and not self.over:
            if self._place == 0 and out:
                wide = self.take(1)[0] & 1
                if self.over:
                    break
            available = len(self._segments[self._index]) - self._place
            count = min(left, available // 2 if wide else available) or 1
            raw = self.take(count * 2 if wide else count)
            out.append(raw.decode("utf-16-le" if wide else "latin-1", "replace"))
            left -= count
        self.take(4 * runs)
        if extra <= 10_000_000:
            self.take(extra)
        return "".join(out)


def read_biff8(stream: bytes, reading: Reading) -> None:
    """All sheets of the Workbook stream, hidden ones and macro sheets included."""
    rows = Rows(reading)
    shared: list[str] = []
    pending: list[bytes] = []
    collecting = False
    for kind, body in records(stream, reading):
        if kind == 0x003C and collecting:
            pending.append(body)
            continue
        if collecting:
            shared, collecting = _table(pending), False
        if kind == 0x002F:
            reading.note(Note(ENCRYPTED, "encrypted workbook", about="xls"))
            return
        if kind == 0x00FC:
            pending, collecting = [body], True
        elif kind == 0x0085 and len(body) > 8:
            if body[5] == 1:
                reading.note(Note(MACRO, "Excel 4 macro sheet", about="xlm"))
            rows.cell(-1, _short(body[6:]))
        else:
            _cell(kind, body, rows, shared)
    rows.flush()


def _table(segments: list[bytes]) -> list[str]:
    chars = _Chars(segments)
    chars.take(8)
    out: list[str] = []
    while not chars.over:
        if len(out) >= MAX_STRINGS:
            raise LimitReached("nodes", MAX_STRINGS)
        out.append(chars.string())
    return out


def _short(body: bytes) -> str:
    """A string with an 8-bit length."""
    wide = body[1] & 1
    return body[2 : 2 + body[0] * (2 if wide else 1)].decode("utf-16-le" if wide else "latin-1", "replace")


def _long(body: bytes) -> str:
    """A string with a 16-bit length within one record."""
    return _Chars([body]).string()


def _cell(kind: int, body: bytes, rows: Rows, shared: list[str]) -> None:
    if len(body) < 6:
        return
    row = struct.unpack_from("<H", body)[0]
    if kind == 0x00FD and len(body) >= 10:
        index = struct.unpack_from("<I", body, 6)[0]
        rows.cell(row, shared[index] if index < len(shared) else "")
    elif kind == 0x0204:
        rows.cell(row, _long(body[6:]))
    elif kind == 0x0207:
        rows.cell(rows.row, _long(body))
    elif (kind == 0x0203 and len(body) >= 14) or (kind == 0x0006 and len(body) >= 14 and body[12:14] != b"\xff\xff"):
        rows.cell(row, number(struct.unpack_from("<d", body, 6)[0]))
    elif kind == 0x027E and len(body) >= 10:
        rows.cell(row, rk(struct.unpack_from("<I", body, 6)[0]))
    elif kind == 0x00BD:
        for place in range(4, len(body) - 7, 6):
            rows.cell(row, rk(struct.unpack_from("<I", body, place + 2)[0]))
    elif kind in (0x0014, 0x0015):
        rows.cell(-1, _long(body))


BIFF12 = (b"\x81\x01", b"\x83\x01", b"\x9f\x01", b"\x96\x02", b"\xd7\x02", b"\xf4\x04")
"""How parts of an xlsb begin: a sheet, the workbook, shared strings, styles, a table, comments (MS-XLSB 2.3)."""


def read_biff12(part: bytes, reading: Reading, shared: list[str], named: set[int]) -> None:
    """One part of an xlsb: shared strings are added to ``shared``, cells are said, sheet names too; ``named`` are the strings that a cell
    has said."""
    rows = Rows(reading)
    row = -1
    for kind, body in _records12(part, reading):
        if kind == 0 and len(body) >= 4:
            row = struct.unpack_from("<I", body)[0]
        elif kind == 19:
            if len(shared) >= MAX_STRINGS:
                raise LimitReached("nodes", MAX_STRINGS)
            shared.append(_wide(body, 1))
        elif kind == 7 and len(body) >= 12:
            index = struct.unpack_from("<I", body, 8)[0]
            if index < len(shared):
                named.add(index)
                rows.cell(row, shared[index])
        elif kind in (6, 8):
            rows.cell(row, _wide(body, 8))
        elif kind in (5, 9) and len(body) >= 16:
            rows.cell(row, number(struct.unpack_from("<d", body, 8)[0]))
        elif kind == 2 and len(body) >= 12:
            rows.cell(row, rk(struct.unpack_from("<I", body, 8)[0]))
        elif kind == 156 and len(body) >= 12:
            identity = 4 + 2 * struct.unpack_from("<I", body, 8)[0]
            rows.cell(-1, _wide(body, 8 + identity))
        elif kind == 637:
            rows.cell(-1, _wide(body, 1))  # a comment
    rows.flush()


def _records12(part: bytes, reading: Reading) -> Iterator[tuple[int, bytes]]:
    position = count = 0
    while position < len(part):
        kind = part[position]
        position += 1
        if kind & 0x80 and position < len(part):
            kind = (kind & 0x7F) | (part[position] & 0x7F) << 7
            position += 1
        length = 0
        for shift in (0, 7, 14, 21):
            if position >= len(part):
                return
            byte = part[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        yield kind, part[position : position + length]
        position += length
        count += 1
        if count & 0xFFFF == 0:
            reading.budget.tick()
            if count > MAX_NODES:
                raise LimitReached("nodes", MAX_NODES)


def _wide(body: bytes, place: int) -> str:
    """XLWideString: 32-bit count of characters, then UTF-16."""
    if place + 4 > len(body):
        return ""
    count = struct.unpack_from("<I", body, place)[0]
    return body[place + 4 : place + 4 + 2 * count].decode("utf-16-le", "replace")
