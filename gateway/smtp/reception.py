"""What the connections of one listener share: its terms, who is here, what is under way, and how a message reaches the pipeline."""

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.config import Listener
from gateway.smtp import replies as say
from gateway.smtp.fault import fault
from gateway.smtp.limits import client_key
from gateway.smtp.parts import Parts
from gateway.smtp.reply import Reply
from gateway.smtp.terms import Terms, reply_budget_s
from scanners.message import Envelope


class Guest(Protocol):
    """A connection, as its server sees it."""

    def check_time(self, now: float) -> None:
        """Called about once a second: end what took too long."""
        ...

    def stop(self) -> None:
        """Going down: what is under way may end, and nothing new begins behind it."""
        ...

    def part(self, now: float, *, late: bool) -> None:
        """While going down, a few times a second: say goodbye to who is quiet, and when it is ``late`` to all but those answered."""
        ...

    def abort_unless_flushing(self) -> None:
        """The grace is over."""
        ...


@dataclass(slots=True)
class Stats:
    """What a listener has done since it started."""

    connections: int = 0
    messages: int = 0
    refused: int = 0
    failed: int = 0


class Reception:
    """Of one listener of one worker. ``tls`` is its context, None without a certificate.

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
        self.reply_budget_s = reply_budget_s(config.limits, listener.direction)
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.guests: set[Guest] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def opened(self, guest: Guest) -> Reply | None:
        """A connection more; why it must end at once, or None."""
        self.guests.add(guest)
        self.stats.connections += 1
        self.parts.limits.open += 1
        self.parts.watch.connected(self.listener.name)
        return say.BUSY if self.parts.limits.open > self.parts.limits.connections else None

    def closed(self, guest: Guest) -> None:
        """A connection less."""
        if guest in self.guests:
            self.guests.discard(guest)
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
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

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
