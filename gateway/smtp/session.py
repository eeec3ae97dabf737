"""The rules of receiving, sans-io: a line of the client goes in, a Step comes out. No socket, no clock, no waiting.

``Session.line()`` is the whole door. What needs the outside world is asked for by ``Step.then`` and answered by one of the methods
``authenticated``, ``secured``, ``proxied`` and ``finished``. What needs counting is asked of a ``Gate``.
"""

from collections.abc import Callable
from datetime import datetime

from gateway.smtp import replies as say
from gateway.smtp.addresses import Mailbox
from gateway.smtp.incoming import Incoming, Offer, read_mail, read_rcpt
from gateway.smtp.login import Credentials, Exchange
from gateway.smtp.naming import Naming
from gateway.smtp.parameters import Capabilities
from gateway.smtp.proxy import XCLIENT_NAMES, XFORWARD_NAMES
from gateway.smtp.reading import Bad
from gateway.smtp.reply import Reply
from gateway.smtp.terms import (
    BEFORE_TLS,
    IDLE,
    LAST_IN_GROUP,
    LINE_LIMIT,
    LINE_LIMITS,
    MAX_AUTH_TRIES,
    MAX_HELO,
    MAX_IDLE,
    TRANSITIONS,
    WEB,
    Gate,
    Phase,
    Step,
    Terms,
    Then,
)
from scanners.message import Direction, Envelope


