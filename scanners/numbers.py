"""Runs of digits, whatever separates them: ``6222 0200 0000 0000 026``, ``110101-19000101-0014``. Groups stay whole, so that a number
inside a longer one is never seen alone.

Tables hold millions of numbers and few identifiers: an engine looks for the places where enough digits stand together, and only
those are taken apart here. A number with one point that fills a cell of a table (``471.1885430271809``) is a decimal fraction.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scanners.patterns import Places

MAX_GROUPS = 1_000_000
"""Groups of digits looked at in one message: about a second. Only those count that stand beside enough others to make nine digits
and are no decimals of a table; the largest lists people send have a tenth."""
MAX_DIGITS = 22
"""No number looked for is longer."""
MIN_DIGITS = 9
"""Nor shorter."""
SLICE = 262_144
"""Bytes in which places are looked for at a time, so that a flood of them never takes much memory."""
_STEP = 256
"""Bytes of a run taken apart at a time; a longer run comes back for the rest."""
_TAIL = 160
"""Bytes a number of MAX_DIGITS may take with its separators."""
_OVERLAP = 128
"""Bytes in which a place may begin before its end."""

_PLAIN = "(?:[- _]|–|—)"
_ANY = "(?:[-. _]|–|—)"
_DOTTED = r"(?:\.|[- _–—]\.|\.[-. _–—])"
TRIGGERS = (
    rf"(?:^|[^0-9.]|(?:^|[^0-9])\.)[0-9](?:{_PLAIN}{{0,2}}[0-9]){{{MIN_DIGITS - 1}}}",
    rf"[0-9]{_DOTTED}[0-9]{{1,{MAX_DIGITS}}}{_ANY}{{1,2}}[0-9]",
    rf"[0-9]{_ANY}{{1,2}}[0-9]{{1,{MAX_DIGITS}}}{_DOTTED}[0-9]",
    rf"(?:^|[^0-9.\t,])[0-9]{{1,{MIN_DIGITS - 1}}}\.[0-9]",
    r"[0-9](?:[- _–—]\.|\.[-. _–—])[0-9]",
    r"[\t,]1[3-9][0-9]\.[0-9]{8}",
)
"""Where a number may be: nine digits without points; points and another separator; one point, but not in a cell; two marks in a row; in a
cell a decimal that could be a phone number.
Patterns for an engine; every number begins in a run of digits and separators that one of them touches."""

SCREEN = f"[0-9](?:{_ANY}{{0,2}}[0-9]){{{MIN_DIGITS - 1}}}"
"""For a prefilter, which stops at the first: where this is absent there is no number to read."""

_RUN_BYTES = b"0123456789-._ \xe2\x80\x93\x94"
_DIGITS = re.compile(rb"[0-9]+")  # a fixed pattern without alternatives: linear
_SINGLE = (b"-", b".", b" ", b"_", b"\xe2\x80\x93", b"\xe2\x80\x94")
_GAPS = frozenset(_SINGLE) | {first + second for first in _SINGLE for second in _SINGLE}
"""What may stand between two groups of one number: one separator or two."""
_CHECK_MARK = re.compile(rb"[-. ]?(?:[Xx]|\xef\xbc\xb8|\xc3\x97)")
"""The check character of an identity number: X, or the multiplication sign that looks like it."""
_BREAK = re.compile(rb"[-. ]{0,2}[\n\t][>| \t\n]{0,8}")
"""What may stand in a number that goes on in the next line, quoted or not, or in the next cell. Fixed and short: linear."""
BROKEN = "[0-9][-. ]{0,2}[\n\t][>| \t\n]{0,8}[0-9]"
"""The same for a prefilter."""
MIN_WHOLE = 13
"""No number that is looked for over several lines is shorter."""
JOINED = rf"[0-9](?:(?:{_ANY}{{0,2}}|[-. ]{{0,2}}[\n\t][>| \t\n]{{0,8}})[0-9]){{{MIN_WHOLE - 1}}}"
"""For a prefilter: so many digits with nothing but separators and breaks between them. Prices in a table's cells are no such run."""
_MOST_PIECES = 200
"""Groups that are joined at once; longer columns are taken in pieces that overlap by one number."""
PHONES = ("手机", "电话", "联系方式", "移动", "mobile", "phone", "tel", "cell", "微信", "whatsapp")
"""Beside these ``138.00138000`` is a phone number, elsewhere a decimal."""
_PHONES = tuple(word.encode() for word in PHONES)
GLUED = (b"imei", b"tel", b"fax", b"phone", b"mobile", b"acct", b"account", b"no", b"cnaps", b"card", b"id")
"""Words that people write right before a number; after other letters it is part of something longer."""

