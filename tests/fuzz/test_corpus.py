"""The kept corpus through every target: what fuzzing once found stays mended, whether or not the fuzzer is installed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanners.finding import Evidence, Finding, Severity
from tests.fuzz import keep, registry
from tests.fuzz.target import Target, TooSlow, declared

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 3_000_000
PATIENCE = 3.0
"""Other tests run beside this one; a hang is far longer."""


@pytest.fixture(params=registry.WEIGHTS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Each target, closed afterwards."""
    made = registry.load(request.param)
    yield made
    made.close()


def test_the_kept_inputs_are_still_read(target: Target) -> None:
    inputs = sorted((CORPUS / target.name).iterdir())
    assert inputs
    for path in inputs:
        data = path.read_bytes()
        try:
            target.checked(data, PATIENCE)
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz.run --replay {target.name} {path}") from error


def test_the_seeds_are_read(target: Target) -> None:
    seeds = list(target.seeds())
    assert seeds
    for seed in seeds:
        target.checked(seed[: target.max_bytes], PATIENCE)


def test_every_target_is_listed_and_the_corpus_is_small() -> None:
    files = {path.stem for path in (Path(__file__).parent / "targets").glob("*.py")} - {"__init__"}
    assert files == set(registry.WEIGHTS)
    kept = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept if path.parent != CORPUS} == files
    assert sum(path.stat().st_size for path in kept) < MOST_BYTES


def test_a_target_notices_time_and_undeclared_codes() -> None:
    def busy(data: bytes) -> None:
        end = time.process_time() + len(data) / 100
        while time.process_time() < end:
            pass

    target = Target("busy", busy, list, cpu_s=0.2)
    target.checked(b"")
    with pytest.raises(TooSlow):
        target.checked(b"x" * 40)
    good = Finding("mime.ambiguous", Severity.LOW, "x", evidence=Evidence())
    declared([good, Finding("content.dictionary.own", Severity.LOW, "x")])
    for bad in (Finding("mime.unheard", Severity.LOW, "x"), Finding("mime.ambiguous", Severity.LOW, "\ud800")):
        with pytest.raises((AssertionError, UnicodeEncodeError)):
            declared([good, bad])


def test_the_fewest_inputs_that_reach_everything_are_kept(tmp_path: Path) -> None:
    grown, kept = tmp_path / "grown", tmp_path / "kept"
    for folder, data in ((grown, b"a" * 5_000), (grown, b"short"), (kept, b"old")):
        folder.mkdir(exist_ok=True)
        (folder / f"{len(data)}").write_bytes(data)
    (kept / "found-once").write_bytes(b"once failed")
    target = Target("any", lambda data: None, lambda: [b"seed!"])
    assert keep.keep(target, grown, kept, lambda run, data: frozenset({("file", 0, len(data) == 3)})) == (5, 2, 8)
    assert {path.read_bytes() for path in kept.iterdir()} == {b"old", b"seed!", b"once failed"}


def test_reached_is_what_ran_and_nothing_for_what_fails() -> None:
    from scanners.normalise import normalise

    plain, folded = (
        keep.reached(lambda data: print(end=normalise(data.decode()).text), data) for data in (b"x", "Ｘ".encode())
    )
    assert plain
    assert folded
    assert folded - plain
    assert keep.reached(lambda data: 1 // 0, b"") is None  # type: ignore[arg-type]
