"""What the gateway remembers beside custody and log: correspondents and DMARC counts, each in a file and under a key of its own."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.config import Config
from gateway.context.correspondents import Correspondents
from gateway.context.dmarc_aggregate import Aggregates, AggregateUnavailable
from gateway.context.history import HistoryUnavailable, SqlHistory
from gateway.store.database import sqlite_engine
from gateway.store.errors import StoreUnavailable
from gateway.store.sealing import load_key


@dataclass(frozen=True, slots=True)
class Memory:
    """None where a file can't be used: mail goes on, and first contact is unknown or DMARC isn't counted."""

    correspondents: Correspondents | None = None
    aggregates: Aggregates | None = None


@contextlib.asynccontextmanager
async def open_memory(config: Config, now: Callable[[], datetime], log: logging.Logger) -> AsyncIterator[Memory]:
    """Open both; flush and close them at the end. Never raises for a file: it is said in the log."""
    state = config.gateway.state_dir
    keys = state / "keys"
    async with contextlib.AsyncExitStack() as stack:
        correspondents: Correspondents | None = None
        aggregates: Aggregates | None = None
        try:
            history = await SqlHistory.open(
                sqlite_engine(state / "history.db"), load_key(keys / "history.key").key, clock=time.monotonic
            )
            stack.push_async_callback(history.close)
            correspondents = Correspondents(history, config.gateway.local_domains, time.monotonic, now, log)
            stack.push_async_callback(_last, correspondents.flush, log)
        except (HistoryUnavailable, StoreUnavailable) as error:
            log.error("history unavailable 往来记录不可用", extra={"fields": {"error": str(error)}})
        try:
            aggregates = Aggregates(
                sqlite_engine(state / "aggregate.db"), load_key(keys / "aggregate.key").derived("dmarc")
            )
            stack.push_async_callback(_last, aggregates.close, log)
        except StoreUnavailable as error:
            log.error("DMARC counts unavailable", extra={"fields": {"error": str(error)}})
        yield Memory(correspondents, aggregates)


async def _last(work: Callable[[], object], log: logging.Logger) -> None:
    try:
        await work()  # type: ignore[misc]
    except (HistoryUnavailable, AggregateUnavailable) as error:
        log.error("not written at the end", extra={"fields": {"error": str(error)}})
