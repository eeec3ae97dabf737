"""Delivery status notifications (RFC 3461, RFC 3464, RFC 6522) in Chinese and English, and the rule who may get one. Pure."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from gateway.custody.bounce_text import subject, words
from gateway.smtp.commands import speakable
from gateway.smtp.reply import Reply
from gateway.terminal import safe
from scanners.message import Recipient

FULL_BYTES = 1_000_000
"""RET=FULL returns the whole message up to here, beyond it only the header: a bounce must not be the bigger mail."""
HEADER_BYTES = 65_536
"""Of the original's header that is returned."""
LINE_BYTES = 998
"""Longest line (RFC 5322 2.1.1); writing a returned header in ASCII can make lines longer."""
FIELD_CHARS = 900
"""Longest field: RFC 5322 2.1.1 allows lines of 998."""
BOUNDARIES = 16
"""Boundaries tried until one does not stand in the original; each fails only if the original knows our id."""


class Action(StrEnum):
    """What happened to a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    """Passed on to a server that does not do DSN, for someone who asked for SUCCESS (RFC 3461 5.2.2)."""


_ASKED = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.RELAYED: "SUCCESS"}
_BY_DEFAULT = frozenset({Action.FAILED, Action.DELAYED})
"""Without NOTIFY (RFC 3461 4.1)."""


@dataclass(frozen=True, slots=True)
class Fate:
    """One recipient, and the last reply about it. ``remote`` is the host that gave the reply, ``""``: we did ourselves."""

    recipient: Recipient
    reply: Reply
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """All that a notification says. ``original`` is the message as accepted, ``envid`` and ``orcpt`` are xtext as they came.

    ``id`` names the notification (its Message-ID is ``<id@reporting_mta>``); ``reference`` is the id by which the log knows the message.
    ``retry_until`` stands in delay notices only.
    """

    action: Action
    id: str
    reference: str
    at: datetime
    reporting_mta: str
    postmaster: str
    sender: str
    fates: Sequence[Fate]
    original: bytes
    arrived_at: datetime
    ret: str = ""
    envid: str = ""
    retry_until: datetime | None = None
    thread: str = ""
    """The original's Message-ID as ``house.thread`` gives it."""


def wants(recipient: Recipient, action: Action) -> bool:
    """Whether the sender asked to be told this about this recipient (NOTIFY, RFC 3461 4.1)."""
    return _ASKED[action] in recipient.notify if recipient.notify else action in _BY_DEFAULT


def dsn(notice: Notice) -> bytes | None:
    """The notification as a message, CRLF throughout, to be sent from ``<>`` to the sender.

    ``None`` when nobody is to be told: null sender, an address that can't stand in a header, or no recipient for whom it was wanted.
    It is 7-bit, unless the sender's address or a message returned in full isn't.
    """
    told = [fate for fate in notice.fates if wants(fate.recipient, notice.action)]
    if not notice.sender or not speakable(notice.sender) or not told:
        return None
    returned_type, returned = _returned(notice)
    parts = (
        (
            "text/plain; charset=utf-8",
            "base64",
            _base64(words(notice.action, notice.reference, _lines(notice, told)).encode()),
        ),
        ("message/delivery-status", "7bit", _status(notice, told)),
        (returned_type, "7bit" if returned.isascii() else "8bit", returned),
    )
    boundary = _boundary(notice, parts)
    body = [_part(boundary, kind, encoding, content) for kind, encoding, content in parts]
    return b"".join([_header(notice, boundary), *body, f"--{boundary}--\r\n".encode()])


