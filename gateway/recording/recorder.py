"""What any process needs of the audit log: hand over events, wait until they are durable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from audit.event import Event
from audit.sealing import MessageKey

__all__ = ["MessageKey", "Receipt", "Recorder", "RecorderFull", "RecorderUnavailable"]


class RecorderUnavailable(Exception):
    """The log cannot be written now; nothing may move: answer 451."""


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
