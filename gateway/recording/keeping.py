"""What the keeper does: takes events in, commits them in groups as fast as the disk allows, hands out keys, opens what is sealed."""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import msgspec

from audit.event import MAX_LINE, Actor, Event, Place, Secret, derived_id, line, new_id
from audit.files import write_durable
from audit.journal import MAX_FRAME_BODY, MAX_FRAME_ENTRIES, JournalFull
from audit.keystore import KeyStore
from audit.keytree import LEASE_BITS, walk
from audit.log import Entry, Log
from audit.sealing import MessageKey, commitments, seal, subject_of
from audit.tiles import TileError
from gateway.recording.intents import Intent, Intents, LineHead, Snapshot
from gateway.recording.keeper_protocol import Base, Forget, Lease, Retire, Room

LEASE_S = 600.0
"""No leaf of a lease is used later than this, so that erasing knows which leases may be alive."""
RETIRE_S = 5.0
"""Wait for a worker to drop a lease before an erasure is put off."""
QUICK_S = 0.005
"""A commit that takes less is made on the loop, where it costs two changes of threads less (60 us of 120); while the disk is slower
than this it is made in a thread, so that keys and answers need not wait for it."""
MAX_WAITING = 64 * 1024 * 1024
"""Bytes of events waiting for the disk, from all workers: beyond it the keeper stops reading until a commit is done."""
INTENTS = "intents.json"
KEEPER = Actor("system", "keeper")
_decode_head: Callable[[bytes], LineHead] = msgspec.json.Decoder(LineHead).decode


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Clock (UTC, and monotonic seconds), randomness, and how to die when the disk can no longer be trusted."""

    now: Callable[[], datetime]
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    die: Callable[[], None]


class Client(Protocol):
    """A connection, as the keeper sees it."""

    def send(self, message: Base) -> None:
        """Dropped when the connection is gone."""
        ...

    def pause(self) -> None:
        """Read no more from it for now."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


@dataclass(slots=True)
class Job:
    """Events that become durable together, and whom to tell: indexes, or None when nothing was written for want of room."""

    entries: list[Entry]
    heads: list[LineHead]
    owner: int
    size: int
    finish: Callable[[list[int] | None], None]


@dataclass(slots=True)
class OwnLease:
    """Leaves for the keeper's own sealed events."""

    month: str
    base: int
    secret: bytes = field(repr=False)
    used: int = 0


