"""A process's standing connection to the keeper: made again whenever it ends; requests go out with a number, answers come back by it."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, cast

from gateway.recording.keeper_protocol import (
    Answer,
    Appended,
    Base,
    Forget,
    Frames,
    Hello,
    Problem,
    ProtocolError,
    Push,
    Retire,
    Room,
    Welcome,
    decode_answer,
    encode,
)
from gateway.recording.recorder import RecorderUnavailable

BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits between attempts to connect; the last one repeats."""
GREETING_S = 1.0
"""A keeper that was killed may take a last connection and never answer: then try again, rather than wait out the patience."""
SILENT = "the keeper does not answer 审计进程无响应; see: sealgate doctor"
_Answered = TypeVar("_Answered", bound=Base)


class Caller(Protocol):
    """Who is behind a link."""

    def claims(self) -> list[str]:
        """Messages whose relay is under way here: said at every new connection."""
        ...

    def greeted(self, welcome: Welcome) -> None:
        """Connected, and the keeper knows us."""
        ...

    def parted(self) -> None:
        """The connection is gone; what lived with it is over."""
        ...

    def heard(self, message: Push | Appended) -> None:
        """What nobody waits for in ``ask``."""
        ...


class _Lost(RecorderUnavailable):
    """The connection ended before the answer came."""


class KeeperLink:
    """``name`` stands in the keeper's logs. ``clock`` is monotonic seconds; calls wait for the keeper for ``patience_s``."""

    def __init__(self, path: Path, name: str, caller: Caller, clock: Callable[[], float], patience_s: float) -> None:
        self._path, self._name, self._caller, self._clock, self._patience_s = path, name, caller, clock, patience_s
        self._wire: _Wire | None = None
        self._ready = asyncio.Event()
        self._closing = False
        self._runner: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    async def open(self) -> None:
        """Connect, and stay connected. Raises RecorderUnavailable after the patience; it goes on trying all the same."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._stay_connected())
        await self.connected()

    async def close(self) -> None:
        """End the connection, and make no other."""
        self._closing = True
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
            self._runner = None
        if self._wire is not None:
            self._wire.close()

    async def connected(self) -> None:
        """Wait for the connection. Raises RecorderUnavailable."""
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._ready.wait()
        except TimeoutError:
            raise RecorderUnavailable(SILENT) from None

    def post(self, request: Callable[[int], Base]) -> int | None:
        """Send what is made with a number; its answer is ``heard``. None: there is no connection, nothing was sent."""
        if self._wire is None or not self._ready.is_set():
            return None
        self._number += 1
        self._wire.send(request(self._number))
        return self._number

    def tell(self, message: Base) -> None:
        """Send what has no answer; lost when there is no connection."""
        if self._wire is not None:
            self._wire.send(message)

    async def ask(self, request: Callable[[int], Base], kind: type[_Answered]) -> _Answered:
        """One request, one answer; over the next connection if this one ends, within the patience. Raises RecorderUnavailable."""
        until = self._clock() + self._patience_s
        while True:
            await self.connected()
            try:
                return await self._ask(request, kind)
            except _Lost:
                if self._clock() >= until:
                    raise

    async def _ask(self, request: Callable[[int], Base], kind: type[_Answered]) -> _Answered:
        if self._wire is None:
            raise _Lost("not connected to the keeper")
        self._number += 1
        number = self._number
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._wire.send(request(number))
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await future
        except TimeoutError:
            raise RecorderUnavailable(SILENT) from None
        finally:
            self._asked.pop(number, None)
        if isinstance(answer, Problem):
            raise RecorderUnavailable(answer.text)
        if not isinstance(answer, kind):
            raise RecorderUnavailable("the keeper answered something else")
        return answer

    async def _stay_connected(self) -> None:
        attempt = 0
        while not self._closing:
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            try:
                _, wire = await asyncio.get_running_loop().create_unix_connection(
                    lambda lost=lost: _Wire(self._answered, lost),  # type: ignore[misc]
                    str(self._path),
                )
            except OSError:
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
                continue
            self._wire = wire
            try:
                if await self._greet():
                    attempt = 0
                    await lost
            finally:
                self._parted()
                wire.close()

    async def _greet(self) -> bool:
        try:
            async with asyncio.timeout(GREETING_S):
                welcome = await self._ask(lambda number: Hello(number, self._name, self._caller.claims()), Welcome)
        except (RecorderUnavailable, TimeoutError):
            return False
        self._ready.set()
        self._caller.greeted(welcome)
        return True

    def _parted(self) -> None:
        self._wire = None
        self._ready.clear()
        self._caller.parted()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(_Lost("the keeper went away"))
        self._asked.clear()

    def _answered(self, message: Answer) -> None:
        match message:
            case Appended() | Retire() | Forget() | Room():
                self._caller.heard(message)
            case _:
                future = self._asked.pop(message.id, None)
                if future is not None and not future.done():
                    future.set_result(message)


class _Wire(asyncio.Protocol):
    """The worker's end of the socket."""

    def __init__(self, answered: Callable[[Answer], None], lost: "asyncio.Future[None]") -> None:
        self._answered, self._lost = answered, lost
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Answers and pushes."""
        try:
            for frame in self._frames.feed(data):
                self._answered(decode_answer(frame))
        except ProtocolError:
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Gone."""
        self._transport = None
        if not self._lost.done():
            self._lost.set_result(None)

    def send(self, message: Base) -> None:
        """Dropped when the connection is gone: the caller's request is then repeated, or fails."""
        if self._transport is not None:
            self._transport.write(encode(message))

    def close(self) -> None:
        """Flush and end."""
        if self._transport is not None:
            self._transport.close()
