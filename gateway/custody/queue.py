"""The queue process: what is due is tried again, delays lapse, holds expire, and what crashes left is healed.

It looks twice a second, because other processes put rows there; a look that finds nothing costs three indexed reads.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.config import Config
from gateway.custody.courier import STOP_S, Courier, settle_down
from gateway.custody.custody import MAX_BATCH, Busy, Custody, CustodyUnavailable
from gateway.custody.delivery import Action, Delivery, State, Verb
from gateway.custody.desk import keeper_socket, open_courier, open_desk, open_releaser
from gateway.custody.notices import Notices
from gateway.custody.release import Gone, Releaser
from gateway.custody.sweeper import Sweeper
from gateway.custody.told import KeeperTold
from gateway.process import lifeline, logs
from gateway.recording.recorder import RecorderUnavailable
from gateway.store.errors import StoreDamaged, StoreUnavailable

LOOK_S = 0.5
AT_ONCE = 100
"""Attempts under way in this process; each may hold a message of the largest size in memory twice."""
PER_HOP = 20
"""Of these, for one next hop: a dead or slow one can't take them all. (The pool's own cap per hop is the connections'.)"""
HOUSEKEEPING = timedelta(seconds=30)
EXPIRING = frozenset({State.AWAITING_APPROVAL, State.QUARANTINED, State.UNDELIVERABLE})
LAPSING = 50
"""Delayed deliveries judged again in one look: judging costs CPU that workers need."""
TROUBLE = (StoreUnavailable, StoreDamaged, RecorderUnavailable, CustodyUnavailable, Busy, Gone)


class Queue:
    """``turn`` is one look; ``run`` looks until told to stop. ``dead`` says whether a delivery's process is gone."""

    def __init__(
        self,
        custody: Custody,
        courier: Courier,
        releaser: Releaser,
        notices: Notices,
        sweeper: Sweeper,
        *,
        dead: Callable[[Delivery], bool],
        log: logging.Logger,
    ) -> None:
        self._custody, self._courier, self._releaser = custody, courier, releaser
        self._notices, self._sweeper, self._dead, self._log = notices, sweeper, dead, log
        self._under_way: dict[str, asyncio.Task[object]] = {}
        self._per_hop: Counter[str] = Counter()
        self._cleaned: datetime | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Until ``stopping`` is set; then wait for what is under way."""
        while not stopping.is_set():
            await self._guarded("look", self.turn())
            try:
                async with asyncio.timeout(LOOK_S):
                    await stopping.wait()
            except TimeoutError:
                continue
        await self.drain()

    async def turn(self) -> int:
        """One look: start what is due, lapse, expire, heal. Says how many attempts it started."""
        now = self._custody.now()
        if self._cleaned is None or now - self._cleaned >= HOUSEKEEPING:
            self._cleaned = now
            await self._guarded("recover", self._custody.recover(self._dead))
            await self._guarded("sweep", self._sweeper.sweep())
        started = await self._attempts(now)
        await self._lapse(now)
        await self._guarded("expire", self._expire(now))
        return started

    async def drain(self, patience_s: float = STOP_S) -> None:
        """Wait for the attempts under way; what is not done in time is broken off."""
        await settle_down(self._under_way.values(), patience_s)

    async def _attempts(self, now: datetime) -> int:
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            return 0
        full = {hop for hop, count in self._per_hop.items() if count >= PER_HOP}
        # What is under way is ``sending`` only once its first swap is durable: until then it is found here again, hence twice as many.
        due = await self._custody.store.due({State.QUEUED}, now, 2 * AT_ONCE, full)
        started = 0
        for delivery in due:
            if started >= free or delivery.id in self._under_way or self._per_hop[delivery.next_hop] >= PER_HOP:
                continue
            self._begin(delivery)
            started += 1
        return started

    def _begin(self, delivery: Delivery) -> None:
        self._per_hop[delivery.next_hop] += 1
        task: asyncio.Task[object] = asyncio.create_task(self._guarded("attempt", self._courier.attempt(delivery)))
        self._under_way[delivery.id] = task

        def ended(_: "asyncio.Task[object]") -> None:
            self._under_way.pop(delivery.id, None)
            self._per_hop[delivery.next_hop] -= 1
            if not self._per_hop[delivery.next_hop]:
                del self._per_hop[delivery.next_hop]

        task.add_done_callback(ended)

    async def _lapse(self, now: datetime) -> None:
        for delivery in await self._custody.store.due({State.DELAYED}, now, LAPSING):
            await self._guarded("lapse", self._releaser.lapsed(delivery))

    async def _expire(self, now: datetime) -> None:
        while due := await self._custody.store.due(EXPIRING, now, MAX_BATCH):
            for delivery in due:
                await self._tell(delivery)
            done = await self._custody.change_all([(each, Action(Verb.EXPIRE, why="nobody-answered")) for each in due])
            if not any(done):
                return

    async def _tell(self, delivery: Delivery) -> None:
        """Before the row is gone: the sender was told 250 and must hear that nothing came of it. Made again after a crash, it is one."""
        held = await self._custody.store.held(delivery.message_id)
        if held is not None and delivery.state is not State.UNDELIVERABLE and self._notices.may_tell(held):
            await self._notices.ended(held, delivery, expired=True)

    async def _guarded(self, what: str, work: Coroutine[Any, Any, object]) -> None:
        """One thing that fails does not keep the others from being done; it is seen again at the next look."""
        try:
            await work
        except TROUBLE as error:
            self._log.warning("queue", extra={"fields": {"step": what, "error": type(error).__name__}})


async def serve(config: Config, ready: Callable[[], None], log: logging.Logger) -> None:
    """Build, say that we are ready, look until SIGTERM, finish."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        open_desk(config, "queue") as desk,
        open_releaser(desk) as releaser,
        open_courier(desk, releaser, log) as courier,
    ):

        def dead(delivery: Delivery) -> bool:
            return desk.owner.dead(delivery, desk.custody.now())

        older_than = timedelta(seconds=2 * config.limits.reply_budget_s)
        sweeper = Sweeper(desk.custody, KeeperTold(keeper_socket(config)), dead, older_than)
        ready()
        await Queue(desk.custody, courier, releaser, desk.notices, sweeper, dead=dead, log=log).run(stopping)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the process that the supervisor starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args(argv)
    lifeline.end_with_parent()
    log = logs.start("queue")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def ready() -> None:
        if arguments.ready_fd >= 0:
            os.write(arguments.ready_fd, b"1")
            os.close(arguments.ready_fd)

    asyncio.run(serve(configuration.load(arguments.config), ready, log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
