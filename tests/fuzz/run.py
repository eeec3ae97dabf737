"""Coverage-guided fuzzing with atheris: ``python -m tests.fuzz.run --minutes 60``.

The targets take turns, each in a process of its own, with shares of the time as in ``registry.WEIGHTS``. New inputs that reach new code
go to ``build/fuzz/corpus/TARGET``, what raised or took too long to ``build/fuzz/crashes/TARGET``, figures to
``build/fuzz/figures.tsv``. A crash that has been seen (same error in the same function; ``build/fuzz/known.txt``, to be emptied after
mending) does not stop the run again.

    python -m tests.fuzz.run --minutes 60                    everything, by weight
    python -m tests.fuzz.run --minutes 5 --only mime,html    these
    python -m tests.fuzz.run --replay mime FILE ...          one input each, with the traceback
    python -m tests.fuzz.run --keep                          the smallest inputs that reach everything, into tests/fuzz/corpus
"""

import argparse
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz import keep, registry

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TURN_S = 150
"""Seconds of one turn: short, so that every target is reached soon and memory that libraries leak is given back."""
LEAST_S = 10
"""A rest of a turn shorter than this is not worth a new process."""
GRACE_S = 60
"""After its time a turn may still finish its last input (the engine's own time-out is 30 s)."""
RESTARTS = 8
"""New processes in one turn: a target that crashes more often has to be mended first."""
_STATS = re.compile(r"#\d+\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)|Done (\d+) (?:runs )?in|^#(\d+)\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process did."""

    seconds: float
    cpu_s: float
    executions: int
    edges: int
    inputs: int
    crash: str


def turn(name: str, seconds: float, work: Path) -> Turn:
    """Fuzz one target in a new process for so long, or until it crashes."""
    corpus, crashes = work / "corpus" / name, work / "crashes" / name
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    command = [sys.executable, "-u", "-m", "tests.fuzz.child", name, str(work), str(int(seconds))]
    began, used = time.monotonic(), _cpu()
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds + GRACE_S, check=False)
        said = (ended.stdout + ended.stderr).decode("utf-8", "replace")
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode("utf-8", "replace") + "\nhung: killed by the runner\n"
    took = time.monotonic() - began
    (work / f"{name}.log").write_text(said[-200_000:], encoding="utf-8")
    stats = _STATS.findall(said)
    executions = max((int(next(filter(None, one))) for one in _DONE.findall(said)), default=0)
    new = sorted(path.name for path in set(crashes.iterdir()) - before)
    if new or "hung:" in said:
        (crashes / f"{new[0] if new else 'hung'}.txt").write_text(said[-20_000:], encoding="utf-8")
    edges, inputs = (int(stats[-1][0]), int(stats[-1][2])) if stats else (0, 0)
    return Turn(took, _cpu() - used, executions, edges, inputs, " ".join(new) or ("hung" if "hung:" in said else ""))


def _cpu() -> float:
    """CPU seconds of all turns so far: on a busy machine a minute on the clock is less."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def fuzz(names: Sequence[str], minutes: float, work: Path) -> int:
    """Let the targets take turns until the time is over; returns the number of crashes."""
    total = sum(registry.WEIGHTS[name] for name in names)
    left = {name: minutes * 60 * registry.WEIGHTS[name] / total for name in names}
    crashes = 0
    while any(seconds > LEAST_S for seconds in left.values()):
        for name in names:
            end = min(TURN_S, left[name])
            for _ in range(RESTARTS):
                if end < LEAST_S:
                    break
                done = turn(name, end, work)
                end -= done.seconds
                left[name] -= done.seconds
                crashes += bool(done.crash)
                _record(work, name, done)
            left[name] -= max(0.0, end) if end >= LEAST_S else 0
    return crashes


def _record(work: Path, name: str, done: Turn) -> None:
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = (
        at,
        name,
        f"{done.seconds:.0f}",
        f"{done.cpu_s:.0f}",
        done.executions,
        done.edges,
        done.inputs,
        done.crash or "-",
    )
    line = "\t".join(map(str, fields))
    with (work / "figures.tsv").open("a", encoding="utf-8") as figures:
        figures.write(line + "\n")
    print(line, flush=True)


def main() -> int:
    """Exit 1 when something crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default=",".join(registry.WEIGHTS))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--replay", nargs="+", metavar=("TARGET", "FILE"))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.replay:
        target = registry.load(options.replay[0])
        for path in options.replay[1:]:
            target.checked(Path(path).read_bytes())
            print(f"{path}: good")
        return 0
    names = options.only.split(",")
    if options.keep:
        for name in names:
            folders = options.work / "corpus" / name, HERE / "corpus" / name
            print(name, *keep.keep(registry.load(name), *folders, keep.reached))
        return 0
    return 1 if fuzz(names, options.minutes, options.work.resolve()) else 0


if __name__ == "__main__":
    sys.exit(main())
