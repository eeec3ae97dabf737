"""The vocabulary of the receiving session: its phases, which verb may stand in which, and what the shell is asked to do."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from msgspec import Struct

from gateway.config import Config, Limits, Listener
from gateway.smtp.access import Access
from gateway.smtp.limits import DEFAULT_RESERVE
from gateway.smtp.reply import Reply
from scanners.message import Direction

SUBMISSION_BUDGET_S = 50.0
"""People wait at a mail program (architecture section 4)."""


def reply_budget_s(limits: Limits, direction: str) -> float:
    """Seconds from the end of data to our answer: people wait at a mail program, servers wait longer."""
    return (
        min(limits.reply_budget_s, SUBMISSION_BUDGET_S) if direction == Direction.SUBMISSION else limits.reply_budget_s
    )


class Phase(Enum):
    """Where the conversation stands."""

    FRESH = "before EHLO"
    READY = "between messages"
    MAIL = "sender given"
    RCPT = "a recipient accepted"
    LOGIN = "inside AUTH"


class Then(Enum):
    """What the shell does after it has sent the reply (or, for CHECK_LOGIN, instead of sending one)."""

    GO_ON = "read the next command"
    READ_DATA = "read the message, then call finished()"
    START_TLS = "start TLS, then call secured()"
    CHECK_LOGIN = "check credentials, then call authenticated()"
    RENAMED = "count the connection under the client now named"
    CLOSE = "close"


class Step(Struct, frozen=True):
    """A reply, EHLO's further lines, and what comes then."""

    reply: Reply
    then: Then = Then.GO_ON
    lines: tuple[str, ...] = ()


class Gate(Protocol):
    """What is counted outside the session. Every method answers at once."""

    def may_send(self, client: str | None) -> bool:
        """One more message of this client; False when it has had too many."""

    def reserve(self, octets: int) -> bool:
        """Hold that many octets for the message to come, in place of what was held; False when there are none."""

    def may_authenticate(self, client: str | None) -> bool:
        """False when this client failed too often of late."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a listener offers, the same for all its sessions."""

    listener: str
    hostname: str
    access: Access
    message_bytes: int
    recipients: int
    errors: int
    tls: bool = False
    tls_required: bool = False
    auth: bool = False
    xclient: bool = False
    reserve_bytes: int = DEFAULT_RESERVE

    @classmethod
    def of(cls, config: Config, listener: Listener, *, tls: bool, users: bool) -> "Terms":
        """Compile the configuration. ``tls``, ``users``: there is a certificate, a users file.

        Raises OSError and ValueError as Access.of does.
        """
        return cls(
            listener=listener.name,
            hostname=config.gateway.hostname,
            access=Access.of(config, listener),
            message_bytes=config.limits.message_bytes,
            recipients=config.limits.recipients,
            errors=config.limits.errors,
            tls=tls,
            tls_required=tls and listener.tls.required,
            auth=users and listener.direction == Direction.SUBMISSION,
            xclient=listener.xclient,
        )


_ANY = frozenset(Phase) - {Phase.LOGIN}
TRANSITIONS: dict[str, frozenset[Phase]] = {
    "HELO": _ANY,
    "EHLO": _ANY,
    "STARTTLS": frozenset({Phase.READY}),
    "AUTH": frozenset({Phase.READY}),
    "XCLIENT": frozenset({Phase.FRESH, Phase.READY}),
    "XFORWARD": frozenset({Phase.READY}),
    "MAIL": frozenset({Phase.READY}),
    "RCPT": frozenset({Phase.MAIL, Phase.RCPT}),
    "DATA": frozenset({Phase.RCPT}),
    "RSET": _ANY,
    "NOOP": _ANY,
    "VRFY": _ANY,
    "EXPN": _ANY,
    "HELP": _ANY,
    "QUIT": _ANY,
}
"""Where each verb may stand; elsewhere it is 503."""
LAST_IN_GROUP = frozenset({"HELO", "EHLO", "STARTTLS", "AUTH", "XCLIENT", "DATA"})
"""Verbs whose reply must be read before more is sent (RFC 2920 3.1, RFC 3207 4): what comes with them came too early."""
BEFORE_TLS = frozenset({"HELO", "EHLO", "STARTTLS", "NOOP", "RSET", "QUIT", "HELP", "XCLIENT"})
"""What may be said where TLS is required and not yet there (RFC 3207 4)."""

LINE_LIMIT = 512
LINE_LIMITS = {
    "MAIL": 512 + 26 + 17 + 10 + 600 + 500,
    "RCPT": 512 + 500 + 10,
    "AUTH": 12_288,
    "XCLIENT": 2_048,
    "XFORWARD": 2_048,
}
"""Octets with CRLF: 512 (RFC 5321 4.5.3.1.4) and what SIZE, BODY, SMTPUTF8, DSN and AUTH add to it by their RFCs; XCLIENT and
XFORWARD hold encoded attributes of at most 255 characters."""
MAX_HELO = 255
"""Octets of a domain name (RFC 5321 4.5.3.1.2)."""
MAX_AUTH_TRIES = 3
"""Failed logins in one session."""
WEB = frozenset(
    ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE", "HOST:", "CONTENT-LENGTH:")
)
"""What browsers begin with: a page may make one send its form here, and the form's lines would be commands."""
IDLE = frozenset({"NOOP", "RSET", "VRFY", "EXPN", "HELP", "HELO", "EHLO", "XFORWARD"})
MAX_IDLE = 200
"""Commands that move nothing, between two deliveries: more keep a connection busy for its own sake."""
