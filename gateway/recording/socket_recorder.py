"""The Recorder of every process but the keeper: it seals here what is personal, and hands the lines to the keeper over its socket.

What is recorded at the same time goes in one request, and what was not answered goes again when the connection comes back.
"""

import contextlib
from asyncio import timeout
from collections.abc import Callable, Sequence
from pathlib import Path

from audit.event import Event, Place
from audit.sealing import MessageKey
from gateway.recording.intents import DECIDED, OUTCOMES, RELAY
from gateway.recording.keeper_link import KeeperLink
from gateway.recording.keeper_protocol import Appended, Forget, Push, Retire, Retired, Room, Welcome
from gateway.recording.outbox import Outbox
from gateway.recording.recorder import Receipt, RecorderFull
from gateway.recording.sealed_lines import lines, people
from gateway.recording.worker_keys import WorkerKeys

PATIENCE_S = 10.0
"""How long a call waits for the keeper, restarts included, before the client is told 451."""
RETENTION = "smtp"


class SocketRecorder:
    """A Recorder over the keeper's socket. ``clock`` is monotonic seconds; ``name`` stands in the keeper's logs."""

    def __init__(
        self,
        path: Path,
        name: str,
        clock: Callable[[], float],
        patience_s: float = PATIENCE_S,
        retention: str = RETENTION,
    ) -> None:
        self._patience_s = patience_s
        self._origin = self._node = ""
        self._room = True
        self._relays: set[str] = set()
        self._link = KeeperLink(path, name, self, clock, patience_s)
        self._outbox = Outbox(self._link.post, clock, patience_s)
        self._keys = WorkerKeys(self._link.ask, clock, retention)

    async def open(self) -> None:
        """Connect, and stay connected. Raises RecorderUnavailable after the patience; it goes on trying all the same."""
        await self._link.open()

    async def close(self) -> None:
        """Wait for what is under way, at most the patience, then disconnect."""
        with contextlib.suppress(TimeoutError):
            async with timeout(self._patience_s):
                await self._outbox.emptied()
        await self._link.close()
        self._outbox.close()

    @property
    def room(self) -> bool:
        """As the keeper last said."""
        return self._room

    @property
    def origin(self) -> str:
        """Whose log it is; empty before the first connection."""
        return self._origin

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        """One leaf for one message, with the keys of these people. Raises RecorderUnavailable, RecorderFull."""
        if not self._room:
            raise RecorderFull("the log's disk is nearly full 审计磁盘空间不足; free space or add disk")
        return await self._keys.take(addresses)

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        """Returns when all ``events`` are durable, in one frame. Raises RecorderUnavailable; ValueError for one that can't be written."""
        if not self._origin:
            await self._link.connected()
        if key is not None:
            key = await self._with_subjects(events, key)
        written = [line for event in events for line in lines(event, key, self._origin, self._node)]
        self._track(events)
        return await self._outbox.put(written)

    async def _with_subjects(self, events: Sequence[Event], key: MessageKey) -> MessageKey:
        missing = [person for person in people(events) if person not in key.subjects]
        if not missing:
            return key
        more = await self._keys.subjects(key.place.month, missing)
        return MessageKey(key.place, key.key, {**key.subjects, **more})

    def _track(self, events: Sequence[Event]) -> None:
        """Which relays are under way here, to be claimed after the connection was lost."""
        for event in events:
            if event.type == DECIDED:
                if event.public.get("intent") == RELAY:
                    self._relays.add(event.msg)
            elif event.type in OUTCOMES:
                self._relays.discard(event.msg)

    # What the link calls.

    def claims(self) -> list[str]:
        """As Caller."""
        return sorted(self._relays)

    def greeted(self, welcome: Welcome) -> None:
        """As Caller: what waited for a connection goes now."""
        self._origin, self._node, self._room = welcome.origin, welcome.node, welcome.room
        self._outbox.flush()

    def parted(self) -> None:
        """As Caller: a lease lives as long as its connection."""
        self._keys.drop()
        self._outbox.returned()

    def heard(self, message: Push | Appended) -> None:
        """As Caller."""
        match message:
            case Appended():
                self._room = message.room
                self._outbox.appended(message)
            case Retire():
                self._keys.retire(Place(message.retention, message.month, message.base))
                self._link.tell(Retired(message.retention, message.month, message.base))
            case Room():
                self._room = message.room
            case Forget():
                self._keys.forget()
