"""Content-Transfer-Encodings, and the older ways of putting files into text (uuencode, yEnc). Linear, never raising."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

import pybase64
import re2

from scanners.encoded import ALPHABET, NOT_BASE64, lenient_base64
from scanners.patterns import Marks

MAX_EMBEDDED = 50
"""Files taken out of one text; a news posting has one."""
MAX_PADDED = 2
"""Times its text that uuencoded files may take: a line says its own length and what it lacks are zeros, so two bytes could be 45."""

_PASTED = re2.compile(rb"(?m)^(?:[A-Za-z0-9+/]{40,}\r?\n)*[A-Za-z0-9+/]{40,}(?:\r?\n[A-Za-z0-9+/]{1,76})?={0,2}\r?$")
IDENTITY = frozenset(("", "7bit", "8bit", "binary"))
_UU_NAMES = frozenset(("x-uuencode", "uuencode", "x-uue", "uue"))
_BLANKS = b"\r\n \t"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ENDS = (b" \r\n", b"\t\r\n", b" \n", b"\t\n")
_BLANK_ENDS = Marks(*_ENDS)
_BARE_CRS = (b"\r ", b"\r\t", b"\r\r")
_FEW_BLANKS = 8
"""Blanks at the end of a line that are dropped by replacing; lines with more are cut apart, and are fewer."""
_STRETCH = 1 << 18
_SHORTEST, _LONGEST = 16, 1_000
"""Lengths of base64 lines worth cutting by strides; mail has 76, some programs 60, 64 or 72."""
_WORTH = 2_000
"""Bytes below which dropping blanks is as quick."""
_MANY_LINES, _FILLED = 100_000, 32
"""Lines above which those of a base64 body are not told apart one by one unless they have so many bytes each: encoders write 60 to 76."""
_EMPTY = 4
"""Line ends after the last line; more of them are dropped the slow way."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """Decoded bytes, and what was odd about the encoding: ``""``, ``base64`` or ``unknown``."""

    content: bytes
    odd: str = ""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A file found inside text: its name and bytes; ``whole`` is False when its end was missing."""

    name: str
    content: bytes
    whole: bool = True


def transferred(body: bytes, encoding: str, *, other: bool = False) -> Transferred:
    """Undo ``encoding``. ``other`` asks for the second reading where two are possible: base64 that stops at its first padding,
    and an unknown encoding taken for what the bytes look like instead of identity."""
    if encoding in IDENTITY:
        return Transferred(body)
    if encoding == "base64":
        return _base64(body, stop=other)
    if encoding == "quoted-printable":
        return Transferred(quoted_printable(body))
    if encoding in _UU_NAMES:
        found = uuencoded(body)
        return (
            Transferred(found[0].content, "" if found[0].whole else "unknown")
            if found
            else Transferred(body, "unknown")
        )
    return Transferred(_as_it_looks(body, encoding) if other else body, "unknown")


def as_it_looks(body: bytes) -> bytes:
    """``body`` decoded by what it looks like, whatever its fields say of it."""
    return _as_it_looks(body, "")


def _base64(body: bytes, *, stop: bool) -> Transferred:
    unfolded = _unfolded(body)
    if unfolded is not None:
        try:
            return Transferred(pybase64.b64decode(unfolded, validate=True))
        except binascii.Error:
            pass  # blanks elsewhere, or junk: looked at byte by byte
    clean = body.translate(None, _BLANKS)
    try:
        return Transferred(pybase64.b64decode(clean, validate=True))
    except binascii.Error:
        pass  # junk, padding in the middle or none at the end: read as far as anyone would, and say so
    if stop:
        other = clean.translate(_URL_SAFE)
        if other != clean and not other.translate(None, ALPHABET):
            return Transferred(lenient_base64(other), "base64")  # as addresses write it (RFC 4648 5)
        tidy = loose_lines(body)[1].translate(None, _BLANKS)
        if tidy != clean:
            return Transferred(lenient_base64(tidy), "base64")
        useful = clean.translate(None, NOT_BASE64)
        clean = useful.partition(b"=")[0]
    return Transferred(lenient_base64(clean), "base64")


