"""The mails written beside a rule, as data: what is sent and what the rule must say of it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of an example: ``text`` becomes its content; a docx, xlsx or zip is made around it, ``base64`` is taken as it is."""

    name: str
    text: str = ""
    base64: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """An example's mail.

    ``auth`` are pairs such as ``("dmarc", "fail")``, ``("policy", "reject")``, ``("dkim", "forwarder.example")``; ``findings`` are codes
    (with ``=about``) that stand in for scanners that can't run beside a rule, such as ClamAV.
    """

    sender: str
    to: str
    subject: str = ""
    text: str = ""
    html: str = ""
    author: str = ""
    direction: str = ""
    login: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    auth: tuple[tuple[str, str], ...] = ()
    findings: tuple[str, ...] = ()
    known: bool | None = None
    country: str | None = None
    sender_groups: tuple[str, ...] = ()
    recipient_groups: tuple[str, ...] = ()
    now: datetime | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A mail and what this rule must say of it: a disposition, a treatment, ``match`` or ``no-match``."""

    title: str
    mail: Sample
    expect: str
    line: int = 0


EXPECTED = ("match", "no-match", "deliver", "delay", "approve", "quarantine", "reject")
"""Words for ``expect``, besides the kinds of treatments."""
