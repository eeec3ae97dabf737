"""``[[rule.example]]`` from TOML: the mail beside a rule and what the rule must say of it."""

from policies.decision import TREATMENTS
from policies.facts import domain_of
from policies.sample import EXPECTED, Attachment, Example, Sample
from policies.table import Table
from scanners.message import Direction

MAIL_KEYS = (
    "from", "to", "author", "subject", "text", "html", "direction", "login", "headers", "attachment", "auth", "findings",
    "known", "country", "sender_groups", "recipient_groups", "time", "size",
)  # fmt: skip
AUTH_KEYS = ("spf", "dkim", "dmarc", "policy", "arc", "arc_sealer", "from")
EXPECT = (*EXPECTED, *(kind.name for kind in TREATMENTS))
MAX_SIZE = 50_000_000
"""Bytes an example may ask to be padded to."""


def example(table: Table) -> Example:
    """Read one example; problems are noted in the table's report."""
    table.allow(("title", "mail", "expect"))
    mail = table.table("mail", required=True)
    expect = table.text("expect", required=True, choices=EXPECT)
    line, _ = table.document.place(table.path)
    return Example(table.text("title"), _sample(mail) if mail else Sample("", ""), expect, line)


def _sample(mail: Table) -> Sample:
    mail.allow(MAIL_KEYS)
    if not mail.has("from"):
        mail.problem("缺少 “from”", '"from" is missing')
    return Sample(
        sender=mail.text("from"),
        to=mail.text("to", required=True),
        subject=mail.text("subject"),
        text=mail.text("text"),
        html=mail.text("html"),
        author=mail.text("author"),
        direction=mail.text("direction", choices=[one.value for one in Direction]),
        login=mail.text("login"),
        headers=_pairs(mail, "headers", ()),
        attachments=tuple(_attachment(one) for one in mail.tables("attachment")),
        auth=_pairs(mail, "auth", AUTH_KEYS),
        findings=mail.strings("findings"),
        known=mail.boolean("known", False) if mail.has("known") else None,
        country=mail.text("country") or None,
        sender_groups=mail.strings("sender_groups"),
        recipient_groups=mail.strings("recipient_groups"),
        now=mail.moment("time"),
        size=mail.integer("size", 0, 0, MAX_SIZE),
    )


def _pairs(mail: Table, key: str, allowed: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    inner = mail.table(key) if mail.has(key) else None
    if inner is None:
        return ()
    if allowed:
        inner.allow(allowed)
    return tuple((name, inner.text(name)) for name in inner.data)


def _attachment(table: Table) -> Attachment:
    table.allow(("name", "text", "base64"))
    return Attachment(table.text("name", required=True), table.text("text"), table.text("base64"))


def way(sample: Sample, local_domains: frozenset[str]) -> str:
    """The direction of an example's mail: as it says, else outbound when its sender is ours."""
    if sample.direction:
        return sample.direction
    return Direction.OUTBOUND.value if domain_of(sample.sender) in local_domains else Direction.INBOUND.value
