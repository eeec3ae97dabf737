"""One attempt to deliver: prepare the bytes, hand them over, and make what the next hop said true, in the log and in the store.

Whoever made the delivery makes the first attempt at once (a worker); the queue process makes all others. Both are this code, and the
compare-and-swap into ``sending`` decides who of two may.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.config import Route
from gateway.custody.bounce import Action as Told
from gateway.custody.bounce import Fate
from gateway.custody.custody import Busy, Custody, CustodyUnavailable, Taken
from gateway.custody.delivery import HELD, Action, Addressee, Answer, Delivery, State, Verb
from gateway.custody.notices import Notices
from gateway.custody.outward import Outward, route_of
from gateway.custody.release import Gone, Releaser
from gateway.custody.waivers import holding, unanswered
from gateway.recording.recorder import RecorderUnavailable
from gateway.schedule import RetryStrategy
from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import RecipientReply
from gateway.smtp.reply import Reply
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.protocol import Held
from gateway.treatments.addressing import redirected
from gateway.treatments.table import Treated, Unmet
from policies.decision import Decision, Disposition, Reason
from scanners.message import Recipient

T = TypeVar("T")

ATTEMPT_S = 600.0
"""For everything up to the final dot; with its answer (RFC 5321 4.5.3.2.6: ten minutes) an attempt ends well within its lease."""
POISON = 3
"""Attempts that took their process down with them; after these the delivery is kept for the postmaster, unsent."""
PATIENCE = 30
"""Tries, a second apart, to make an outcome durable while store or log do not answer; then recovery finds it unknown."""
PAUSE_S = 1.0
THREAD_ABOVE = 64 << 10
STOP_S = 20.0
"""A stopping process waits so long for attempts under way; below the supervisor's own patience."""
FIRST_ATTEMPTS = 200
"""First attempts a worker runs at once; what is beyond waits for the queue process, which sees it within a second."""


TELLING = frozenset({"notify-sender", "notify-recipient"})


