"""The verifier lists all that is wrong, names it, and needs nothing but Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import audit
from audit import verify as module
from audit.verify import report, verify
from tests.audit.events import entry, open_log, signer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = open_log(tmp_path / "audit")
    log.append([entry(number) for number in range(300)])
    log.publish()
    for number in range(300, 310):
        log.append([entry(number)])
    log.close()
    return tmp_path / "audit"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x20
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_whole_log(folder: Path) -> None:
    found = verify(folder, str(signer().verifier))
    assert found.mismatches == ()
    assert (found.published, found.size, found.origin) == (300, 310, "gw.test/audit")
    assert "310 events (10 of them still in the journal), checkpoint 300" in report(found)


def test_one_byte_of_an_event(folder: Path) -> None:
    bundle = folder / "tile/entries/000"
    size = len(entry(0).line) + 2
    flip(bundle, 17 * size + 60)
    found = verify(folder)
    assert found.mismatches[0] == "event 17 does not match tile 0/000"
    assert found.mismatches[1] == "hash 0 of tile 1/000 does not match the tiles below"


def test_one_byte_of_a_tile(folder: Path) -> None:
    flip(folder / "tile/0/000", 17 * 32 + 3)
    assert verify(folder).mismatches == ("event 17 does not match tile 0/000",)


def test_all_mismatches_are_listed(folder: Path) -> None:
    size = len(entry(0).line) + 2
    flip(folder / "tile/entries/000", 17 * size + 60)
    flip(folder / "tile/entries/001.p/44", 3 * size + 60)
    flip(folder / "tile/0/000", 200 * 32)
    flip(folder / "tile/1/000.p/1", 0)
    found = verify(folder).mismatches
    for text in (
        "event 17 does",
        "event 200 does",
        "event 259 does not match tile 0/001",
        "hash 0 of tile 1/000",
        "root of",
    ):
        assert any(text in item for item in found), (text, found)


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/001.p/44", "tile/1/000.p/1", "checkpoint", "log.json"])
def test_missing_and_shortened_files(folder: Path, name: str) -> None:
    path = folder / name
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-40])
    assert verify(folder).mismatches
    path.unlink()
    assert any("missing" in item or "log.json" in item or "tile" in item for item in verify(folder).mismatches)


def test_every_byte_of_everything_counts(folder: Path) -> None:
    """A sample of all bytes of all files that the log consists of."""
    last = folder / "journal" / "00000000000000000000.aj"
    for path in sorted(item for item in folder.rglob("*") if item.is_file() and item.name != "spare"):
        end = len(path.read_bytes().rstrip(b"\0")) if path == last else path.stat().st_size
        if path.name == "log.json":
            continue  # its inception date proves nothing
        for at in range(0, end, max(1, end // 12)):
            flip(path, at)
            assert verify(folder).mismatches, (path, at)
            flip(path, at)
    assert verify(folder).mismatches == ()


def test_the_journals_tail(folder: Path) -> None:
    path = folder / "journal" / "00000000000000000000.aj"
    data = path.read_bytes()
    at = data.index(entry(305).id.encode())
    flip(path, at)
    assert any("not a commit" in item for item in verify(folder).mismatches)


def test_a_cut_off_log_shows_against_its_own_head(folder: Path) -> None:
    shutil.rmtree(folder / "journal")
    assert verify(folder).mismatches == (), "an exported copy has no journal"
    (folder / "tile/entries/001.p/44").unlink()
    assert verify(folder).mismatches


def test_strangers_among_the_tiles(folder: Path) -> None:
    (folder / "tile/0/note.txt").write_text("x")
    assert verify(folder).mismatches == ("tile/0/note.txt: no file that belongs to this log",)


def test_another_key(folder: Path) -> None:
    found = verify(folder, str(signer(seed=bytes(32)).verifier))
    assert any("trusted" in item for item in found.mismatches)
    assert any("not signed by" in item or "signature" in item for item in found.mismatches)


def test_garbage_never_crashes(tmp_path: Path) -> None:
    assert verify(tmp_path).mismatches
    for name in ("checkpoint", "log.json", "journal/00000000000000000000.aj", "tile/0/000"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff" * 50)
    assert verify(tmp_path).mismatches


def test_on_bare_python_with_three_files(folder: Path, tmp_path: Path) -> None:
    """merkle, notes and verify are what an evidence package carries."""
    package = tmp_path / "package" / "audit"
    package.mkdir(parents=True)
    for name in ("__init__.py", "merkle.py", "notes.py", "verify.py"):
        shutil.copy(Path(next(iter(audit.__path__)), name), package)
    shutil.rmtree(folder / "journal")
    command = [os.path.realpath(sys.executable), "-I", "-S", "-c"]
    code = f"import sys; sys.path.insert(0, {str(package.parent)!r}); sys.argv[1:] = [{str(folder)!r}]\n"
    code += "from audit.verify import main; sys.exit(main())"
    done = subprocess.run([*command, code], env={}, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "every tile and root agree" in done.stdout
    flip(folder / "tile/0/000", 0)
    done = subprocess.run([*command, code], env={}, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert done.returncode == 1
    assert "event 0 does not match tile 0/000" in done.stdout


def test_long_lists_are_counted(folder: Path) -> None:
    found = module.Verified("o", 1, 1, 1, tuple(f"m{n}" for n in range(1500)))
    assert "... and 500 more" in report(found)
