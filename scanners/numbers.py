"""Runs of digits, whatever separates them: ``6222 0200 0000 0000 026``, ``110101-19000101-0014``. Maximal, so that a number
inside a longer one is never seen alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_GROUPS = 20_000
"""Groups of digits read in one text: a table of 5,000 rows has about so many, and each costs a few microseconds."""
MAX_DIGITS = 22
"""No number looked for is longer."""
MIN_DIGITS = 9
"""Nor shorter."""
SCREEN = "[0-9](?:[-. –—_]?[0-9]){8}"
"""At least MIN_DIGITS in a row: where this is absent there is no number to read."""
GLUED = (b"imei", b"tel", b"fax", b"phone", b"mobile", b"acct", b"account", b"no", b"cnaps", b"card", b"id")
"""Words that people write right before a number; after other letters it is part of something longer."""
RUN = "[0-9]+(?:[-. –—_]{1,2}[0-9]+){0,60}(?:[-. ]?[XxＸ×])?"
"""A run with its separators; a longer list of numbers is read in pieces of sixty groups."""


@dataclass(frozen=True, slots=True)
class Number:
    """A candidate: compact digits (the last may be X), its bytes' place, and the lengths of the groups it was written in."""

    digits: str
    start: int
    end: int
    groups: tuple[int, ...]


def numbers(run: Any, data: bytes) -> Iterator[Number]:
    """Every sequence of whole groups of up to MAX_DIGITS digits, longest first at each place; stops at MAX_GROUPS."""
    seen = 0
    for match in run.finditer(data):
        start, end = match.span()
        if end - start < MIN_DIGITS:
            continue
        groups = _groups(data, start, end)
        seen += len(groups)
        if seen > MAX_GROUPS:
            return
        for first in range(len(groups)):
            yield from _from(groups, first)


def exhausted(run: Any, data: bytes) -> bool:
    """Were there more groups than are read?"""
    seen = 0
    for match in run.finditer(data):
        seen += 1 + sum(match.group().count(mark) for mark in (b" ", b"-", b"."))
        if seen > MAX_GROUPS:
            return True
    return False


def _groups(data: bytes, start: int, end: int) -> list[tuple[str, int, int]]:
    """(digits, start, end) of each group; groups that touch letters are no numbers and come as ``""``."""
    found: list[tuple[str, int, int]] = []
    position = start
    while position < end:
        stop = position
        while stop < end and 48 <= data[stop] <= 57:
            stop += 1
        digits = data[position:stop].decode("ascii")
        if (
            not digits
        ):  # only the check character of an identity number is left: X, or the multiplication sign that looks like it
            if found and stop >= end - 2:
                last, first, _ = found[-1]
                found[-1] = (last + "X", first, end)
            break
        found.append((digits, position, stop))
        position = stop
        while position < end and not 48 <= data[position] <= 57 and data[position] not in b"Xx\xc3\xef":
            position += 1
    if found and _is_letter(data, found[0][1] - 1) and not _is_glued(data, found[0][1]):
        found[0] = ("", found[0][1], found[0][2])
    if found and _is_letter(data, found[-1][2]):
        found[-1] = ("", found[-1][1], found[-1][2])
    return found


def _is_letter(data: bytes, place: int) -> bool:
    return 0 <= place < len(data) and (65 <= data[place] <= 90 or 97 <= data[place] <= 122 or 48 <= data[place] <= 57)


def _is_glued(data: bytes, start: int) -> bool:
    before = data[max(0, start - 9) : start].lower()
    return any(before.endswith(word) and not before[: -len(word)][-1:].isalnum() for word in GLUED)


def _from(groups: list[tuple[str, int, int]], first: int) -> list[Number]:
    """Candidates that begin with group ``first``, longest first."""
    made: list[Number] = []
    digits, lengths = "", []
    for text, _, end in groups[first : first + MAX_DIGITS]:
        if not text or len(digits) + len(text) > MAX_DIGITS:
            break
        digits += text
        lengths.append(len(text))
        if len(digits) >= MIN_DIGITS:
            made.append(Number(digits, groups[first][1], end, tuple(lengths)))
        if digits[-1] == "X":
            break
    made.reverse()
    return made


def is_regular(groups: tuple[int, ...]) -> bool:
    """Is this how a card number is written: equal groups with a shorter or longer last one, or 4-6-5?"""
    if len(groups) <= 2 or groups == (4, 6, 5):
        return True
    return len(set(groups[:-1])) == 1 and groups[-1] <= max(groups[0] + 3, 4)
