"""What is wrong with a policy file: where, what, and what to write instead, in both languages."""

from dataclasses import dataclass

MAX_PROBLEMS = 50
"""Per load: more than a person reads at once; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place. ``line`` and ``column`` count characters from 1; 0 means the file as a whole."""

    file: str
    line: int
    column: int
    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.zh} / {self.en}"


class PolicyError(Exception):
    """A set of files that can't be loaded. ``problems`` holds every one found, at most MAX_PROBLEMS, in order of place."""

    def __init__(self, problems: tuple[Problem, ...], more: int = 0) -> None:
        self.problems = problems
        self.more = more
        lines = [str(problem) for problem in problems]
        if more:
            lines.append(f"… 另有 {more} 处 / and {more} more")
        super().__init__("\n".join(lines))


def distance(left: str, right: str, bound: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) from one word to the other; ``bound + 1`` when there are more."""
    if abs(len(left) - len(right)) > bound:
        return bound + 1
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for row, a in enumerate(left, 1):
        current = [row]
        for column, b in enumerate(right, 1):
            cost = min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (a != b))
            if row > 1 and column > 1 and a == right[column - 2] and b == left[row - 2]:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        if min(current) > bound:
            return bound + 1
        before, previous = previous, current
    return previous[-1]


MAX_WORD = 80
"""Longer words get no suggestion: nobody mistypes a name of that length, and the comparison is quadratic in it."""


def nearest(word: str, known: frozenset[str]) -> str:
    """The known word that was probably meant, or ``""``. At most a third of the letters may differ."""
    if not word or len(word) > MAX_WORD:
        return ""
    bound = max(1, len(word) // 3)
    best, found = bound + 1, ""
    for candidate in sorted(known):
        edits = distance(word.lower(), candidate, min(bound, best))
        if edits < best:
            best, found = edits, candidate
    if found:
        return found
    return next((candidate for candidate in sorted(known) if candidate.endswith("." + word.lower())), "")