class Courier:
    """See the module. ``releaser`` judges again when the judge is not the one that looked before."""

    def __init__(
        self,
        custody: Custody,
        outward: Outward,
        notices: Notices,
        strategy: RetryStrategy,
        releaser: Releaser,
        log: logging.Logger,
    ) -> None:
        self._custody, self._outward, self._notices = custody, outward, notices
        self._strategy, self._releaser, self._log = strategy, releaser, log
        self._tasks: set[asyncio.Task[object]] = set()

    def attempt_soon(self, taken: Taken) -> None:
        """Begin the first attempts, and tell people of held mail; what a crash cuts off is the queue process's."""
        for delivery in taken.permitted:
            self._start(self.attempt(delivery))
        for delivery in taken.deliveries:
            if delivery.state in HELD and TELLING & {treatment.kind for treatment in delivery.decision.treatments}:
                self._start(self._notify(delivery))

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        if len(self._tasks) >= FIRST_ATTEMPTS:
            work.close()
            return
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, patience_s: float = STOP_S) -> None:
        """Wait for the attempts that have begun; those not done in time are broken off, which is a deferral or an unknown outcome."""
        await settle_down(self._tasks, patience_s)

    async def _notify(self, delivery: Delivery) -> None:
        try:
            held = await self._custody.store.held(delivery.message_id)
            if held is None:
                return
            asked = {treatment.kind for treatment in delivery.decision.treatments}
            if "notify-sender" in asked:
                await self._notices.held(held, delivery, holding(delivery.decision))
            if "notify-recipient" in asked and (raw := await self._custody.raw(delivery.message_id)) is not None:
                await self._notices.quarantined(held, delivery, holding(delivery.decision), raw)
        except (StoreUnavailable, StoreDamaged, RecorderUnavailable, CustodyUnavailable) as error:
            self._log.warning(
                "nobody told of held mail",
                extra={"fields": {"msg": delivery.message_id, "error": type(error).__name__}},
            )

    async def attempt(self, delivery: Delivery) -> tuple[Delivery, ...]:
        """Try once. Gives what it became; the delivery itself when it is somebody else's or could not be begun."""
        try:
            return await self._attempt(delivery)
        except (Busy, Gone):
            return (delivery,)
        except (StoreUnavailable, RecorderUnavailable, CustodyUnavailable) as error:
            fields = {"msg": delivery.message_id, "delivery": delivery.id, "error": type(error).__name__}
            self._log.error("attempt broken off", extra={"fields": fields})
            return (delivery,)

    async def _attempt(self, delivery: Delivery) -> tuple[Delivery, ...]:
        custody = self._custody
        held = await custody.store.held(delivery.message_id)
        if held is None:
            raise Gone(delivery.message_id)
        if delivery.abandoned >= POISON:
            return await self._strand(held, delivery, "every attempt ended the process")
        try:
            raw = await custody.raw(delivery.message_id)
        except StoreDamaged:
            raw = None
        if raw is None:
            return await self._strand(held, delivery, "the stored message is damaged or missing")
        begin = custody.attempt_action()
        if not self._releaser.is_current(delivery, held):
            decision, version = await self._releaser.judged(delivery, held)
            if unanswered(decision, delivery.waivers, delivery.content, delivery.addresses):
                return ((await self._releaser.ask_anew(delivery, decision, version)).delivery,)
            begin = replace(begin, decision=decision, judged=version)
        decision = begin.decision or delivery.decision
        route = route_of(self._outward.routes, delivery, decision)
        if route is None:
            (sending,) = await custody.change(delivery, begin)
            return await self._outcome(
                held, sending, raw, _nowhere(sending, Reply(451, "4.3.5", "no route is configured"))
            )

        def prepare() -> Treated | Unmet:
            return self._outward.prepared(held, delivery, decision, route, raw, custody.now())

        ready = prepare() if len(raw) <= THREAD_ABOVE else await asyncio.to_thread(prepare)
        if isinstance(ready, Unmet):
            return await self._unmet(delivery, decision, ready)
        (sending,) = await custody.change(delivery, begin)
        return await self._carry(held, sending, route, raw, ready)

    async def _unmet(self, delivery: Delivery, decision: Decision, unmet: Unmet) -> tuple[Delivery, ...]:
        """What cannot be treated does not leave: it waits, and says why."""
        reason = Reason(f"treatment.{unmet.kind}", "unmet", Disposition.APPROVE, unmet.title, waivable=False)
        joined = decision | Decision(Disposition.APPROVE, frozenset(), (reason,))
        due = self._custody.now() + self._custody.times.hold
        return await self._custody.change(delivery, Action(Verb.ASK, decision=joined, due=due, why=reason.rule))

    async def _carry(
        self, held: Held, sending: Delivery, route: Route, raw: bytes, ready: Treated
    ) -> tuple[Delivery, ...]:
        """The dialogue with the next hop. Until ``dot`` is durable nothing was handed over, whatever dies."""
        envelope, current = held.envelope, sending
        instead = redirected(sending.decision, sending.addresses, sending.waivers)
        people = (
            (Recipient(instead, ("NEVER",)),) if instead else tuple(_recipient(each) for each in sending.recipients)
        )
        mail = Outgoing(
            envelope.sender, people, envelope.smtputf8, envelope.body == "8BITMIME", envelope.ret, envelope.envid
        )

        async def before_dot(replies: Sequence[RecipientReply]) -> bool:
            nonlocal current
            try:
                (current,) = await self._custody.change(current, Action(Verb.DOT))
            except (Busy, StoreUnavailable, StoreDamaged):
                return False
            return True

        hop = self._outward.hops(route).toward(people[0].address.rpartition("@")[2])
        sent: Sent | _Nowhere
        try:
            deadline = self._outward.clock() + ATTEMPT_S
            sent = await self._outward.carrier.send(hop, mail, ready.pieces, deadline=deadline, before_dot=before_dot)
        except asyncio.CancelledError:
            if (
                current.state is State.SENDING
            ):  # nothing was handed over: tried again after the restart, and no fault of the mail
                stopping = _nowhere(current, Reply(451, "4.3.2", "the gateway is stopping"))
                await asyncio.shield(self._outcome(held, current, raw, stopping))
            raise
        if instead:  # the one answer holds for all who were to get it
            alike = tuple(replace(sent.recipients[0], address=address) for address in current.addresses)
            sent = replace(sent, recipients=alike)
        if current.state is State.SENDING and any(r.reply.positive or r.unknown for r in sent.recipients):
            # Refused by our own hook: the next hop took nobody, whatever it said of the recipients before.
            sent = _nowhere(current, Reply(451, "4.3.0", "custody could not be written; nothing was handed over"))
        return await self._outcome(held, current, raw, sent, ready.done)

    async def _outcome(
        self, held: Held, delivery: Delivery, raw: bytes, sent: "Sent | _Nowhere", treated: tuple[str, ...] = ()
    ) -> tuple[Delivery, ...]:
        """Make the answers true. A crash before this is durable: ``closing`` becomes outcome-unknown, ``sending`` is tried again."""
        custody, now = self._custody, self._custody.now()
        due = self._strategy.schedule.next_due(max(1, delivery.attempts), delivery.created_at, now)
        verbs = [_verb(each, expired=due is None) for each in sent.recipients]
        failed = [
            Fate(_recipient(person), each.reply, sent.remote.partition("[")[0])
            for person, each, verb in zip(delivery.recipients, sent.recipients, verbs, strict=True)
            if verb is Verb.FAILED
        ]
        told = not failed or await self._patient(lambda: self._notices.dsn(held, delivery, Told.FAILED, failed, raw))
        answers = tuple(
            Answer(Verb.STRANDED if verb is Verb.FAILED and not told else verb, str(each.reply))
            for verb, each in zip(verbs, sent.recipients, strict=True)
        )
        why, keep_until = "expired" if due is None else "", now + custody.times.hold
        action = Action(
            Verb.ANSWER, custody.ids(), answers=answers, due=due, why=why, keep_until=keep_until, treated=treated
        )
        parts = await self._patient(lambda: custody.change(delivery, action))
        await self._after(held, parts, sent, raw)
        return parts

    async def _after(self, held: Held, parts: tuple[Delivery, ...], sent: "Sent | _Nowhere", raw: bytes) -> None:
        """What follows from an outcome and may be lost in a crash without losing mail."""
        for part in parts:
            if part.state is State.UNDELIVERABLE:
                await self._notices.undeliverable(held, part, part.recipients[0].reply[:3])
            elif (
                part.state is State.QUEUED
                and not part.delay_noticed
                and self._strategy.is_late(self._custody.now() - part.created_at)
            ):
                fates = [Fate(_recipient(each), _reply(each.reply)) for each in part.recipients]
                end = part.created_at + self._strategy.schedule.lifetime
                await self._notices.dsn(held, part, Told.DELAYED, fates, raw, end)
                await self._custody.change(part, Action(Verb.NOTED))
            elif part.state is State.SENT and not sent.dsn:
                fates = [
                    Fate(_recipient(each), _reply(each.reply)) for each in part.recipients if "SUCCESS" in each.notify
                ]
                if fates:
                    await self._notices.dsn(held, part, Told.RELAYED, fates, raw)

    async def _strand(self, held: Held, delivery: Delivery, why: str) -> tuple[Delivery, ...]:
        due = self._custody.now() + self._custody.times.hold
        parts = await self._custody.change(delivery, Action(Verb.STRANDED, why="unsendable", keep_until=due))
        await self._notices.undeliverable(held, parts[0], why)
        return parts

    async def _patient(self, work: Callable[[], Awaitable[T]]) -> T:
        """The next hop has answered: offer the outcome again and again before giving it up to recovery."""
        for _ in range(PATIENCE):
            try:
                return await work()
            except (StoreUnavailable, RecorderUnavailable, CustodyUnavailable):
                await asyncio.sleep(PAUSE_S)
        return await work()


