"""Errors and SIGKILL injected into custody's system calls: blobs, SQLite and all; nothing acknowledged is lost, altered or half done."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.test_custody_kills import ROOT, account

KINDS = ("pwrite64", "fdatasync", "fsync", "write", "rename", "unlink", "mkdir", "ftruncate")
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")
MOST = 2000
"""Calls of one kind that one run can make; beyond it the sweep itself is wrong."""


@pytest.fixture
def strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace missing: apt install strace")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace cannot trace here: {probe.stderr.decode(errors='replace').strip()}")


def run(folder: Path, kind: str, what: str, when: int) -> tuple[list[tuple[str, str]], bool]:
    """What the process said, and whether the call was ever reached. What it raised is on its own standard error, and no traceback
    of it may be said to a client: here it only must not acknowledge."""
    trace = folder.parent / "trace"
    tracing = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={kind}"]
    done = subprocess.run(
        [*tracing, "-e", f"inject={kind}:{what}:when={when}",
         sys.executable, "-B", "-m", "tests.faults.custodian_process", str(folder), "--little"],
        capture_output=True, timeout=600, check=False, cwd=ROOT,
    )  # fmt: skip
    text = trace.read_text(errors="replace")
    lines = [tuple(line.decode().split()) for line in done.stdout.splitlines()]
    return [(line[0], line[1]) for line in lines if len(line) == 2], "INJECTED" in text or "killed by SIGKILL" in text


async def meet(tmp_path: Path, kind: str, what: str, when: int) -> tuple[int, bool]:
    """One fault, and the account; gives how many were acknowledged, and whether the fault was met."""
    folder = tmp_path / f"{when}" / "state"
    folder.mkdir(parents=True)
    said, hit = run(folder, kind, what, when)
    taken = await account(folder, said)
    shutil.rmtree(folder.parent)
    return len(taken), hit


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    ("kind", "what", "when"),
    [
        ("pwrite64", "error=ENOSPC", 40),
        ("fdatasync", "error=EIO", 9),
        ("fsync", "signal=SIGKILL", 3),
        ("rename", "error=EIO", 2),
        ("unlink", "signal=SIGKILL", 1),
    ],
)
async def test_sampled(tmp_path: Path, kind: str, what: str, when: int) -> None:
    _, hit = await meet(tmp_path, kind, what, when)
    assert hit, "the fault was never met"


@pytest.mark.full
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", FAULTS)
async def test_every_call(tmp_path: Path, kind: str, what: str) -> None:
    for when in range(1, MOST):
        _, hit = await meet(tmp_path, kind, what, when)
        if not hit:
            assert when > 1, "no such call was made"
            return
    pytest.fail("the sweep did not end")
