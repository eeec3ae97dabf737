"""Custody: taking a message, and changing what became of it, so that a crash anywhere heals itself (architecture 4).

Taking: blob durable, row ``pending``, event durable, row ``pending -> held | queued``, then 250. Changing: the row gets an intent by
compare-and-swap, then the event, then the new state. Each step may be made twice: blobs are replaced whole, the log drops ids it has, and
a swap that somebody else has made is seen by its version.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from audit.event import Actor, Event
from audit.sealing import MessageKey
from gateway.custody.delivery import TERMINAL, Action, Addressee, Delivery, Intent, State, Verb, advance, first_verb
from gateway.custody.waivers import holding
from gateway.plan import Share
from gateway.recording.recorder import Recorder, RecorderUnavailable
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.protocol import Blobs, Change, Held, Store
from gateway.store.sealing import digest
from gateway.treatments.addressing import spread
from gateway.treatments.table import unmet_joined
from policies.decision import Decision
from scanners.message import Envelope

SYSTEM = Actor("system", "gateway")
THREAD_ABOVE = 64 << 10
"""Bytes from which hashing is done off the loop, so that small mail beside it does not wait."""
MAX_BATCH = 500
"""Changes in one transaction: a writer's lock of some 50 ms."""
FRAME_BYTES = 2 << 20
"""Of events told of in one frame of the log, estimated: a frame holds 4 MiB, and a writer that is sent more hangs up."""
FIELD_BYTES = 200
"""Of a sealed field, beside its text."""


INTENT_GRACE = timedelta(seconds=60)
"""An intent older than this is finished by whoever sees it; finishing it twice does no harm."""


class CustodyUnavailable(Exception):
    """The message could not be made durable with us: answer 451, the client keeps it."""


class AlreadyTaken(CustodyUnavailable):
    """A message with this id is, or was, in custody."""


class Busy(Exception):
    """Somebody else changed the delivery, or is about to; read it again."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What we now have, in the order of the shares."""

    deliveries: tuple[Delivery, ...]

    @property
    def permitted(self) -> tuple[Delivery, ...]:
        """Those that may be attempted at once."""
        return tuple(delivery for delivery in self.deliveries if delivery.state is State.QUEUED)


@dataclass(frozen=True, slots=True)
class Times:
    """How long things wait. ``lease`` is longer than any attempt may take; ``hold`` ends in ``expired``; ``ids`` of finished messages
    stay taken so long: far beyond the time in which a crashed step could make one again."""

    hold: timedelta = timedelta(days=30)
    ids: timedelta = timedelta(days=30)
    lease: timedelta = timedelta(minutes=30)


