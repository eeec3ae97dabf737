"""Work done beside the mail every few seconds; one that fails is tried again at its next turn."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from gateway.context.dmarc_aggregate import AggregateUnavailable
from gateway.context.history import HistoryUnavailable
from gateway.recording.recorder import RecorderUnavailable

TROUBLE = (HistoryUnavailable, AggregateUnavailable, RecorderUnavailable)


@dataclass(frozen=True, slots=True)
class Chore:
    """What to do, and the pause after it in seconds."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[object]]


async def do_for_ever(chores: tuple[Chore, ...], log: logging.Logger) -> None:
    """Until cancelled."""

    async def keep_doing(chore: Chore) -> None:
        while True:
            await asyncio.sleep(chore.every_s)
            try:
                await chore.work()
            except TROUBLE as error:
                log.warning("chore", extra={"fields": {"chore": chore.name, "error": str(error)}})

    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(keep_doing(chore))


@contextlib.asynccontextmanager
async def doing(chores: tuple[Chore, ...], log: logging.Logger) -> AsyncIterator[None]:
    """Do them while the block runs."""
    task = asyncio.create_task(do_for_ever(chores, log))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