def _header(notice: Notice, boundary: str) -> bytes:
    zh, en = subject(notice.action)
    fields = [
        f"From: {_encoded('邮件系统')} Mail Delivery System <{notice.postmaster}>",
        f"To: <{notice.sender}>",
        f"Subject: {_encoded(zh)} {en}",
        f"Date: {format_datetime(notice.at)}",
        f"Message-ID: <{notice.id}@{notice.reporting_mta}>",
        *(f"{name}: {notice.thread}" for name in ("In-Reply-To", "References") if notice.thread),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    return "".join(field + "\r\n" for field in fields).encode() + b"\r\n"


def _encoded(text: str) -> str:
    """One encoded-word (RFC 2047 2: at most 75 characters, so at most 15 汉字)."""
    return f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def _part(boundary: str, kind: str, encoding: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + content + b"\r\n"  # this line end belongs to the delimiter (RFC 2046 5.1.1)


def _boundary(notice: Notice, parts: Sequence[tuple[str, str, bytes]]) -> str:
    for number in range(BOUNDARIES):
        boundary = f"=_{notice.id}_{number}"
        if not any(boundary.encode() in content for _, _, content in parts):
            break
    return boundary


def _status(notice: Notice, told: Sequence[Fate]) -> bytes:
    """message/delivery-status (RFC 3464 2): fields about the message, then about each recipient."""
    message = [("Original-Envelope-Id", from_xtext(notice.envid)), ("Reporting-MTA", f"dns; {notice.reporting_mta}")]
    message.append(("Arrival-Date", format_datetime(notice.arrived_at)))
    return b"\r\n".join([_fields(message), *(_fields(_recipient(notice, fate)) for fate in told)])


def _recipient(notice: Notice, fate: Fate) -> list[tuple[str, str]]:
    kind, _, address = fate.recipient.orcpt.partition(";")
    said = str(fate.reply)
    fields = [
        ("Original-Recipient", f"{kind}; {from_xtext(address)}" if address else ""),
        ("Final-Recipient", typed(fate.recipient.address)),
        ("Action", notice.action.value),
        ("Status", status(fate.reply, notice.action)),
        ("Remote-MTA", f"dns; {fate.remote}" if fate.remote else ""),
        ("Diagnostic-Code", f"smtp; {said}"),
        ("Last-Attempt-Date", format_datetime(notice.at)),
    ]
    if notice.action is Action.DELAYED and notice.retry_until is not None:
        fields.append(("Will-Retry-Until", format_datetime(notice.retry_until)))
    return fields


def _fields(fields: Sequence[tuple[str, str]]) -> bytes:
    """Fields with a value, one a line; whatever they hold, they can neither end a line nor leave ASCII (RFC 3464 2.1)."""
    return b"".join(f"{name}: {_ascii(value)}\r\n".encode("ascii") for name, value in fields if value)


def _ascii(value: str) -> str:
    return safe(value[:FIELD_CHARS]).encode("ascii", "backslashreplace").decode()[:FIELD_CHARS]


def status(reply: Reply, action: Action) -> str:
    """The Status field: the enhanced code, or what the reply code alone says (RFC 3463 2)."""
    if action is Action.RELAYED:
        return reply.enhanced if reply.enhanced.startswith("2") else "2.0.0"
    return reply.enhanced or f"{5 if reply.code >= 500 else 4}.0.0"


def typed(address: str) -> str:
    """An address with its type; beyond ASCII as utf-8-addr-xtext, so that the notice itself stays 7-bit (RFC 6533 3)."""
    if address.isascii():
        return f"rfc822; {address}"
    return "utf-8; " + "".join(
        char if char.isascii() and char not in "\\+=" else f"\\x{{{ord(char):X}}}" for char in address
    )


def from_xtext(value: str) -> str:
    """Undo xtext (RFC 3461 4): ``+2B`` is ``+``. What is no xtext stays as it is; controls are left to the caller to blank."""
    head, *rest = value.split("+")
    for piece in rest:
        hexadecimal = len(piece) >= 2 and all(char in "0123456789ABCDEF" for char in piece[:2])
        head += chr(int(piece[:2], 16)) + piece[2:] if hexadecimal else "+" + piece
    return head


def _returned(notice: Notice) -> tuple[str, bytes]:
    """The third part: all of the message if RET=FULL asks for it in a failure, else its header (RFC 3461 4.3)."""
    if notice.action is Action.FAILED and notice.ret == "FULL" and len(notice.original) <= FULL_BYTES:
        return "message/rfc822", notice.original
    header = notice.original[:HEADER_BYTES].partition(b"\r\n\r\n")[0]
    if len(header) == HEADER_BYTES:
        header = header.rpartition(b"\r\n")[0]
    if not header.isascii():  # text may be made 7-bit, and the hop toward the sender may need it
        header = header.decode("utf-8", "replace").encode("ascii", "backslashreplace")
    header = b"\r\n".join(line[:LINE_BYTES] for line in header.split(b"\r\n"))
    return "text/rfc822-headers", header + b"\r\n"


def _lines(notice: Notice, told: Sequence[Fate]) -> list[tuple[str, str, str]]:
    """For people: address, what was said, status."""
    return [
        (_shown(fate.recipient.address), _shown(str(fate.reply)), status(fate.reply, notice.action)) for fate in told
    ]


def _shown(text: str) -> str:
    return safe(text[:FIELD_CHARS])


def _base64(text: bytes) -> bytes:
    return base64.encodebytes(text).replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known about where a message came from.

    ``is_client``: it came from a network in the listener's ``clients`` or by AUTH. ``is_local``: the sender's domain is one of ours.
    ``spf_pass``: the domain for which SPF said pass, ``dmarc_pass``: the From domain for which DMARC did, ``""``: neither.
    """

    sender: str
    is_client: bool = False
    is_local: bool = False
    spf_pass: str = ""
    dmarc_pass: str = ""


def proven(origin: Origin) -> bool:
    """Whether the sender is who it says, so that a notice hits nobody innocent: ours, or its domain passed SPF or aligned DMARC."""
    domain = origin.sender.rpartition("@")[2].lower().rstrip(".")
    if not origin.sender or not domain:
        return False
    if origin.is_local:
        return origin.is_client  # a stranger who uses our domain is not ours, whatever its SPF says
    return domain == origin.spf_pass.lower().rstrip(".") or _aligned(domain, origin.dmarc_pass.lower().rstrip("."))


def _aligned(domain: str, passed: str) -> bool:
    """Relaxed alignment without the public suffix list: equal, or the envelope's domain lies below the From domain."""
    return bool(passed) and (domain == passed or domain.endswith("." + passed))
