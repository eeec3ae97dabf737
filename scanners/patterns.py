"""A thousand patterns in one pass: which of them may be in a text. Spans come from RE2 on those, whichever engine answered.
Where a text may hold thousands of hits, ``places()`` says where to look.

Hyperscan is the fast engine, RE2::Set the one that is always there; both take the same patterns (RE2 syntax) and a test holds them
to equal findings. Patterns of users never reach the standard library's ``re``.
"""

import threading
from collections.abc import Callable, Sequence
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

MIN_MARKED = 1_024
"""Bytes from which Marks asks the engine: calling it costs about 2 us."""


class PatternError(ValueError):
    """A pattern that can't be used; the message says which, and why."""


class Prefilter(Protocol):
    """Says which patterns may be there."""

    def present(self, data: bytes) -> list[int]:
        """Indices of patterns that occur in the UTF-8 text, ascending."""
        ...


class Places(Protocol):
    """Says where one of a few patterns occurs."""

    def ends(self, data: bytes) -> list[int]:
        """Where hits end, ascending. An engine may leave out a hit that begins inside another one."""
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


def places(patterns: Sequence[str], engine: str = "auto") -> Places:
    """Where ``patterns`` occur; engines as in ``prefilter``. Raises PatternError."""
    whole = compiled("|".join(f"(?:{pattern})" for pattern in patterns))
    if engine in ("auto", "hyperscan"):
        database = _database(patterns, prefilter=False)
        if database is not None:
            return HyperscanPlaces(database)
    return Re2Places(whole)


@dataclass(frozen=True, slots=True)
class Re2Places:
    """One RE2 pattern, hit after hit."""

    whole: Any

    def ends(self, data: bytes) -> list[int]:
        """As Places."""
        return [match.end() for match in self.whole.finditer(data)]


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
class _Scratches:
    """A scratch space of a hyperscan database for each thread, since one must not be shared by two scans."""

    database: Any
    held: threading.local = field(default_factory=threading.local)

    def scan(self, data: "bytes | memoryview", hit: Callable[[int, int, int, int, object], None]) -> None:
        """Call ``hit`` for every match."""
        space = getattr(self.held, "space", None)
        if space is None:
            import hyperscan  # only where the engine is installed

            space = self.held.space = hyperscan.Scratch(self.database)
        self.database.scan(data, match_event_handler=hit, scratch=space)


class Marks:
    """Does one of a few fixed byte strings stand in some bytes? In one pass: each ``in`` reads 16 kB in 13 us where one of the bytes
    is frequent, hyperscan reads them for all strings in 3. Made ready at the first use; safe to use from several threads."""

    __slots__ = ("_marks", "_ready", "_scratches")

    def __init__(self, *marks: bytes) -> None:
        self._marks = marks
        self._scratches: _Scratches | None = None
        self._ready = False

    def any_in(self, data: "bytes | memoryview") -> bool:
        """Is one of them there?"""
        if len(data) >= MIN_MARKED:
            if not self._ready:
                self._prepare()
            if self._scratches is not None:
                found: list[int] = []
                self._scratches.scan(data, lambda index, _start, _end, _flags, _context: found.append(index))
                return bool(found)
        data = bytes(data)
        return any(mark in data for mark in self._marks)

    def _prepare(self) -> None:
        """Two threads may do this at once: either outcome serves."""
        pattern = "|".join("".join(f"\\x{byte:02x}" for byte in mark) for mark in self._marks)
        database = _database((pattern,), prefilter=True, utf8=False)
        self._scratches = None if database is None else _Scratches(database)
        self._ready = True


class Signs:
    """Which of a few byte patterns occur, in one pass over the bytes. Made ready at the first use; safe to use from several threads."""

    __slots__ = ("_patterns", "_ready", "_scratches")

    def __init__(self, *patterns: bytes) -> None:
        self._patterns = patterns
        self._scratches: _Scratches | None = None
        self._ready = False

    def present(self, data: "bytes | memoryview") -> list[int] | None:
        """Indices of those that occur, in no order; None where hyperscan is missing: look by other means."""
        if not self._ready:  # two threads may do this at once: either outcome serves
            database = _database(self._patterns, prefilter=True, utf8=False)
            self._scratches = None if database is None else _Scratches(database)
            self._ready = True
        if self._scratches is None:
            return None
        found: list[int] = []
        self._scratches.scan(data, lambda index, _start, _end, _flags, _context: found.append(index))
        return found


class HyperscanPrefilter:
    """One hyperscan database."""

    __slots__ = ("_scratches",)

    def __init__(self, database: Any) -> None:
        self._scratches = _Scratches(database)

    def present(self, data: bytes) -> list[int]:
        """As Prefilter."""
        found: list[int] = []
        self._scratches.scan(data, lambda index, _start, _end, _flags, _context: found.append(index))
        found.sort()
        return found


class HyperscanPlaces:
    """One hyperscan database that reports every hit."""

    __slots__ = ("_scratches",)

    def __init__(self, database: Any) -> None:
        self._scratches = _Scratches(database)

    def ends(self, data: bytes) -> list[int]:
        """As Places."""
        found: list[int] = []
        self._scratches.scan(data, lambda _index, _start, end, _flags, _context: found.append(end))
        found.sort()
        return found


def _hyperscan(patterns: Sequence[str]) -> HyperscanPrefilter | None:
    """``None`` when hyperscan is missing or refuses one of the patterns: RE2 then does all of them."""
    database = _database(patterns, prefilter=True)
    return None if database is None else HyperscanPrefilter(database)


def _database(patterns: Sequence[str] | Sequence[bytes], *, prefilter: bool, utf8: bool = True) -> Any:
    try:
        import hyperscan
    except ImportError:
        return None
    database = hyperscan.Database()
    flags = hyperscan.HS_FLAG_UTF8 if utf8 else 0
    if prefilter:  # one report for each pattern, which may be wrong about what the engine can't express
        flags |= hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
    try:
        database.compile(
            expressions=[pattern.encode() if isinstance(pattern, str) else pattern for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
    except hyperscan.error:
        return None
    return database
