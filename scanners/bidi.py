"""Text as it is displayed where direction marks turn it round: ``\\u202e`` and its kin (Unicode Standard Annex 9, the rules for explicit
levels and for reordering; letters of right-to-left scripts keep their order, since what is looked for is not written in them)."""

from dataclasses import dataclass

MAX_LEVELS = 125
"""Directions within each other, as the annex has it; deeper ones change nothing."""
MAX_RUNS = 20_000
"""Pieces of the texts of one mail that are put in order; what people write has two."""

_RIGHT, _LEFT = "\u202b\u202e\u2067", "\u202a\u202d\u2066\u2068"
_ISOLATES = "\u2066\u2067\u2068"
_MARKS = frozenset(_RIGHT + _LEFT + "\u202c\u2069")


@dataclass(frozen=True, slots=True)
class Displayed:
    """The lines that are displayed otherwise than they are stored; whether there was more than is put in order; pieces put in order."""

    text: str
    more: bool = False
    runs: int = 0


@dataclass(frozen=True, slots=True)
class _State:
    """What holds for the characters that follow."""

    level: int
    override: bool
    isolate: bool


def is_turned(text: str) -> bool:
    """Does anything in it run from right to left by a mark?"""
    return "\u202e" in text or "\u202b" in text or "\u2067" in text


def displayed(text: str, room: int = MAX_RUNS) -> Displayed:
    """``text`` as the eye meets it, up to ``room`` pieces."""
    lines: list[str] = []
    used = 0
    for line in text.split("\n"):
        if is_turned(line):
            runs = _runs(line, room - used)
            used += len(runs)
            if used > room:
                return Displayed("\n".join(lines), more=True, runs=room)
            lines.append(_ordered(runs))
    return Displayed("\n".join(lines), runs=used)


def _runs(line: str, room: int) -> list[tuple[int, str]]:
    """Pieces of one level each; one more than ``room`` when there are more."""
    runs: list[tuple[int, str]] = []
    stack = [_State(0, override=False, isolate=False)]
    pending: list[str] = []
    for character in line:
        if character not in _MARKS:
            pending.append(character)
            continue
        if len(runs) > room:
            break
        _settle(runs, stack[-1], pending, room)
        if character == "\u202c":
            if len(stack) > 1 and not stack[-1].isolate:
                stack.pop()
        elif character == "\u2069":
            while len(stack) > 1 and not stack[-1].isolate:
                stack.pop()
            if len(stack) > 1:
                stack.pop()
        else:
            level = stack[-1].level
            level += 1 if (level % 2 == 0) == (character in _RIGHT) else 2
            if level <= MAX_LEVELS:
                stack.append(_State(level, character in "\u202d\u202e", character in _ISOLATES))
    _settle(runs, stack[-1], pending, room)
    return runs


def _settle(runs: list[tuple[int, str]], state: _State, pending: list[str], room: int) -> None:
    """What was written under one state: in a right-to-left part words and numbers still run from left to right, each for itself."""
    piece = "".join(pending)
    pending.clear()
    if not piece:
        return
    if state.override or state.level % 2 == 0:
        runs.append((state.level, piece))
        return
    word = ""
    for character in piece:
        if character.isalnum() == word[-1:].isalnum() or not word:
            word += character
        else:
            runs.append((state.level + word[0].isalnum(), word))
            word = character
            if len(runs) > room:
                return
    runs.append((state.level + word[0].isalnum(), word))


def _ordered(runs: list[tuple[int, str]]) -> str:
    """Rule L2: from the highest level to the lowest odd one, reverse what is on that level or above."""
    for level in range(max((level for level, _ in runs), default=0), 0, -1):
        start = 0
        while start < len(runs):
            stop = start
            while stop < len(runs) and runs[stop][0] >= level:
                stop += 1
            if stop - start > 1:
                runs[start:stop] = runs[start:stop][::-1]
            start = stop + 1
    return "".join(piece[::-1] if level % 2 else piece for level, piece in runs)
