"""Keys in a worker: one lease of message keys at a time, and the people it has met, until somebody is erased."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from audit.event import Place
from audit.keytree import leaves
from audit.sealing import MessageKey, SubjectKey, subject_of
from gateway.recording.keeper_protocol import MAX_ADDRESSES, Base, Lease, LeaseRequest, SubjectKeys, Subjects

MAX_SUBJECTS = 20_000
"""People whose keys are kept in memory: about 5 MB, a busy day's correspondents."""
_Answered = TypeVar("_Answered", bound=Base)


class Ask(Protocol):
    """Asks the keeper; may raise RecorderUnavailable."""

    async def __call__(self, request: Callable[[int], Base], kind: type[_Answered]) -> _Answered:
        """One request, made with its number, and the answer of that kind."""
        ...


@dataclass(slots=True)
class Range:
    """A lease: a range of leaves, used from the left, until ``until`` on the monotonic clock."""

    place: Place
    bits: int
    keys: Iterator[bytes] = field(repr=False)
    until: float
    used: int = 0


class WorkerKeys:
    """Used by the recorder. A lease lives no longer than the connection it came over."""

    def __init__(self, ask: Ask, clock: Callable[[], float], retention: str) -> None:
        self._ask, self._clock, self._retention = ask, clock, retention
        self._lease: Range | None = None
        self._renewing: asyncio.Task[Range] | None = None
        self._subjects: OrderedDict[tuple[str, str], SubjectKey] = OrderedDict()
        self._forgotten = 0

    async def take(self, addresses: Sequence[str]) -> MessageKey:
        """The next leaf, with the keys of these people. Raises as ``ask``."""
        lease = self._lease
        if lease is None or lease.used >> lease.bits or self._clock() >= lease.until:
            lease = await self._renew()
        leaf = lease.place.leaf + lease.used
        lease.used += 1
        place = Place(lease.place.retention, lease.place.month, leaf)
        key = next(lease.keys)
        return MessageKey(place, key, await self.subjects(place.month, addresses))

    async def _renew(self) -> Range:
        """A new lease; those who wait at the same time share it."""
        while True:
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._new_lease())
            task = self._renewing
            try:
                lease = await asyncio.shield(task)
            finally:
                if self._renewing is task and task.done():
                    self._renewing = None
            if not lease.used >> lease.bits:
                return lease

    async def _new_lease(self) -> Range:
        got = await self._ask(lambda number: LeaseRequest(number, self._retention), Lease)
        place = Place(got.retention, got.month, got.base)
        self._lease = Range(place, got.bits, leaves(got.secret, got.bits), self._clock() + got.valid_s)
        return self._lease

    async def subjects(self, month: str, addresses: Sequence[str]) -> dict[str, SubjectKey]:
        """Keys of these people by their one spelling. Raises as ``ask``."""
        cache = self._subjects
        found: dict[str, SubjectKey] = {}
        missing: list[str] = []
        for address in addresses:
            person = subject_of(address)
            key = cache.get((month, person))
            if key is None:
                missing.append(person)
            else:
                found[person] = key
        for at in range(0, len(missing), MAX_ADDRESSES):
            found.update(await self._fetch(month, missing[at : at + MAX_ADDRESSES]))
        return found

    async def _fetch(self, month: str, people: list[str]) -> dict[str, SubjectKey]:
        generation = self._forgotten
        got = await self._ask(lambda number: Subjects(number, month, people), SubjectKeys)
        fresh = {person: SubjectKey(secret, leaf) for person, (secret, leaf) in zip(people, got.keys, strict=True)}
        if generation == self._forgotten:  # else somebody was erased meanwhile, and it may be one of these
            self._subjects.update(((month, person), key) for person, key in fresh.items())
            while len(self._subjects) > MAX_SUBJECTS:
                self._subjects.popitem(last=False)
        return fresh

    def retire(self, place: Place) -> None:
        """The keeper wants this lease back."""
        if self._lease is not None and self._lease.place == place:
            self._lease = None

    def forget(self) -> None:
        """Somebody was erased: ask for everybody anew."""
        self._forgotten += 1
        self._subjects.clear()

    def drop(self) -> None:
        """The connection is gone, and with it the lease."""
        self._lease = None
        self.forget()