async def settle_down(tasks: "Collection[asyncio.Task[object]]", patience_s: float) -> None:
    """Wait for tasks; cancel what is left when the patience ends, and wait for that."""
    if tasks:
        _, late = await asyncio.wait(set(tasks), timeout=patience_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Nowhere:
    """A Sent for mail that no next hop was asked about."""

    recipients: tuple[RecipientReply, ...]
    remote: str = ""
    dsn: bool = True


def _nowhere(delivery: Delivery, reply: Reply) -> _Nowhere:
    return _Nowhere(tuple(RecipientReply(address, reply) for address in delivery.addresses))


def _verb(each: RecipientReply, *, expired: bool) -> Verb:
    if each.unknown:
        return Verb.LOSE
    if each.reply.positive:
        return Verb.DELIVERED
    return Verb.DEFERRED if each.reply.transient and not expired else Verb.FAILED


def _recipient(person: Addressee) -> Recipient:
    return Recipient(person.address, person.notify, person.orcpt)


def _reply(text: str) -> Reply:
    """A recorded reply as a Reply again."""
    code, _, rest = text.partition(" ")
    enhanced, _, words = rest.partition(" ")
    if enhanced.count(".") == 2 and enhanced[:1] in "245":
        return Reply(int(code) if code.isdigit() else 451, enhanced, words)
    return Reply(int(code) if code.isdigit() else 451, "", rest)
