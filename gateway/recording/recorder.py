"""The way into the audit log from any process: hand over events, wait until they are durable.

SocketRecorder talks to the keeper. It seals personal fields here, so that plain text never leaves the worker; it joins what is
recorded at the same time into one request, and repeats what was not answered when the connection comes back: the log drops ids
it has.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

from audit.event import SPLIT_ABOVE, Event, EventTooLarge, Place, line
from audit.sealing import MessageKey, commitments, seal, subject_of
from audit.spread import bounded, spread
from gateway.recording.intents import DECIDED, OUTCOMES, RELAY
from gateway.recording.keeper_protocol import (
    Answer,
    Append,
    Appended,
    Base,
    Forget,
    Frames,
    Hello,
    Problem,
    ProtocolError,
    Retire,
    Retired,
    Room,
    Welcome,
    decode_answer,
    encode,
)
from gateway.recording.worker_keys import WorkerKeys

__all__ = ["MessageKey", "Receipt", "Recorder", "RecorderFull", "RecorderUnavailable", "SocketRecorder"]

PATIENCE_S = 10.0
"""How long a call waits for the keeper, restarts included, before the client is told 451."""
BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits between attempts to connect; the last one repeats."""
GREETING_S = 1.0
"""A keeper that was killed may take a last connection and never answer: then try again, rather than wait out the patience."""
REQUEST_BYTES = 1024 * 1024
"""Bytes of events in one request; more waits for the next."""
REQUEST_EVENTS = 1000
GATHER_S = 0.004
"""While the loop has other mail to work on, what comes within this goes in one request: a request and its commit cost the same for one
event and for ten (100 us). On an idle loop nothing waits."""
IDLE_TURN_S = 0.00004
"""A turn of the loop that took less had nothing else to do: an empty one takes 10 us, the smallest real work 30 us more."""
RETENTION = "smtp"
_Answered = TypeVar("_Answered", bound=Base)


class RecorderUnavailable(Exception):
    """The log cannot be written now; nothing may move: answer 451."""


class _Lost(RecorderUnavailable):
    """The connection ended before the answer came."""


class RecorderFull(RecorderUnavailable):
    """The log's disk is nearly full: take no new message (452); outcomes of those under way are still recorded."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Durable: ``index`` of the first event, ``size`` of the tree whose signed head covers it."""

    index: int
    size: int


class Recorder(Protocol):
    """What the pipeline, custody, the queue and commands need of the log."""

    async def open(self) -> None:
        """Connect. Raises RecorderUnavailable."""
        ...

    async def close(self) -> None:
        """Wait for what is under way, then disconnect."""
        ...

    @property
    def room(self) -> bool:
        """False when the log's disk is below its reserve: answer MAIL with 452."""
        ...

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        """One leaf for one message, with the keys of these people. Raises RecorderUnavailable, RecorderFull."""
        ...

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        """Returns when all ``events`` are durable, in one frame. Raises RecorderUnavailable; the same events may then be
        recorded again: the log drops ids it has. Raises ValueError for an event that can't be written at all."""
        ...


