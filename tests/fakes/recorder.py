"""A log in memory, for tests of whatever records."""

from collections.abc import Sequence
from hashlib import sha256

from audit.event import Event, Place
from audit.sealing import MessageKey, SubjectKey
from gateway.recording.recorder import Receipt, RecorderFull, RecorderUnavailable


class FakeRecorder:
    """Keeps events in order in ``events``; ``failures`` counts how many of the next calls raise RecorderUnavailable."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.keys: list[MessageKey | None] = []
        self.failures = 0
        self.room = True
        self.opened = False
        self._leaf = 0

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.opened = False

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        self._fail()
        if not self.room:
            raise RecorderFull("full")
        self._leaf += 1
        subjects = {
            address: SubjectKey(sha256(address.encode()).digest(), number) for number, address in enumerate(addresses)
        }
        return MessageKey(Place("smtp", "2026-11", self._leaf), sha256(b"%d" % self._leaf).digest(), subjects)

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        self._fail()
        known = {event.id: index for index, event in enumerate(self.events)}
        first = known.get(events[0].id, len(self.events))
        for event in events:
            if event.id not in known:
                assert key is not None or not event.sealed, "sealed fields need a message key"
                self.events.append(event)
                self.keys.append(key)
        return Receipt(first, len(self.events))

    def of_type(self, type_: str) -> list[Event]:
        return [event for event in self.events if event.type == type_]

    def _fail(self) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise RecorderUnavailable("the fake was told to fail")
