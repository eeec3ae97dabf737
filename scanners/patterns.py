"""A thousand patterns in one pass: which of them may be in a text. Spans come from RE2 on those, whichever engine answered.

Hyperscan is the fast engine, RE2::Set the one that is always there; both take the same patterns (RE2 syntax) and a test holds them
to equal findings. Patterns of users never reach the standard library's ``re``.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import re2

MAX_SPANS = 1_000
"""Hits of one pattern in one text: more say nothing new."""
MAX_PATTERN = 2_000
"""Characters of one pattern; a longer one is a list and belongs into a dictionary."""
RE2_MEMORY = 64 * 1024 * 1024
"""Bytes RE2 may use for a set's automaton; beyond it the set would silently find nothing, so groups are kept small."""
GROUP = 100
"""Patterns in one RE2 set, so that its automaton stays within that memory."""


class PatternError(ValueError):
    """A pattern that can't be used; the message says which, and why."""


class Prefilter(Protocol):
    """Says which patterns may be there."""

    def present(self, data: bytes) -> list[int]:
        """Indices of patterns that occur in the UTF-8 text, ascending."""
        ...


def compiled(pattern: str) -> Any:
    """RE2's form of ``pattern`` (matches bytes by byte offsets). Raises PatternError, saying what is wrong."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(
            f"pattern longer than {MAX_PATTERN} characters: split it 表达式过长，请拆分: {pattern[:40]}…"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise PatternError(f"not an RE2 pattern ({reason}) 不是有效的 RE2 表达式: {pattern[:80]}") from None


def prefilter(patterns: Sequence[str], engine: str = "auto") -> Prefilter:
    """A prefilter over ``patterns``: ``auto`` is hyperscan where it is installed and takes them all, else RE2.

    Raises PatternError for a pattern neither can compile.
    """
    for pattern in patterns:
        compiled(pattern)
    if engine in ("auto", "hyperscan") and patterns:
        found = _hyperscan(patterns)
        if found is not None:
            return found
        if engine == "hyperscan":
            raise PatternError(
                "hyperscan is missing or does not take these patterns 缺少 hyperscan 或其不支持这些表达式"
            )
    return Re2Prefilter(tuple(_sets(patterns)))


@dataclass(frozen=True, slots=True)
class Re2Prefilter:
    """RE2::Set, in groups: (first index, set)."""

    sets: tuple[tuple[int, Any], ...]

    def present(self, data: bytes) -> list[int]:
        """As Prefilter."""
        found: list[int] = []
        for first, group in self.sets:
            found.extend(first + index for index in group.Match(data) or ())
        return sorted(found)


def _sets(patterns: Sequence[str]) -> list[tuple[int, Any]]:
    made = []
    for first in range(0, len(patterns), GROUP):
        options = re2.Options()
        options.max_mem = RE2_MEMORY
        options.log_errors = False
        group = re2.Set.SearchSet(options)
        for pattern in patterns[first : first + GROUP]:
            group.Add(pattern)
        group.Compile()
        made.append((first, group))
    return made


@dataclass(frozen=True, slots=True)
class HyperscanPrefilter:
    """One hyperscan database; a scratch space per thread, since one must not be shared by two scans."""

    database: Any
    scratch: threading.local = field(default_factory=threading.local)

    def present(self, data: bytes) -> list[int]:
        """As Prefilter."""
        scratch = getattr(self.scratch, "space", None)
        if scratch is None:
            import hyperscan  # only where the engine is installed

            scratch = self.scratch.space = hyperscan.Scratch(self.database)
        found: list[int] = []

        def hit(index: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.append(index)

        self.database.scan(data, match_event_handler=hit, scratch=scratch)
        found.sort()
        return found


def _hyperscan(patterns: Sequence[str]) -> HyperscanPrefilter | None:
    """``None`` when hyperscan is missing or refuses one of the patterns: RE2 then does all of them."""
    try:
        import hyperscan
    except ImportError:
        return None
    database = hyperscan.Database()
    flags = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
    try:
        database.compile(
            expressions=[pattern.encode() for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
    except hyperscan.error:
        return None
    return HyperscanPrefilter(database)