def _unfolded(body: bytes) -> bytearray | None:
    """``body`` without its line ends when all its lines but the last have one length, as all programs write base64, else None.

    Two strided deletions: a fifth of the time of dropping blanks byte by byte.
    """
    length = body.find(b"\r\n", 0, _LONGEST)
    if length < _SHORTEST or len(body) < _WORTH:
        return None
    lines = bytearray(body)
    for _ in range(_EMPTY):
        if lines.endswith(b"\r\n"):
            del lines[-2:]
    step = length + 2
    ends = lines[length::step], lines[length + 1 :: step]
    if ends[0].count(b"\r") != len(ends[0]) or ends[1].count(b"\n") != len(ends[1]):
        return None
    del lines[length::step]
    del lines[length :: step - 1]
    return lines


def quoted_printable(body: bytes) -> bytes:
    """RFC 2045 6.7, blanks before a line break dropped (rule 3), so that they can't undo a soft break."""
    return binascii.a2b_qp(_without_blank_ends(body) if _BLANK_ENDS.any_in(body) else body)


def _without_blank_ends(body: bytes) -> bytes:
    """Blanks and CRs before each line's end dropped, but for the CR of CRLF. A line's last few blanks go by replacing, all lines at
    once: a body may be millions of lines."""
    if not any(odd in body for odd in _BARE_CRS):
        for _ in range(_FEW_BLANKS):
            for end in _ENDS:
                body = body.replace(end, end[1:])
            if not _BLANK_ENDS.any_in(body):
                return body if body.endswith(b"\n") else _line_without_blank_end(body)
    return b"".join(map(_lines_without_blank_ends, _stretches(body)))


