"""DNS as the scanners see it: typed answers, the Resolver protocol, and prefetched answers for synchronous libraries.

pyspf and dkimpy ask DNS synchronously. They are given ``Prefetched``: what isn't there yet is noted and raised as ``NotYet``, fetched
asynchronously, and the (cheap, pure) evaluation is run again. So no library opens a socket, and no thread is needed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

MAX_NAME = 253
"""Characters of a domain name in text (RFC 1035 2.3.4: 255 octets on the wire)."""


class Status(StrEnum):
    """What became of a query."""

    FOUND = "found"
    NODATA = "nodata"
    """The name exists without records of this type (RFC 2308)."""
    NXDOMAIN = "nxdomain"
    """Neither the name nor anything below it exists (RFC 8020)."""
    TEMPERROR = "temperror"
    """SERVFAIL, a time-out, a lame or malformed answer: nobody knows. Never to be read as absence."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One MX record (RFC 5321 5.1)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said about one name and type, CNAMEs followed.

    Exactly one of the record fields is filled, by type: ``strings`` (TXT, the character-strings of each record joined),
    ``addresses`` (A, AAAA), ``names`` (PTR, NS), ``exchanges`` (MX). ``ttl`` is seconds the answer may be kept, 0: not at all.
    ``detail`` says in a few English words why, for errors.
    """

    status: Status
    strings: tuple[bytes, ...] = ()
    addresses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    ttl: int = 0
    detail: str = ""


class Resolver(Protocol):
    """One way to ask DNS. Implementations never raise for what DNS does: that is a Status."""

    async def query(self, name: str, rdtype: str) -> Answer:
        """Ask for ``rdtype`` ("A", "AAAA", "MX", "PTR", "TXT", "NS") of ``name`` (ASCII; a trailing dot is optional)."""
        ...

    def peek(self, name: str, rdtype: str) -> Answer | None:
        """The answer if it can be had without waiting, else ``None``."""
        ...


class NotYet(Exception):
    """Raised through a synchronous library when an answer isn't prefetched yet."""


class LookupBudget(Exception):
    """An evaluation asked for more names, or took longer, than its bound."""


class Prefetched:
    """The answers one evaluation may use; lives for one message.

    ``max_names`` bounds distinct questions, so that no record set can make us a query amplifier.
    """

    def __init__(self, resolver: Resolver, max_names: int) -> None:
        self._resolver = resolver
        self._max_names = max_names
        self._answers: dict[tuple[str, str], Answer] = {}
        self._missing: dict[tuple[str, str], None] = {}

    def get(self, name: str, rdtype: str) -> Answer:
        """The answer, or ``NotYet`` (noted, to be fetched by ``settle``). Raises LookupBudget beyond ``max_names``."""
        key = (name, rdtype)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= self._max_names:
                raise LookupBudget(f"more than {self._max_names} names")
            answer = self._resolver.peek(name, rdtype)
            if answer is None:
                self._missing[key] = None
                raise NotYet(name)
            self._answers[key] = answer
        return answer

    @property
    def used(self) -> "Used":
        """Every question of the evaluation so far, with its answer."""
        return tuple((name, rdtype, answer) for (name, rdtype), answer in self._answers.items())

    @property
    def incomplete(self) -> bool:
        """True when something was asked for that isn't there; the evaluation's outcome is then void."""
        return bool(self._missing)

    async def settle(self) -> None:
        """Fetch at once whatever was missed."""
        wanted, self._missing = list(self._missing), {}
        answers = await asyncio.gather(*(self._resolver.query(name, rdtype) for name, rdtype in wanted))
        self._answers.update(zip(wanted, answers, strict=True))

    def have(self, wanted: Iterable[tuple[str, str]]) -> bool:
        """Take what can be had without waiting; True if that is all of them."""
        for key in wanted:
            if key not in self._answers:
                answer = self._resolver.peek(*key) if len(self._answers) < self._max_names else None
                if answer is None:
                    return False
                self._answers[key] = answer
        return True

    async def fetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Fetch these at once; what is beyond the budget is left out."""
        room = self._max_names - len(self._answers)
        self._missing.update((key, None) for key in list(wanted)[: max(0, room)] if key not in self._answers)
        if self._missing:
            await self.settle()


Used = tuple[tuple[str, str, Answer], ...]
"""Questions (name, type) and the answers that an evaluation had."""
MAX_REMEMBERED = 4_096
"""Outcomes kept of one kind of evaluation; a few hundred senders make most of a company's mail."""
MAX_USED = 40
"""Answers of an outcome that is kept: one that needed more is made anew, so that memory is bounded by both numbers."""


class Remembered(Generic[T]):
    """Outcomes of evaluations that are functions of their key and of DNS answers alone, least recently used dropped.

    An outcome is given again only while the resolver still holds the very answers it was made from, so it lives as long as the shortest
    of their TTLs and no longer; what the resolver does not keep (errors, TTL 0) is evaluated anew each time. The key must name every
    other input.
    """

    def __init__(self, max_kept: int = MAX_REMEMBERED) -> None:
        self._max = max_kept
        self._kept: OrderedDict[Hashable, tuple[Used, T]] = OrderedDict()

    def get(self, key: Hashable, resolver: Resolver) -> T | None:
        """The outcome for ``key``, if every answer behind it still stands."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        for name, rdtype, answer in entry[0]:
            if resolver.peek(name, rdtype) is not answer:
                del self._kept[key]
                return None
        self._kept.move_to_end(key)
        return entry[1]

    def keep(self, key: Hashable, used: Used, outcome: T) -> None:
        """Remember what came of these answers."""
        if len(used) > MAX_USED:
            return
        self._kept[key] = used, outcome
        if len(self._kept) > self._max:
            self._kept.popitem(last=False)


async def evaluate(prefetched: Prefetched, work: Callable[[], T], max_runs: int) -> T:
    """Run ``work`` until it has all the answers it wants; each run that lacks some is thrown away.

    Libraries with bare ``except`` swallow NotYet, so a run counts only if nothing is missing after it. Raises LookupBudget
    after ``max_runs`` (each run adds at least one name, so the bound on names also ends it).
    """
    for _ in range(max_runs):
        try:
            result = work()
        except NotYet:
            pass
        else:
            if not prefetched.incomplete:
                return result
        await prefetched.settle()
    raise LookupBudget(f"more than {max_runs} rounds")
