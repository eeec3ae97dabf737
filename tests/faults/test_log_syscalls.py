"""Errors and SIGKILL injected into the log's system calls: nothing acknowledged is lost or altered, and the log goes on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit.verify import verify
from tests.audit.events import entry, open_log
from tests.faults.log_writer import BATCH, BATCHES

KINDS = ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "mkdir", "fchmod", "openat")
MOST = 3000
"""Calls of one kind that one run can make; beyond it the sweep itself is wrong."""


def tracing(folder: Path, kind: str) -> list[str]:
    return ["strace", "-f", "-qq", "-o", str(folder.parent / "trace"), "-e", f"trace={kind}"]


def writer(folder: Path) -> list[str]:
    """Without compiled modules being written: whether they are there already would change what is counted."""
    return [sys.executable, "-B", "-m", "tests.faults.log_writer", str(folder)]


def first_of_the_log(folder: Path) -> int:
    """The number of the first openat that is the log's: those before it are Python's imports."""
    folder.parent.mkdir()
    subprocess.run([*tracing(folder, "openat"), *writer(folder)], capture_output=True, timeout=600, check=True)
    calls = (folder.parent / "trace").read_text(errors="replace").splitlines()
    return next(number for number, call in enumerate(calls, 1) if str(folder) in call)


def run(folder: Path, kind: str, what: str, when: int) -> tuple[int, set[int], bool]:
    """Exit status, acknowledged numbers, and whether the call was ever reached."""
    inject = f"inject={kind}:{what}:when={when}"
    done = subprocess.run(
        [*tracing(folder, kind), "-e", inject, *writer(folder)],
        capture_output=True,
        timeout=600,
        check=False,
    )
    trace = (folder.parent / "trace").read_text(errors="replace")
    hit = "INJECTED" in trace or "killed by SIGKILL" in trace
    return done.returncode, {int(word) for word in done.stdout.split()}, hit


def check(folder: Path, acknowledged: set[int]) -> None:
    """The next start has all of it, byte for byte, goes on, and verifies."""
    log = open_log(folder)
    stored = [line for _, line in log.entries(0)]
    for number in acknowledged:
        assert stored[number] == entry(number, 400).line
    log.append([entry(50_000)])
    log.publish()
    log.close()
    assert verify(folder).mismatches == ()


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace missing: apt install strace")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace cannot trace here: {probe.stderr.decode(errors='replace').strip()}")


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    ("kind", "what", "when", "status"),
    [
        ("fdatasync", "error=EIO", 5, 70),
        ("pwrite64", "error=ENOSPC", 9, 70),
        ("fsync", "error=EIO", 12, 0),
        ("rename", "error=EIO", 8, 0),
        ("fdatasync", "signal=SIGKILL", 20, -9),
        ("pwrite64", "signal=SIGKILL", 21, -9),
        ("fsync", "signal=SIGKILL", 14, -9),
        ("rename", "signal=SIGKILL", 9, -9),
        ("unlink", "signal=SIGKILL", 1, -9),
        ("mkdir", "signal=SIGKILL", 5, -9),
    ],
)
def test_sampled(tmp_path: Path, kind: str, what: str, when: int, status: int) -> None:
    done, acknowledged, hit = run(tmp_path / "audit", kind, what, when)
    assert hit, "the fault was never met"
    assert done in (status, 128 + 9 if status == -9 else status)
    if status == 0:
        assert len(acknowledged) == BATCHES * BATCH, "publication's trouble is not the sender's"
    check(tmp_path / "audit", acknowledged)


@pytest.mark.full
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["error=EIO", "error=ENOSPC", "signal=SIGKILL"])
def test_every_call(tmp_path: Path, kind: str, what: str) -> None:
    first = first_of_the_log(tmp_path / "0" / "audit") if kind == "openat" else 1
    for when in range(first, MOST):
        folder = tmp_path / f"{when}" / "audit"
        folder.parent.mkdir()
        _, acknowledged, hit = run(folder, kind, what, when)
        check(folder, acknowledged)
        shutil.rmtree(folder.parent)
        if not hit:
            assert when > first, "no such call was made"
            return
    pytest.fail("the sweep did not end")
