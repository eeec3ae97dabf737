"""One connection to the keeper: cuts frames, hands requests to the verbs, holds back those who send faster than the disk."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

from gateway.recording.keeper_protocol import Base, Frames, ProtocolError, Request, decode_request, encode
from gateway.recording.keeping import Keeper

MAX_CONNECTIONS = 512
"""Workers, queue, console and commands of one node."""


class Connection(asyncio.Protocol):
    """One worker's connection: cuts frames, answers requests."""

    def __init__(self, keeper: Keeper, number: int, handle: "Callable[[Connection, Request], None]") -> None:
        self.keeper, self.number, self._handle = keeper, number, handle
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._held: list[bool] = [False, False]
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Taken in, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        if len(self.keeper.connections) >= MAX_CONNECTIONS:
            self.keeper.logger.error("too many connections")
            self._transport.abort()
            return
        self.keeper.connections[self.number] = self

    def connection_lost(self, _: Exception | None) -> None:
        """Its intents are now nobody's."""
        self._transport = None
        for task in self._tasks:
            task.cancel()
        self.keeper.lost(self.number)

    def data_received(self, data: bytes) -> None:
        """Requests, pipelined."""
        try:
            for frame in self._frames.feed(data):
                self._handle(self, decode_request(frame))
        except ProtocolError as error:
            self.keeper.logger.error("protocol error", extra={"fields": {"why": str(error)}})
            self.close()

    def pause_writing(self) -> None:
        """It doesn't read its answers: read no more requests from it."""
        self._hold(0, True)

    def resume_writing(self) -> None:
        """It reads again."""
        self._hold(0, False)

    def pause(self) -> None:
        """Too much waits for the disk."""
        self._hold(1, True)

    def resume(self) -> None:
        """The disk has caught up."""
        self._hold(1, False)

    def _hold(self, why: int, held: bool) -> None:
        before = any(self._held)
        self._held[why] = held
        after = any(self._held)
        if self._transport is None or before == after:
            return
        with contextlib.suppress(RuntimeError):  # closing already
            if after:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def send(self, message: Base) -> None:
        """An answer, or a push; dropped when the connection is gone."""
        if self._transport is not None:
            self._transport.write(encode(message))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a longer answer beside the others."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Flush and end."""
        if self._transport is not None:
            self._transport.close()
