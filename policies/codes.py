"""The catalogue of finding codes, as rules name them: a code, or a prefix that ends in ``.*``."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.problem import nearest
from scanners.finding import Code


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every code the scanners declared. A declared ``x.*`` stands for any word after the dot: it comes from the operator's files."""

    codes: tuple[Code, ...]
    exact: frozenset[str]
    open_ends: tuple[str, ...]

    def knows(self, pattern: str) -> bool:
        """Whether any scanner may report something that ``pattern`` matches."""
        if pattern.endswith(".*"):
            prefix = pattern[:-1]
            return any(code.startswith(prefix) for code in self.exact) or any(
                end.startswith(prefix) or prefix.startswith(end) for end in self.open_ends
            )
        return pattern in self.exact or any(
            pattern.startswith(end) and len(pattern) > len(end) for end in self.open_ends
        )

    def nearest(self, pattern: str) -> str:
        """The code that was probably meant, or ``""``."""
        prefixes = {word.rpartition(".")[0] + ".*" for word in self.exact if "." in word}
        return nearest(pattern, self.exact | prefixes | {end + "*" for end in self.open_ends})


def catalogue(codes: Sequence[Code]) -> Catalogue:
    """Index the codes of all scanners."""
    return Catalogue(
        tuple(sorted(codes, key=lambda code: code.code)),
        frozenset(code.code for code in codes if not code.code.endswith("*")),
        tuple(sorted(code.code[:-1] for code in codes if code.code.endswith("*"))),
    )


def covers(pattern: str, code: str) -> bool:
    """Whether ``code`` is what ``pattern`` names."""
    return code == pattern or (pattern.endswith(".*") and code.startswith(pattern[:-1]))
