"""Lines on their way to the log: they wait for others to go with, for a connection, and for the answer that they are durable."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audit.journal import MAX_FRAME_BODY, MAX_FRAME_ENTRIES
from gateway.recording.keeper_protocol import Append, Appended
from gateway.recording.recorder import Receipt, RecorderFull, RecorderUnavailable

REQUEST_BYTES = 1024 * 1024
"""Bytes of events in one request; more waits for the next."""
REQUEST_EVENTS = 1000
GATHER_S = 0.004
"""While the loop has other mail to work on, what comes within this goes in one request: a request and its commit cost the same for one
event and for ten (100 us). On an idle loop nothing waits."""
IDLE_TURN_S = 0.00004
"""A turn of the loop that took less had nothing else to do: an empty one takes 10 us, the smallest real work 30 us more."""


@dataclass(slots=True)
class _Group:
    """Lines that go into one frame together, waiting."""

    lines: list[bytes]
    answer: "asyncio.Future[Receipt]"
    until: float
    size: int


class Outbox:
    """``post`` sends a request that is made with its number, and gives that number; None: there is no connection now. ``clock`` is
    monotonic seconds; who has waited for ``patience_s`` is told that the log is unavailable."""

    def __init__(
        self, post: Callable[[Callable[[int], Append]], int | None], clock: Callable[[], float], patience_s: float
    ) -> None:
        self._post, self._clock, self._patience_s = post, clock, patience_s
        self._waiting: deque[_Group] = deque()
        self._sent: dict[int, list[_Group]] = {}
        self._scheduled = False
        self._sweeper: asyncio.TimerHandle | None = None

    def put(self, lines: list[bytes]) -> "asyncio.Future[Receipt]":
        """Into the log, in one frame. The answer comes when they are durable; RecorderUnavailable, RecorderFull or ValueError else.

        Raises ValueError for more than one frame holds: the keeper would hang up on it, again and again.
        """
        size = sum(map(len, lines))
        if len(lines) > MAX_FRAME_ENTRIES or size + 2 * len(lines) > MAX_FRAME_BODY:
            raise ValueError(f"{len(lines)} events of {size} bytes are more than one frame of the log holds")
        loop = asyncio.get_running_loop()
        now = self._clock()
        group = _Group(lines, loop.create_future(), now + self._patience_s, size)
        self._waiting.append(group)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._gather, loop, now + GATHER_S, now)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._patience_s, self._sweep)
        return group.answer

    async def emptied(self) -> None:
        """Wait until everything has its answer."""
        while groups := list(self._groups()):
            await asyncio.wait([group.answer for group in groups])

    def close(self) -> None:
        """Give up what is left."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for group in self._groups():
            _refuse(group, RecorderUnavailable("closed"))
        self._waiting.clear()
        self._sent.clear()

    def _groups(self) -> Iterator[_Group]:
        yield from self._waiting
        for sent in self._sent.values():
            yield from sent

    def _gather(self, loop: asyncio.AbstractEventLoop, until: float, turned: float) -> None:
        """Wait for more as long as the loop is busy with something that may bring it, at most ``until``."""
        now = self._clock()
        if now < until and now - turned > IDLE_TURN_S:
            loop.call_soon(self._gather, loop, until, now)
        else:
            self.flush()

    def flush(self) -> None:
        """All that waits, in as few requests as the bounds allow."""
        self._scheduled = False
        while self._waiting:
            groups: list[_Group] = []
            size = count = 0
            for group in self._waiting:
                size, count = size + group.size, count + len(group.lines)
                if groups and (size > REQUEST_BYTES or count > REQUEST_EVENTS):
                    break
                groups.append(group)
            number = self._post(lambda number, groups=groups: Append(number, [group.lines for group in groups]))  # type: ignore[misc]
            if number is None:
                return
            self._sent[number] = groups
            for _ in groups:
                self._waiting.popleft()

    def returned(self) -> None:
        """The connection is gone: what was not answered goes again over the next one, before what came later. The log drops ids it has."""
        for number in sorted(self._sent, reverse=True):
            self._waiting.extendleft(reversed(self._sent.pop(number)))

    def appended(self, message: Appended) -> None:
        """The keeper's answer to a request."""
        for group, first in zip(self._sent.pop(message.id, ()), message.firsts, strict=False):
            if group.answer.done():
                continue
            if first >= 0:
                group.answer.set_result(Receipt(first, message.size))
            elif message.full:
                group.answer.set_exception(RecorderFull("the log's disk is full 审计磁盘已满"))
            else:
                group.answer.set_exception(ValueError("the keeper refused a malformed event"))

    def _sweep(self) -> None:
        """Tell those who have waited long enough. What they asked for may still be recorded."""
        self._sweeper = None
        now = self._clock()
        for group in self._groups():
            if now >= group.until:
                _refuse(group, RecorderUnavailable("the log did not answer in time"))
        self._waiting = deque(group for group in self._waiting if not group.answer.done())
        pending = [group.until for group in self._groups() if not group.answer.done()]
        if pending:
            self._sweeper = asyncio.get_running_loop().call_later(max(0.01, min(pending) - now), self._sweep)


def _refuse(group: _Group, error: RecorderUnavailable) -> None:
    if not group.answer.done():
        group.answer.set_exception(error)
