"""The client's side of SMTP and LMTP without sockets: generators that say what to write and which answer they wait for.

A driver runs them: it takes each Step, does it, and sends back what came of it (an Answer, a Tls, a bool or None). When the connection
can't go on it throws Lost into the generator. ``greet`` opens a connection; a ``Transaction`` carries one message over it.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from gateway.smtp.answers import Answer, Capabilities
from gateway.smtp.commands import Outgoing, Plan, plan
from gateway.smtp.nexthop import TlsPolicy
from gateway.smtp.reply import Reply
from gateway.smtp.stuffing import END, stuffed


class Phase(StrEnum):
    """How far a message came. Up to DOT nothing was handed over; AFTER_DOT without an answer is the one uncertain state."""

    WAIT = "wait"
    """No free connection in time, or the breaker is open: deferred by us, the next hop was not asked."""
    CONNECT = "connect"
    """DNS, connecting, greeting, EHLO."""
    TLS = "tls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    """Content being sent; the final dot was not."""
    AFTER_DOT = "after_dot"


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer we wait for: how long (RFC 5321 4.5.3.2), and the codes with which the dialogue goes on.

    4xx and 5xx refuse; any other code breaks the protocol.
    """

    name: str
    phase: Phase
    timeout_s: float
    good: range


POSITIVE = range(200, 300)
GREETING = Turn("greeting", Phase.CONNECT, 300.0, range(220, 221))
HELLO = Turn("EHLO", Phase.CONNECT, 300.0, range(250, 251))
STARTTLS = Turn("STARTTLS", Phase.TLS, 120.0, range(220, 221))
RSET = Turn("RSET", Phase.MAIL, 120.0, POSITIVE)
MAIL = Turn("MAIL", Phase.MAIL, 300.0, POSITIVE)
RCPT = Turn("RCPT", Phase.RCPT, 300.0, POSITIVE)
DATA = Turn("DATA", Phase.DATA, 120.0, range(354, 355))
DOT = Turn("end of data", Phase.AFTER_DOT, 600.0, POSITIVE)
LONE_DOT = Turn("end of data for nobody", Phase.RCPT, 120.0, POSITIVE)
TURNS = (GREETING, HELLO, STARTTLS, RSET, MAIL, RCPT, DATA, DOT, LONE_DOT)
"""The whole table of states."""

BLOCK_S = 180.0
"""Wait for the next hop to take a block of content (RFC 5321 4.5.3.2.5)."""
AT_ONCE_BYTES = 64 * 1024
"""Content up to here goes out in one write with its final dot; more is sent ahead, so that the hook runs while it travels."""


WITHDRAWN = Reply(451, "4.3.0", "withdrawn before the final dot")
"""What recipients get when the hook said no."""


class Lost(Exception):
    """The connection can't go on: closed, silent for too long, broken protocol.

    ``answer`` is what the server said out of turn. ``phase`` matters while opening a connection; a Transaction knows its own.
    ``ours``: our deadline cut the wait so short that it says nothing about the hop.
    """

    def __init__(
        self,
        why: str,
        enhanced: str = "4.4.2",
        *,
        answer: Answer | None = None,
        phase: Phase = Phase.CONNECT,
        ours: bool = False,
    ) -> None:
        super().__init__(why)
        self.phase = phase
        self.ours = ours
        self.why = why
        self.enhanced = enhanced
        self.answer = answer

    def reply(self) -> Reply:
        """As an answer to the sender: always 4xx unless the server itself said otherwise."""
        if self.answer is not None and self.answer.code >= 400:
            return self.answer.reply
        return Reply(451, self.enhanced, self.why)


class Handshake(Enum):
    """Forget what was said in the clear and begin TLS; sends back a Tls, throws Lost when it fails."""

    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Content:
    """Write content under back pressure; ``last``: the final dot is in it, so the deadline and early answers are looked at first."""

    chunks: Sequence[bytes]
    last: bool


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """The answer that decides about one recipient. ``unknown``: the dot was sent and no answer came; it may have been delivered."""

    address: str
    reply: Reply
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask the caller's hook, if there is one, whether the final dot may be sent; ``replies`` makes what it is shown.

    Sends back a bool.
    """

    replies: Callable[[], tuple[RecipientReply, ...]]


@dataclass(frozen=True, slots=True)
class Tls:
    """What was negotiated."""

    version: str
    cipher: str
    verified: bool

    def __str__(self) -> str:
        return f"{self.version} {self.cipher}{' verified' if self.verified else ''}"


Step = bytes | Turn | Handshake | Content | Confirm
"""bytes: hand them to the socket, sends back None. A Turn: wait for one answer, sends back the Answer."""
Result = Answer | Tls | bool | None
BeforeDot = Callable[[Sequence[RecipientReply]], Awaitable[bool]]


def _read(turn: Turn) -> Generator[Step, Result, Answer]:
    """Wait for an answer; raises Lost when its code has no place in this turn."""
    answer = yield turn
    assert isinstance(answer, Answer)
    return _checked(turn, answer)


def _checked(turn: Turn, answer: Answer) -> Answer:
    if answer.code not in turn.good and not 400 <= answer.code < 600:
        raise Lost(f"protocol error: {answer.code} to {turn.name}", "4.5.0", phase=turn.phase)
    return answer


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection ready for mail."""

    capabilities: Capabilities
    tls: Tls | None


