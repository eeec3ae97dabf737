"""Patterns of operators, compiled by RE2: linear in the text, whatever the pattern."""

from collections.abc import Callable

import re2

MAX_PATTERN = 1_000
"""Characters of one pattern."""
MAX_MEMORY = 4 << 20
"""Bytes RE2 may use for one compiled pattern; its own default is 8 MB."""


class PatternError(ValueError):
    """A pattern that RE2 doesn't take; the text says why."""


def searcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether the pattern is found anywhere in a text, without regard to case unless ``(?-i)`` is written."""
    if not pattern or len(pattern) > MAX_PATTERN:
        raise PatternError(f"1..{MAX_PATTERN} characters")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options=options)
    except (re2.error, UnicodeError) as error:
        why = error.args[0] if error.args else error
        raise PatternError(why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)) from None

    def search(text: str) -> bool:
        return compiled.search(text.encode("utf-8", "replace").decode()) is not None

    return search
