"""What every listener of a worker works with, and what it asks of others."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.config import Config
from gateway.smtp.answered import Answer, Answered
from gateway.smtp.limits import WorkerLimits
from gateway.smtp.parameters import Capabilities
from gateway.smtp.reply import Reply
from gateway.smtp.users import Users
from scanners.message import Envelope


class Receiver(Protocol):
    """The pipeline: what becomes of a message whose end has come."""

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """Take the message or refuse it. ``raw`` is exactly what was sent: CRLF line ends, dots unstuffed."""


class Watch(Protocol):
    """Is told what happens before and beside the messages. All but ``duplicate`` answer at once and never raise."""

    def connected(self, listener: str) -> None:
        """One more connection."""

    def refused(self, listener: str, client: str, reply: Reply) -> None:
        """A refusal that no message's events tell of; code 0: closed without an answer."""

    def login(self, listener: str, session_id: str, client: str, user: str) -> None:
        """A sender has proven who they are."""

    async def duplicate(self, envelope: Envelope, raw: bytes, answer: Answer) -> None:
        """The same message again gets the answer that was kept (RFC 1047)."""


class Unwatched:
    """Nobody is told."""

    def connected(self, listener: str) -> None:
        """See Watch."""

    def refused(self, listener: str, client: str, reply: Reply) -> None:
        """See Watch."""

    def login(self, listener: str, session_id: str, client: str, user: str) -> None:
        """See Watch."""

    async def duplicate(self, envelope: Envelope, raw: bytes, answer: Answer) -> None:
        """See Watch."""


UNWATCHED = Unwatched()


def has_room() -> bool:
    """A log that never fills."""
    return True


@dataclass(frozen=True, slots=True)
class Parts:
    """Shared by all listeners of a worker; made once by it, replaced by fakes in tests.

    ``clock`` is monotonic seconds, ``now`` the time of day in UTC. ``users``: who may log in, where there
    is anyone. ``room`` False: the log's disk is nearly full, MAIL is answered 452.
    """

    config: Config
    receiver: Receiver
    clock: Callable[[], float]
    now: Callable[[], datetime]
    ids: Callable[[], str]
    limits: WorkerLimits
    answered: Answered
    log: logging.Logger
    capabilities: Callable[[], Capabilities]
    users: Users | None = None
    watch: Watch = UNWATCHED
    room: Callable[[], bool] = has_room
