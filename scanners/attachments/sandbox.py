"""What a decoder gives up before it sees a byte of mail. Linux; each layer is tried and the list of those in force is returned.

Layers: rlimits, no_new_privs, Landlock (files: read-only, Python and system libraries only; no TCP), and a seccomp filter that refuses new
sockets, connections, processes, programs, writing opens, signals and debugging. Where a kernel lacks one, the others still hold.
"""

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

MEMORY = 1_500_000_000
"""Bytes of address space: libraries take 250 MB, the largest member 64 MB, a parsed tree of it several times that."""
FILES = 64
"""Open descriptors: the socket, a connection, a memfd and what a lazy import opens."""
CPU_S = 3_600
"""CPU seconds over a decoder's life; one job is bounded by its own alarm."""

_REFUSED = {
    "x86_64": (
        41, 42, 49, 50, 53, 59, 322, 57, 58, 101, 310, 311, 62, 129, 297, 424, 434, 165, 166, 155, 161, 321, 298, 248,
        249, 250, 323, 425, 426, 427, 272, 308, 175, 313, 246, 304, 86, 265, 88, 266, 82, 264, 316, 87, 263, 83, 258,
        84, 90, 91, 268, 92, 93, 94, 260, 76, 85, 133, 259, 105, 106, 117, 119, 132, 235, 280, 188, 189, 190,
    ),
    "aarch64": (
        198, 203, 200, 201, 199, 221, 281, 117, 270, 271, 129, 138, 240, 424, 434, 40, 39, 41, 51, 280, 241, 217, 218,
        219, 282, 425, 426, 427, 97, 268, 105, 273, 104, 265, 37, 36, 38, 276, 35, 34, 52, 53, 54, 55, 45, 33, 146,
        144, 147, 149, 88, 5, 6, 7,
    ),
}  # fmt: skip
"""System calls answered with EPERM, by number: socket connect bind listen socketpair, execve execveat fork vfork, ptrace process_vm_*, kill
*sigqueueinfo pidfd_*, mount*, pivot_root, chroot, bpf, perf, keys, userfaultfd, io_uring, unshare setns, modules, kexec, open_by_handle_at,
link symlink rename unlink mkdir rmdir chmod chown truncate creat mknod, set*id, utimes, setxattr."""
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OPEN = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""open and openat with the position of their flags."""
_CLONE = {"x86_64": 56, "aarch64": 220}
_ENOSYS = (435, 437)
"""clone3 and openat2 pass structures a filter cannot read; libc falls back to the older calls."""
_CLONE_THREAD = 0x10000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _GREATER, _AND_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def enter(memory: int = MEMORY) -> tuple[str, ...]:
    """Give up everything that is not needed to decode. Returns the layers in force, in order. Never raises.

    Call it once, after the heavy imports, with a single thread running.
    """
    steps: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("rlimits", lambda: _limits(memory)),
        ("oom_score", _oom_score),
        ("no_new_privs", lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(_PR_SET_DUMPABLE, 0)),
        ("landlock", _landlock),
        ("seccomp", _seccomp),
    )
    os.umask(0o077)
    os.chdir("/")
    return tuple(name for name, step in steps if step())


def _limits(memory: int) -> bool:
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, memory),
    ):
        hard = resource.getrlimit(which)[1]
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (ceiling, ceiling))
    return True


def _oom_score() -> bool:
    """When memory runs out, a decoder goes first: it holds nothing that is not repeated."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return False
    return True


def end_with_parent() -> None:
    """Have the kernel end us when the process that started us dies: a decoder has nothing to save. Nothing where that is not known."""
    with contextlib.suppress(OSError, AttributeError):
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int, pointer: int = 0) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(
        libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(pointer), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
    )


def readable() -> tuple[str, ...]:
    """Where a decoder may still read: Python, this package and system libraries; nothing of the gateway's state."""
    places = [
        sys.prefix,
        sys.base_prefix,
        str(Path(__file__).resolve().parents[1]),
        "/usr/lib",
        "/lib",
        "/lib64",
        "/usr/share/fonts",
    ]
    places += [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages", "lib-dynload"))]
    return tuple(dict.fromkeys(os.path.realpath(place) for place in places if os.path.isdir(place)))


def _landlock() -> bool:
    if platform.machine() not in _ARCH:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return False
    everything = (1 << (13 if version < 2 else 14 if version < 3 else 15)) - 1  # rights known to versions 1, 2, 3
    attributes = struct.pack("QQ", everything, 3) if version >= 4 else struct.pack("Q", everything)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    read = (1 << 0) | (1 << 2) | (1 << 3)  # execute (map libraries), read file, read folder
    try:
        for place in readable():
            folder = os.open(place, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", read, folder)
            libc.syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
            os.close(folder)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0)
    finally:
        os.close(ruleset)


def _seccomp() -> bool:
    program = _filter(platform.machine())
    if not program:
        return False
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer)), 16)
    return _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _filter(machine: str) -> bytes:
    """The classic BPF program for ``machine``, or nothing where its call numbers are unknown."""
    if machine not in _ARCH or sys.byteorder != "little":
        return b""
    code: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_GREATER, 0, 1, 0x40000000),  # the x32 numbers would slip past the list
        (_RETURN, 0, 0, _ERRNO | 1),
    ]
    for number in _ENOSYS:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | 38)]
    for number in _REFUSED[machine]:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | 1)]
    for number, flags in _OPEN[machine]:
        code += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, 16 + 8 * flags),
            (_AND_SET, 0, 1, _WRITING),
            (_RETURN, 0, 0, _ERRNO | 13),
            (_RETURN, 0, 0, _ALLOW),
        ]
    code += [
        (_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, 16),
        (_AND_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | 1),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
