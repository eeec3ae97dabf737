"""Text that was pasted as codes: hexadecimal, percent signs, ``\\u4e2d`` and ``&#20013;``, base64, base32, bits. What it says is a
second text.

Codes mean nothing unless what comes out is text; checksums, keys and tracking links come out as rubbish and are passed over.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pybase64
import re2

from scanners.patterns import Prefilter, prefilter

MAX_SEARCHED = 4_000_000
"""Bytes of the texts of one mail in which codes are looked for: seconds of work if all of it is codes. More is said only where codes
stand beyond it."""
MAX_ROUNDS = 3
"""Codes within codes: base64 of percent signs of escapes."""
SHORTEST = 11
"""Bytes that codes must come to: a phone number, or four Han characters."""

_LONG = r"[A-Za-z0-9+/_-]{20}"
_PADDED = r"[A-Za-z0-9+/_-]{14}={1,2}"
_PERCENT = r"(?:[%=][0-9A-Fa-f]{2}[0-9A-Za-z]{0,2}){4}"
_ESCAPE = (
    r"\\(?:[uU]\{?[0-9A-Fa-f]{2}|x[0-9A-Fa-f]{2}|[01][0-7][0-7])|%u[0-9A-Fa-f]{4}|U\+[0-9A-Fa-f]{4}|&#[xX0-9]|&amp;#"
)
_PAIR = "[0-9A-Fa-f]{2}[ ,:;-]"
_APART = rf"[^0-9A-Za-z](?:0x|x)?{_PAIR}(?:0x| 0x)?{_PAIR}(?:0x| 0x)?{_PAIR}(?:0x| 0x)?[0-9A-Fa-f]{{2}}[ ,:;\n-]"
_DUMP = r"\n[0-9A-Fa-f]{4,16}:? {1,4}[0-9A-Fa-f]{2,4} "
_BITS = r"[01]{8}[ ,]?[01]{8}[ ,]?[01]{8}"
_SIGNS = (f"{_LONG}|{_PADDED}", _PERCENT, _ESCAPE, f"{_APART}|{_DUMP}", _BITS)
"""What a text is searched for first, all at once; nearly none holds any."""
_RUN, _PERCENTS, _ESCAPES, _PAIRS, _BINARY = range(5)


def _compiled(pattern: bytes) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern, options)


_LETTER, _NO_DIGIT = "[A-Za-z0-9+/_-]", "[G-Zg-z+/_-]"
_LED = "|".join(f"[0-9A-Fa-f]{{{n}}}{_NO_DIGIT}{_LETTER}{{{13 - n},}}" for n in range(13))
_TOKENS = _compiled(
    rf"(?:{_LED}|[0-9A-Fa-f]{{13,}}{_NO_DIGIT}{_LETTER}*)(?:\n{_LETTER}{{4,}})*={{0,6}}".encode("ascii")
)
"""Runs of 14 letters or more that are not hexadecimal alone. Tables are full of numbers and checksums, which this passes by."""
_SHOWN = "(?:[2-689A-Fa-f][0-9A-Fa-f]|7[0-9A-Ea-e]|0[09AaDd])"
_DIGITS = _compiled(
    rf"\b(?:[0-9A-Fa-f]*00\n?(?:[0-9A-Fa-f]{{2}}\n?){{10,}}|(?:{_SHOWN}\n?){{11,}})[0-9A-Fa-f]?\b".encode("ascii")
)
"""Hexadecimal digits of text, with zeros between its bytes if it is UTF-16; those of a checksum say other control characters."""
_CODE = _compiled(
    rb"\\[uU]\{?([0-9A-Fa-f]{4,8})\}?|%u([0-9A-Fa-f]{4})|U\+([0-9A-Fa-f]{4,6})|&(?:amp;)?#[xX]([0-9A-Fa-f]{1,6});?"
    rb"|&(?:amp;)?#([0-9]{1,7});?|\\x\{?([0-9A-Fa-f]{2})\}?|\\([0-3][0-7]{2})"
)
_SPACED = _compiled(
    rb"(?:^|[^0-9A-Za-z])((?:(?:0x|\\x|x)?[0-9A-Fa-f]{2}[\s,:;-]{1,3}){10,}(?:0x|\\x|x)?[0-9A-Fa-f]{2})"
)
_ROW = _compiled(
    rb"(?m)^[0-9A-Fa-f]{4,16}:?[ \t]{1,4}((?:[0-9A-Fa-f]{2,8}[ -]{1,2}){0,15}[0-9A-Fa-f]{2,8})(?:[ \t]{2,}|[ \t]*\||[ \t]*$)"
)
_BIT_RUN = _compiled(rb"(?:[01]{8}[\s,]{0,2}){10,}")
_HEX = b"0123456789abcdefABCDEF"
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_NOT_HEX = bytes(frozenset(range(256)).difference(_HEX))
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_CONTROLS = bytes((*range(9), 11, 12, *range(14, 32), 127))
_FEWEST = 3
"""Escapes in a line of text: a path may hold two."""
_MOST_LOST = 8
"""One byte in so many may be no text: what stands before or behind codes may look like one more."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What the codes say, one piece a line; whether codes stand beyond what is looked at; how many bytes were looked at."""

    text: str
    more: bool = False
    searched: int = 0


_NOTHING = Undone("")


@cache
def _gate() -> Prefilter:
    """Compiled at the first use."""
    return prefilter(_SIGNS)


def prepare() -> None:
    """Compile now what the first mail would wait for: an eighth of a second."""
    _gate()


def may_hold(data: bytes) -> bool:
    """Could there be codes in it? A pass of the prefilter."""
    return bool(_gate().present(data))


