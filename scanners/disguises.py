"""Numbers and words that somebody took apart or wrote as something else: a mark after every digit, a number over two lines or three cells,
a digit in each row of a table, numerals in Chinese, pinyin or English, O and l for 0 and 1, backwards. What is put together again is a
short text to search beside the first.

Joined numbers mean nothing unless their check digits fit, and that is for whoever searches to see; what reads like other things more
often (rows, letters, backwards) is put together only where the check digits fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

from scanners.checks import bank_card, cn_id18
from scanners.patterns import RE2_MEMORY

MAX_FOUND = 20_000
"""Pieces put together in one text: the broken numbers of a table of a hundred pages."""
MAX_SEARCHED = 8_000_000
"""Bytes of the texts of one mail that are looked at, for seconds if all of it was taken apart; longer ones are more than one book."""

_HAN_DIGITS = "〇零洞一幺二两三四五六七拐八九勾壹贰叁肆伍陆柒捌玖"
_VALUES = str.maketrans(_HAN_DIGITS, "0001122345677899123456789")
_SPOKEN = {
    **{word: str(value) for value, word in enumerate("zero one two three four five six seven eight nine".split())},  # noqa: SIM905
    **{word: str(value) for value, word in enumerate("ling yi er san si wu liu qi ba jiu".split())},  # noqa: SIM905
    "oh": "0", "o": "0", "null": "0", "nought": "0", "dong": "0", "yao": "1", "liang": "2", "guai": "7", "gou": "9",
}  # fmt: skip
_TIMES = {"double": 2, "triple": 3}
# UTF-8 by its bytes: the patterns stay small enough for the engine's fast table.
_HAN = rb"[\xe4-\xe9][\x80-\xbf][\x80-\xbf]"
_MARK = rb"(?:[^0-9A-Za-z\x80-\xff]{1,3}|\xc2.|\xe2..|\xe3\x80.|\xef\xbc[\x80-\x8f\x9a-\xa0]|\xf0\x9f..)"
_SINGLE = rb"[0-9](?:" + _MARK + rb"{1,2}[0-9]){14}"
_PARTS = rb"[1-9][0-9]{5}[\s|/,;:]{1,4}(?:19|20)[0-9]{6}[\s|/,;:]{1,4}[0-9]{3}[0-9Xx]"
_LINES = rb"[1-9][0-9]{5,16}[ \t|>]{0,4}\r?\n[ \t|>]{0,4}[0-9]{0,11}[0-9Xx]"
_WORD = _HAN + rb"(?:" + _MARK + rb"{1,2}" + _HAN + rb"){2,30}"
_DIGIT = rb"(?:" + rb"|".join(one.encode() for one in _HAN_DIGITS) + rb")"
_NUMERALS = (
    rb"[0-9]{0,17}"
    + _MARK
    + rb"{0,2}"
    + _DIGIT
    + rb"(?:"
    + _MARK
    + rb"{0,2}(?:[0-9]|"
    + _DIGIT
    + rb")){10,40}(?:"
    + _MARK
    + rb"{0,2}[Xx])?"
)
_NAMED = "(?:{}|[0-9])".format("|".join(sorted((*_SPOKEN, *_TIMES), key=len, reverse=True))).encode()
_WORDS = (
    rb"(?i)\b" + _NAMED + rb"(?:[^0-9A-Za-z\x80-\xff]{1,3}" + _NAMED + rb"){9,60}(?:[^0-9A-Za-z\x80-\xff]{1,3}[xX])?\b"
)
_LETTERED = rb"[0-9OolI|](?:[ -]?[0-9OolI|]){13,20}[ -]?[0-9OolI|Xx]"
_PADDED = rb"[0-9](?:[^0-9\n]{1,9}[0-9]){16}[^0-9\n]{1,9}[0-9Xx]"
_ROWS = rb"[^0-9A-Za-z][0-9][ \t|]{0,2}\r?\n[^\n]{0,60}[^0-9A-Za-z][0-9][ \t|]{0,2}\r?\n[^\n]{0,60}[^0-9A-Za-z\n][0-9][ \t|]{0,2}\r?\n"
_CELLS = rb"\t[0-9]\t[^\n]{0,60}\n[^\n]{0,60}\t[0-9]\t[^\n]{0,60}\n[^\n]{0,60}\t[0-9]\t|\n[0-9]\t[^\n]{1,60}\n[0-9]\t[^\n]{1,60}\n[0-9]\t"
_STRIDES = (
    rb"\n[0-9][ \t]?\n[^\n]{1,40}\n[0-9][ \t]?\n[^\n]{1,40}\n[0-9][ \t]?\n[^\n]{1,40}\n[0-9][ \t]?\n"
    rb"|\n[0-9]\n[^\n]{1,40}\n[^\n]{1,40}\n[0-9]\n[^\n]{1,40}\n[^\n]{1,40}\n[0-9]\n[^\n]{1,40}\n[^\n]{1,40}\n[0-9]\n"
)
_GLUED = rb"[0-9][\"'][ \t]?[&+.,]{1,2}[ \t]?[\"'][0-9]"
_BACKWARDS = rb"(?:^|[^0-9A-Za-z])([0-9Xx][0-9]{16}[1-9])(?:[^0-9A-Za-z]|$)"
_ASCII = rb"(?:4[89]|5[0-7])(?:[ ,;]{1,2}(?:4[89]|5[0-7])){16}[ ,;]{1,2}(?:4[89]|5[0-7]|88|120)"
_FORMS = (
    _SINGLE,
    _PARTS,
    _LINES,
    _WORD,
    _NUMERALS,
    _WORDS,
    _LETTERED,
    _PADDED,
    _ROWS,
    _CELLS,
    _BACKWARDS,
    _ASCII,
    _STRIDES,
    _GLUED,
)
_TAKEN_APART, _IN_WORDS, _BY_ROWS = (0, 1, 2, 3), (4, 5), (8, 9)
_LETTERS, _PADS, _TURNED, _NUMBERED, _LINED, _QUOTED = 6, 7, 10, 11, 12, 13
_TO_DIGITS = str.maketrans("OolI|", "00111")
_ROW_CELLS = 40
"""Cells of a row that are looked at for a digit alone."""
_MOST_CELLS = 6
"""Cells of a row that may stand below each other."""
_ROW_BYTES = 200
"""A row of a table of digits is no longer."""
_FEW_DIGITS = 8
"""Digits that a card written with letters has at least; one check digit alone proves little."""
_SPELT = 11
"""Digits of a number said in words; a phone number is the shortest."""
_ID = 18
_MOST_ROWS = 200
"""Rows with a digit each that may hold one number; a longer column is one of figures, among which any number is found."""


def _options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = RE2_MEMORY
    return options


@dataclass(frozen=True, slots=True)
class _Patterns:
    """All forms at once, and the ones that say where."""

    any: Any
    apart: Any
    glue: Any
    """Between two pieces of a string in a formula or a script."""
    whole: Any
    """As many digits as an identity number has, and no more."""
    each: tuple[Any, ...]


@cache
def _patterns() -> _Patterns:
    """Compiled at the first use."""
    every = re2.Set.SearchSet(_options())
    for form in _FORMS:
        every.Add(form)
    every.Compile()
    apart = rb"|".join((_SINGLE + rb"(?:" + _MARK + rb"[0-9Xx]){0,6}", _PARTS, _LINES, _WORD))
    glue = re2.compile(rb"[\"'][ \t]?[&+.,]{1,2}[ \t]?[\"']", _options())
    whole = re2.compile(rb"(?:^|[^0-9A-Za-z])([0-9]{17}[0-9Xx])(?:[^0-9A-Za-z]|$)", _options())
    return _Patterns(
        every, re2.compile(apart, _options()), glue, whole, tuple(re2.compile(form, _options()) for form in _FORMS)
    )


@dataclass(frozen=True, slots=True)
class Together:
    """What was put together, one piece a line; whether there was more than is looked at; how many bytes were looked at."""

    text: str
    more: bool = False
    searched: int = 0


def prepare() -> None:
    """Compile now what the first mail would wait for."""
    _patterns()


def put_together(data: bytes, room: int = MAX_SEARCHED) -> Together:
    """What was taken apart in the first ``room`` bytes of a normalised UTF-8 text; empty for ordinary text. Linear."""
    patterns = _patterns()
    more = len(data) > room and bool(patterns.any.Match(data[room:]))
    data = data[:room]
    present = frozenset(patterns.any.Match(data) or ())
    if not present:
        return Together("", more)
    found: dict[str, None] = {}
    for piece in _pieces(data, present, patterns):
        found[piece] = None
        if len(found) >= MAX_FOUND:
            more = True
            break
    return Together("\n;\n".join(found), more, len(data))


def _pieces(data: bytes, present: frozenset[int], patterns: _Patterns) -> Iterator[str]:
    if not present.isdisjoint(_TAKEN_APART):
        for match in patterns.apart.finditer(data):
            yield "".join(one for one in match.group().decode("utf-8", "ignore") if one.isalnum())
    for form in _IN_WORDS:
        if form in present:
            for match in patterns.each[form].finditer(data):
                yield from _said(match.group().decode("utf-8", "ignore"))
    if _LETTERS in present:
        for match in patterns.each[_LETTERS].finditer(data):
            yield from _lettered(match.group().decode("ascii"))
    if _PADS in present:
        for match in patterns.each[_PADS].finditer(data):
            yield from _identities("".join(chr(byte) for byte in match.group() if chr(byte) in "0123456789Xx"))
    if _NUMBERED in present:
        for match in patterns.each[_NUMBERED].finditer(data):
            numbers = match.group().replace(b",", b" ").replace(b";", b" ").split()
            yield from _identities("".join(chr(int(number)) for number in numbers))
    if _LINED in present:
        yield from _every_few_lines(data)
    if _QUOTED in present:
        for match in patterns.whole.finditer(patterns.glue.sub(b"", data)):
            yield from _identities(match.group(1).decode("ascii"))
    if not present.isdisjoint(_BY_ROWS):
        yield from _columns(data)
    if _TURNED in present:
        for match in patterns.each[_TURNED].finditer(data):
            yield from _identities(match.group(1)[::-1].decode("ascii"))


def _said(piece: str) -> Iterator[str]:
    """Numerals as digits: all of it, and without the digits that may be another number beside it."""
    for each in dict.fromkeys((piece, piece.lstrip("0123456789 ,，、-"))):
        digits, times = "", 1
        for word in _spelled(each):
            if word in _TIMES:
                times = _TIMES[word]
                continue
            digits += _SPOKEN.get(word, word.upper()) * times
            times = 1
        if len(digits) >= _SPELT:
            yield digits


def _spelled(piece: str) -> Iterator[str]:
    """The words of a number: English or pinyin ones whole, numerals one by one."""
    word = ""
    for character in piece.translate(_VALUES).lower() + " ":
        if character.isascii() and character.isalpha():
            word += character
            continue
        if word:
            yield word
            word = ""
        if character.isdigit():
            yield character


def _lettered(piece: str) -> Iterator[str]:
    digits = "".join(one for one in piece if one not in " -")
    written = sum(one.isdigit() for one in digits)
    if written == len(digits) or written < 2:
        return
    plain = digits.translate(_TO_DIGITS)
    yield from _identities(plain)
    if written >= _FEW_DIGITS and plain.isdigit() and bank_card(plain):
        yield plain


def _identities(digits: str) -> Iterator[str]:
    """Identity numbers among these digits: one string in seventy thousand passes for one by chance."""
    digits = digits.upper()
    for start in range(len(digits) - _ID + 1):
        one = digits[start : start + _ID]
        if one[:17].isdigit() and one[0] != "0" and cn_id18(one):
            yield one


def _columns(data: bytes) -> Iterator[str]:
    """A digit in the same place of each row: at its end, or in one of its cells."""
    columns: dict[int, list[str]] = {}
    for row in (*data.split(b"\n"), b"", b""):
        row = row.strip(b" |\r")
        cells = row.split(b"\t")[:_ROW_CELLS] if len(row) <= _ROW_BYTES else []
        held = {place: cell.strip() for place, cell in enumerate(cells) if len(cell.strip()) == 1}
        last = row[-1:] if row and len(row) <= _ROW_BYTES and not row[-2:-1].isalnum() else b""
        held[-1] = last
        held = {place: cell for place, cell in held.items() if cell in _ONE}
        for place in [place for place in columns if place not in held]:
            column = columns.pop(place)
            if len(column) <= _MOST_ROWS:
                yield from _identities("".join(column))
        for place, cell in held.items():
            columns.setdefault(place, []).append(cell.decode("ascii"))


def _every_few_lines(data: bytes) -> Iterator[str]:
    """A digit alone in every second to sixth line: a table whose cells stand below each other."""
    lines = data.split(b"\n")
    for stride in range(2, _MOST_CELLS + 1):
        runs = [""] * stride
        for number, line in enumerate(lines):
            one = line.strip()
            if one in _ONE:
                if (
                    len(runs[number % stride]) <= _MOST_ROWS
                ):  # one more says that it is too long, and costs no more than that
                    runs[number % stride] += one.decode("ascii")
            elif runs[number % stride]:
                if len(runs[number % stride]) <= _MOST_ROWS:
                    yield from _identities(runs[number % stride])
                runs[number % stride] = ""
        for run in runs:
            if len(run) <= _MOST_ROWS:
                yield from _identities(run)


_ONE = frozenset(b"%d" % value for value in range(10)) | {b"X", b"x"}
