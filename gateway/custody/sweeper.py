"""What custody leaves behind: pending rows of dead processes, blobs without rows, finished messages, half-written files.

A pending row was never acknowledged unless the log says so. If the event that tells of it is in the log, the row goes on as decided
(the client may send it again: a duplicate with a trace); if not, it is swept by the same compare-and-swap that taking uses, so of the
two one wins.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from audit.event import id_time_ms
from gateway.custody.custody import MAX_BATCH, Custody, CustodyUnavailable, Taken
from gateway.custody.delivery import Delivery, State


class Told(Protocol):
    """What the log can say about its own past."""

    async def told(self, event_ids: Collection[str], since: int) -> tuple[frozenset[str], int]:
        """Which of these event ids stand in the log from index ``since`` on, and how far it was read. Raises RecorderUnavailable."""
        ...


BLOBS_EVERY = timedelta(hours=1)
"""Between two comparisons of the folder with the rows: they cost a look at every blob, and what they find is only waste."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one pass did."""

    settled: int = 0
    swept: int = 0
    blobs: int = 0
    forgotten: int = 0
    purged: int = 0


class Sweeper:
    """``older_than`` is twice the reply budget: until then a worker may still be at it. ``dead`` says whether a row's process is gone."""

    def __init__(
        self,
        custody: Custody,
        log: Told,
        dead: Callable[[Delivery], bool],
        older_than: timedelta = timedelta(seconds=480),
    ) -> None:
        self._custody, self._log, self._dead, self._older_than = custody, log, dead, older_than
        self._compared: datetime | None = None

    async def sweep(self) -> Swept:
        """One pass. Raises StoreUnavailable or RecorderUnavailable; the next pass goes on where this one stopped."""
        settled, swept = await self._pending()
        blobs = await self._blobs()
        forgotten = 0
        while finished := await self._custody.store.forgettable(self._custody.now(), MAX_BATCH):
            await self._custody.tidy(set(finished))
            forgotten += len(finished)
        purged = 0
        while gone := await self._custody.store.purge(self._custody.now() - self._custody.times.ids, MAX_BATCH):
            purged += gone
        return Swept(settled, swept, blobs, forgotten, purged)

    async def _pending(self) -> tuple[int, int]:
        store, cutoff = self._custody.store, self._custody.now() - self._older_than
        settled = swept = young = 0
        cursor, since = "", await store.applied_to()
        end = since
        while rows := await store.unfinished(MAX_BATCH, cursor):
            cursor = rows[-1].id
            pending = [row for row in rows if row.state is State.PENDING]
            old = [row for row in pending if row.created_at < cutoff and self._dead(row)]
            young += len(pending) - len(old)
            if old:
                told, end = await self._log.told({row.decided for row in old}, since)
                settled += await self._settle([row for row in old if row.decided in told])
                unknown = [row for row in old if row.decided not in told]
                await self._custody.drop(Taken(tuple(unknown)))
                swept += len(unknown)
        if not young and end > since:  # every row told of below ``end`` has been settled: the next look starts there
            await store.set_applied_to(end)
        return settled, swept

    async def _settle(self, rows: list[Delivery]) -> int:
        if rows:
            try:
                await self._custody.settle_pending(rows)
            except CustodyUnavailable:
                return 0  # somebody swept one of them; the rest are seen by the next pass
        return len(rows)

    async def _blobs(self) -> int:
        custody = self._custody
        now = custody.now()
        if self._compared is not None and now - self._compared < BLOBS_EVERY:
            return 0
        cutoff = now - self._older_than
        await custody.blobs.drafts_older_than(cutoff.timestamp())
        old = [name for name in await custody.blobs.names() if _made(name) < cutoff]
        removed = 0
        for start in range(0, len(old), MAX_BATCH):
            batch = old[start : start + MAX_BATCH]
            orphans = set(batch) - await custody.store.keyed({_message_of(name) for name in batch})
            await custody.blobs.delete(*sorted(orphans))
            removed += len(orphans)
        self._compared = now
        return removed


def _message_of(name: str) -> str:
    return name.partition("-")[0]


def _made(name: str) -> datetime:
    """A blob's name begins with its message's id, which begins with the time of reception."""
    try:
        return datetime.fromtimestamp(id_time_ms(_message_of(name)) / 1000, UTC)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # not ours: left alone