Heads = Mapping[int, tuple[int, ...]]
"""First digit (its byte) -> lengths that a number beginning with it may have."""


@dataclass(frozen=True, slots=True)
class Number:
    """A candidate: compact digits (the last may be X), its bytes' place, and the lengths of the groups it was written in."""

    digits: str
    start: int
    end: int
    groups: tuple[int, ...]


@dataclass(slots=True)
class Allowance:
    """What may still be looked at in a message."""

    groups: int = MAX_GROUPS
    spent: bool = field(default=False)

    def take(self, groups: int) -> bool:
        """Is there room for so many more? If not, it is spent for good."""
        self.groups -= groups
        if self.groups < 0:
            self.spent = True
        return not self.spent


def numbers(places: Places, data: bytes, heads: Heads, allowance: Allowance) -> Iterator[Number]:
    """Every sequence of whole groups whose first digit and length are among ``heads``, until ``allowance`` is spent."""
    covered = 0
    for first, part in _slices(data):
        for end in places.ends(part):
            if first + end <= covered:
                continue
            lo, covered = _around(data, first + end, covered)
            yield from _read(data, lo, covered, heads, allowance)
            if allowance.spent:
                return


def numbers_in(data: bytes, spans: Iterable[tuple[int, int]], heads: Heads, allowance: Allowance) -> Iterator[Number]:
    """The same for numbers that begin in one of ``spans`` (ascending, apart from each other)."""
    for lo, hi in spans:
        yield from _read(data, lo, hi, heads, allowance)
        if allowance.spent:
            return


def broken(data: bytes, heads: Heads, allowance: Allowance) -> Iterator[Number]:
    """Those that go on in the next line or cell: joined like groups, and given only when a break is within."""
    run: list[tuple[int, int]] = []
    last = 0
    for match in _DIGITS.finditer(data):
        span = match.span()
        if run:
            gap = data[last : span[0]]
            if len(run) >= _MOST_PIECES or (gap not in _GAPS and _BREAK.fullmatch(gap) is None):
                if not allowance.take(len(run)):
                    return
                yield from _parted(data, run, heads)
                run = run[-MAX_DIGITS:] if len(run) >= _MOST_PIECES else []
        run.append(span)
        last = span[1]
    if run and allowance.take(len(run)):
        yield from _parted(data, run, heads)


def _parted(data: bytes, run: list[tuple[int, int]], heads: Heads) -> Iterator[Number]:
    first, last = run[0][0], run[-1][1]
    if last - first <= MIN_DIGITS:
        return  # two pieces and a break at least: too short
    if data.find(b"\n", first, last) >= 0 or data.find(b"\t", first, last) >= 0:
        found = _of_run(data, run, len(data), heads)
        yield from (
            one
            for one in found
            if data.find(b"\n", one.start, one.end) >= 0 or data.find(b"\t", one.start, one.end) >= 0
        )


