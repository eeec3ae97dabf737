"""One connection to a next hop: an asyncio Protocol that runs dialogues. All waits are bounded; nothing is read ahead without bound."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from gateway.smtp.answers import Answer, AnswerReader, Capabilities, Malformed
from gateway.smtp.dialogue import (
    AT_ONCE_BYTES,
    BLOCK_S,
    DOT,
    BeforeDot,
    Confirm,
    Content,
    Handshake,
    Lost,
    Phase,
    Result,
    Step,
    Tls,
    Turn,
)

HANDSHAKE_S = 30.0
"""A TLS handshake is a few round trips; a server that needs longer is ill."""
BLAME_S = 10.0
"""A wait our deadline cut shorter than this says nothing about the hop."""
AFTER_DOT_LEAST_S = 60.0
"""However late the dot was sent, its answer is waited for at least this long: giving up early makes duplicates."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Budget:
    """Time for one message, on the pool's clock: ``began`` when it was handed to us, ``deadline`` for everything before the dot."""

    clock: Callable[[], float]
    began: float
    deadline: float

    def until(self, limit_s: float) -> float:
        """Seconds this wait may take."""
        return min(limit_s, self.deadline - self.clock())

    def turn(self, turn: Turn) -> float:
        """Seconds to wait for an answer; after the dot, in full (ten minutes less what was spent)."""
        if turn is DOT:
            return max(turn.timeout_s - (self.clock() - self.began), AFTER_DOT_LEAST_S)
        return self.until(turn.timeout_s)


@dataclass(frozen=True, slots=True)
class TlsClient:
    """What a handshake needs: the context, the name to ask for, and whether the context verifies it."""

    context: ssl.SSLContext
    name: str
    verified: bool