class Keeper:
    """One log, one key store, many connections. Everything runs on the loop, except publication, and commits to a slow disk."""

    def __init__(
        self,
        log: Log,
        store: KeyStore,
        node: str,
        around: Surroundings,
        logger: logging.Logger,
    ) -> None:
        self.log, self.store, self.node, self.around, self.logger = log, store, node, around, logger
        self.intents = Intents({})
        self.connections: dict[int, Client] = {}
        self.leases: dict[tuple[str, str, int], tuple[int, float]] = {}
        self.grants: dict[str, int] = {}
        self._waiting: deque[Job] = deque()
        self._waiting_bytes = 0
        self._committing = False
        self._scheduled = False
        self._quick = False
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._commit_forever, name="commit", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._own: OwnLease | None = None
        self._retired: dict[tuple[str, str, int], asyncio.Event] = {}
        self._seen = log.size
        self._snapshot = Snapshot(-1, [])
        self.room = log.room()

    # -- life

    def start(self) -> None:
        """Find the open intents, begin to commit, and say that the log has started."""
        self._load_intents()
        self._thread.start()
        found = self.log.recovered
        self.submit_own(
            [
                self.event(
                    "audit.start", "ok", {"size": self.log.size, "replayed": found.replayed, "torn_bytes": found.torn}
                )
            ]
        )
        if found.torn:
            self.submit_own([self.event("audit.recovered", "ok", {"torn_bytes": found.torn})])

    def _load_intents(self) -> None:
        """All that were open when the last keeper ended: nobody stands for them until a worker claims them."""
        now = self.around.clock()
        start = 0
        try:
            snapshot = msgspec.json.decode((self.log.directory / INTENTS).read_bytes(), type=Snapshot)
            if 0 <= snapshot.size <= self.log.size:
                start = snapshot.size
                self.intents.open.update({intent.msg: intent for intent in snapshot.open})
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
            start = 0  # lost or torn: the log itself has everything, it only takes longer
        for _, entry in self.log.entries(start):
            self.intents.saw(_decode_head(entry), -1, now)
        for msg, intent in self.intents.open.items():
            self.intents.open[msg] = msgspec.structs.replace(intent, owner=-1, orphaned=now)

    async def tick(self) -> None:
        """Once a second: publish, and close the intents that nobody claims."""
        with contextlib.suppress(JournalFull):  # said at the next tick that finds room
            for intent in list(self.intents.due(self.around.clock())):
                await self.record_own([self._unknown(intent)])
        snapshot = Snapshot(self._seen, list(self.intents.open.values()))
        try:
            await asyncio.to_thread(self._publish, snapshot)
        except (OSError, TileError) as error:
            self.logger.error("publication failed; the journal holds everything", extra={"fields": {"why": str(error)}})
        self._tell_room(self.log.room())

    def _tell_room(self, room: bool) -> None:
        """Workers that take no mail for want of room hear nothing else from us: say so when there is some again."""
        if room != self.room:
            self.room = room
            for connection in self.connections.values():
                connection.send(Room(room))

    def _publish(self, snapshot: Snapshot) -> None:
        self.log.publish()
        if snapshot != self._snapshot:
            # Only a shortcut for the next start: after a crash here it reads more of the log.
            write_durable(Path(self.log.directory) / INTENTS, msgspec.json.encode(snapshot), 0o600)
            self._snapshot = snapshot
        self.log.prepare()

    async def stop(self) -> None:
        """Commit what was received, publish, and end."""
        with contextlib.suppress(JournalFull):  # an end without its event is no worse than a crash
            await self.record_own([self.event("audit.stop", "ok", {"size": self.log.size})])
        await self.tick()
        for connection in list(self.connections.values()):
            connection.close()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- commits

    def submit(self, job: Job) -> None:
        """Queue a job; it is committed with all that arrive in the same turn of the loop, or while the disk is busy."""
        self._waiting.append(job)
        self._waiting_bytes += job.size
        if self._waiting_bytes > MAX_WAITING:
            for connection in self.connections.values():
                connection.pause()
        self._schedule()

    def _schedule(self) -> None:
        if not self._committing and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if self._committing or not self._waiting:
            return
        batch: list[Job] = []
        entries = size = 0
        while self._waiting:
            job = self._waiting[0]
            entries, size = entries + len(job.entries), size + job.size
            if batch and (entries > MAX_FRAME_ENTRIES or size > MAX_FRAME_BODY):
                break
            batch.append(self._waiting.popleft())
        self._committing = True
        if not self._quick:
            self._queue.put(batch)
            return
        try:
            indexes = self._commit(batch)
        except Exception as error:  # as in the thread
            self._fail(error)
        else:
            self._done(batch, indexes)

    def _commit_forever(self) -> None:
        """The commit thread."""
        while (batch := self._queue.get()) is not None:
            try:
                indexes = self._commit(batch)
            except Exception as error:  # whatever it was, what is on the disk is unknown: no answer, no second try
                self._loop.call_soon_threadsafe(self._fail, error)
                return
            self._loop.call_soon_threadsafe(self._done, batch, indexes)

    def _commit(self, batch: Sequence[Job]) -> list[int] | None:
        """Durable when this returns; None when nothing was written for want of room. One at a time, on the loop or in the thread."""
        began = self.around.clock()
        try:
            return self.log.append([entry for job in batch for entry in job.entries])
        except JournalFull:
            return None
        finally:
            self._quick = self.around.clock() - began < QUICK_S

    def _fail(self, error: Exception) -> None:
        self.logger.critical(
            "the log cannot be written; ending 审计日志无法写入", extra={"fields": {"why": str(error)}}
        )
        for connection in list(self.connections.values()):
            connection.close()
        self.around.die()

    def _done(self, batch: Sequence[Job], indexes: list[int] | None) -> None:
        self._committing = False
        held = self._waiting_bytes > MAX_WAITING // 2
        if indexes is None:
            self._tell_room(False)
        else:
            self._seen = self.log.size
        at = 0
        for job in batch:
            self._waiting_bytes -= job.size
            mine = None if indexes is None else indexes[at : at + len(job.entries)]
            at += len(job.entries)
            if mine is not None:
                orphaned = None if job.owner in self.connections else self.around.clock()
                for head in job.heads:
                    self.intents.saw(head, job.owner, orphaned)
            job.finish(mine)
        if self._waiting:
            self._schedule()
        if held and self._waiting_bytes <= MAX_WAITING // 2:
            for connection in self.connections.values():
                connection.resume()

    # -- the keeper's own events

    def event(
        self, kind: str, outcome: str, public: dict[str, int | str | list[str]], sealed: dict[str, Secret] | None = None
    ) -> Event:
        """An event of the keeper, now."""
        now = self.around.now()
        identifier = new_id(int(now.timestamp() * 1000), self.around.random(10))
        return Event(identifier, kind, now, KEEPER, outcome, public=public, sealed=sealed or {})

    def _unknown(self, intent: Intent) -> Event:
        """Its id follows from the decision's, so that it is said once, whoever says it."""
        return Event(
            derived_id(intent.event, "outcome_unknown"),
            "message.outcome_unknown",
            self.around.now(),
            KEEPER,
            "unknown",
            reason="nobody reported how the relay ended",
            msg=intent.msg,
            dir=intent.dir,
            prev=intent.event,
        )

    def submit_own(self, events: Sequence[Event], finish: Callable[[list[int] | None], None] = lambda _: None) -> None:
        """Record events of our own, sealed under leaves of class ``admin``."""
        entries, heads = [], []
        for event in events:
            key = self._own_key(event) if event.sealed else None
            data = line(
                event,
                self.node,
                key.place if key else None,
                seal(event, self.log.origin, key) if key else None,
                commitments(event, key) if key else None,
            )
            entries.append(Entry(event.id, data))
            heads.append(_decode_head(data))
        self.submit(Job(entries, heads, -1, sum(len(entry.line) + 2 for entry in entries), finish))

    async def record_own(self, events: Sequence[Event]) -> int:
        """As ``submit_own``, waiting until durable; index of the first. Raises JournalFull."""
        future: asyncio.Future[list[int] | None] = self._loop.create_future()
        self.submit_own(events, lambda indexes: None if future.done() else future.set_result(indexes))
        indexes = await future
        if indexes is None:
            raise JournalFull("the log's disk is full")
        return indexes[0]

    def _own_key(self, event: Event) -> MessageKey:
        month = event.at.strftime("%Y-%m")
        own = self._own
        if own is None or own.month != month or own.used == 1 << LEASE_BITS:
            own = self._own = OwnLease(month, *self.store.lease("admin", month))
        leaf = own.base + own.used
        own.used += 1
        people = {subject_of(secret.subject_address) for secret in event.sealed.values() if secret.subject_address}
        subjects = {person: self.store.subject(month, person) for person in people}
        return MessageKey(Place("admin", month, leaf), walk(own.secret, leaf, LEASE_BITS), subjects)

    # -- connections and leases

    def lease(self, owner: int, request: int, retention: str) -> Lease:
        """A fresh lease; its high-water mark is durable before this returns."""
        month = self.around.now().strftime("%Y-%m")
        base, secret = self.store.lease(retention, month)
        now = self.around.clock()
        self.leases = {place: held for place, held in self.leases.items() if held[1] > now}
        self.leases[retention, month, base] = (owner, now + LEASE_S)
        return Lease(request, retention, month, base, LEASE_BITS, secret, LEASE_S)

    async def retire(self, place: Place) -> bool:
        """Have a live lease over ``place`` dropped by the worker that holds it; False if it doesn't answer."""
        base = place.leaf & -(1 << LEASE_BITS)
        if self._own and place.retention == "admin" and (place.month, base) == (self._own.month, self._own.base):
            self._own = None
        slot = (place.retention, place.month, base)
        owner, until = self.leases.get(slot, (-1, 0.0))
        holder = self.connections.get(owner)
        if holder is None or until <= self.around.clock():
            return True
        waiting = self._retired.setdefault(slot, asyncio.Event())
        holder.send(Retire(*slot))
        try:
            async with asyncio.timeout(RETIRE_S):
                await waiting.wait()
        except TimeoutError:
            return False
        return True

    def retired(self, slot: tuple[str, str, int]) -> None:
        """A lease is no longer held: its worker said so, or is gone."""
        self.leases.pop(slot, None)
        if slot in self._retired:
            self._retired.pop(slot).set()

    def lost(self, number: int) -> None:
        """A connection ended."""
        self.connections.pop(number, None)
        self.intents.orphan(number, self.around.clock())
        self.grants = {grant: owner for grant, owner in self.grants.items() if owner != number}
        for slot in [slot for slot, (owner, _) in self.leases.items() if owner == number]:
            self.retired(slot)

    def broadcast_forget(self) -> None:
        """Somebody was erased."""
        for connection in self.connections.values():
            connection.send(Forget())


def checked(data: bytes) -> LineHead | None:
    """What the keeper needs of a line; None if it is not an event that may stand in the log."""
    if not 0 < len(data) <= MAX_LINE or b"\n" in data:
        return None
    try:
        head = _decode_head(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return head if head.id and head.type else None
