"""All that a rule may look at, for one recipient. Unknown is ``None``: it matches in ``when`` and not in ``unless`` (law 4)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import idna
from msgspec import Struct

from policies.mailbox import from_addresses
from scanners.finding import Finding
from scanners.message import Header, Message, Part, Recipient

Value = str | bool | int | frozenset[str] | None

COUNTERS = ("sent_hour", "sent_day", "recipients_day")
"""Counters the gateway may keep for a sender: messages in the last hour and day, different recipients in the last day."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beyond the mail, for one recipient; the gateway fills it. ``None``: not known.

    ``now`` is the local time at which the mail is judged. ``first_contact`` is True when the company never wrote to the outside
    party of this mail before. ``country`` is the recipient's, ISO 3166 alpha-2. ``counters`` has names from COUNTERS.
    """

    local_domains: frozenset[str] = frozenset()
    sender_groups: frozenset[str] | None = None
    recipient_groups: frozenset[str] | None = None
    first_contact: bool | None = None
    country: str | None = None
    now: datetime | None = None
    counters: Mapping[str, int] = field(default_factory=dict)


class Common(Struct, frozen=True):
    """What is the same for every recipient of a message, worked out once.

    ``by_code`` holds the findings of each code; ``bodies`` maps the path of each body part to its media type. ``headers`` is ``None``
    when only the findings of a past mail are known (replay).
    """

    direction: str
    listener: str | None
    user: str | None
    tls: str | None
    client: str | None
    size: int | None
    sender: str | None
    sender_domain: str | None
    from_address: str | None
    from_domain: str | None
    subject: str | None
    recipients: int | None
    headers: tuple[Header, ...] | None
    names: frozenset[str] | None
    types: frozenset[str] | None
    attachments: int | None
    by_code: Mapping[str, tuple[Finding, ...]]
    bodies: Mapping[str, str]


class Facts(Struct, frozen=True):
    """The facts for one recipient."""

    common: Common
    recipient: str | None
    recipient_domain: str | None
    context: Context


def domain_of(address: str) -> str:
    """The domain in lower case and, where it is not ASCII, as A-labels; ``""`` for the null sender."""
    return fold_domain(address.rpartition("@")[2]) if "@" in address else ""


def fold_domain(domain: str) -> str:
    """One spelling for a domain: lower case, no final dot, A-labels. What isn't a valid IDN stays as it came, in lower case."""
    domain = domain.rstrip(".").lower()
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain[:255], uts46=True).decode("ascii")
    except idna.IDNAError:
        return domain


def fold_address(address: str) -> str:
    """One spelling for an address: lower case (no server that matters tells cases of a local part apart), the domain folded."""
    local, at, domain = address.rpartition("@")
    return f"{local.lower()}@{fold_domain(domain)}" if at else address.lower()


def index_findings(findings: Iterable[Finding]) -> dict[str, tuple[Finding, ...]]:
    """The findings by code, in the order they came."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return {code: tuple(found) for code, found in by_code.items()}


def common(message: Message, findings: Sequence[Finding]) -> Common:
    """Work out what all recipients share. Linear in headers, parts and findings."""
    envelope = message.envelope
    by_code = index_findings(findings)
    bodies: dict[str, str] = {}
    attached: list[Part] = []
    for part in message.parts:
        if part.is_body:
            bodies[part.path] = part.media_type
        else:
            attached.append(part)
    author = _author(message, by_code)
    return Common(
        direction=envelope.direction.value,
        listener=envelope.listener,
        user=envelope.user,
        tls=envelope.tls,
        client=envelope.client,
        size=len(message.raw),
        sender=fold_address(envelope.sender),
        sender_domain=domain_of(envelope.sender),
        from_address=author,
        from_domain=_author_domain(author, by_code),
        subject=message.subject,
        recipients=len(envelope.recipients),
        headers=message.headers,
        names=frozenset(part.filename.lower() for part in attached if part.filename),
        types=frozenset(kind for part in attached for kind in (part.media_type, part.declared) if kind),
        attachments=sum("!" not in part.path for part in attached),
        by_code=by_code,
        bodies=bodies,
    )


def build(
    message: Message, findings: Sequence[Finding], context: Context, recipient: Recipient, shared: Common | None = None
) -> Facts:
    """The facts for one recipient; ``shared`` from ``common()`` saves working it out again for the next."""
    return Facts(
        shared or common(message, findings), fold_address(recipient.address), domain_of(recipient.address), context
    )


def build_each(
    message: Message, findings: Sequence[Finding], contexts: Sequence[tuple[Recipient, Context]]
) -> tuple[Facts, ...]:
    """The facts for every recipient of a message; what they share is worked out once."""
    shared = common(message, findings)
    return tuple(build(message, findings, context, recipient, shared) for recipient, context in contexts)


def _author(message: Message, by_code: Mapping[str, tuple[Finding, ...]]) -> str | None:
    """The one address in From; ``None`` when there isn't exactly one, for then nobody knows whom a reader sees."""
    if "auth.from.ambiguous" in by_code:
        return None
    fields = message.all("from")
    if len(fields) != 1:
        return None
    found = from_addresses(fields[0].raw)
    return fold_address(found[0]) if len(found) == 1 else None


def _author_domain(author: str | None, by_code: Mapping[str, tuple[Finding, ...]]) -> str | None:
    """The domain that DMARC was judged for where it was, since that is whom authentication speaks of; else the one in From."""
    if "auth.from.ambiguous" in by_code:
        return None
    for code in ("auth.dmarc.pass", "auth.dmarc.fail"):
        about = by_code[code][0].about if code in by_code else ""
        if about:
            return fold_domain(about)
    return domain_of(author) if author is not None else None
