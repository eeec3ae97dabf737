"""A decoder: a sandboxed process that opens the attachments of one message after another and keeps nothing between them.

It accepts on a listening socket that it inherits, so that any number of them share the work without a dispatcher. Told SIGTERM it
finishes its job and ends. A job that runs past its time kills the process (SIGALRM): the worker sees the end of file.
"""

import argparse
import ctypes
import gc
import logging
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import msgspec

from scanners.attachments import sandbox
from scanners.attachments.inspection import Inspection, preload
from scanners.attachments.protocol import ACCEPTED, MAX_JOB, Answer, Job, frame
from scanners.attachments.yara import YaraEngine, load_rules

NICE = 5
"""A third of a worker's share of a busy processor: small mail does not wait for somebody's drawings."""
RECEIVE_S = 5.0
"""A worker that has connected sends at once; one that died in between must not hold a decoder."""
GRACE_S = 1.0
"""After the soft time limit native code gets this long before the process is killed."""
MAX_TIME_MS = 60_000
"""No job may ask for more."""
READY, RETIRE = b"R", b"D"
"""Bytes on the status pipe: up and accepting; has done its jobs (or grown), wants a successor."""
RSS_LIMIT = 700_000_000
"""Bytes resident after which a decoder asks for a successor, whatever its job count."""

KEPT = 16_000_000
"""Bytes of what one job freed that stay for the next, instead of being faulted in page by page again."""
MAPPED = 8_000_000
"""Bytes from which an allocation is a mapping of its own, given back when it is freed."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


class _Stopped(Exception):
    """SIGTERM came while idle."""


def command(listen_fd: int, status_fd: int, rules: Path, jobs: int, *, text: bool = True) -> list[str]:
    """The argument vector of one decoder; run it from ``source_root()`` with an empty environment and these descriptors passed on.

    ``text`` False: documents are not read, only unpacked, typed and matched.
    """
    arguments = [
        "--listen-fd",
        str(listen_fd),
        "--status-fd",
        str(status_fd),
        "--rules",
        str(rules),
        "--jobs",
        str(jobs),
    ]
    arguments += [] if text else ["--no-text"]
    return [sys.executable, "-s", "-X", "utf8", "-m", "scanners.attachments.decoder", *arguments]


def source_root() -> Path:
    """The folder that holds the ``scanners`` package."""
    return Path(__file__).resolve().parents[2]


class Decoder:
    """The loop of one process. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        listener: socket.socket,
        status: int,
        engine: YaraEngine,
        jobs: int,
        clock: Callable[[], float],
        *,
        text: bool = True,
    ) -> None:
        self._listener = listener
        self._status = status
        self._engine = engine
        self._jobs = jobs
        self._clock = clock
        self._text = text
        self._done = 0
        self._idle = False
        self._stopping = False
        self._decode = msgspec.msgpack.Decoder(Job)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)  # the sandbox hides /proc

    def stop(self, number: int, stack: FrameType | None) -> None:
        """SIGTERM: now when idle, after the job otherwise."""
        self._stopping = True
        if self._idle:
            raise _Stopped

    def run(self) -> None:
        """Accept jobs until told to stop; twice the jobs at most, should nobody answer the call for a successor."""
        self._tell(READY)
        asked = False
        try:
            while not self._stopping and self._done < 2 * self._jobs:
                self._idle = True
                connection, _ = self._listener.accept()
                self._idle = False
                with connection:
                    self._serve(connection)
                self._done += 1
                if not asked and (self._done >= self._jobs or self._resident() > RSS_LIMIT):
                    asked = True
                    self._tell(RETIRE)
        except _Stopped:
            return

    def _resident(self) -> int:
        return int(os.pread(self._statm, 200, 0).split()[1]) * mmap.PAGESIZE

    def _tell(self, word: bytes) -> None:
        try:
            os.write(self._status, word)
        except OSError:
            self._stopping = True  # the supervisor is gone: so do we go

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(RECEIVE_S)
        try:
            job, descriptor = self._receive(connection)
        except (OSError, ValueError, msgspec.MsgspecError):
            return  # a worker that died or speaks another version; it sees the end of file
        try:
            connection.sendall(ACCEPTED)
            soft_s = min(job.time_ms, MAX_TIME_MS) / 1000
            signal.setitimer(signal.ITIMER_REAL, soft_s + GRACE_S)
            answer = self._answer(job, descriptor, soft_s)
            connection.settimeout(GRACE_S)
            connection.sendall(frame(answer))
        except OSError:
            return  # the worker has given up waiting; the next job is not concerned
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.close(descriptor)

    def _receive(self, connection: socket.socket) -> tuple[Job, int]:
        first, descriptors, _, _ = socket.recv_fds(connection, 65_536, 4)
        try:
            if len(descriptors) != 1:
                raise ValueError("one descriptor, please")
            return self._decode.decode(_rest(connection, first)), descriptors[0]
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def _answer(self, job: Job, descriptor: int, soft_s: float) -> Answer:
        size = os.fstat(descriptor).st_size
        inspection = Inspection(self._engine, job.words, self._clock, soft_s, text=self._text)
        for part in job.parts:
            # Copied by the kernel: a mapping would cost a page fault for every 64 kB, and must not be cut short under our feet.
            inspection.attachment(part, os.pread(descriptor, min(part.length, size), part.offset))
        answer = inspection.answer()
        del inspection
        if size > 4_000_000:
            gc.collect()
        return answer


def _rest(connection: socket.socket, first: bytes) -> memoryview:
    """The frame's body, however it was cut on its way. Raises ValueError, OSError."""
    frame_bytes = bytearray(first)
    while len(frame_bytes) < 4 or len(frame_bytes) < 4 + int.from_bytes(frame_bytes[:4], "big"):
        if len(frame_bytes) >= 4 and int.from_bytes(frame_bytes[:4], "big") > MAX_JOB:
            raise ValueError("job too long")
        chunk = connection.recv(65_536)
        if not chunk:
            raise ValueError("cut short")
        frame_bytes += chunk
    return memoryview(frame_bytes)[4:]


def _keep_memory() -> None:
    """Tell glibc's allocator; others decide by themselves."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, KEPT)
        libc.mallopt(_MMAP_THRESHOLD, MAPPED)


def _quieten(null: int) -> None:
    """From here on nothing is printed: libraries put pieces of what they read into their complaints."""
    logging.disable(logging.CRITICAL)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def main(arguments: list[str] | None = None) -> int:
    """Entry of the process; everything native is loaded before the sandbox closes."""
    parser = argparse.ArgumentParser(prog="decoder")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--status-fd", type=int, required=True)
    parser.add_argument("--rules", type=Path, required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--no-text", action="store_true")
    options = parser.parse_args(arguments)
    sandbox.end_with_parent()
    listener = socket.socket(fileno=options.listen_fd)
    listener.setblocking(True)
    engine = load_rules(options.rules)
    preload()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    decoder = Decoder(listener, options.status_fd, engine, options.jobs, time.monotonic, text=not options.no_text)
    signal.signal(signal.SIGTERM, decoder.stop)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.nice(NICE)
    _keep_memory()
    layers = sandbox.enter()
    os.write(options.status_fd, (",".join(layers) + "\n").encode())
    gc.freeze()
    _quieten(quiet)
    decoder.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