def greet(hostname: str, *, lmtp: bool, tls: Tls | None, policy: TlsPolicy | None) -> Generator[Step, Result, Opened]:
    """Greeting, EHLO or LHLO, STARTTLS as the policy asks. ``policy`` None: no STARTTLS (it has just failed, or TLS is implicit).

    Raises Lost. A greeting or EHLO refused with 5xx is Lost too, as 4xx: it speaks of us, not of the message, and may be mended.
    """
    answer = yield from _read(GREETING)
    if answer.code >= 400:
        raise Lost(f"next hop refuses our connection: {answer.code} {answer.reply.text}", "4.3.2")
    capabilities = yield from _hello(hostname, lmtp=lmtp)
    if policy is None or tls is not None:
        return Opened(capabilities, tls)
    if capabilities.starttls:
        yield b"STARTTLS\r\n"
        answer = yield from _read(STARTTLS)
        if answer.code == 220:
            secured = yield Handshake.TLS
            assert isinstance(secured, Tls)
            return Opened((yield from _hello(hostname, lmtp=lmtp)), secured)
    if policy is not TlsPolicy.OPPORTUNISTIC:
        raise Lost("next hop does not do TLS, which this route requires", "4.7.4", phase=Phase.TLS)
    return Opened(capabilities, None)


def _hello(hostname: str, *, lmtp: bool) -> Generator[Step, Result, Capabilities]:
    yield f"{'LHLO' if lmtp else 'EHLO'} {hostname}\r\n".encode("ascii")
    answer = yield from _read(HELLO)
    if answer.code == 250:
        return Capabilities.parse(answer)
    if lmtp or answer.code not in (500, 501, 502, 504, 550):
        raise Lost(f"EHLO refused: {answer.code} {answer.reply.text}", "4.3.2")
    yield f"HELO {hostname}\r\n".encode("ascii")  # a server from before 1995 (RFC 5321 3.2)
    answer = yield from _read(HELLO)
    if answer.code != 250:
        raise Lost(f"HELO refused: {answer.code} {answer.reply.text}", "4.3.2")
    return Capabilities()


