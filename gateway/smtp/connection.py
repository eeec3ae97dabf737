"""One client's connection: bytes to the session's rules, replies to bytes. No rule of SMTP is decided here."""

import asyncio
import contextlib
from collections.abc import Coroutine
from enum import Enum
from typing import cast

from aiosmtpd.smtp import SMTP

from gateway.smtp import replies as say
from gateway.smtp.gate import ClientGate
from gateway.smtp.handshake import upgraded
from gateway.smtp.limits import client_key
from gateway.smtp.proxy import ProxyError, canonical, parse_proxy
from gateway.smtp.reading import Bad, DataReader, LineReader
from gateway.smtp.reception import Reception
from gateway.smtp.session import Session
from gateway.smtp.terms import Step, Then
from gateway.smtp.users import BusyError, UsersError
from scanners.message import Envelope

PROXY_S = 5.0
"""Wait for the PROXY header: the hop sends it at once or isn't one."""
CLOSING_S = 30.0
"""For the last reply to be taken; then the connection is cut."""
MAX_AHEAD = 65_536
"""Octets of pipelined commands kept while a message is being answered; then the client is not read from."""
PARTING_QUIET_S = 1.0
"""A client that has been quiet between messages for so long while we go down is told; one that has just been answered has time to QUIT."""
WORK_S = 120.0
"""For a login or a handshake, which end by bounds of their own well before: what breaks beneath us must not hold a connection for ever."""
ANSWER_MARGIN_S = 30.0
"""How long after the reply budget an unanswered client is told to try again."""


class Mode(Enum):
    """What the next octets are for."""

    PROXY = "the PROXY header"
    COMMANDS = "commands"
    DATA = "a message"
    BUSY = "kept until what is under way is done"
    CLOSED = "nobody"


