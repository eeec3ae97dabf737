"""What a fuzz target is, and the two checks every target shares."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scanners.finding import Finding
from scanners.registry import CATALOGUE

CPU_S = 2.0
"""CPU seconds for one input of at most MAX_BYTES, uninstrumented; a worker that spends more on 64 kB can be made to stand still."""
MAX_BYTES = 65_536
"""Bytes of one input; the fuzzer starts small and grows."""

_EXACT = frozenset(code.code for code in CATALOGUE if not code.code.endswith("*"))
_OPEN = tuple(code.code.removesuffix("*") for code in CATALOGUE if code.code.endswith("*"))


def nothing() -> None:
    """Most targets hold nothing that has to be let go."""


class TooSlow(AssertionError):
    """An input took more CPU than its bound."""


@dataclass(frozen=True, slots=True)
class Target:
    """One piece of code that reads hostile bytes.

    ``run`` raises for anything that must not happen; ``seeds`` are inputs to start from; ``mutate`` knows the format and is
    given (data, largest size, seed, the engine's own mutation), or is None: the engine then mutates alone. ``close`` lets go of loops
    and folders.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    cpu_s: float = CPU_S
    max_bytes: int = MAX_BYTES
    mutate: Callable[[bytes, int, int, Callable[[bytes, int], bytes]], bytes] | None = None
    close: Callable[[], None] = nothing

    def checked(self, data: bytes, patience: float = 1.0) -> None:
        """Run one input. Raises what the target raises, or TooSlow; ``patience`` stretches the bound for instrumented code."""
        began = time.process_time()
        self.run(data)
        took = time.process_time() - began
        if took > self.cpu_s * patience:
            raise TooSlow(f"{took:.1f} s of CPU for {len(data)} bytes")


def declared(findings: Sequence[Finding]) -> None:
    """Every finding has a code of the catalogue, and text that can be written down."""
    for finding in findings:
        assert finding.code in _EXACT or finding.code.startswith(_OPEN), f"undeclared code {finding.code!r}"
        f"{finding.summary}{finding.part}{finding.about}".encode()
        if finding.evidence is not None:
            finding.evidence.masked.encode()
            assert finding.evidence.count >= 1, f"{finding.code}: counts {finding.evidence.count}"