class Session:
    """One connection's conversation. ``peer`` is the other end's address in its one spelling."""

    def __init__(
        self, terms: Terms, gate: Gate, session_id: str, peer: str, capabilities: Callable[[], Capabilities]
    ) -> None:
        self._terms = terms
        self._gate = gate
        self._capabilities = capabilities
        self._offered = Capabilities(smtputf8=False, dsn=False)
        self._extended = False
        self._naming = Naming(terms.access, peer)
        self._helo = ""
        self._exchange: Exchange | None = None
        self._tries = 0
        self._incoming = Incoming()
        self.id = session_id
        self.peer = peer
        self.phase = Phase.FRESH
        self.errors = 0
        self._idle = 0
        self.tls = ""
        self.user = ""
        self.credentials: Credentials | None = None

    # What the shell asks and tells.

    @property
    def client(self) -> str | None:
        """The named client: of this message, else of the connection."""
        return self._naming.client

    @property
    def connected_client(self) -> str | None:
        """The client that the connection is for: it is counted, and XFORWARD does not change it."""
        return self._naming.connected

    @property
    def limit(self) -> int:
        """The greatest message taken now, in octets: ours, and no more than every route takes."""
        size = self._offered.size
        return min(size, self._terms.message_bytes) if size else self._terms.message_bytes

    @property
    def under_way(self) -> bool:
        """A sender has been given, or a login has begun."""
        return self.phase in (Phase.MAIL, Phase.RCPT, Phase.LOGIN)

    def greeting(self) -> Step:
        """The 220 line."""
        return Step(Reply(220, "", f"{self._terms.hostname} ESMTP Sealgate"))

    def line(self, line: bytes | Bad, *, more: bool = False) -> Step:
        """One command line without its CRLF. ``more``: the client has already sent something behind it."""
        if isinstance(line, Bad):
            reply = say.BAD_LINE[line]
            return self._counted(Step(reply, Then.GO_ON if line is Bad.LONG_LINE else Then.CLOSE))
        if self.phase is Phase.LOGIN:
            return self._counted(self._login_line(line, more=more))
        return self._counted(self._command(line, more=more))

    def envelope(self, message_id: str, received_at: datetime) -> Envelope:
        """What SMTP said about the message whose DATA was accepted."""
        incoming = self._incoming
        mail = incoming.mail
        return Envelope(
            id=message_id,
            session=self.id,
            listener=self._terms.listener,
            direction=self._terms.access.direction,
            received_at=received_at,
            client=self.client,
            hop=self.peer,
            helo=self._naming.forwarded_helo or self._helo,
            tls=self.tls,
            user=self.user,
            sender=incoming.sender,
            recipients=tuple(incoming.recipients),
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
        )

    def finished(self, outcome: Reply | Bad) -> Step:
        """The message has its answer, or was refused as it came in; the next may follow."""
        self._reset()
        reply = say.BAD_DATA[outcome] if isinstance(outcome, Bad) else outcome
        if reply.positive:
            # Errors count between deliveries: a client that delivers isn't probing.
            self.errors = self._idle = 0
        elif reply.code >= 500:
            # The message's own answer is always said; too many errors end the session at the next command.
            self.errors += 1
        return Step(reply)

    def secured(self, protocol: str) -> None:
        """TLS is up (``TLSv1.3``): everything said in clear is forgotten (RFC 3207 4.2)."""
        self.tls = protocol
        self._naming.secured()
        self._restart()

    def proxied(self, source: str | None) -> None:
        """A trusted hop's PROXY header; None when it names nobody."""
        self._naming.proxied(source)

    def authenticated(self, login: str | None) -> Step:
        """The credentials were right (the login), or wrong (None)."""
        self.credentials = None
        if login is not None:
            self.user = login
            return Step(say.AUTHENTICATED)
        self._tries += 1
        if self._tries >= MAX_AUTH_TRIES:
            return Step(say.TOO_MANY_LOGINS, Then.CLOSE)
        return self._counted(Step(say.BAD_LOGIN))

    def not_authenticated(self) -> Step:
        """The credentials couldn't be checked now."""
        self.credentials = None
        return Step(say.AUTH_LATER)

    # The verbs.

    def _command(self, line: bytes, *, more: bool) -> Step:
        verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        verb = verb.upper() if verb.isascii() else ""  # letters beyond ASCII have capitals in it: a dotless i is no I
        allowed = TRANSITIONS.get(verb)
        if verb in WEB:
            return Step(say.NOT_SMTP, Then.CLOSE)
        if allowed is None or (verb in ("XCLIENT", "XFORWARD") and not self._terms.xclient):
            return Step(say.LINE_TOO_LONG if len(line) + 2 > LINE_LIMIT else say.UNKNOWN_VERB)
        if len(line) + 2 > LINE_LIMITS.get(verb, LINE_LIMIT):
            return Step(say.LINE_TOO_LONG)
        if more and verb in LAST_IN_GROUP:
            return Step(say.TOO_EARLY, Then.CLOSE)
        if self._terms.tls_required and not self.tls and verb not in BEFORE_TLS:
            return Step(say.TLS_FIRST)
        if self.phase not in allowed:
            return Step(self._out_of_order(verb))
        if verb in IDLE:
            self._idle += 1
            if self._idle > MAX_IDLE:
                return Step(say.TOO_MANY_ERRORS, Then.CLOSE)
        return _VERBS[verb](self, argument.strip(" \t"))

    def _out_of_order(self, verb: str) -> Reply:
        if self.phase is Phase.FRESH:
            return say.HELLO_FIRST
        if verb == "DATA" and self.phase is Phase.MAIL:
            return say.NONE_ACCEPTED if self._incoming.refused else say.RCPT_FIRST
        return say.MAIL_FIRST if verb in ("RCPT", "DATA") else say.IN_MESSAGE

    def _counted(self, step: Step) -> Step:
        """Count a refusal; too many end the session."""
        if step.reply.code < 500 or step.then is Then.CLOSE:
            return step
        self.errors += 1
        return Step(say.TOO_MANY_ERRORS, Then.CLOSE) if self.errors > self._terms.errors else step

    def _reset(self) -> None:
        """End the message, if one is under way."""
        self._incoming = Incoming()
        self._naming.message_ended()
        self._gate.reserve(0)
        if self.phase in (Phase.MAIL, Phase.RCPT):
            self.phase = Phase.READY

    def _restart(self) -> None:
        """As after connecting."""
        self._reset()
        self.phase = Phase.FRESH
        self._helo = ""
        self._extended = False
        self.user = ""

    def on_helo(self, argument: str) -> Step:
        """HELO (RFC 5321 4.1.1.1)."""
        if not _is_helo(argument):
            return Step(say.BAD_HELO)
        self._reset()
        self._helo, self._extended, self.phase = argument, False, Phase.READY
        self._offered = Capabilities(smtputf8=False, dsn=False, size=self._capabilities().size)
        return Step(Reply(250, "", self._terms.hostname))

    def on_ehlo(self, argument: str) -> Step:
        """EHLO: offers no more than every route can do."""
        if not _is_helo(argument):
            return Step(say.BAD_HELO)
        self._reset()
        self._helo, self._extended, self.phase = argument, True, Phase.READY
        self._offered = offered = self._capabilities()
        terms = self._terms
        lines = ["PIPELINING", f"SIZE {self.limit}", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if offered.smtputf8:
            lines.append("SMTPUTF8")
        if offered.dsn:
            lines.append("DSN")
        if terms.tls and not self.tls:
            lines.append("STARTTLS")
        if terms.auth and self.tls and not self.user:
            lines.append("AUTH PLAIN LOGIN")
        if terms.xclient and self._naming.trusted:
            lines += ["XCLIENT " + " ".join(XCLIENT_NAMES), "XFORWARD " + " ".join(XFORWARD_NAMES)]
        return Step(Reply(250, "", terms.hostname), lines=tuple(lines))

    def on_starttls(self, argument: str) -> Step:
        """STARTTLS (RFC 3207)."""
        if not self._terms.tls:
            return Step(say.NOT_OFFERED)
        if self.tls:
            return Step(say.TLS_ACTIVE)
        if argument:
            return Step(say.SYNTAX)
        return Step(say.READY_FOR_TLS, Then.START_TLS)

    def on_auth(self, argument: str) -> Step:
        """AUTH (RFC 4954): over TLS only."""
        if not self._terms.auth or not self._extended:
            return Step(say.NOT_OFFERED)
        if not self.tls:
            return Step(say.AUTH_NEEDS_TLS)
        if self.user:
            return Step(say.AUTH_DONE)
        if not self._gate.may_authenticate(self.connected_client):
            return Step(say.AUTH_LATER)
        self._exchange = Exchange()
        return self._login_step(self._exchange.start(argument))

    def _login_line(self, line: bytes, *, more: bool) -> Step:
        self.phase = Phase.READY
        if more:
            return Step(say.TOO_EARLY, Then.CLOSE)
        assert self._exchange is not None, "the phase is LOGIN"
        return self._login_step(self._exchange.answer(line.decode("utf-8", "surrogateescape")))

    def _login_step(self, answer: Reply | Credentials) -> Step:
        if isinstance(answer, Credentials):
            self._exchange, self.credentials = None, answer
            return Step(say.OK, Then.CHECK_LOGIN)
        if answer.code == 334:
            self.phase = Phase.LOGIN
        else:
            self._exchange = None
        return Step(answer)

    def on_xclient(self, argument: str) -> Step:
        """XCLIENT: the hop says who the client is; the session starts anew."""
        login = self._naming.renamed(argument)
        if isinstance(login, Reply):
            return Step(login)
        self._restart()
        if self._terms.auth:
            self.user = login
        return Step(self.greeting().reply, Then.RENAMED)

    def on_xforward(self, argument: str) -> Step:
        """XFORWARD: the hop says who sent the next message."""
        return Step(self._naming.forwarded(argument))

    @property
    def _offer(self) -> Offer:
        return Offer(self._offered, self._extended, self._terms.auth)

    def on_mail(self, argument: str) -> Step:
        """MAIL FROM (RFC 5321 4.1.1.2)."""
        terms = self._terms
        if terms.access.direction is Direction.SUBMISSION and not self.user:
            return Step(say.AUTH_FIRST)
        refusal = terms.access.sender(self.client)
        if refusal is not None:
            return Step(refusal)
        read = read_mail(argument, self._offer)
        if isinstance(read, Reply):
            return Step(read)
        sender, mail = read
        if mail.size > self.limit:
            return Step(say.TOO_BIG)
        if not self._gate.may_send(self.client):
            return Step(say.TOO_MANY_MESSAGES)
        if not self._gate.reserve(mail.size or min(terms.reserve_bytes, self.limit)):
            return Step(say.NO_MEMORY)
        self._incoming, self.phase = Incoming(sender, mail), Phase.MAIL
        return Step(say.SENDER_OK)

    def on_rcpt(self, argument: str) -> Step:
        """RCPT TO (RFC 5321 4.1.1.3)."""
        incoming = self._incoming
        read = read_rcpt(argument, self._offer, utf8=incoming.mail.smtputf8)
        if isinstance(read, Reply):
            incoming.refused += 1
            return Step(read)
        box, parameters = read
        target = self._terms.access.recipient(box)
        if isinstance(target, Mailbox) and incoming.has(target):
            return Step(say.RECIPIENT_OK)
        if len(incoming.recipients) >= self._terms.recipients:
            return Step(say.TOO_MANY_RECIPIENTS)
        if isinstance(target, Reply):
            incoming.refused += 1
            return Step(target)
        incoming.add(target, parameters)
        self.phase = Phase.RCPT
        return Step(say.RECIPIENT_OK)

    def on_data(self, argument: str) -> Step:
        """DATA (RFC 5321 4.1.1.4)."""
        return Step(say.SYNTAX) if argument else Step(say.SEND_DATA, Then.READ_DATA)

    def on_rset(self, argument: str) -> Step:
        """RSET."""
        if argument:
            return Step(say.SYNTAX)
        self._reset()
        return Step(say.OK)

    def on_noop(self, argument: str) -> Step:
        """NOOP; its argument means nothing (RFC 5321 4.1.1.9)."""
        return Step(say.OK)

    def on_vrfy(self, argument: str) -> Step:
        """VRFY: no list of recipients is given away (RFC 5321 7.3)."""
        return Step(say.CANNOT_VERIFY if argument else say.SYNTAX)

    def on_expn(self, argument: str) -> Step:
        """EXPN."""
        return Step(say.NO_EXPANSION)

    def on_help(self, argument: str) -> Step:
        """HELP."""
        return Step(say.HELP)

    def on_quit(self, argument: str) -> Step:
        """QUIT."""
        return Step(say.SYNTAX) if argument else Step(say.BYE, Then.CLOSE)


_VERBS: dict[str, Callable[[Session, str], Step]] = {
    "HELO": Session.on_helo,
    "EHLO": Session.on_ehlo,
    "STARTTLS": Session.on_starttls,
    "AUTH": Session.on_auth,
    "XCLIENT": Session.on_xclient,
    "XFORWARD": Session.on_xforward,
    "MAIL": Session.on_mail,
    "RCPT": Session.on_rcpt,
    "DATA": Session.on_data,
    "RSET": Session.on_rset,
    "NOOP": Session.on_noop,
    "VRFY": Session.on_vrfy,
    "EXPN": Session.on_expn,
    "HELP": Session.on_help,
    "QUIT": Session.on_quit,
}


def _is_helo(argument: str) -> bool:
    """A name or literal of printable ASCII in one word: what it says is judged elsewhere, what it can break is refused here."""
    return 0 < len(argument) <= MAX_HELO and argument.isascii() and argument.isprintable() and " " not in argument
