"""A crash at every step of taking, releasing, sending and bouncing, before and after the step was durable; then a restart heals.

What must hold whatever died where: acknowledged mail is sent once or stands in the log as unknown, never sent twice, never lost; nothing
stays half done; nothing is kept that no row needs.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable

import pytest

from gateway.config import Operator, Route
from gateway.custody.courier import Courier
from gateway.custody.custody import Custody
from gateway.custody.delivery import State
from gateway.custody.house import House
from gateway.custody.notices import Notices
from gateway.custody.outward import Outward
from gateway.custody.queue import Queue
from gateway.custody.release import Rejudged, Releaser
from gateway.custody.sweeper import Sweeper
from gateway.hops import Hops
from gateway.routes import Routes
from gateway.schedule import RetryStrategy
from gateway.schedule import parse as schedule
from gateway.smtp.reply import Reply
from gateway.store.protocol import Filter
from policies.decision import DELIVER
from tests.fakes.carrier import FakeCarrier
from tests.gateway.custodian import Custodian
from tests.gateway.samples import RAW, decided, decision, envelope, reason, share

STEPS = frozenset({"insert", "save", "forget", "set_applied_to", "put", "delete", "record", "message_key", "send"})
MOST_STEPS = 60
"""No scenario has more; a fuse beyond its last step never burns, which ends the table."""
WANG = Operator("wang", "wang@corp.test")
APPROVE = decision(reason())
ROUTES = Routes.of([Route("*", "smtp://127.0.0.1:2600")])


class Crash(BaseException):
    """The process is gone: nothing may catch it."""


class Fuse:
    """Burns at the n-th durable step, just before it or just after."""

    def __init__(self, n: int, when: str) -> None:
        self.left, self.when, self.burnt = n, when, ""

    async def step(self, name: str, work: Callable[[], Awaitable[object]]) -> object:
        if self.burnt:
            raise Crash(name)
        self.left -= 1
        burns = self.left == 0
        if burns and self.when == "before":
            self.burnt = name
            raise Crash(name)
        result = await work()
        if burns:
            self.burnt = name
            raise Crash(name)
        return result


class Fused:
    """Any part, with a fuse in front of its durable steps."""

    def __init__(self, part: object, fuse: Fuse) -> None:
        self._part, self._fuse = part, fuse

    def __getattr__(self, name: str) -> object:
        found = getattr(self._part, name)
        if name not in STEPS:
            return found
        return lambda *a, **k: self._fuse.step(name, lambda: found(*a, **k))


class Process:
    """Custody, courier, releaser and queue over the parts given."""

    def __init__(self, at: Custodian, carrier: object, fuse: Fuse, owner: str, says=APPROVE) -> None:
        store, blobs, recorder = (Fused(part, fuse) for part in (at.store, at.blobs, at.recorder))
        self.custody = Custody(store, blobs, recorder, clock=at.clock, ids=at.ids, owner=owner)
        notices = Notices(
            self.custody, recorder, ROUTES, House("gw.test", "postmaster@corp.test", frozenset({"corp.test"})), at.clock
        )

        async def rejudge(of, raw):
            return Rejudged(tuple((person, says) for person in of.recipients), "judge-1")

        self.releaser = Releaser(self.custody, rejudge, ROUTES, "judge-1")
        log = logging.getLogger("faults")
        outward = Outward(Fused(carrier, fuse), lambda: 0.0, ROUTES, Hops())
        self.courier = Courier(self.custody, outward, notices, RetryStrategy(schedule("1m")), self.releaser, log)
        self.queue = Queue(
            self.custody, self.courier, self.releaser, notices, Sweeper(self.custody, at.log, lambda d: d.owner != owner),
            dead=lambda d: d.owner != owner, log=log,
        )  # fmt: skip


async def scene_hold(at, house, acked):
    await house.custody.take(envelope(), RAW, (share(APPROVE),), decided(), await at.key())
    acked.append(envelope().id)


async def scene_send(at, house, acked):
    taken = await house.custody.take(envelope(), RAW, (share(DELIVER),), decided(), await at.key())
    acked.append(envelope().id)
    await house.courier.attempt(taken.deliveries[0])


async def scene_release(at, house, acked):
    await scene_hold(at, house, acked)
    (row,) = (await at.store.page(Filter())).deliveries
    done = await house.releaser.release(row, WANG, "fine")
    await house.courier.attempt(done.delivery)


async def scene_bounce(at, house, acked):
    await scene_send(at, house, acked)
    await house.queue.turn()
    await house.queue.drain()


async def scene_deferred(at, house, acked):
    taken = await house.custody.take_deferred(envelope(), RAW, share(DELIVER), decided())
    await house.custody.settle(taken, (decided(),), await at.key())
    acked.append(envelope().id)


SCENES = {
    s.__name__.removeprefix("scene_"): s for s in (scene_hold, scene_send, scene_release, scene_bounce, scene_deferred)
}


async def crashed_and_healed(folder, scene: str, n: int, when: str):
    """One line of the table: run into the crash, then a new process for some hours. None when the fuse was beyond the last step."""
    at = await Custodian.start(folder)
    carrier = FakeCarrier()
    if scene == "bounce":
        carrier.say["buyer@acme.example"] = Reply(550, "5.1.1", "unknown")
    fuse, acked = Fuse(n, when), []
    says = APPROVE if scene in ("hold", "release") else DELIVER
    with contextlib.suppress(Crash):
        await SCENES[scene](at, Process(at, carrier, fuse, "first", says), acked)
    if not fuse.burnt:
        await at.close()
        return None
    other = await at.again()
    house = Process(other, carrier, Fuse(0, "never"), "second", says)
    for _ in range(6):
        at.clock.go(minutes=20)
        await house.queue.turn()
        await house.queue.drain()
    rows = (await other.store.page(Filter(), limit=100)).deliveries
    keyed = await other.store.keyed([name.partition("-")[0] for name in await other.blobs.names()])
    result = (fuse.burnt, bool(acked), rows, carrier.taken, at.recorder.events, set(await other.blobs.names()) - keyed)
    await at.close()
    await other.close()
    return result


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("scene", SCENES)
async def test_every_step_may_be_the_last(tmp_path, scene, when):
    burnt = []
    for n in range(1, MOST_STEPS):
        folder = tmp_path / str(n)
        folder.mkdir()
        found = await crashed_and_healed(folder, scene, n, when)
        if found is None:
            break
        step, acked, rows, sent, events, orphans = found
        burnt.append(step)
        where = f"{scene}: {when} step {n} ({step})"
        told = [event.type for event in events if event.msg == envelope().id]
        mine = [data for _, mail, data in sent if data.endswith(RAW) and mail.sender]
        assert not {row.state for row in rows} & {State.PENDING, State.SENDING, State.CLOSING}, where
        assert all(row.intent is None for row in rows), where
        assert not orphans, where
        assert len(mine) <= 1, f"{where}: sent twice"
        assert len({event.id for event in events}) == len(events)
        if not acked and "message.decided" not in told:
            assert not rows, f"{where}: kept though nobody was told"
            assert not mine, where
        elif scene in ("hold",) or (scene == "release" and "message.released" not in told):
            assert [row.state for row in rows] == [State.AWAITING_APPROVAL], where
            assert not mine, where
        elif scene == "bounce":
            bounces = [data for _, mail, data in sent if not mail.sender and b"message/delivery-status" in data]
            unknown = "message.outcome_unknown" in [event.type for event in events]
            assert len(bounces) + unknown >= 1, f"{where}: the sender never hears of it"
            assert len(bounces) <= 1, where
        else:
            unknown = [row for row in rows if row.state is State.OUTCOME_UNKNOWN]
            assert len(mine) == 1 or unknown, f"{where}: lost"
            assert ("message.delivered" in told) != ("message.outcome_unknown" in told), where
    assert len(burnt) >= {"hold": 4, "send": 9, "release": 13, "bounce": 12, "deferred": 4}[scene], burnt
    assert {"put", "insert", "record", "save"} <= set(burnt)
