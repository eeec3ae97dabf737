"""A listener: accepts connections, carries each message to the Receiver, and ends in good order."""

import asyncio
import socket
import ssl

from gateway.config import Listener, ListenerTls
from gateway.smtp.connection import Connection
from gateway.smtp.parts import Parts
from gateway.smtp.reception import Reception

SWEEP_S = 1.0
"""How often time limits are looked at: they are seconds to minutes long, and one timer serves every connection."""
PARTING_S = 5.0
"""While going down, for those before the end of data to get there; a client that is sending sends on within moments."""
PARTING_SWEEP_S = 0.1
BACKLOG = 512
"""Connections the system holds before we accept them."""


class Server:
    """One listener of one worker. Raises as Reception."""

    def __init__(self, parts: Parts, listener: Listener, tls: ssl.SSLContext | None = None) -> None:
        self.parts, self.listener = parts, listener
        self.reception = Reception(parts, listener, tls)
        self._loop = self.reception.loop
        self._listening: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serve the bound socket. Raises OSError."""
        self.reception.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listening = await self._loop.create_server(lambda: Connection(self.reception), sock=sock, backlog=BACKLOG)
        self._timer = self._loop.call_later(SWEEP_S, self._tick)

    async def stop(self, grace_s: float, parting_s: float = PARTING_S) -> None:
        """No new connections. Messages under way may come to their end of data within ``parting_s`` seconds, then it is 421; those
        that are here by then have ``grace_s`` seconds to be answered."""
        self.reception.stopping = True
        if self._listening is not None:
            self._listening.close()
        for guest in tuple(self.reception.guests):
            guest.stop()
        end = self._loop.time() + parting_s
        await asyncio.sleep(PARTING_SWEEP_S)  # connections that were accepted just now come up within a few turns
        while self.reception.guests:
            late = self._loop.time() >= end
            for guest in tuple(self.reception.guests):
                guest.part(self.parts.clock(), late=late)
            if late:
                break
            await asyncio.sleep(PARTING_SWEEP_S)
        if self.reception.tasks:
            _, left = await asyncio.wait(tuple(self.reception.tasks), timeout=grace_s)
            if left:
                self.parts.log.error("stopped with %d messages unanswered; their senders will try again", len(left))
        for guest in tuple(self.reception.guests):  # answered since: there is no time left for another command
            guest.part(self.parts.clock(), late=True)
        await asyncio.sleep(0)
        for guest in tuple(self.reception.guests):
            guest.abort_unless_flushing()
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self) -> None:
        """Hold every connection to its time limits."""
        now = self.parts.clock()
        for guest in tuple(self.reception.guests):
            guest.check_time(now)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._tick)
        self.sweep()


def server_context(tls: ListenerTls) -> ssl.SSLContext | None:
    """A listener's TLS: 1.2 and newer, its certificate, no renegotiation. None without a certificate. Raises OSError, ssl.SSLError."""
    if tls.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