class Custody:
    """The one place where deliveries are born and changed. ``owner`` names this process (gateway.custody.owners); ``ids`` gives ULIDs."""

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
        ids: Callable[[], str],
        owner: str,
        times: Times | None = None,
    ) -> None:
        self.store, self.blobs, self._recorder = store, blobs, recorder
        self._clock, self.ids, self._owner = clock, ids, owner
        self.times = times or Times()

    def now(self) -> datetime:
        """The time, as custody sees it."""
        return self._clock()

    async def take(
        self,
        envelope: Envelope,
        raw: bytes,
        shares: Sequence[Share],
        decided: Event,
        key: MessageKey,
        head: bytes = b"",
        *,
        bounceable: bool = False,
    ) -> Taken:
        """Durable with us, and told in the log by ``decided``. Raises CustodyUnavailable: answer 451.

        ``head`` are the trace fields that go in front of the bytes when it leaves. ``bounceable``: the sender is ours, or its domain
        passed SPF or aligned DMARC, so that a bounce hits nobody innocent.
        """
        held = Held(envelope, self._blob_name(envelope), len(raw), head, bounceable)
        taken = await self._pending(held, raw, shares, decided)
        return await self.settle(taken, (decided,), key)

    async def take_deferred(
        self,
        envelope: Envelope,
        raw: bytes,
        share: Share,
        decided: Event,
        head: bytes = b"",
        *,
        bounceable: bool = False,
    ) -> Taken:
        """Blob and row durable but ``pending``: for recipients that the next hop put off, before its final dot is sent.

        ``decided`` is in the log already. Follow this by ``settle`` when the answer to the client will be 250, else by ``drop``.
        Whoever dies in between leaves it to the sweeper, which settles: the log has said that the message is to be delivered.
        """
        held = Held(envelope, self._blob_name(envelope), len(raw), head, bounceable)
        return await self._pending(held, raw, (share,), decided)

    def _blob_name(self, envelope: Envelope) -> str:
        """The message's id, by which the sweeper knows its age and its row, and an id of its own."""
        return f"{envelope.id}-{self.ids()}"

    async def _pending(self, held: Held, raw: bytes, shares: Sequence[Share], decided: Event) -> Taken:
        envelope = held.envelope
        try:
            box, wrapped = self.store.new_box(envelope.id)
            # A crash after this leaves a blob without a row: the sweeper removes it, the client was not told 250. The name is new, so
            # that a second taking of the same id never touches the bytes of the first.
            await self.blobs.put(held.blob, box.seal_blob(raw))
            deliveries = (
                self._deliveries(envelope, raw, shares, decided)
                if len(raw) <= THREAD_ABOVE
                else await asyncio.to_thread(self._deliveries, envelope, raw, shares, decided)
            )
            # A crash after this leaves pending rows: the sweeper asks the log whether they were told of, and settles or sweeps.
            if not await self.store.insert(held, deliveries, wrapped):
                await self.blobs.delete(held.blob)
                raise AlreadyTaken(envelope.id)
        except (StoreUnavailable, StoreDamaged) as error:
            raise CustodyUnavailable(str(error)) from error
        return Taken(deliveries)

    async def settle(self, taken: Taken, events: Sequence[Event], key: MessageKey | None) -> Taken:
        """Tell the log, then let the rows go on as decided. Raises CustodyUnavailable."""
        try:
            # A crash before this is durable: swept. After it: the sweeper finds the event and settles the rows as below.
            await self._recorder.record(events, key)
            return Taken(await self.settle_pending(taken.deliveries))
        except (RecorderUnavailable, StoreUnavailable, StoreDamaged) as error:
            raise CustodyUnavailable(str(error)) from error

    async def settle_pending(self, pending: Sequence[Delivery]) -> tuple[Delivery, ...]:
        """``pending -> held | queued``, one transaction. Raises CustodyUnavailable when one of them was swept meanwhile."""
        moves = [advance(d, self._first_action(d), SYSTEM, d.created_at)[0] for d in pending]
        swapped = await self.store.save([Change(d, after) for d, after in zip(pending, moves, strict=True)])
        settled = []
        for delivery, after, done in zip(pending, moves, swapped, strict=True):
            current = after[0] if done else await self.store.delivery(delivery.id)
            if current is None or current.state in (State.SWEPT, State.PENDING):
                raise CustodyUnavailable("the sweeper was first")
            settled.append(current)
        return tuple(settled)

    async def drop(self, taken: Taken) -> None:
        """Give pending rows up: the client will be told to come again. Never raises: the sweeper finishes what fails here."""
        action = Action(Verb.SWEEP)
        try:
            await self.store.save([Change(d, advance(d, action, SYSTEM, self._clock())[0]) for d in taken.deliveries])
            await self.tidy({delivery.message_id for delivery in taken.deliveries})
        except (StoreUnavailable, StoreDamaged):
            return

    async def change(self, delivery: Delivery, action: Action, actor: Actor = SYSTEM) -> tuple[Delivery, ...]:
        """One change of one delivery; see ``change_all``. Raises Busy when it is no longer as it was read."""
        (result,) = await self.change_all([(delivery, action)], actor)
        if result is None:
            raise Busy(delivery.id)
        return result

    async def change_all(
        self, wanted: Sequence[tuple[Delivery, Action]], actor: Actor = SYSTEM
    ) -> list[tuple[Delivery, ...] | None]:
        """Intent, event, state for up to MAX_BATCH deliveries at once; None where somebody was faster.

        Raises IllegalMove or NotWaived before anything is written, StoreUnavailable or RecorderUnavailable with intents left
        behind: they are finished by the next ``recover``.
        """
        if len(wanted) > MAX_BATCH:
            raise ValueError(f"at most {MAX_BATCH} changes at once")
        at = self._clock()
        changes = []
        for delivery, action in wanted:
            action = replace(action, id=action.id or self.ids())
            intent = Intent(action, actor, at)
            changes.append(Change(delivery, (replace(delivery, version=delivery.version + 1, intent=intent),)))
            advance(delivery, action, actor, at)  # refuses what may not be, before anything is written
        if all(not _told(delivery, action) for delivery, action in wanted):
            # Steps without an event (an attempt begins): one swap is the whole change.
            moves = [Change(c.before, advance(c.before, c.after[0].intent.action, actor, at)[0]) for c in changes]  # type: ignore[union-attr]
            done = await self.store.save(moves)
            return [move.after if ok else None for move, ok in zip(moves, done, strict=True)]
        free = [(n, change) for n, change in enumerate(changes) if change.before.intent is None]
        # A crash after this: the intent stands in the row, and recover() makes the same calls below again.
        swapped = await self.store.save([change for _, change in free])
        begun = [(n, change.after[0]) for (n, change), ok in zip(free, swapped, strict=True) if ok]
        results: list[tuple[Delivery, ...] | None] = [None] * len(wanted)
        for (n, _), after in zip(begun, await self._finish([row for _, row in begun]), strict=True):
            results[n] = after
        return results

    async def _finish(self, rows: Sequence[Delivery]) -> list[tuple[Delivery, ...]]:
        """Tell the log of the intents of these rows and make them true; the second half of a change, and the whole of recovery."""
        done: list[tuple[Delivery, ...]] = []
        for batch in _framed(rows):
            done += await self._finish_frame(batch)
        return done

    async def _finish_frame(self, rows: Sequence[Delivery]) -> list[tuple[Delivery, ...]]:
        moves: list[Change] = []
        events: list[Event] = []
        for row in rows:
            assert row.intent is not None
            after, told = advance(row, row.intent.action, row.intent.actor, row.intent.at)
            moves.append(Change(row, after))
            events.extend(told)
        if events:
            key = await self._recorder.message_key(sorted({a for row in rows for a in row.addresses}))
            # A crash after this: told but not yet true; recover() tells it again (the log drops it) and makes it true.
            await self._recorder.record(events, key)
        if moves:
            # A crash after this leaves nothing to heal but content of finished messages, which the sweeper destroys.
            await self.store.save(moves)
        await self.tidy({m.before.message_id for m in moves if all(part.state in TERMINAL for part in m.after)})
        return [move.after for move in moves]

    async def recover(self, dead: Callable[[Delivery], bool]) -> int:
        """Finish what dead processes left: intents, attempts, hand-overs. Pending rows are the sweeper's. Says how many."""
        healed, cursor = 0, ""
        while rows := await self.store.unfinished(MAX_BATCH, cursor):
            cursor = rows[-1].id
            old = self._clock() - INTENT_GRACE
            lost = [row for row in rows if (row.intent.at < old if row.intent else dead(row))]
            intents = [row for row in lost if row.intent is not None]
            await self._finish(intents)
            broken = [(r, self._giving_up(r)) for r in lost if r.intent is None and r.state is not State.PENDING]
            for row, action in broken:
                await self.change_all([(row, action)])
            healed += len(intents) + len(broken)
        return healed

    def _giving_up(self, row: Delivery) -> Action:
        if row.state is State.CLOSING:  # the final dot may be out: only a person, or the next hop's log, can say
            return Action(Verb.LOSE, why="process-died", keep_until=self._clock() + self.times.hold)
        backoff = timedelta(minutes=2 ** min(row.abandoned, 6))
        return Action(Verb.ABANDON, why="process-died", due=self._clock() + backoff)

    async def raw(self, message_id: str) -> bytes | None:
        """The bytes as they were accepted; None when destroyed. Raises StoreDamaged, StoreUnavailable."""
        box = await self.store.box(message_id)
        name = next(iter(await self.store.keyed([message_id])), "") if box else ""
        sealed = await self.blobs.get(name) if name else None
        return box.open_blob(sealed) if box and sealed is not None else None

    async def tidy(self, message_ids: set[str]) -> None:
        """Destroy messages whose deliveries are all finished and past their time: key and rows first, then the blob, unreadable by
        then."""
        if message_ids:
            gone = await self.store.forget(message_ids, self._clock())
            await self.blobs.delete(*sorted(gone))

    def attempt_action(self) -> Action:
        """What takes a queued delivery for this process."""
        return Action(Verb.ATTEMPT, owner=self._owner, lease_until=self._clock() + self.times.lease)

    def _deliveries(
        self, envelope: Envelope, raw: bytes, shares: Sequence[Share], decided: Event
    ) -> tuple[Delivery, ...]:
        content, at = digest(raw), self._clock()
        judged = str(decided.public.get("judge", ""))
        return tuple(
            Delivery(
                id=self.ids(),
                message_id=envelope.id,
                next_hop=share.route.to,
                decision=share.decision,
                recipients=tuple(Addressee(r.address, r.notify, r.orcpt) for r in share.recipients),
                created_at=at,
                due=at,
                content=content,
                decided=decided.id,
                size=len(raw),
                judged=judged,
                owner=self._owner,
                lease_until=at + self.times.lease,
            )
            for share in spread([unmet_joined(share, raw) for share in shares])
        )

    def _first_action(self, delivery: Delivery) -> Action:
        return Action(first_verb(delivery.decision), due=self.waiting_until(delivery.decision, delivery.created_at))

    def waiting_until(self, decision: Decision, since: datetime) -> datetime:
        """When to look at it again: now, after the longest delay, or at the end of the hold."""
        verb = first_verb(decision)
        if verb is Verb.QUEUE:
            return since
        if verb is Verb.DELAY:
            return since + timedelta(seconds=max((reason.delay_s for reason in holding(decision)), default=0))
        return since + self.times.hold


def _framed(rows: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """The rows in order, no more of them together than one frame of the log can tell of."""
    batch: list[Delivery] = []
    size = 0
    for row in rows:
        # An answer seals each recipient and what was said of it: four bytes a character at the most.
        mine = sum(2 * FIELD_BYTES + 4 * (len(each.address) + len(each.reply)) for each in row.recipients)
        if batch and size + mine > FRAME_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += mine
    if batch:
        yield batch


def _told(delivery: Delivery, action: Action) -> bool:
    return bool(advance(delivery, replace(action, id=action.id or "0" * 26), SYSTEM, delivery.created_at)[1])
