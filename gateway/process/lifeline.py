"""One gateway per state folder, and no process of it outlives its supervisor."""

import asyncio
import ctypes
import fcntl
import os
import signal
from pathlib import Path

LOCK_S = 40.0
"""Longest wait for what a killed supervisor started: its processes are told by the kernel and end within seconds, or within what a worker
gives to the messages under way (25 s), and a busy machine takes its time as well."""
PAUSE_S = 0.1
_PR_SET_PDEATHSIG = 1


class StateInUse(Exception):
    """Another gateway works in the state folder; the text says which and what to do."""


def end_with_parent() -> None:
    """Have the kernel send us SIGTERM when the supervisor dies; nothing where that is not known (not Linux)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM))
    except (OSError, AttributeError):
        return


async def lock(state: Path) -> int:
    """Take the state folder; gives the descriptor that holds it. Children inherit it, so that it is held while any of them lives.

    Raises StateInUse. A crash frees the lock: it belongs to the descriptor, the file is never removed.
    """
    path = state / "run" / "serve.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = asyncio.get_running_loop().time() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            other = _pid(handle)
            if _alive(other) or asyncio.get_running_loop().time() >= end:
                os.close(handle)
                raise StateInUse(_words(state, other)) from None
            await asyncio.sleep(PAUSE_S)
    os.ftruncate(handle, 0)
    os.pwrite(handle, b"%d\n" % os.getpid(), 0)
    return handle


def holder(state: Path) -> int:
    """The pid of the gateway that works in the state folder now; 0: none does. Takes nothing."""
    try:
        handle = os.open(state / "run" / "serve.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid(handle)
    finally:
        os.close(handle)
    return 0


def _pid(handle: int) -> int:
    text = os.pread(handle, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _words(state: Path, pid: int) -> str:
    if _alive(pid):
        return (
            f"{state}: another sealgate serve (pid {pid}) works here; stop it first, or set another gateway.state_dir "
            f"另一个 sealgate serve（进程 {pid}）正在使用该目录，请先停止它或另设 state_dir"
        )
    return (
        f"{state}: processes of a gateway that was killed are still running; end them first (ps -C sg-worker,sg-keeper,sg-queue) "
        "上次异常终止的网关仍有残留进程，请先结束它们"
    )
