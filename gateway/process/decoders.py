"""The pool of decoder processes: starts them on one listening socket, restarts the dead, and replaces the worn before they stop."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanners.attachments.decoder import READY, RETIRE, command, source_root

JOBS = 1_000
"""Jobs after which a decoder asks for a successor: leaks of native libraries stay small (none was seen in 1,200), and a start costs
0.37 s of CPU, as much as sixty documents. One that grows asks earlier."""
BACKLOG = 128
"""Jobs that may wait to be taken; a worker tries again while it is full, until its deadline."""
READY_S = 30.0
"""A decoder is up in about one second; a loaded machine may take ten times that."""
STOP_S = 15.0
"""A decoder that has been told to stop finishes its job; its own alarm ends it before this."""
RESTART_S = 0.2
"""Pause before a dead one is replaced, so that one that cannot start does not fill a core; doubled up to RESTART_MOST_S."""
RESTART_MOST_S = 10.0


class DecoderError(RuntimeError):
    """Decoders do not start; the message says what to do."""


@dataclass(slots=True, eq=False)
class _Decoder:
    process: asyncio.subprocess.Process
    ready: asyncio.Event
    gone: asyncio.Event
    layers: tuple[str, ...] = ()
    retiring: bool = False


class DecoderPool:
    """``count`` decoders on the unix socket ``socket_path`` with the compiled rules at ``rules`` (``CompiledRules.save``).

    ``text`` False: attachments are unpacked, typed and matched by YARA, but documents are not read. ``log`` gets one short line per event.
    """

    def __init__(
        self,
        socket_path: Path,
        count: int,
        rules: Path,
        *,
        jobs: int = JOBS,
        text: bool = True,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._path = socket_path
        self._count = count
        self._rules = rules
        self._jobs = jobs
        self._text = text
        self._log = log
        self._listener: socket.socket | None = None
        self._decoders: list[_Decoder] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failures = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """Of those that take jobs."""
        return tuple(one.process.pid for one in self._decoders if one.ready.is_set() and not one.gone.is_set())

    @property
    def layers(self) -> tuple[str, ...]:
        """Sandbox layers in force in every decoder (see scanners.attachments.sandbox)."""
        known = [one.layers for one in self._decoders if one.ready.is_set()]
        return tuple(layer for layer in (known[0] if known else ()) if all(layer in others for others in known))

    async def start(self) -> None:
        """Bind the socket and start all; returns when every one accepts. Raises DecoderError."""
        self._stopping = False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)  # left by a crash: nobody listens on it any more
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        old = os.umask(0o077)
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(old)
        listener.listen(BACKLOG)
        self._listener = listener
        await self._up(self._count)

    async def replace(self, rules: Path) -> None:
        """Change the rules: new decoders are up before the old ones stop. On DecoderError the old ones go on."""
        old_rules, self._rules = self._rules, rules
        old = [one for one in self._decoders if not one.retiring]
        try:
            await self._up(self._count)
        except DecoderError:
            self._rules = old_rules
            raise
        for one in old:
            self._retire(one)

    async def stop(self) -> None:
        """End all: each finishes its job."""
        self._stopping = True
        for one in tuple(self._decoders):
            self._retire(one)
        for task in tuple(self._tasks):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._listener:
            self._listener.close()
            self._listener = None
            self._path.unlink(missing_ok=True)

    async def _up(self, count: int) -> None:
        fresh = [await self._spawn() for _ in range(count)]
        try:
            async with asyncio.timeout(READY_S):
                await asyncio.gather(*(self._wait(one) for one in fresh))
        except (TimeoutError, DecoderError):
            for one in fresh:
                self._retire(one)
            raise DecoderError(
                "decoders do not start; run: sealgate doctor / 解码进程无法启动，请运行 sealgate doctor 查看原因"
            ) from None

    async def _wait(self, one: _Decoder) -> None:
        ready, gone = asyncio.ensure_future(one.ready.wait()), asyncio.ensure_future(one.gone.wait())
        try:
            await asyncio.wait((ready, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            gone.cancel()
        if not one.ready.is_set():
            raise DecoderError("ended at start")

    async def _spawn(self) -> _Decoder:
        assert self._listener is not None
        listen = self._listener.fileno()
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command(listen, write_end, self._rules, self._jobs, text=self._text),
                pass_fds=(listen, write_end),
                env={},
                cwd=source_root(),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        one = _Decoder(process, asyncio.Event(), asyncio.Event())
        self._decoders.append(one)
        self._task(self._watch(one, read_end))
        return one

    async def _watch(self, one: _Decoder, status: int) -> None:
        """Read a decoder's status pipe until it ends, then see whether it must be replaced."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(status, "rb", buffering=0)
        )
        try:
            one.layers = tuple((await reader.readline()).decode("ascii", "replace").strip().split(","))
            while word := await reader.read(1):
                if word == READY:
                    one.ready.set()
                    self._failures = 0
                elif word == RETIRE and not one.retiring:
                    self._task(self._succeed(one))
        finally:
            transport.close()
        code = await one.process.wait()
        one.gone.set()
        self._decoders.remove(one)
        if not one.retiring and not self._stopping:
            self._log(f"decoder {one.process.pid} ended with {code}; starting another")
            self._task(self._restart())

    async def _restart(self) -> None:
        await asyncio.sleep(min(RESTART_MOST_S, RESTART_S * 2**self._failures) if self._failures else 0)
        self._failures = min(10, self._failures + 1)
        if not self._stopping:
            await self._spawn()

    async def _succeed(self, old: _Decoder) -> None:
        """A worn decoder goes on until its successor accepts."""
        old.retiring = True
        fresh = await self._spawn()
        try:
            await self._wait(fresh)
        except DecoderError:
            self._log("a successor did not start")
        self._signal(old)

    def _retire(self, one: _Decoder) -> None:
        one.retiring = True
        self._signal(one)

    def _signal(self, one: _Decoder) -> None:
        if one.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.process.pid, signal.SIGTERM)  # terminate() may reap the child behind the loop's back
            self._task(self._make_sure(one))

    async def _make_sure(self, one: _Decoder) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await one.gone.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.process.pid, signal.SIGKILL)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