def _slices(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(place, bytes) of slices that overlap, cut between characters."""
    if len(data) <= SLICE:
        yield 0, data
        return
    for begin in range(0, len(data), SLICE):
        first, end = max(0, begin - _OVERLAP), min(len(data), begin + SLICE)
        while first < end and data[first] & 0xC0 == 0x80:
            first += 1
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        yield first, data[first:end]


def _around(data: bytes, end: int, covered: int) -> tuple[int, int]:
    """Where the run around a place begins and ends, as far as it is not covered and one step goes."""
    floor = max(covered, end - 2 * _OVERLAP)
    before = data[floor:end]
    behind = data[end : end + _STEP]
    return floor + len(before.rstrip(_RUN_BYTES)), end + len(behind) - len(behind.lstrip(_RUN_BYTES))


def _read(data: bytes, lo: int, hi: int, heads: Heads, allowance: Allowance) -> Iterator[Number]:
    """Numbers that begin between ``lo`` and ``hi``; they may end behind it."""
    run: list[tuple[int, int]] = []
    last, digits = -1, 0
    for match in _DIGITS.finditer(data, lo, min(len(data), hi + _TAIL)):
        span = match.span()
        if last < 0 and span[0] == lo > 0 and 48 <= data[lo - 1] <= 57:
            continue  # the rest of a group that was cut
        if run and data[last : span[0]] not in _GAPS:
            if not allowance.take(len(run)):
                return
            if digits >= MIN_DIGITS:  # prices of a table are many and too short
                yield from _of_run(data, run, hi, heads)
            run, digits = [], 0
        if not run and span[0] >= hi:
            return
        run.append(span)
        last = span[1]
        digits += last - span[0]
    if run and allowance.take(len(run)) and digits >= MIN_DIGITS:
        yield from _of_run(data, run, hi, heads)


def _of_run(data: bytes, run: list[tuple[int, int]], hi: int, heads: Heads) -> Iterator[Number]:
    if len(run) == 1:
        start, end = run[0]
        lengths = heads.get(data[start], ())
        if end - start in lengths and _stands_alone(data, start, end):
            yield Number(data[start:end].decode("ascii"), start, end, (end - start,))
        elif end - start == 17 and 18 in lengths:
            yield from _with_mark(data, run, 0, 0, 17)
        return
    alone = len(run) == 2 and _is_decimal(data, run)
    sizes: dict[int, int] = {}
    offset = 0
    for place, (start, end) in enumerate(run):
        offset += end - start
        sizes[offset] = place
    offset = 0
    for first, (start, end) in enumerate(run):
        if start >= hi:
            return
        for length in heads.get(data[start], ()):
            final = sizes.get(offset + length)
            if final is not None and not (alone and final):
                yield from _joined(data, run, first, final)
            if length == 18 and (final := sizes.get(offset + 17)) is not None:
                yield from _with_mark(data, run, first, final, 17)
        if alone:
            return
        offset += end - start


def _joined(data: bytes, run: list[tuple[int, int]], first: int, final: int) -> Iterator[Number]:
    groups = run[first : final + 1]
    start, end = groups[0][0], groups[-1][1]
    if (first or _begins(data, start)) and not (final == len(run) - 1 and _is_letter(data, end)):
        digits = b"".join([data[begin:stop] for begin, stop in groups]).decode("ascii")
        yield Number(digits, start, end, tuple([stop - begin for begin, stop in groups]))


def _with_mark(data: bytes, run: list[tuple[int, int]], first: int, final: int, size: int) -> Iterator[Number]:
    """The number with a check character behind its last group."""
    if final != len(run) - 1:
        return
    mark = _CHECK_MARK.match(data, run[final][1])
    if mark is None or _is_letter(data, mark.end()) or not (first or _begins(data, run[0][0])):
        return
    groups = run[first : final + 1]
    digits = b"".join([data[begin:stop] for begin, stop in groups]).decode("ascii")
    if len(digits) == size:
        lengths = [stop - begin for begin, stop in groups]
        lengths[-1] += 1
        yield Number(digits + "X", groups[0][0], mark.end(), tuple(lengths))


def _is_decimal(data: bytes, run: list[tuple[int, int]]) -> bool:
    """``471.1885`` in a cell: after a tab or comma, or at the start of a line before one, and of a size that is counted in."""
    (start, dot), (after, end) = run
    if after != dot + 1 or data[dot] != 46 or dot - start > MIN_DIGITS:
        return False
    before = data[start - 1 : start]
    cell = before in (b"\t", b",") or (before in (b"\n", b"") and data[end : end + 1] in (b"\t", b","))
    return cell and not is_phone(data, start)


def is_phone(data: bytes, start: int) -> bool:
    """Whether a word for phones stands shortly before that place."""
    before = data[max(0, start - 40) : start].lower()
    return any(word in before for word in _PHONES)


def _stands_alone(data: bytes, start: int, end: int) -> bool:
    return _begins(data, start) and not _is_letter(data, end)


def _begins(data: bytes, start: int) -> bool:
    return not _is_letter(data, start - 1) or _is_glued(data, start)


def _is_letter(data: bytes, place: int) -> bool:
    return 0 <= place < len(data) and (65 <= data[place] <= 90 or 97 <= data[place] <= 122 or 48 <= data[place] <= 57)


def _is_glued(data: bytes, start: int) -> bool:
    before = data[max(0, start - 9) : start].lower()
    return any(before.endswith(word) and not before[: -len(word)][-1:].isalnum() for word in GLUED)


def is_regular(groups: tuple[int, ...]) -> bool:
    """Is this how a card number is written: equal groups with a shorter or longer last one, or 4-6-5?"""
    if len(groups) <= 2 or groups == (4, 6, 5):
        return True
    return len(set(groups[:-1])) == 1 and groups[-1] <= max(groups[0] + 3, 4)