def undone(data: bytes, room: int = MAX_SEARCHED) -> Undone:
    """The text behind the codes in the first ``room`` bytes of a normalised UTF-8 text; empty for ordinary text. Linear; never raises."""
    if len(data) < SHORTEST + 5 or not (present := _gate().present(data)):
        return _NOTHING
    more = len(data) > room and bool(_gate().present(data[room:]))
    found: dict[str, None] = {}
    pending = [data[:room]]
    for _ in range(MAX_ROUNDS):
        inner: list[bytes] = []
        for piece in pending:
            for said in _once(piece, frozenset(present)):
                if said not in found:
                    found[said] = None
                    inner.append(said.encode("utf-8", "replace"))
        pending = [piece for piece in inner if _gate().present(piece)]
        present = list(range(len(_SIGNS)))
    return Undone("\n;\n".join(found), more or bool(pending), min(len(data), room))


def _once(data: bytes, present: frozenset[int]) -> Iterator[str]:
    """Each piece of codes undone once."""
    if _RUN in present:
        for match in _TOKENS.finditer(data):
            yield from _token(match.group())
        for match in _DIGITS.finditer(data):
            yield from _digits(match.group())
    if _PERCENTS in present:
        yield from _lines(data)
    if _ESCAPES in present:
        rows = [line for line in data.split(b"\n") if len(_CODE.findall(line)) >= _FEWEST]
        said = _CODE.sub(_character, b"\n".join(rows)) if rows else b""
        yield said.decode("utf-8", "replace") if b"\n".join(rows) != said else ""
    if _PAIRS in present:
        for match in _SPACED.finditer(data):
            yield from _sense(_bytes_of(match.group(1).replace(b"0x", b"").replace(b"\\x", b"").replace(b"x", b"")))
        yield from _sense(_bytes_of(b"".join(match.group(1) for match in _ROW.finditer(data))))
    if _BINARY in present:
        for match in _BIT_RUN.finditer(data):
            bits = bytes(byte for byte in match.group() if byte in b"01")
            yield from _sense(bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8)))


def _bytes_of(pairs: bytes) -> bytes:
    digits = pairs.translate(None, _NOT_HEX)
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))


def _lines(data: bytes) -> Iterator[str]:
    """Lines with percent signs or quoted-printable, as what they stand for."""
    for mark in (b"%", b"="):
        rows = b"\n".join(line for line in data.split(b"\n") if line.count(mark) >= 4)
        if rows:
            plain = binascii.a2b_qp(
                rows.replace(b"=\n", b"\n=\n") if mark == b"=" else rows.replace(b"=", b"=3D").replace(b"%", b"=")
            )
            said = _text(plain)
            if said and plain != rows:
                yield said


def _character(match: Any) -> bytes:
    """One escape as UTF-8, or the byte it says."""
    for group in (1, 2, 3, 4):
        if match.group(group):
            return _encoded(int(match.group(group), 16))
    if match.group(5):
        return _encoded(int(match.group(5)))
    return bytes((int(match.group(6), 16) if match.group(6) else int(match.group(7), 8),))


def _encoded(code: int) -> bytes:
    return chr(code).encode("utf-8", "replace") if 0 < code < 0x110000 else b"?"


def _digits(digits: bytes) -> Iterator[str]:
    """Hexadecimal digits, taken together or else line by line: what stands in the line before may be something else."""
    found = list(_sense(_bytes_of(digits)))
    if not found and b"\n" in digits:
        found = [said for line in digits.split(b"\n") for said in _sense(_bytes_of(line))]
    yield from found


def _token(token: bytes) -> Iterator[str]:
    """A run of letters and digits as base32 or base64, whichever makes sense."""
    bare = token.replace(b"\n", b"").rstrip(b"=")
    if not bare.translate(None, _BASE32) and len(bare) * 5 // 8 >= SHORTEST:
        whole = bare[: len(bare) - (len(bare) % 8 in (1, 3, 6))]
        yield from _sense(base64.b32decode(whole + b"=" * (-len(whole) % 8)))
    plain = bare.translate(_URL_SAFE)
    plain = plain[:-1] if len(plain) % 4 == 1 else plain
    found = list(_sense(pybase64.b64decode(plain + b"=" * (-len(plain) % 4))))
    if found:
        yield from found
    elif b"\n" in token:  # a word that stands in the next line is no part of it
        for line in token.split(b"\n"):
            if len(line) >= 14:
                yield from _token(line)
    elif b"/" in bare or b"-" in bare:  # a piece of a path, or the last one of a name
        for piece in bare.split(b"/") if b"/" in bare else (bare.rpartition(b"-")[2],):
            if len(piece) >= 14:
                yield from _token(piece)


def _sense(content: bytes) -> Iterator[str]:
    said = _text(content) if len(content) >= SHORTEST else ""
    if said:
        yield said


def _text(content: bytes) -> str:
    """``content`` as text in UTF-8, UTF-16 or common characters of GB 2312; ``""`` when it is none."""
    if len(content) - len(content.translate(None, _CONTROLS)):
        return _wide(content) if content.count(0) * 4 >= len(content) else ""
    text = content.decode("utf-8", "ignore")
    if len(content) - len(text.encode()) <= len(content) // _MOST_LOST:
        return text
    text = content.decode("gb2312", "ignore")
    return text if len(content) - len(text.encode("gb2312")) <= len(content) // _MOST_LOST else ""


def _wide(content: bytes) -> str:
    """Two bytes a character, half of them zero."""
    codec = "utf-16-le" if content[1::2].count(0) >= content[::2].count(0) else "utf-16-be"
    text = content.decode(codec, "ignore").replace("\0", "")
    return text if text.isprintable() or len(text.split()) > 1 else ""