def _stretches(body: bytes) -> Iterator[bytes]:
    """Whole lines, a quarter of a megabyte at a time: cut into lines, a body of short ones takes thirty times its size."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + _STRETCH) + 1 or len(body)
        yield body[start:end]
        start = end


def _lines_without_blank_ends(lines: bytes) -> bytes:
    return b"\n".join(map(_line_without_blank_end, lines.split(b"\n")))


def _line_without_blank_end(line: bytes) -> bytes:
    return line.rstrip(b" \t\r") + (b"\r" if line.endswith(b"\r") else b"")


def _as_it_looks(body: bytes, encoding: str) -> bytes:
    sample = body[:4096].translate(None, _BLANKS)
    if "64" in encoding:
        return lenient_base64(body)
    if "quoted" in encoding or "print" in encoding or "qp" in encoding:
        return quoted_printable(body)
    if len(sample) >= 16 and _is_base64(sample):
        return lenient_base64(body)
    return quoted_printable(body) if b"=" in sample else body


def _is_base64(sample: bytes) -> bool:
    """Only its letters, and padding at the end only: quoted-printable text alone has the same letters."""
    return b"=" not in sample.rstrip(b"=") and len(sample.translate(None, NOT_BASE64)) == len(sample)


def loose_lines(body: bytes) -> tuple[bytes, bytes]:
    """What stands in a base64 body and is none: those lines, and the body without them. Lists add footers, hiders add text that
    shifts all that follows."""
    if body.count(b"\n") > max(_MANY_LINES, len(body) // _FILLED):
        return body, body  # no encoder wrote this: it is read as text as well, whole
    good: list[bytes] = []
    loose: list[bytes] = []
    for line in body.split(b"\n"):
        bare = line.strip()
        (good if len(bare.translate(None, NOT_BASE64)) == len(bare) else loose).append(line)
    full = {len(line.strip()) for line in good} - {0}
    longest = max(full, default=0)
    if (
        longest >= 60
    ):  # an encoder fills its lines: a shorter one with another after it is a word that looks like base64
        good = [line for place, line in enumerate(good) if len(line.strip()) % 4 == 0 or place == len(good) - 1]
    return b"\n".join(loose), b"\n".join(good)


def pasted(content: bytes) -> list[bytes]:
    """What lines of nothing but base64 hold that stand in a text: bounces quote parts so, and people paste files so."""
    found: list[bytes] = []
    for match in _PASTED.finditer(content):
        if len(found) >= MAX_EMBEDDED:
            break
        decoded = lenient_base64(match.group())
        if decoded:
            found.append(decoded)
    return found


def embedded(content: bytes) -> list[Embedded]:
    """Files inside text: uuencode and yEnc."""
    found: list[Embedded] = []
    if b"begin" in content:
        found += uuencoded(content)
    if b"=ybegin " in content:
        found += yencoded(content)
    return found[:MAX_EMBEDDED]


def uuencoded(content: bytes) -> list[Embedded]:
    """Blocks of ``begin MODE NAME`` ... ``end``; ``begin-base64`` too."""
    found: list[Embedded] = []
    position, room = 0, MAX_PADDED * len(content)
    while len(found) < MAX_EMBEDDED:
        start = content.find(b"begin", position)
        if start < 0:
            break
        line_end = content.find(b"\n", start)
        if line_end < 0:
            break
        words = content[start : min(line_end, start + 400)].split(None, 2)
        position = line_end + 1
        at_line_start = start == 0 or content[start - 1] in b"\n\r"
        if not at_line_start or len(words) < 2 or not words[1].isdigit() or words[0] not in (b"begin", b"begin-base64"):
            continue
        name = words[2].strip().decode("utf-8", "replace") if len(words) > 2 else ""
        decoded, position, whole = _uu_lines(content, position, room, base64=words[0] != b"begin")
        room -= len(decoded)
        if decoded:
            found.append(Embedded(name, decoded, whole))
    return found


def _uu_lines(content: bytes, position: int, room: int, *, base64: bool) -> tuple[bytes, int, bool]:
    """The bytes up to ``end``, where it goes on, and whether there was an end before ``room`` was full."""
    out: list[bytes] = []
    while position < len(content) and room > 0:
        line_end = content.find(b"\n", position)
        line_end = len(content) if line_end < 0 else line_end
        line = content[position:line_end].rstrip(b"\r")
        position = line_end + 1
        if line in (b"end", b"===="):
            return b"".join(out), position, True
        if base64:
            out.append(lenient_base64(line))
            room -= len(out[-1])
        elif line and line != b"`":
            out.append(_uu_line(line))
            room -= len(out[-1])
    return b"".join(out), position, False


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        wanted = (((line[0] - 32) & 63) * 4 + 5) // 3  # some encoders miscount trailing characters
        try:
            return binascii.a2b_uu(line[: wanted + 1])
        except binascii.Error:
            return b""


def yencoded(content: bytes) -> list[Embedded]:
    """Blocks of ``=ybegin ... name=NAME`` ... ``=yend``."""
    found: list[Embedded] = []
    position = 0
    while len(found) < MAX_EMBEDDED:
        start = content.find(b"=ybegin ", position)
        if start < 0:
            break
        line_end = content.find(b"\n", start)
        if line_end < 0:
            break
        name = content[start:line_end].partition(b"name=")[2].strip()[:255].decode("utf-8", "replace")
        if content.startswith(b"=ypart", line_end + 1):
            second = content.find(b"\n", line_end + 1)
            line_end = line_end if second < 0 else second
        end = content.find(b"\n=yend", line_end)
        body = content[line_end + 1 : end if end >= 0 else len(content)]
        position = end + 6 if end >= 0 else len(content)
        found.append(Embedded(name, _yenc(body), end >= 0))
    return found


_SHIFT_42 = bytes((byte - 42) % 256 for byte in range(256))


def _yenc(body: bytes) -> bytes:
    head, *rest = body.translate(None, b"\r\n").split(b"=")
    out = [head.translate(_SHIFT_42)]
    for piece in rest:
        if piece:
            out.append(bytes(((piece[0] - 106) % 256,)))
            out.append(piece[1:].translate(_SHIFT_42))
    return b"".join(out)