class Wire(asyncio.Protocol):
    """A connection, open or lost. Not shared: one dialogue at a time."""

    def __init__(self, tls: TlsClient | None = None) -> None:
        self.capabilities = Capabilities()
        self.tls: Tls | None = None
        self.remote = ""
        self.messages = 0
        self.idle_since = 0.0
        self.reset_first = False
        self._tls_client = tls
        self._transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        self._lost: Lost | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if transport.get_extra_info("ssl_object") is not None:
            self._note_tls()

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except Malformed as error:
            self._fail(Lost(str(error), "4.5.0"))
            self.abort()
        if self._reader.answers:
            self._wake()

    def eof_received(self) -> None:
        self._fail(Lost("next hop closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Lost("connection to the next hop lost" + (f" ({type(exc).__name__})" if exc else "")))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    # --- for the pool

    @property
    def usable(self) -> bool:
        """Whether a next message may be tried: open, and the server has said nothing unasked (such as 421)."""
        return (
            self._lost is None
            and self._reader.empty
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def abort(self) -> None:
        """Drop the connection now, unsent bytes included."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(Lost("connection dropped by us"))

    def quit(self) -> None:
        """Part politely, without waiting for the answer."""
        if self._transport is None or not self.usable:
            self.abort()
            return
        self._transport.write(b"QUIT\r\n")
        self._transport.close()
        self._fail(Lost("connection closed by us"))

    async def run(self, steps: Generator[Step, Result, T], budget: Budget, before_dot: BeforeDot | None = None) -> T:
        """Run a dialogue to its end and return what it returns. Raises Lost, as the dialogue lets it out."""
        result: Result = None
        answers = self._reader.answers
        try:
            step = next(steps)
            while True:
                try:
                    if type(step) is bytes:
                        self._write(step)
                        result = None
                    elif type(step) is Turn and answers:
                        result = answers.popleft()
                    else:
                        result = await self._later(step, budget, before_dot)
                except Lost as lost:
                    step = steps.throw(lost)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return cast(T, stop.value)
        finally:
            steps.close()

    # --- steps

    async def _later(self, step: Step, budget: Budget, before_dot: BeforeDot | None) -> Result:
        """Steps that may have to wait."""
        if isinstance(step, Turn):
            return await self._answer(step, budget)
        if isinstance(step, Content):
            await self._content(step.chunks, budget, last=step.last)
            return None
        if isinstance(step, Confirm):
            return before_dot is None or await before_dot(step.replies())
        assert step is Handshake.TLS
        return await self._handshake(budget)

    def _write(self, data: bytes) -> None:
        if self._lost is not None:
            raise Lost(self._lost.why, self._lost.enhanced)
        assert self._transport is not None
        self._transport.write(data)

    async def _answer(self, turn: Turn, budget: Budget) -> Answer:
        while not self._reader.answers:
            if self._lost is not None:
                raise Lost(self._lost.why, self._lost.enhanced, phase=turn.phase)
            await self._wait(budget.turn(turn), f"no answer to {turn.name}", turn.phase)
        return self._reader.answers.popleft()

    async def _content(self, chunks: Sequence[bytes], budget: Budget, *, last: bool) -> None:
        if last:
            self._look_before_dot(budget)
        total = sum(map(len, chunks))
        if total <= AT_ONCE_BYTES:
            self._write(b"".join(chunks))
            return
        for chunk in chunks:
            view = memoryview(chunk)
            for start in range(0, len(view), AT_ONCE_BYTES):
                self._write(cast(bytes, view[start : start + AT_ONCE_BYTES]))
                while self._paused:
                    self._look_before_dot(budget)
                    await self._wait(budget.until(BLOCK_S), "next hop does not take the content", Phase.DOT)

    def _look_before_dot(self, budget: Budget) -> None:
        """Before anything irrevocable: an answer out of turn, a dead connection or no time left ends it here, with nothing delivered."""
        if self._reader.answers:
            answer = self._reader.answers.popleft()
            raise Lost(f"protocol error: {answer.code} before the end of data", "4.5.0", answer=answer, phase=Phase.DOT)
        if self._lost is not None:
            raise Lost(self._lost.why, phase=Phase.DOT)
        if budget.until(1.0) <= 0:
            raise Lost("no time left before the final dot", "4.4.1", phase=Phase.DOT, ours=True)

    async def _handshake(self, budget: Budget) -> Tls:
        assert self._transport is not None
        assert self._tls_client is not None
        self._reader.clear()  # whatever came with the 220 was not protected (RFC 3207 5, response injection)
        wait_s = budget.until(HANDSHAKE_S)
        client, before = self._tls_client, self._transport
        try:
            async with asyncio.timeout(wait_s):
                transport = await asyncio.get_running_loop().start_tls(
                    before, self, client.context, server_hostname=client.name
                )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            before.abort()
            raise Lost(f"TLS handshake failed: {tls_reason(error)}", "4.7.5", phase=Phase.TLS) from error
        if transport is None:  # closed while the handshake was being set up
            raise Lost("TLS handshake failed: connection closed", "4.7.5", phase=Phase.TLS)
        self._transport = transport
        return self._note_tls()

    def _note_tls(self) -> Tls:
        assert self._transport is not None
        shaken = self._transport.get_extra_info("ssl_object")
        cipher = shaken.cipher()
        verified = self._tls_client is not None and self._tls_client.verified
        self.tls = Tls(shaken.version() or "", cipher[0] if cipher else "", verified)
        return self.tls

    # --- waiting

    async def _wait(self, wait_s: float, why: str, phase: Phase) -> None:
        """Until something happens on the connection. Raises Lost when nothing does."""
        if wait_s <= 0:
            raise Lost(f"{why}: no time left", "4.4.1", phase=phase, ours=True)
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        self._until = loop.time() + wait_s
        if self._timer is None or self._timer.when() > self._until:
            self._set_timer(loop)
        try:
            if not await waiter:
                raise Lost(f"{why} in {wait_s:.0f} s", phase=phase, ours=wait_s < BLAME_S)
        finally:
            self._waiter = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer outlives the waits of many messages, which nearly all end early: most waits set none."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._until, self._time_over, loop)

    def _time_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if loop.time() < self._until:
            self._set_timer(loop)
        else:
            self._wake(False)

    def _wake(self, happened: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(happened)

    def _fail(self, lost: Lost) -> None:
        if self._lost is None:
            self._lost = lost
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()


def tls_reason(error: BaseException) -> str:
    """Why a handshake failed, in words fit for a log: the certificate's fault where there is one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "certificate not accepted"
    if isinstance(error, ssl.SSLError):
        return error.reason or "protocol error"
    return "timed out" if isinstance(error, TimeoutError) else type(error).__name__
