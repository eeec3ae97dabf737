"""Everything around one receiving Connection, in memory: transport, clock, receiver, users."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

from gateway.config import Config, Listener
from gateway.smtp.answered import Answer, Answered
from gateway.smtp.connection import Connection
from gateway.smtp.limits import WorkerLimits
from gateway.smtp.login import Credentials
from gateway.smtp.parameters import Capabilities
from gateway.smtp.parts import Parts
from gateway.smtp.reply import Reply
from gateway.smtp.server import Server
from scanners.message import Envelope

TAKEN = Reply(250, "2.0.0", "taken")
NOW = datetime(2026, 11, 22, 2, 10, 31, tzinfo=UTC)


class Clock:
    """Monotonic seconds that move when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Receiver:
    """Keeps what it is given. ``answer`` may be a Reply or an exception to raise; ``gate``, when set, is waited for first."""

    answer: Reply | Exception = TAKEN
    gate: asyncio.Event | None = None
    messages: list[tuple[Envelope, bytes]] = field(default_factory=list)

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        self.messages.append((envelope, raw))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Users:
    """One user: zhang, password geheim."""

    async def verify(self, credentials: Credentials) -> str | None:
        await asyncio.sleep(0)
        return "zhang" if (credentials.login, credentials.password) == ("zhang", "geheim") else None


@dataclass
class Watching:
    """Remembers what it is told."""

    connections: int = 0
    refusals: list[tuple[str, str, int, str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)

    def connected(self, listener: str) -> None:
        self.connections += 1

    def refused(self, listener: str, client: str, reply: Reply) -> None:
        self.refusals.append((listener, client, reply.code, reply.enhanced))

    def login(self, listener: str, session_id: str, client: str, user: str) -> None:
        self.logins.append((client, user))

    async def duplicate(self, envelope: Envelope, raw: bytes, answer: Answer) -> None:
        self.duplicates.append((envelope.id, answer.message_id))


class Transport(asyncio.Transport):
    """Collects what is written; the peer is at ``peer``."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.peer = peer
        self.written = bytearray()
        self.closed = False
        self.paused = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self.peer, 40000) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after close"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass
class Rig:
    """A Server without a socket, and one client's connection to it."""

    server: Server
    receiver: Receiver
    clock: Clock
    connection: Connection
    transport: Transport

    async def settle(self) -> None:
        """Let everything that can happen happen."""
        for _ in range(12):
            await asyncio.sleep(0)
        if self.transport.closed:
            self.connection.connection_lost(None)

    async def send(self, data: bytes, chunk: int = 0) -> bytes:
        """Deliver octets in pieces of ``chunk`` (0: at once); returns what was answered."""
        for at in range(0, len(data), chunk or max(1, len(data))):
            if self.transport.closed:
                break
            self.connection.data_received(data[at : at + (chunk or len(data))])
            await self.settle()
        return self.take()

    def take(self) -> bytes:
        """What was answered since."""
        answer = bytes(self.transport.written)
        self.transport.written.clear()
        return answer


def server(
    config: Config,
    listener: Listener,
    receiver: Receiver,
    clock: Clock,
    tls: ssl.SSLContext | None = None,
    **more: object,
) -> Server:
    """A Server with everything faked that isn't given."""
    identifiers: Callable[[], str] = (f"ID{number}" for number in count(1)).__next__
    settings: dict[str, object] = {
        "clock": clock,
        "now": lambda: NOW,
        "ids": identifiers,
        "limits": WorkerLimits.of(config.limits, clock),
        "answered": Answered(clock),
        "log": logging.getLogger("tests.receiving"),
        "capabilities": Capabilities,
    } | more
    return Server(Parts(config=config, receiver=receiver, **settings), listener, tls)  # type: ignore[arg-type]


def connect(server: Server, peer: str) -> tuple[Connection, Transport]:
    """One more client."""
    connection, transport = Connection(server.reception), Transport(peer)
    connection.connection_made(transport)
    return connection, transport


async def rig(config: Config, listener: Listener, peer: str, **more: object) -> Rig:
    """A server and a client connected to it. The spool is made."""
    receiver = cast("Receiver", more.pop("receiver", None)) or Receiver()
    clock = cast("Clock", more.pop("clock", None)) or Clock()
    made = server(config, listener, receiver, clock, **more)  # type: ignore[arg-type]
    Path(made.reception.spool).mkdir(parents=True, exist_ok=True)
    connection, transport = connect(made, peer)
    result = Rig(made, receiver, clock, connection, transport)
    await result.settle()
    return result
