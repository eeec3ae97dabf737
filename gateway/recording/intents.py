"""Which decided messages still owe the log an outcome (law 2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

UNKNOWN_AFTER_S = 60.0
"""A worker that died, or a keeper that started, leaves this long for someone to say how it ended."""
OUTCOMES = frozenset(
    {
        "message.relayed",
        "message.refused",
        "message.deferred",
        "message.delivered",
        "message.bounced",
        "message.duplicate",
        "message.outcome_unknown",
        "quarantine.add",
        "hold.create",
    }
)
"""Event types that say how a relay ended."""
DECIDED = "message.decided"
RELAY = "relay"


class LineHead(msgspec.Struct):
    """What the keeper reads of a line. ``intent`` is a public field of ``message.decided``."""

    id: str
    type: str
    msg: str = ""
    dir: str = ""
    intent: str = ""


class Intent(msgspec.Struct, frozen=True):
    """A message decided for relay: the decision's event id, and since when nobody stands for it (None: its worker lives)."""

    msg: str
    event: str
    dir: str
    owner: int
    orphaned: float | None = None


@dataclass(slots=True)
class Intents:
    """The open ones by message id; ``owner`` is a connection's number."""

    open: dict[str, Intent]

    def saw(self, head: LineHead, owner: int, orphaned: float | None = None) -> None:
        """An event became durable."""
        if head.type == DECIDED:
            if head.intent == RELAY:
                self.open[head.msg] = Intent(head.msg, head.id, head.dir, owner, orphaned)
        elif head.type in OUTCOMES:
            self.open.pop(head.msg, None)

    def orphan(self, owner: int, now: float) -> None:
        """The worker behind that connection is gone."""
        for msg, intent in self.open.items():
            if intent.owner == owner and intent.orphaned is None:
                self.open[msg] = msgspec.structs.replace(intent, orphaned=now)

    def claim(self, messages: Iterable[str], owner: int) -> None:
        """A worker that was connected before still carries these."""
        for msg in messages:
            intent = self.open.get(msg)
            if intent is not None:
                self.open[msg] = msgspec.structs.replace(intent, owner=owner, orphaned=None)

    def due(self, now: float) -> Iterator[Intent]:
        """Those that nobody claimed in time."""
        for intent in list(self.open.values()):
            if intent.orphaned is not None and now - intent.orphaned >= UNKNOWN_AFTER_S:
                yield intent


class Snapshot(msgspec.Struct, frozen=True):
    """The open intents as of a log of ``size`` events, kept beside the log so that a start need not read all of it."""

    size: int
    open: list[Intent]
