"""A real keeper for tests: in this process over a real socket and a real folder, with a clock that tests turn."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gateway.config import Config, Gateway
from gateway.recording.keeper import paths, serve
from gateway.recording.keeping import Surroundings
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.socket_recorder import SocketRecorder

T = TypeVar("T")
PATIENCE_S = 120.0
"""The machine may be busy."""
NOW = datetime(2026, 11, 22, 2, 10, 31, 482000, UTC)


@dataclass
class Clock:
    """Wall and monotonic time as the test says."""

    at: datetime = NOW
    offset: float = 0.0
    died: list[str] = field(default_factory=list)
    calls: int = 0

    def monotonic(self) -> float:
        self.calls += 1
        return time.monotonic() + self.offset


async def ticks(clock: Clock) -> None:
    """Returns when the keeper has looked at the clock a few times more."""
    until = clock.calls + 4
    async with asyncio.timeout(PATIENCE_S):
        while clock.calls < until:
            await asyncio.sleep(0.005)


async def at_last(ask: Callable[[], Awaitable[T]]) -> T:
    """What is asked for, however often a busy machine makes the asker lose patience."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(RecorderUnavailable):
                return await ask()


def config_for(state: Path) -> Config:
    return Config(Gateway("gw.test", ("corp.test",), state_dir=state))


@contextlib.asynccontextmanager
async def keeper(state: Path, clock: Clock | None = None) -> AsyncIterator[Path]:
    """Its socket, while it runs."""
    clock = clock or Clock()
    stopping = asyncio.Event()
    around = Surroundings(lambda: clock.at, clock.monotonic, os.urandom, lambda: clock.died.append("died"))
    config = config_for(state)
    where = paths(state).socket
    where.unlink(missing_ok=True)
    task = asyncio.create_task(
        serve(config, logging.getLogger("test"), around, stopping, reserve_bytes=0, publish_s=0.02)
    )
    while not where.exists() and not task.done():
        await asyncio.sleep(0)
    if task.done():
        await task
    try:
        yield where
    finally:
        stopping.set()
        await task


@contextlib.asynccontextmanager
async def recorder(socket: Path, name: str = "worker", patience_s: float = PATIENCE_S) -> AsyncIterator[SocketRecorder]:
    """One connected to it."""
    made = SocketRecorder(socket, name, time.monotonic, patience_s)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
