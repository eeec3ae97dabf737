"""A listener: accepts connections, carries each message to the Receiver, and ends in good order."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Listener, ListenerTls
from gateway.smtp import replies as say
from gateway.smtp.connection import Connection
from gateway.smtp.fault import fault
from gateway.smtp.limits import client_key
from gateway.smtp.parts import Parts
from gateway.smtp.reply import Reply
from gateway.smtp.terms import Terms
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


@dataclass(slots=True)
class Stats:
    """What a listener has done since it started."""

    connections: int = 0
    messages: int = 0
    refused: int = 0
    failed: int = 0


class Server:
    """One listener of one worker. ``tls`` is its context, None without a certificate.

    Raises OSError or ValueError for a recipients list or network that can't be read.
    """

    def __init__(self, parts: Parts, listener: Listener, tls: ssl.SSLContext | None = None) -> None:
        config = parts.config
        self.parts = parts
        self.listener = listener
        self.tls = tls
        self.terms = Terms.of(config, listener, tls=tls is not None, users=parts.users is not None)
        self.implicit_tls = tls is not None and listener.tls.mode == "implicit"
        self.stats = Stats()
        self.stopping = False
        self.spool: Path = config.gateway.state_dir / "spool"
        submission = listener.direction == Direction.SUBMISSION
        self.reply_budget_s = (
            min(config.limits.reply_budget_s, SUBMISSION_BUDGET_S) if submission else config.limits.reply_budget_s
        )
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
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
                connection.part(self.parts.clock(), late=late)
            if late:
                break
            await asyncio.sleep(PARTING_SWEEP_S)
        if self._tasks:
            _, left = await asyncio.wait(tuple(self._tasks), timeout=grace_s)
            if left:
                self.parts.log.error("stopped with %d messages unanswered; their senders will try again", len(left))
        for connection in tuple(self._connections):  # answered since: there is no time left for another command
            connection.part(self.parts.clock(), late=True)
        await asyncio.sleep(0)
        for connection in tuple(self._connections):
            connection.abort_unless_flushing()
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self) -> None:
        """Hold every connection to its time limits."""
        now = self.parts.clock()
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
        self.parts.limits.open += 1
        self.parts.watch.connected(self.listener.name)
        return say.BUSY if self.parts.limits.open > self.parts.limits.connections else None

    def closed(self, connection: Connection) -> None:
        """A connection less."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.parts.limits.open -= 1

    def refused(self, session_id: str, client: str, reply: Reply) -> None:
        """A refusal before or instead of a message's answer; logged without what the client said."""
        self.stats.refused += 1
        self.parts.watch.refused(self.listener.name, client, reply)
        if reply.code >= 500:
            self.parts.limits.clients.refused(client_key(client))
        self.parts.log.info("refused %d %s (session %s)", reply.code, reply.enhanced, session_id)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run it to its end, whatever becomes of the connection; the set keeps the task from being collected."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """The pipeline's answer; its failure is ours to log, and the client hears 451."""
        self.stats.messages += 1
        try:
            return await self.parts.receiver.receive(envelope, raw)
        except Exception as error:  # the boundary: anything below must end in an answer, never on the wire
            self.stats.failed += 1
            self.parts.log.error("message %s failed: %s", envelope.id, fault(error))
            self.parts.watch.refused(self.listener.name, envelope.client or envelope.hop, say.FAILED)
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