@dataclass(slots=True)
class _Group:
    """Lines of one record() call, waiting."""

    lines: list[bytes]
    answer: "asyncio.Future[Receipt]"
    until: float
    size: int


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
        self._path, self._name, self._clock = path, name, clock
        self._patience_s = patience_s
        self._origin = self._node = ""
        self._room = True
        self._wire: _Wire | None = None
        self._ready = asyncio.Event()
        self._closing = False
        self._runner: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._waiting: deque[_Group] = deque()
        self._sent: dict[int, list[_Group]] = {}
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0
        self._scheduled = False
        self._keys = WorkerKeys(self._ask_again, clock, retention)
        self._open: set[str] = set()

    # -- life

    async def open(self) -> None:
        """Connect, and stay connected. Raises RecorderUnavailable after the patience; it goes on trying all the same."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._stay_connected())
        await self._connected()

    async def close(self) -> None:
        """Wait for what is under way, at most the patience, then disconnect."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while self._waiting or self._sent:
                    groups = [*self._waiting, *(group for sent in self._sent.values() for group in sent)]
                    await asyncio.wait([group.answer for group in groups])
        self._closing = True
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner
            self._runner = None
        if self._wire is not None:
            self._wire.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._give_up(RecorderUnavailable("closed"))

    @property
    def room(self) -> bool:
        """As the keeper last said."""
        return self._room

    @property
    def origin(self) -> str:
        """Whose log it is; empty before the first connection."""
        return self._origin

    async def _connected(self) -> None:
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._ready.wait()
        except TimeoutError:
            raise RecorderUnavailable("the keeper does not answer 审计进程无响应; see: sealgate doctor") from None

    async def _stay_connected(self) -> None:
        attempt = 0
        while not self._closing:
            lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            try:
                _, wire = await asyncio.get_running_loop().create_unix_connection(
                    lambda lost=lost: _Wire(self._answered, lost),  # type: ignore[misc]
                    str(self._path),
                )
            except OSError:
                await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
                attempt += 1
                continue
            self._wire = wire
            try:
                if await self._greet():
                    attempt = 0
                    await lost
            finally:
                self._disconnected()
                wire.close()

    async def _greet(self) -> bool:
        try:
            async with asyncio.timeout(GREETING_S):
                welcome = await self._ask(lambda number: Hello(number, self._name, sorted(self._open)), Welcome)
        except (RecorderUnavailable, TimeoutError):
            return False
        self._origin, self._node, self._room = welcome.origin, welcome.node, welcome.room
        self._ready.set()
        self._flush()
        return True

    def _disconnected(self) -> None:
        """A lease lives as long as its connection; events not answered wait for the next one, before those that came later."""
        self._wire = None
        self._ready.clear()
        self._keys.drop()
        for number in sorted(self._sent, reverse=True):
            self._waiting.extendleft(reversed(self._sent.pop(number)))
        for future in self._asked.values():
            if not future.done():
                future.set_exception(_Lost("the keeper went away"))
        self._asked.clear()

    # -- keys

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        """One leaf for one message, with the keys of these people. Raises RecorderUnavailable, RecorderFull."""
        if not self._room:
            raise RecorderFull("the log's disk is nearly full 审计磁盘空间不足; free space or add disk")
        return await self._keys.take(addresses)

    # -- events

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        """Returns when all ``events`` are durable, in one frame. Raises RecorderUnavailable; ValueError for one that can't be written."""
        if not self._origin:
            await self._connected()
        if key is not None:
            key = await self._with_subjects(events, key)
        lines = [item for event in events for item in self._lines(event, key)]
        loop = asyncio.get_running_loop()
        size = sum(map(len, lines))
        group = _Group(lines, loop.create_future(), self._clock() + self._patience_s, size)
        self._track(events)
        self._waiting.append(group)
        if not self._scheduled:
            self._scheduled = True
            now = self._clock()
            loop.call_soon(self._gather, loop, now + GATHER_S, now)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._patience_s, self._sweep)
        return await group.answer

    async def _with_subjects(self, events: Sequence[Event], key: MessageKey) -> MessageKey:
        people = {subject_of(secret.subject_address) for event in events for secret in event.sealed.values()} - {""}
        missing = [person for person in people if person not in key.subjects]
        if not missing:
            return key
        more = await self._keys.subjects(key.place.month, missing)
        return MessageKey(key.place, key.key, {**key.subjects, **more})

    def _lines(self, event: Event, key: MessageKey | None) -> Iterator[bytes]:
        if key is None and (event.sealed or event.commits):
            raise ValueError(f"{event.type}: sealed fields and commitments need a message key")
        event = bounded(event)
        with contextlib.suppress(EventTooLarge):
            data = self._line(event, key)
            if len(data) <= SPLIT_ABOVE:
                yield data
                return
        for page in spread(event):
            yield self._line(page, key)

    def _line(self, event: Event, key: MessageKey | None) -> bytes:
        if key is None:
            return line(event, self._node)
        sealed = seal(event, self._origin, key) if event.sealed else None
        commits = commitments(event, key) if event.commits else None
        return line(event, self._node, key.place, sealed, commits)

    def _track(self, events: Sequence[Event]) -> None:
        """Which relays are under way here, to be claimed after the connection was lost."""
        for event in events:
            if event.type == DECIDED:
                if event.public.get("intent") == RELAY:
                    self._open.add(event.msg)
            elif event.type in OUTCOMES:
                self._open.discard(event.msg)

    def _gather(self, loop: asyncio.AbstractEventLoop, until: float, turned: float) -> None:
        """Wait for more as long as the loop is busy with something that may bring it, at most ``until``."""
        now = self._clock()
        if now < until and now - turned > IDLE_TURN_S:
            loop.call_soon(self._gather, loop, until, now)
        else:
            self._flush()

    def _flush(self) -> None:
        """All that waits, in as few requests as the bounds allow."""
        self._scheduled = False
        wire = self._wire
        if wire is None or not self._ready.is_set():
            return
        while self._waiting:
            groups: list[_Group] = []
            size = count = 0
            while self._waiting:
                group = self._waiting[0]
                size, count = size + group.size, count + len(group.lines)
                if groups and (size > REQUEST_BYTES or count > REQUEST_EVENTS):
                    break
                groups.append(self._waiting.popleft())
            self._number += 1
            self._sent[self._number] = groups
            wire.send(Append(self._number, [group.lines for group in groups]))

    def _sweep(self) -> None:
        """Tell those who have waited long enough. What they asked for may still be recorded."""
        self._sweeper = None
        now = self._clock()
        left: deque[_Group] = deque()
        for group in self._waiting:
            if group.answer.done() or now >= group.until:
                _refuse(group, RecorderUnavailable("the log did not answer in time"))
            else:
                left.append(group)
        self._waiting = left
        for groups in self._sent.values():
            for group in groups:
                if now >= group.until:
                    _refuse(group, RecorderUnavailable("the log did not answer in time"))
        pending = [group.until for group in left]
        pending += [group.until for groups in self._sent.values() for group in groups if not group.answer.done()]
        if pending:
            self._sweeper = asyncio.get_running_loop().call_later(max(0.01, min(pending) - now), self._sweep)

    def _give_up(self, error: RecorderUnavailable) -> None:
        for group in [*self._waiting, *(group for groups in self._sent.values() for group in groups)]:
            _refuse(group, error)
        self._waiting.clear()
        self._sent.clear()

    # -- answers

    def _answered(self, message: Answer) -> None:
        match message:
            case Appended():
                self._appended(message)
            case Retire():
                self._retire(message)
            case Room():
                self._room = message.room
            case Forget():
                self._keys.forget()
            case _:
                future = self._asked.pop(message.id, None)
                if future is not None and not future.done():
                    future.set_result(message)

    def _appended(self, message: Appended) -> None:
        self._room = message.room
        for group, first in zip(self._sent.pop(message.id, ()), message.firsts, strict=False):
            if group.answer.done():
                continue
            if first >= 0:
                group.answer.set_result(Receipt(first, message.size))
            elif message.full:
                group.answer.set_exception(RecorderFull("the log's disk is full 审计磁盘已满"))
            else:
                group.answer.set_exception(ValueError("the keeper refused a malformed event"))

    def _retire(self, message: Retire) -> None:
        self._keys.retire(Place(message.retention, message.month, message.base))
        if self._wire is not None:
            self._wire.send(Retired(message.retention, message.month, message.base))

    async def _ask_again(self, request: Callable[[int], Base], kind: type[_Answered]) -> _Answered:
        """As ``_ask``, over the next connection if this one ends, within the patience. Raises RecorderUnavailable."""
        until = self._clock() + self._patience_s
        while True:
            await self._connected()
            try:
                return await self._ask(request, kind)
            except _Lost:
                if self._clock() >= until:
                    raise

    async def _ask(self, request: Callable[[int], Base], kind: type[_Answered]) -> _Answered:
        """One request, one answer. Raises RecorderUnavailable."""
        if self._wire is None:
            raise _Lost("not connected to the keeper")
        self._number += 1
        number = self._number
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._wire.send(request(number))
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await future
        except TimeoutError:
            raise RecorderUnavailable("the keeper does not answer 审计进程无响应; see: sealgate doctor") from None
        finally:
            self._asked.pop(number, None)
        if isinstance(answer, Problem):
            raise RecorderUnavailable(answer.text)
        if not isinstance(answer, kind):
            raise RecorderUnavailable("the keeper answered something else")
        return answer


def _refuse(group: _Group, error: RecorderUnavailable) -> None:
    if not group.answer.done():
        group.answer.set_exception(error)


class _Wire(asyncio.Protocol):
    """The worker's end of the socket."""

    def __init__(self, answered: Callable[[Answer], None], lost: "asyncio.Future[None]") -> None:
        self._answered, self._lost = answered, lost
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Answers and pushes."""
        try:
            for frame in self._frames.feed(data):
                self._answered(decode_answer(frame))
        except ProtocolError:
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """Gone."""
        self._transport = None
        if not self._lost.done():
            self._lost.set_result(None)

    def send(self, message: Base) -> None:
        """Dropped when the connection is gone: the caller's request is then repeated, or fails."""
        if self._transport is not None:
            self._transport.write(encode(message))

    def close(self) -> None:
        """Flush and end."""
        if self._transport is not None:
            self._transport.close()
