"""The kept corpus through every target: what fuzzing once found stays mended, whether or not the fuzzer is installed."""

import time
from pathlib import Path

import pytest

from scanners.finding import Evidence, Finding, Severity
from tests.fuzz import keep, registry
from tests.fuzz.target import Target, TooSlow, declared

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 3_000_000
PATIENCE = 3.0
"""Other tests run beside this one; a hang is far longer."""


@pytest.mark.parametrize("name", registry.WEIGHTS)
def test_the_kept_inputs_are_still_read(name: str) -> None:
    target = registry.load(name)
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        data = path.read_bytes()
        try:
            target.checked(data, PATIENCE)
        except Exception as error:
            raise AssertionError(f"python -m tests.fuzz.run --replay {name} {path}") from error


@pytest.mark.parametrize("name", registry.WEIGHTS)
def test_the_seeds_are_read(name: str) -> None:
    target = registry.load(name)
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

    target = Target("busy", busy, lambda: [], cpu_s=0.02)
    target.checked(b"")
    with pytest.raises(TooSlow):
        target.checked(b"12345")
    good = Finding("mime.ambiguous", Severity.LOW, "x", evidence=Evidence())
    declared([good, Finding("content.dictionary.own", Severity.LOW, "x")])
    for bad in (Finding("mime.unheard", Severity.LOW, "x"), Finding("mime.ambiguous", Severity.LOW, "\ud800")):
        with pytest.raises((AssertionError, UnicodeEncodeError)):
            declared([good, bad])


def test_the_fewest_inputs_that_reach_everything_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown, kept = tmp_path / "grown", tmp_path / "kept"
    for folder, data in ((grown, b"a" * 5_000), (grown, b"short"), (kept, b"old")):
        folder.mkdir(exist_ok=True)
        (folder / f"{len(data)}").write_bytes(data)
    monkeypatch.setattr(keep, "reached", lambda run, data: frozenset({("file", 0, len(data) % 5)}))
    monkeypatch.setattr(keep.registry, "load", lambda name: Target(name, lambda data: None, lambda: [b"seed!"]))
    assert keep.keep("any", grown, kept) == (4, 2, 8)
    assert {path.read_bytes() for path in kept.iterdir()} == {b"old", b"seed!"}
