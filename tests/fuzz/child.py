"""One fuzzing process: ``python -m tests.fuzz.child TARGET WORK SECONDS``. Ends after the time or with the first new crash."""

import sys
import traceback
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
INSTRUMENTED = ("scanners", "policies", "gateway", "audit", "dkim", "spf", "olefile", "tnefparse")
"""Our packages, and the libraries in pure Python that see the bytes."""
PATIENCE = 5.0
"""Instrumented code is that much slower, on a machine that does other things as well."""
SHORT = 1_024
"""Bytes of inputs that need not grow slowly."""
MEMORY_MB = 1_500
"""What a decoder has; a worker's bounds are tighter and have tests of their own."""


def signature(error: BaseException) -> str:
    """The error and the innermost function of ours that it passed: the same twice is the same fault."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    last = frames[-1] if frames else None
    where = f"{Path(last.filename).name}:{last.name}" if last else "?"
    line = f":{last.lineno}" if last and type(error) is AssertionError else ""
    return f"{type(error).__name__} {where}{line}"


def main(name: str, work: Path, seconds: int) -> None:
    """Set everything up and hand over to the engine, which ends the process."""
    with atheris.instrument_imports(include=list(INSTRUMENTED), enable_loader_override=False):
        from tests.fuzz import registry

        target = registry.load(name)
    known_file = work / "known.txt"
    known = set(known_file.read_text("utf-8").splitlines()) if known_file.exists() else set()
    seeds = work / "seeds" / name
    seeds.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / f"{number:03d}").write_bytes(seed[: target.max_bytes])

    def once(data: bytes) -> None:
        try:
            target.checked(data, PATIENCE)
        except Exception as error:
            mark = f"{name}: {signature(error)}"
            if mark in known:
                return
            with known_file.open("a", encoding="utf-8") as known_list:
                known_list.write(mark + "\n")
            raise

    arguments = [
        sys.argv[0], f"-max_total_time={seconds}", f"-max_len={target.max_bytes}", "-timeout=30", f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={work / 'crashes' / name}/", "-print_final_stats=1", "-report_slow_units=60", "-reload=0",
        f"-len_control={100 if target.max_bytes > SHORT else 0}",
    ]  # fmt: skip
    tokens = HERE / "tokens" / f"{name}.dict"
    arguments += [f"-dict={tokens}"] if tokens.exists() else []
    folders = (work / "corpus" / name, HERE / "corpus" / name, seeds)
    arguments += [str(folder) for folder in folders if folder.exists()]
    if target.mutate is not None:
        mutate = target.mutate
        atheris.Setup(arguments, once, custom_mutator=lambda data, size, seed: mutate(data, size, seed, atheris.Mutate))
    else:
        atheris.Setup(arguments, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
