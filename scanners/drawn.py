"""Codes drawn with characters or with the cells of a table: a telephone reads them off the screen like any other picture.

What looks like such a drawing becomes a picture, in which decoders look for codes.
"""

import struct

import re2

MAX_DRAWINGS = 16
"""Drawings of one text, as many as codes of one picture: a code for people is drawn once."""
MAX_ROWS = 200
"""Rows of one drawing; the largest code has 177."""
MAX_COLUMNS = 400
"""Characters of a row: two for each square of the largest code, and its frame."""

_DARK = frozenset("█▓■⬛#▇◼")
_UPPER, _LOWER = "▀", "▄"
_INK = "█▀▄■⬛⬜▓◼▇"
_SQUARE = frozenset("⬛⬜◼◻")
_HASHES = "##############"
"""The side of the eye of a code, seven squares of two characters."""
_FEWEST = 10
"""Rows of the smallest code in half blocks, and inked characters in one of them that begins a drawing."""
_TABLE = 12_000
"""Characters below which a page is too short for a code in cells: 441 cells of 27 characters."""
_CELLS = 441
_TAG = re2.compile("<[^<>]*>")
_CELL = re2.compile("(?i)<(tr|td)([^<>]*)>")
_LEVEL = r"\s?[0-5]?[0-9]\s?"
_BLACK = re2.compile(
    rf"(?i)black|#0{{3}}(?:0{{3}})?(?:[^0-9a-f]|$)|#[0-3][0-9a-f][0-3][0-9a-f][0-3][0-9a-f]|rgb\({_LEVEL},{_LEVEL},{_LEVEL}\)"
)
_WIDE, _HIGH = 3, 6
"""Pixels of a character: about as wide to its height as on a screen."""


def pictures(text: str, *, html: bool) -> list[bytes]:
    """Each drawing in ``text`` as a bitmap; none in ordinary text. ``html``: tags are no part of it, and its tables may be drawings.
    One more than MAX_DRAWINGS says that there were more."""
    found: list[bytes] = []
    if _HASHES in text or (not text.isascii() and any(mark in text for mark in _INK)):
        found = _drawings(text, html=html)
    if html and len(text) > _TABLE and text.lower().count("<td") >= _CELLS:
        rows = _table(text)
        if rows:
            found.append(_bitmap([[(dark, dark) for dark in row] for row in rows], _HIGH, _HIGH // 2))
    return found[: MAX_DRAWINGS + 1]


def _drawings(text: str, *, html: bool) -> list[bytes]:
    found: list[bytes] = []
    if html:
        lowered = (
            text.replace("<br", "\n<br").replace("<BR", "\n<br").replace("</div", "\n</div").replace("</p", "\n</p")
        )
        text = _TAG.sub("", lowered).replace("&nbsp;", " ").replace("&#160;", " ").replace("&#9608;", "█")
    block: list[str] = []
    for line in (*text.split("\n"), "", ""):  # two empty rows end the last one
        line = line.rstrip("\r")
        inked = sum(one in _INK or one == "#" for one in line[:MAX_COLUMNS])
        part = inked >= _FEWEST or (bool(block) and (inked > 0 or not line.strip()) and _goes_on(block, line))
        if not part or len(block) == MAX_ROWS:  # what has more rows is no code, or has light ones around it
            if len(block) >= _FEWEST:
                found.append(_drawn(block))
            if len(found) > MAX_DRAWINGS:
                break
            block = []
        if part:
            block.append(line[:MAX_COLUMNS])
    return found


def _goes_on(block: list[str], line: str) -> bool:
    """An empty row belongs to a drawing only between inked ones; two end it."""
    return bool(line.strip()) or bool(block[-1].strip())


def _drawn(block: list[str]) -> bytes:
    square = any(one in _SQUARE for one in block[0])
    rows = [[(one in _DARK or one == _UPPER, one in _DARK or one == _LOWER) for one in line] for line in block]
    return _bitmap(rows, _HIGH if square else _WIDE, _HIGH // 2)


def _table(text: str) -> list[list[bool]]:
    """Dark and light cells, row by row; nothing for a table whose cells are not nearly all coloured or small."""
    rows: list[list[bool]] = []
    for match in _CELL.finditer(text):
        if match.group(1).lower() == "tr":
            if len(rows) >= MAX_ROWS:
                break
            rows.append([])
        elif rows and len(rows[-1]) < MAX_COLUMNS:
            rows[-1].append(_BLACK.search(match.group(2)) is not None)
    rows = [row for row in rows if len(row) >= 21]
    return rows if len(rows) >= 21 and any(any(row) for row in rows) else []


def _bitmap(rows: list[list[tuple[bool, bool]]], wide: int, half: int) -> bytes:
    """An 8-bit grey BMP with a light frame; each item is the upper and the lower half of a character."""
    frame = 4 * wide
    width = (max(len(row) for row in rows) * wide + 2 * frame + 3) // 4 * 4
    lines: list[bytes] = [b"\xff" * width] * (4 * half)
    for row in rows:
        for part in (0, 1):
            ink = b"".join((b"\0" if one[part] else b"\xff") * wide for one in row)
            lines += [(b"\xff" * frame + ink).ljust(width, b"\xff")] * half
    lines += [b"\xff" * width] * (4 * half)
    pixels = b"".join(reversed(lines))
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, width, len(lines), 1, 8, 0, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(pixels), 0, 0, 14 + 40 + 1024) + head + palette + pixels
