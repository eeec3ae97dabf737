"""What custody needs of a store of deliveries and of a store of blobs. Every backend runs tests/contracts/test_store.py."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.custody.delivery import Delivery, State
from gateway.store.sealing import MessageBox
from scanners.message import Envelope

MAX_PAGE = 1000
"""Rows of one page: what a terminal or a web page can show, and what may be held in memory."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message in custody: its envelope, where the bytes are, and the trace fields that go in front of them when it leaves.

    ``bounceable``: its sender is ours, or was proven on reception, so that a bounce hits nobody innocent.
    """

    envelope: Envelope
    blob: str
    size: int
    head: bytes = b""
    bounceable: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Compare-and-swap: ``before`` as it was read, ``after`` what it becomes (the first keeps the id, the rest are new)."""

    before: Delivery
    after: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries; everything given must hold. ``address`` is a sender's or recipient's, matched whole."""

    states: frozenset[State] = frozenset()
    message_id: str = ""
    address: str = ""
    next_hop: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """``deliveries`` newest first; ``next`` is the cursor of the following page, or ``""``."""

    deliveries: tuple[Delivery, ...]
    next: str


@dataclass(frozen=True, slots=True)
class Proofs:
    """What is remembered of a person's codes: the last TOTP step used, wrong codes in a row, and until when none is taken."""

    last_step: int = 0
    failures: int = 0
    locked_until: datetime | None = None


class Store(Protocol):
    """Verbs over deliveries. Each call is one durable transaction (or a read); all raise StoreUnavailable."""

    def new_box(self, message_id: str) -> tuple[MessageBox, bytes]:
        """A fresh key for a message about to be kept, and its wrapped form for ``insert``."""
        ...

    async def insert(self, held: Held, deliveries: Sequence[Delivery], wrapped: bytes) -> bool:
        """Keep a message with its deliveries under its key. False: the message id was there before, nothing was done."""
        ...

    async def box(self, message_id: str) -> MessageBox | None:
        """The message's key; None when unknown or destroyed."""
        ...

    async def save(self, changes: Sequence[Change]) -> tuple[bool, ...]:
        """Swap each delivery that still has the version of ``before``; says which did. One transaction."""
        ...

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery, or None (also when its message's key is gone)."""
        ...

    async def page(self, wanted: Filter, after: str = "", limit: int = 50) -> Page:
        """Newest first, at most MAX_PAGE."""
        ...

    async def due(
        self, states: Collection[State], now: datetime, limit: int, but_hops: Collection[str] = ()
    ) -> tuple[Delivery, ...]:
        """Those whose time has come, small mail first among equals, without those for ``but_hops``."""
        ...

    async def next_due(self, states: Collection[State]) -> datetime | None:
        """When the next one comes due."""
        ...

    async def unfinished(self, limit: int, after: str = "") -> tuple[Delivery, ...]:
        """Pending, being sent, or with an intent, by id: what a crash may have left."""
        ...

    async def counts(self) -> dict[State, int]:
        """How many in each state."""
        ...

    async def held(self, message_id: str) -> Held | None:
        """The message, or None when unknown or destroyed."""
        ...

    async def forget(self, message_ids: Collection[str], now: datetime) -> frozenset[str]:
        """Destroy key and rows of those messages of which every delivery is terminal and past its ``due``; names the blobs to delete.

        Their ids stay taken, but for messages of which all was swept.
        """
        ...

    async def forgettable(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Messages that ``forget`` would destroy."""
        ...

    async def keyed(self, message_ids: Collection[str]) -> frozenset[str]:
        """The names of the blobs of those of these messages that are kept and not destroyed."""
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Forget also the ids of destroyed messages received before then; says how many, at most ``limit``."""
        ...

    async def applied_to(self) -> int:
        """Log index up to which pending rows have been compared with the log."""
        ...

    async def set_applied_to(self, index: int) -> None:
        """Never goes back."""
        ...

    async def proofs(self, name: str) -> Proofs:
        """Of an operator; the empty one when never seen."""
        ...

    async def swap_proofs(self, name: str, before: Proofs, after: Proofs) -> bool:
        """Compare-and-swap."""
        ...

    async def close(self) -> None:
        """Finish what is under way."""
        ...


class Blobs(Protocol):
    """Bytes by name. All raise StoreUnavailable."""

    async def put(self, name: str, chunks: Iterable[bytes]) -> None:
        """Durable when it returns; replaces whole or not at all."""
        ...

    async def get(self, name: str) -> bytes | None:
        """None: no such blob."""
        ...

    async def delete(self, *names: str) -> None:
        """No error for one that is not there."""
        ...

    async def names(self) -> tuple[str, ...]:
        """Every blob, and nothing half written."""
        ...

    async def drafts_older_than(self, timestamp: float) -> int:
        """Remove what crashes left half written before that time (Unix seconds); says how many."""
        ...
