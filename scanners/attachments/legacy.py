"""Office 97-2003: text of doc by its piece table (MS-DOC 2.4.1), of ppt by its records (MS-PPT 2.4), of xls by its records."""

import struct

from scanners.attachments import biff
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import ENCRYPTED
from scanners.attachments.reading import Note, Reading, UnreadableContent

MAX_PIECES = 200_000
"""Pieces of a piece table; fast-saved files have hundreds."""
_FIELD_MARKS = {7: "\t", 11: "\n", 12: "\n", 13: "\n", 19: " ", 20: " ", 21: " "}


def read_doc(data: bytes, reading: Reading) -> None:
    """Main text, footnotes, headers, comments: all of the piece table."""
    from scanners.attachments import ole

    with ole.opened(data) as file:
        ole.rest(file, data, reading)  # first: what it carries does not depend on its text being whole
        main = ole.stream(file, "WordDocument", reading)
        if len(main) < 0x1AA:
            raise UnreadableContent("doc without a header")
        flags = struct.unpack_from("<H", main, 0x0A)[0]
        if flags & 0x0100:
            reading.note(Note(ENCRYPTED, "encrypted doc", about="doc"))
            return
        table = ole.stream(file, "1Table" if flags & 0x0200 else "0Table", reading)
    offset, length = struct.unpack_from("<II", main, 0x1A2)
    clx = table[offset : offset + length]
    reading.say(_pieces(main, clx))
    if len(clx) > 12 * MAX_PIECES:
        raise LimitReached("pieces", MAX_PIECES)


def _pieces(main: bytes, clx: bytes) -> str:
    position = 0
    while position + 3 <= len(clx) and clx[position] == 1:
        position += 3 + struct.unpack_from("<H", clx, position + 1)[0]
    if position + 5 > len(clx) or clx[position] != 2:
        raise UnreadableContent("doc without a piece table")
    plc = clx[position + 5 :]
    count = min(MAX_PIECES, (len(plc) - 4) // 12)
    ends = struct.unpack_from(f"<{count + 1}I", plc)
    out = []
    for number in range(count):
        start = struct.unpack_from("<I", plc, 4 * (count + 1) + 8 * number + 2)[0]
        length = max(0, ends[number + 1] - ends[number])
        if start & 0x40000000:
            place = (start & 0x3FFFFFFF) // 2
            out.append(main[place : place + length].decode("cp1252", "replace"))
        else:
            out.append(main[start : start + 2 * length].decode("utf-16-le", "replace"))
    return "".join(out).translate(_FIELD_MARKS)


def read_ppt(data: bytes, reading: Reading) -> None:
    """Every text atom of the document stream."""
    from scanners.attachments import ole

    with ole.opened(data) as file:
        ole.rest(file, data, reading)
        records = ole.stream(file, "PowerPoint Document", reading)
    out: list[str] = []
    position = 0
    while position + 8 <= len(records):
        version, kind, length = struct.unpack_from("<HHI", records, position)
        position += 8
        if version & 0xF == 0xF:
            continue  # a container: its records follow
        body = records[position : position + length]
        if kind in (0x0FA0, 0x0FBA):
            out.append(body.decode("utf-16-le", "replace"))
        elif kind == 0x0FA8:
            out.append(body.decode("cp1252", "replace"))
        position += length
    reading.say("\n".join(out).replace("\r", "\n").replace("\v", "\n"))


def read_xls(data: bytes, reading: Reading) -> None:
    """All sheets of a workbook; of Excel 5 and older only names and macros."""
    from scanners.attachments import ole

    with ole.opened(data) as file:
        ole.rest(file, data, reading)
        if not file.exists("Workbook"):
            raise UnreadableContent("workbook older than Excel 97")
        stream = ole.stream(file, "Workbook", reading)
    biff.read_biff8(stream, reading)