class Connection(SMTP):
    """aiosmtpd's protocol with its read loop, command set and buffers replaced.

    aiosmtpd reads a line at a time through a 1 kB stream (19 ms/MB), takes LF for CRLF and sends exceptions to the client; here
    chunks go straight to ``LineReader`` and ``DataReader``, and the rules are ``Session``'s. Its constructor is left out on purpose: it
    inspects every method of itself for each connection (84 us) and clears limits that all connections share.
    """

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._parts = reception.parts
        self._loop = reception.loop
        self._lines = LineReader()
        self._data: DataReader | None = None
        self._mode = Mode.CLOSED
        self._out: list[bytes] = []
        self._gate = ClientGate(reception.parts)
        self._since = self._heard = reception.parts.clock()
        self._held_back = self._write_paused = self._eof = self._delivering = self._stopping = self._served = (
            self._had_last
        ) = False

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client, or a hop, is there."""
        self._transport = cast("asyncio.Transport", transport)
        reception = self._reception
        peername = transport.get_extra_info("peername")
        if not peername:
            self._transport.abort()
            return
        try:
            peer = canonical(peername[0])
        except ValueError:
            peer = peername[0]
        self._talk = Session(reception.terms, self._gate, reception.parts.ids(), peer, reception.parts.capabilities)
        self._stopping = reception.stopping  # accepted in the turn of the loop in which we were told to stop
        refusal = reception.opened(self)
        if refusal is not None:
            self._say(Step(refusal, Then.CLOSE))
        elif not reception.listener.proxy_protocol:
            self._begin()
        elif peer in reception.terms.access.trusted:
            self._mode = Mode.PROXY
        else:
            reception.parts.log.warning("connection refused: not a trusted hop (listener %s)", reception.listener.name)
            reception.parts.watch.refused(reception.listener.name, peer, say.CLOSED)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Octets; what they are for depends on the mode."""
        self._heard = self._parts.clock()
        mode = self._mode
        if mode is Mode.DATA:
            self._read_data(data)
        elif mode is Mode.CLOSED:
            return
        else:
            self._lines.feed(data)
            if mode is Mode.COMMANDS:
                self._run()
            elif mode is Mode.PROXY:
                self._read_proxy()
            elif len(self._lines) > MAX_AHEAD and not self._held_back:
                self._held_back = True
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. While its message is being answered it may still be listening."""
        self._eof = True
        if self._mode is not Mode.BUSY:
            self._close()
        return self._mode is Mode.BUSY and not self._talk.tls

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; a message whose end has come is still carried through."""
        self._mode = Mode.CLOSED
        if self._data is not None:
            self._data.close()
            self._data = None
        if not self._delivering:
            self._gate.release()
        self._gate.leave()
        self._reception.closed(self)

    def pause_writing(self) -> None:
        """The client doesn't take its replies: no more of its commands are read until it does."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """It takes them again."""
        self._write_paused = False
        if self._mode is Mode.COMMANDS:
            self._run()

    # Time and the end.

    def check_time(self, now: float) -> None:
        """Called about once a second: end what took too long."""
        limits = self._parts.config.limits
        mode = self._mode
        if mode is Mode.COMMANDS:
            if now - self._since > limits.command_s:
                self._say(Step(say.COMMAND_TIMEOUT, Then.CLOSE))
        elif mode is Mode.DATA:
            if now - self._heard > limits.idle_data_s or now - self._since > limits.data_s:
                self._say(Step(say.DATA_TIMEOUT, Then.CLOSE))
        elif mode is Mode.PROXY:
            if now - self._since > PROXY_S:
                self._transport.abort()
        elif mode is Mode.CLOSED:
            if now - self._since > CLOSING_S:
                self._transport.abort()
        elif self._delivering and now - self._since > self._reception.reply_budget_s + ANSWER_MARGIN_S:
            # The work goes on; its answer is kept for when the client comes again.
            self._say(Step(say.FAILED, Then.CLOSE))
        elif not self._delivering and now - self._since > WORK_S:
            self._transport.abort()

    def stop(self) -> None:
        """Going down: what is under way may end, and nothing new begins behind it; ``part`` says when that is over."""
        self._stopping = True

    def part(self, now: float, *, late: bool) -> None:
        """While going down, a few times a second: 421 to who is quiet between messages, and once it is ``late`` to all before the end
        of data. A message that is here gets its answer first."""
        if self._mode is Mode.COMMANDS:
            quiet = self._served and not self._talk.under_way and now - max(self._since, self._heard) >= PARTING_QUIET_S
            if quiet or late:
                self._say(Step(say.STOPPING, Then.CLOSE))
        elif late and self._mode is Mode.DATA:
            self._say(Step(say.STOPPING, Then.CLOSE))
        elif late and not self._delivering and self._mode is not Mode.CLOSED:
            self._transport.abort()

    def abort_unless_flushing(self) -> None:
        """The grace is over: cut the connection, unless its last reply is on its way out."""
        if not (self._transport.is_closing() and self._transport.get_write_buffer_size()):
            self._transport.abort()

    # Commands.

    def _begin(self) -> None:
        """The client is named as far as it will be before it speaks: count it, secure it, greet it."""
        refusal = self._gate.count(self._talk.connected_client)
        if refusal is not None:
            self._say(Step(refusal, Then.CLOSE))
        elif self._reception.implicit_tls:
            # Not at once: uvloop starts reading just after connection_made, which would undo the pause in _start_tls.
            self._mode = Mode.BUSY
            self._loop.call_soon(self._start_implicit_tls)
        else:
            self._greet()

    def _greet(self) -> None:
        if len(self._lines):
            self._say(Step(say.TALKED_FIRST, Then.CLOSE))
            return
        self._mode = Mode.COMMANDS
        self._since = self._parts.clock()
        self._say(self._talk.greeting())

    def _read_proxy(self) -> None:
        try:
            header = parse_proxy(self._lines.peek())
        except ProxyError as error:
            self._parts.log.warning("connection closed: %s (listener %s)", error, self._reception.listener.name)
            self._parts.watch.refused(self._reception.listener.name, self._talk.peer, say.CLOSED)
            self._transport.abort()
            return
        if header is not None:
            self._lines.drop(header.size)
            self._talk.proxied(header.source)
            self._begin()

    def _run(self) -> None:
        """Every command that is here, their replies in one write."""
        while self._mode is Mode.COMMANDS and not self._write_paused:
            line = self._lines.take()
            if line is None:
                break
            self._since = self._heard
            if self._had_last and not (isinstance(line, bytes) and line[:4].upper() == b"QUIT"):
                self._told(Step(say.STOPPING, Then.CLOSE))
                break
            step = self._talk.line(line, more=len(self._lines) > 0)
            self._told(step)
        self._flush()
        if self._eof and self._mode is Mode.COMMANDS:
            self._close()

    def _told(self, step: Step) -> None:
        """A step that no message's events tell of: a refusal is counted here."""
        if step.reply.code >= 400:
            self._reception.refused(self._talk.id, self._talk.client or self._talk.peer, step.reply)
        self._step(step)

    def _step(self, step: Step) -> None:
        then = step.then
        if then is Then.CHECK_LOGIN:
            self._work(self._check_login())
            return
        if then is Then.RENAMED:
            refusal = self._gate.count(self._talk.connected_client)
            if refusal is not None:
                step, then = Step(refusal, Then.CLOSE), Then.CLOSE
                self._reception.refused(self._talk.id, self._talk.client or self._talk.peer, refusal)
        self._out.append(say.wire(step.reply, step.lines))
        if then is Then.READ_DATA:
            self._mode = Mode.DATA
            self._data = DataReader(self._talk.limit, self._reception.spool, self._gate.grow)
        elif then is Then.START_TLS:
            self._start_tls(greet=False)
        elif then is Then.CLOSE:
            self._close()

    def _say(self, step: Step) -> None:
        self._told(step)
        self._flush()

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            if not self._transport.is_closing():
                self._transport.write(data)

    def _close(self) -> None:
        """Say what is left to say and close."""
        self._flush()
        self._mode = Mode.CLOSED
        self._since = self._parts.clock()
        self._transport.close()

    # A message.

    def _read_data(self, data: bytes) -> None:
        assert self._data is not None, "the mode is DATA"
        rest = self._data.feed(data)
        if rest is None:
            if self._data.discarded > self._parts.config.limits.message_bytes:
                self._say(Step(say.TOO_BIG, Then.CLOSE))
            return
        outcome = self._data.finish()
        self._data = None
        self._since = self._heard
        if rest:
            self._lines.feed(rest)
        if isinstance(outcome, Bad):
            self._mode = Mode.COMMANDS
            self._told(self._talk.finished(outcome))
            self._run()
            return
        self._delivering = True
        self._work(self._deliver(self._talk.envelope(self._parts.ids(), self._parts.now()), outcome))

    async def _deliver(self, envelope: Envelope, raw: bytes) -> None:
        """The message's way. Nothing that happens to the connection stops it once it is here."""
        reception = self._reception
        kept = reception.parts.answered.find(envelope, raw)
        if kept is None:
            reply = await reception.receive(envelope, raw)
        else:
            reply = kept.reply
            await reception.parts.watch.duplicate(envelope, raw, kept)
        self._delivering = False
        if self._mode is not Mode.BUSY or self._transport.is_closing():
            reception.parts.answered.keep(envelope, raw, reply)
            self._gate.release()
            return
        self._resume(self._talk.finished(reply), answered=True)

    # Waiting.

    def _work(self, work: Coroutine[object, object, None]) -> None:
        """Do it beside the connection; commands that come meanwhile wait."""
        self._mode = Mode.BUSY
        self._flush()
        self._reception.spawn(work)

    def _resume(self, step: Step, *, answered: bool = False) -> None:
        """What was waited for is there. ``answered``: it is a message's answer, which its events tell of."""
        if self._mode is not Mode.BUSY:
            return
        self._mode = Mode.COMMANDS
        self._since = self._parts.clock()
        if answered:
            self._step(step)
        else:
            self._told(step)
        self._served |= answered
        self._had_last = self._stopping and answered
        if self._held_back:
            self._held_back = False
            with contextlib.suppress(RuntimeError):  # the transport is closing
                self._transport.resume_reading()
        self._run()

    async def _check_login(self) -> None:
        credentials = self._talk.credentials
        users = self._parts.users
        assert credentials is not None, "the session asked for it"
        assert users is not None, "AUTH is offered only with users"
        try:
            login = await users.verify(credentials)
        except (BusyError, UsersError) as error:
            self._parts.log.error("login not checked: %s", error)
            self._resume(self._talk.not_authenticated())
            return
        if login is None and self._talk.connected_client is not None:
            self._parts.limits.clients.authentication_failed(client_key(self._talk.connected_client))
        if login is not None:
            reception = self._reception
            reception.parts.watch.login(
                reception.listener.name, self._talk.id, self._talk.client or self._talk.peer, login
            )
        self._resume(self._talk.authenticated(login))

    def _start_implicit_tls(self) -> None:
        if self._mode is Mode.BUSY:
            self._start_tls(greet=True)

    def _start_tls(self, *, greet: bool) -> None:
        # From here on what arrives belongs to the handshake: clear text sent too early can only break it. What is here already is
        # the beginning of the handshake when it came with a PROXY header; behind STARTTLS there is nothing (LAST_IN_GROUP).
        self._transport.pause_reading()
        early = self._lines.rest()
        self._work(self._secure(greet=greet, early=early))

    async def _secure(self, *, greet: bool, early: bytes) -> None:
        assert self._reception.tls is not None, "TLS is offered only with a certificate"
        try:
            secure = await upgraded(self._loop, self._transport, self, self._reception.tls, early)
        except (OSError, TimeoutError) as error:
            self._parts.log.info("TLS handshake failed: %s (session %s)", type(error).__name__, self._talk.id)
            self._transport.abort()
            return
        if secure is None or self._mode is not Mode.BUSY:
            self._transport.abort()
            return
        self._transport = secure
        self._talk.secured(str(secure.get_extra_info("ssl_object").version()))
        self._mode = Mode.COMMANDS
        self._since = self._parts.clock()
        refusal = self._gate.count(self._talk.connected_client)
        if refusal is not None:
            self._say(Step(refusal, Then.CLOSE))
        elif greet:
            self._greet()
        else:
            self._run()
