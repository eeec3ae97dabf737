"""The mail as data: Envelope (what SMTP said), Message and Part (what the bytes say). All frozen; nothing here does I/O."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from msgspec import Struct

from scanners.finding import Finding
from scanners.readings import Reading, readings


class Direction(StrEnum):
    """Which way a listener's mail flows."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted RCPT TO: the address as given and its DSN parameters (RFC 3461)."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP said about one message.

    ``client`` is the *named* client's address: the peer's own, or what a trusted hop said by PROXY, XCLIENT or XFORWARD;
    ``None`` when a trusted hop named none (SPF is then not judged). ``hop`` is the peer's address. ``tls`` is the protocol version
    or ``""``. ``user`` is the authenticated login or ``""``. ``sender`` is ``""`` for the null sender.
    """

    id: str
    session: str
    listener: str
    direction: Direction
    received_at: datetime
    client: str | None
    hop: str
    helo: str
    tls: str
    user: str
    sender: str
    recipients: tuple[Recipient, ...]
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


class Header(Struct, frozen=True):
    """One header field: its name as written, the raw value bytes after the colon (folding kept), and the decoded text."""

    name: str
    raw: bytes
    text: str

    @property
    def key(self) -> str:
        """The name in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf of the message, or something found inside one.

    ``path`` is IMAP-like (``1.2``) and goes on with ``!member`` inside containers (``2!b.zip!名单.xlsx``). ``content`` is the
    decoded bytes (empty for members of containers: only their text and hash come back from the decoder). ``text`` is what a reader
    would see, or ``None`` if the part has no text or it was not read. ``declared`` is the Content-Type as written,
    ``media_type`` what the bytes say where that is known.
    """

    path: str
    media_type: str
    declared: str
    filename: str = ""
    disposition: str = ""
    content: bytes = b""
    text: str | None = None
    sha256: str = ""
    size: int = 0
    is_body: bool = False
    charset: str = ""
    """The charset parameter of its Content-Type."""

    @property
    def labelled(self) -> str:
        """``declared`` with its charset, if it has one."""
        return f"{self.declared}; charset={self.charset}" if self.charset else self.declared


@dataclass(frozen=True)
class Message:
    """A parsed message. ``parse()`` never raises: malformed mail gives a poorer Message and ``defects``."""

    envelope: Envelope
    raw: bytes
    headers: tuple[Header, ...]
    parts: tuple[Part, ...]
    defects: tuple[Finding, ...] = ()
    header_length: int = 0
    """Bytes up to and including the blank line."""
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    """Reserved for readings of the same part that differ: path -> other reading's text."""

    def all(self, name: str) -> tuple[Header, ...]:
        """Every field of that name, in order of appearance; the name is compared without case."""
        return tuple(self._fields.get(name.lower(), ()))

    def first(self, name: str) -> str:
        """Decoded text of the first field of that name, or ``""``."""
        found = self._fields.get(name.lower())
        return found[0].text if found else ""

    @cached_property
    def _fields(self) -> dict[str, list[Header]]:
        """Fields by name: a message is asked for a dozen of them."""
        found: dict[str, list[Header]] = {}
        for header in self.headers:
            found.setdefault(header.name.lower(), []).append(header)
        return found

    @cached_property
    def subject(self) -> str:
        """Decoded Subject, or ``""``."""
        return self.first("subject")

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Every text to look for words in, normalised; made once per message, when the first scanner asks."""
        return readings(self)
