"""A small world for policy tests: a catalogue, a message, facts."""

from datetime import UTC, datetime

from policies.facts import Context, Facts, build
from policies.load import load
from policies.rule import Ruleset
from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Direction, Envelope, Header, Message, Part, Recipient

CODES = tuple(
    Code(code, Severity.LOW, f"零 {code}", f"words for {code}")
    for code in (
        "auth.dmarc.pass",
        "auth.dmarc.fail",
        "auth.dmarc.temperror",
        "auth.dkim.pass",
        "auth.spf.pass",
        "auth.arc.trusted",
        "auth.from.ambiguous",
        "content.dictionary.company",
        "content.dictionary.bank",
        "content.identifier.cn_id18",
        "content.identifier.iban",
        "content.account.own",
        "content.account.foreign",
        "malware.clamav",
        "malware.yara.*",
        "scanner.failed",
    )
)

LOCAL = frozenset(("corp.test",))
FRIDAY = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def found(code: str, part: str | None = None, *, count: int = 1, score: int = 0, about: str = "") -> Finding:
    """A finding."""
    return Finding(code, Severity.LOW, "seen", part, Evidence(count=count), about, score)


def header(name: str, text: str) -> Header:
    """A header field."""
    return Header(name, b" " + text.encode(), text)


def mail(
    sender: str = "li@corp.test",
    to: str = "buyer@acme.example",
    *,
    direction: Direction = Direction.OUTBOUND,
    headers: tuple[Header, ...] = (),
    parts: tuple[Part, ...] = (),
    user: str = "",
    raw: bytes = b"x",
) -> Message:
    """A parsed message."""
    envelope = Envelope(
        "M", "S", "out", direction, FRIDAY, "192.0.2.1", "192.0.2.1", "h", "", user, sender, (Recipient(to),)
    )
    return Message(envelope, raw, headers or (header("From", sender),), parts)


def facts(message: Message | None = None, *findings: Finding, context: Context | None = None) -> Facts:
    """Facts for its first recipient."""
    message = message or mail()
    known = context or Context(LOCAL, frozenset(), frozenset(), True, "us", FRIDAY)
    return build(message, findings, known, message.envelope.recipients[0])


def rules(text: str, *more: tuple[str, str]) -> Ruleset:
    """Load one file of rules (``schema = 1`` is put in front)."""
    return load([("a.toml", "schema = 1\n" + text), *more], CODES, {})


def rule(
    when: str, *, unless: str = "", then: str = 'disposition = "approve"', name: str = "r", extra: str = ""
) -> str:
    """The text of one rule."""
    exception = f"unless = {unless}\n" if unless else ""
    return f'[[rule]]\nname = "{name}"\ntitle = {{ zh = "题", en = "title" }}\n{extra}when = {when}\n{exception}then = {{ {then} }}\n'
