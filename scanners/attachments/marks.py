"""Which of a few short patterns occur in bytes, in one pass: by hyperscan (0.2 ms/MB), else one after another by RE2 (0.5 ms/MB each)."""

from collections.abc import Sequence
from typing import Any

import re2


class Marks:
    """``patterns`` in what RE2 and hyperscan both understand. Frozen after it is made; may be shared by threads."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._one_by_one = tuple(re2.compile(pattern) for pattern in patterns)
        self._database: Any = _database(patterns)

    def found(self, data: bytes) -> frozenset[int]:
        """The numbers of the patterns that occur."""
        if self._database is None:
            return frozenset(number for number, pattern in enumerate(self._one_by_one) if pattern.search(data))
        import hyperscan  # it is installed: the database is there

        seen: set[int] = set()
        scratch = hyperscan.Scratch(self._database)  # 10 us, and nothing to share
        self._database.scan(data, match_event_handler=lambda number, *_: seen.add(number), scratch=scratch)
        return frozenset(seen)


def _database(patterns: Sequence[bytes]) -> Any:
    try:
        import hyperscan
    except ImportError:
        return None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL] * len(patterns)
    database.compile(expressions=list(patterns), ids=list(range(len(patterns))), elements=len(patterns), flags=flags)
    return database
