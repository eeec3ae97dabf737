"""Which inputs to keep: the fewest and smallest that reach everything the whole corpus reaches."""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import Target

OURS = ("/scanners/", "/policies/", "/gateway/", "/audit/")
MOST = 120
"""Inputs of one target that are kept: those that add most come first, and the rest add little."""
MOST_BYTES = 300_000
"""Bytes of one target that are kept; all targets together stay under 3 MB."""
FOUND = "found-"
"""Inputs that once failed are kept for good under such names."""
SLOW_S = 0.25
"""CPU seconds of one input: the kept corpus is replayed with every test run."""
Arc = tuple[str, int, int]
Measure = Callable[[Callable[[bytes], None], bytes], frozenset[Arc] | None]


def keep(target: Target, grown: Path, kept: Path, measure: Measure) -> tuple[int, int, int]:
    """Replace ``kept`` by the best of ``grown``, ``kept`` and the seeds; returns inputs looked at, kept, and bytes kept."""
    inputs = {path.read_bytes() for folder in (grown, kept) if folder.exists() for path in folder.iterdir()}
    inputs |= {seed[: target.max_bytes] for seed in target.seeds()}
    found: list[tuple[bytes, frozenset[Arc]]] = []
    for data in sorted(inputs, key=lambda one: (len(one), one)):
        arcs = measure(target.run, data)
        if arcs is not None:
            found.append((data, arcs))
    chosen = _cover(found)
    kept.mkdir(parents=True, exist_ok=True)
    for path in kept.iterdir():
        if not path.name.startswith(FOUND):
            path.unlink()
    for data in chosen:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    return len(inputs), len(chosen), sum(map(len, chosen))


def reached(run: Callable[[bytes], None], data: bytes) -> frozenset[Arc] | None:
    """Which line followed which in our code; None when the input fails or is slow."""
    found: set[Arc] = set()
    last: dict[int, int] = {}

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            key = id(frame)
            found.add((frame.f_code.co_filename, last.get(key, 0), frame.f_lineno))
            last[key] = frame.f_lineno
        return local

    def entered(frame: FrameType, event: str, _: Any) -> Any:
        return (
            local
            if any(part in frame.f_code.co_filename for part in OURS) and "/tests/" not in frame.f_code.co_filename
            else None
        )

    began = time.process_time()
    try:
        run(data)
        slow = time.process_time() - began > SLOW_S
        sys.settrace(entered)
        run(data)
    except Exception:
        return None
    finally:
        sys.settrace(None)
    return None if slow else frozenset(found)


def _cover(reached: list[tuple[bytes, frozenset[Arc]]]) -> list[bytes]:
    """Greedy: again and again the input that adds most per byte, until nothing is added or a bound is met."""
    covered: set[Arc] = set()
    chosen: list[bytes] = []
    size = 0
    left = list(reached)
    while left and len(chosen) < MOST:
        left = [(data, arcs) for data, arcs in left if not arcs <= covered]
        best = max(left, key=lambda one: len(one[1] - covered) / (200 + len(one[0])), default=None)
        if best is None:
            break
        left.remove(best)
        covered |= best[1]
        if size + len(best[0]) <= MOST_BYTES:
            chosen.append(best[0])
            size += len(best[0])
    return chosen