@dataclass(slots=True)
class Transaction:
    """One message over an open connection. Run ``steps()``; whatever happens, ``settle`` then gives every recipient's answer.

    ``clean``: afterwards the connection may carry another message; ``reset``: but RSET goes first. ``repeatable``: no content was
    handed over and the hook was not asked, so the same may be tried on another connection. ``refusal``: the answer to the whole
    message, if it was refused before the dot. ``final``: the (last) answer to the dot.
    """

    mail: Outgoing
    data: Sequence[bytes]
    capabilities: Capabilities
    lmtp: bool = False
    reset_first: bool = False
    phase: Phase = Phase.MAIL
    clean: bool = False
    reset: bool = False
    repeatable: bool = True
    final: Reply | None = None
    refusal: Reply | None = None
    _replies: dict[int, Reply] = field(default_factory=dict)
    """By index of recipient: the answer to RCPT, later to the dot."""
    _accepted: list[int] = field(default_factory=list)
    """Recipients accepted at RCPT whose fate is open."""

    def steps(self) -> Generator[Step, Result]:
        """The dialogue. Raises Lost when the connection can't go on; the state then says how far it came."""
        ready = plan(self.mail, self.data, self.capabilities)
        self.refusal = ready.refusal
        self._replies.update(ready.refused)
        if not ready.asked:
            self.clean, self.reset = True, self.reset_first
        elif self.capabilities.pipelining:
            yield from self._pipelined(ready)
        else:
            yield from self._stepwise(ready)

    def _pipelined(self, ready: Plan) -> Generator[Step, Result]:
        """One write, then every answer in turn (RFC 2920 3.1): all are read, whatever the first says."""
        yield (b"RSET\r\n" if self.reset_first else b"") + b"".join(ready.commands) + b"DATA\r\n"
        yield from self._rset()
        mail = yield from self._turn(MAIL)
        if mail.code >= 400:
            yield from self._refused_at_mail(mail, len(ready.asked))
            return
        for index in ready.asked:
            yield from self._recipient(index)
        go = yield from self._turn(DATA)
        yield from self._content(go)

    def _refused_at_mail(self, mail: Answer, asked: int) -> Generator[Step, Result]:
        self.refusal = mail.reply
        if mail.code == 421:
            return
        for _ in range(asked):
            yield RCPT
        answer = yield DATA
        # 354 after a refused MAIL: whom would a lone dot reach? The connection is dropped instead.
        self.clean = self.reset = isinstance(answer, Answer) and answer.code >= 400

    def _stepwise(self, ready: Plan) -> Generator[Step, Result]:
        """One command at a time, for servers without PIPELINING."""
        if self.reset_first:
            yield b"RSET\r\n"
            yield from self._rset()
        yield ready.commands[0]
        mail = yield from self._turn(MAIL)
        if mail.code >= 400:
            self.refusal, self.clean = mail.reply, mail.code != 421
            return
        for index, command in zip(ready.asked, ready.commands[1:], strict=True):
            yield command
            yield from self._recipient(index)
        if not self._accepted:
            self.clean = self.reset = True
            return
        yield b"DATA\r\n"
        go = yield from self._turn(DATA)
        yield from self._content(go)

    def _turn(self, turn: Turn) -> Generator[Step, Result, Answer]:
        self.phase = turn.phase
        answer = yield turn
        assert isinstance(answer, Answer)
        return _checked(turn, answer)

    def _rset(self) -> Generator[Step, Result]:
        if self.reset_first and (yield from self._turn(RSET)).code >= 400:
            raise Lost("RSET refused", "4.3.0")

    def _recipient(self, index: int) -> Generator[Step, Result]:
        answer = yield from self._turn(RCPT)
        self._replies[index] = answer.reply
        if answer.code < 300:
            self._accepted.append(index)
        elif answer.code == 421:
            raise Lost("next hop closes the connection", answer=answer)

    def _content(self, go: Answer) -> Generator[Step, Result]:
        """From the answer to DATA to the end."""
        if not self._accepted:
            self.phase = Phase.RCPT
            if go.code == 354:  # nobody is meant: a lone dot ends it (RFC 2920 3.1), whatever the answer
                yield END
                yield LONE_DOT
            self.clean = self.reset = True
            return
        if go.code != 354:
            self.refusal = go.reply
            self.clean = self.reset = go.code != 421
            return
        self.phase = Phase.DOT
        if sum(map(len, self.data)) > AT_ONCE_BYTES:
            yield Content(stuffed(self.data), last=False)
            chunks = []
        else:
            chunks = stuffed((b"".join(self.data),))
        self.repeatable = False
        if not (yield Confirm(self.replies)):
            self.refusal = WITHDRAWN
            return
        chunks.append(END)
        yield Content(chunks, last=True)
        yield from self._verdict()  # from here on silence means that nobody knows

    def _verdict(self) -> Generator[Step, Result]:
        """SMTP answers once for all, LMTP once for each accepted recipient in their order (RFC 2033 4.2)."""
        while self._accepted:
            answer = yield from self._turn(DOT)
            self.final = answer.reply
            decided = self._accepted[:1] if self.lmtp else self._accepted
            self._replies.update(dict.fromkeys(decided, self.final))
            self._accepted = self._accepted[len(decided) :]
            self.clean = answer.code != 421

    @property
    def decided(self) -> bool:
        """Every recipient has an answer of the next hop (or of ours, before asking)."""
        return self.refusal is not None or (not self._accepted and len(self._replies) == len(self.mail.recipients))

    def replies(self) -> tuple[RecipientReply, ...]:
        """The answer to each RCPT, in the order of the message; for the hook, before the dot."""
        return tuple(
            RecipientReply(recipient.address, self._replies[index])
            for index, recipient in enumerate(self.mail.recipients)
        )

    def settle(self, otherwise: Reply) -> tuple[RecipientReply, ...]:
        """Every recipient's answer; ``otherwise`` for those that got none. After the dot those are ``unknown``."""
        shared = self.refusal or otherwise
        unknown = self.phase is Phase.AFTER_DOT
        return tuple(
            RecipientReply(recipient.address, shared, unknown)
            if index in self._accepted or index not in self._replies
            else RecipientReply(recipient.address, self._replies[index])
            for index, recipient in enumerate(self.mail.recipients)
        )
