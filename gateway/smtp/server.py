"""A listener: accepts connections, carries each message to the Receiver, and ends in good order."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gateway.config import Config, Listener, ListenerTls
from gateway.smtp import replies as say
from gateway.smtp.answered import Answer, Answered
from gateway.smtp.connection import Connection, fault
from gateway.smtp.limits import WorkerLimits, client_key
from gateway.smtp.parameters import Capabilities
from gateway.smtp.reply import Reply
from gateway.smtp.terms import Terms
from gateway.smtp.users import Users
from scanners.message import Direction, Envelope

SWEEP_S = 1.0
"""How often time limits are looked at: they are seconds to minutes long, and one timer serves every connection."""
PARTING_S = 5.0
"""While going down, for those before the end of data to get there; a client that is sending sends on within moments."""
PARTING_SWEEP_S = 0.1
BACKLOG = 512
"""Connections the system holds before we accept them."""
SUBMISSION_BUDGET_S = 50.0
"""A person waits in front of a submission; architecture: 50 s."""


class Receiver(Protocol):
    """The pipeline: what becomes of a message whose end has come."""

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """Take the message or refuse it. ``raw`` is exactly what was sent: CRLF line ends, dots unstuffed."""


class Verifier(Protocol):
    """Asks the next hop about a recipient (call-ahead)."""

    async def verify(self, address: str) -> Reply | None:
        """None if it takes mail for the address, else the refusal to give."""


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


def has_room() -> bool:
    """A log that never fills."""
    return True


@dataclass(slots=True)
class Stats:
    """What a listener has done since it started."""

    connections: int = 0
    messages: int = 0
    refused: int = 0
    failed: int = 0


class Server:
    """One listener of one worker.

    ``clock`` is monotonic seconds, ``now`` the time of day in UTC. ``limits`` and ``answered`` are shared by the worker's listeners.
    ``room`` False: the log's disk is nearly full, MAIL is answered 452.
    Raises OSError or ValueError for a recipients list or network that can't be read.
    """

    def __init__(
        self,
        config: Config,
        listener: Listener,
        receiver: Receiver,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        ids: Callable[[], str],
        limits: WorkerLimits,
        answered: Answered,
        log: logging.Logger,
        capabilities: Callable[[], Capabilities],
        tls: ssl.SSLContext | None = None,
        users: Users | None = None,
        verifier: Verifier | None = None,
        watch: Watch | None = None,
        room: Callable[[], bool] = has_room,
    ) -> None:
        self.config = config
        self.listener = listener
        self.terms = Terms.of(
            config, listener, tls=tls is not None, users=users is not None, verify=verifier is not None
        )
        self.implicit_tls = tls is not None and listener.tls.mode == "implicit"
        self.clock = clock
        self.now = now
        self.ids = ids
        self.limits = limits
        self.answered = answered
        self.log = log
        self.capabilities = capabilities
        self.tls = tls
        self.users = users
        self.verifier = verifier
        self.watch = watch or Unwatched()
        self.room = room
        self.stats = Stats()
        self.stopping = False
        self.spool: Path = config.gateway.state_dir / "spool"
        submission = listener.direction == Direction.SUBMISSION
        self.reply_budget_s = (
            min(config.limits.reply_budget_s, SUBMISSION_BUDGET_S) if submission else config.limits.reply_budget_s
        )
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._receiver = receiver
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serve the bound socket. Raises OSError."""
        self.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listening = await self.loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG)
        self._timer = self.loop.call_later(SWEEP_S, self._tick)

    async def stop(self, grace_s: float, parting_s: float = PARTING_S) -> None:
        """No new connections. Messages under way may come to their end of data within ``parting_s`` seconds, then it is 421; those
        that are here by then have ``grace_s`` seconds to be answered."""
        self.stopping = True
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self._connections):
            connection.stop()
        end = self.loop.time() + parting_s
        await asyncio.sleep(PARTING_SWEEP_S)  # connections that were accepted just now come up within a few turns
        while self._connections:
            late = self.loop.time() >= end
            for connection in tuple(self._connections):
                connection.part(self.clock(), late=late)
            if late:
                break
            await asyncio.sleep(PARTING_SWEEP_S)
        if self._tasks:
            _, left = await asyncio.wait(tuple(self._tasks), timeout=grace_s)
            if left:
                self.log.error("stopped with %d messages unanswered; their senders will try again", len(left))
        for connection in tuple(self._connections):  # answered since: there is no time left for another command
            connection.part(self.clock(), late=True)
        await asyncio.sleep(0)
        for connection in tuple(self._connections):
            connection.abort_unless_flushing()
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self) -> None:
        """Hold every connection to its time limits."""
        now = self.clock()
        for connection in tuple(self._connections):
            connection.check_time(now)

    def _tick(self) -> None:
        self._timer = self.loop.call_later(SWEEP_S, self._tick)
        self.sweep()

    # What connections call.

    def opened(self, connection: Connection) -> Reply | None:
        """A connection more; why it must end at once, or None."""
        self._connections.add(connection)
        self.stats.connections += 1
        self.limits.open += 1
        self.watch.connected(self.listener.name)
        return say.BUSY if self.limits.open > self.limits.connections else None

    def closed(self, connection: Connection) -> None:
        """A connection less."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.limits.open -= 1

    def refused(self, session_id: str, client: str, reply: Reply) -> None:
        """A refusal before or instead of a message's answer; logged without what the client said."""
        self.stats.refused += 1
        self.watch.refused(self.listener.name, client, reply)
        if reply.code >= 500:
            self.limits.clients.refused(client_key(client))
        self.log.info("refused %d %s (session %s)", reply.code, reply.enhanced, session_id)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run it to its end, whatever becomes of the connection; the set keeps the task from being collected."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """The pipeline's answer; its failure is ours to log, and the client hears 451."""
        self.stats.messages += 1
        try:
            return await self._receiver.receive(envelope, raw)
        except Exception as error:  # the boundary: anything below must end in an answer, never on the wire
            self.stats.failed += 1
            self.log.error("message %s failed: %s", envelope.id, fault(error))
            self.watch.refused(self.listener.name, envelope.client or envelope.hop, say.FAILED)
            return say.FAILED


def server_context(tls: ListenerTls) -> ssl.SSLContext | None:
    """A listener's TLS: 1.2 and newer, its certificate, no renegotiation. None without a certificate. Raises OSError, ssl.SSLError."""
    if tls.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
