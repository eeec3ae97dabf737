"""Allow lists: an exception holds for a proven party, until its last day."""

from datetime import UTC, datetime

import pytest

from policies.facts import Context, Facts
from policies.rule import decide
from scanners.finding import Finding
from scanners.message import Direction
from tests.policies.world import LOCAL, facts, found, header, mail, rule, rules

RULE = rule('{ fact = "size", min = 0 }', unless='"list.r"')


def entry(**fields: str) -> str:
    lines = {"list": "r", "reason": "agreed"} | fields
    return (
        "[[allow]]\n"
        + "\n".join(f'{key} = "{value}"' for key, value in lines.items())
        + "\nexpires = 2026-11-20\n"
        + RULE
    )


def seen(
    *findings: Finding,
    sender: str = "news@acme.example",
    author: str = "",
    now: datetime | None = None,
    way: str = "inbound",
    user: str = "",
) -> Facts:
    message = mail(
        sender, "li@corp.test", direction=Direction(way), headers=(header("From", author or sender),), user=user
    )
    return facts(message, *findings, context=Context(LOCAL, now=now or datetime(2026, 11, 20, 23, 59, tzinfo=UTC)))


DMARC = found("auth.dmarc.pass", about="acme.example")
CASES = [
    ({"sender": "acme.example", "auth": "dmarc"}, seen(DMARC), True),
    ({"sender": "acme.example", "auth": "dmarc"}, seen(), False),
    ({"sender": "news@acme.example", "auth": "dmarc"}, seen(DMARC), True),
    ({"sender": "other@acme.example", "auth": "dmarc"}, seen(DMARC), False),
    ({"sender": "acme.example", "auth": "dmarc"}, seen(DMARC, author="x@evil.example"), False),
    ({"sender": "acme.example", "auth": "dmarc"}, seen(DMARC, found("auth.from.ambiguous")), False),
    ({"sender": "cme.example", "auth": "dmarc"}, seen(DMARC), False),
    ({"sender": "acme.example", "auth": "dmarc"}, seen(found("auth.dmarc.pass", about="m.acme.example"), author="a@m.acme.example"), True),
    ({"signer": "lists.example", "auth": "dkim"}, seen(found("auth.dkim.pass", about="lists.example")), True),
    ({"signer": "lists.example", "auth": "dkim"}, seen(found("auth.dkim.pass", about="evil.example")), False),
    ({"signer": "lists.example", "auth": "dkim"}, seen(found("auth.dkim.fail", about="lists.example")), False),
    ({"sender": "acme.example", "auth": "spf"}, seen(found("auth.spf.pass", about="acme.example")), True),
    ({"sender": "acme.example", "auth": "spf"}, seen(found("auth.spf.pass", about="helo.example")), False),
    ({"signer": "fwd.example", "auth": "arc"}, seen(found("auth.arc.trusted", about="fwd.example")), True),
    ({"sender": "li@corp.test", "auth": "login"}, seen(sender="li@corp.test", way="submission", user="li"), True),
    ({"sender": "li@corp.test", "auth": "login"}, seen(sender="li@corp.test", way="outbound"), False),
    ({"sender": "li@corp.test", "auth": "login"}, seen(sender="li@corp.test", way="submission", user="Li@CORP.test"), True),
    ({"sender": "li@corp.test", "auth": "login"}, seen(sender="li@corp.test", way="submission", user="zhang@corp.test"), False),
    ({"sender": "li@corp.test", "auth": "login"}, seen(sender="li@corp.test", way="submission", user="zhang"), False),
    ({"sender": "li@acme.example", "auth": "login"}, seen(sender="li@acme.example", way="submission", user="li"), False),
    ({"sender": "corp.test", "auth": "login"}, seen(sender="li@elsewhere.test", way="submission", user="zhang@corp.test"), True),
    ({"sender": "corp.test", "auth": "relay"}, seen(sender="li@corp.test", way="outbound"), True),
    ({"sender": "corp.test", "auth": "relay"}, seen(sender="li@corp.test"), False),
    ({"recipient": "li@corp.test", "sender": "acme.example", "auth": "dmarc"}, seen(DMARC), True),
    ({"recipient": "wang@corp.test", "sender": "acme.example", "auth": "dmarc"}, seen(DMARC), False),
    ({"sender": "acme.example", "auth": "dmarc"}, seen(DMARC, now=datetime(2026, 11, 21, tzinfo=UTC)), False),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "one", "excepted"), CASES)
def test_exceptions(fields: dict[str, str], one: Facts, excepted: bool) -> None:
    assert (not decide(rules(entry(**fields)), one).matched) is excepted


def test_without_a_date_no_exception_is_sure() -> None:
    blind = facts(mail("news@acme.example", direction=Direction.INBOUND), DMARC, context=Context(LOCAL))
    assert decide(rules(entry(sender="acme.example", auth="dmarc")), blind).matched


@pytest.mark.parametrize(
    "fields",
    [
        {"auth": "dmarc"},
        {"auth": "dkim", "sender": "a.example"},
        {"auth": "magic", "sender": "a.example"},
        {"auth": "spf", "recipient": "a.example"},
    ],
)
def test_entries_that_prove_nothing_do_not_load(fields: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"a\.toml"):
        rules(entry(**fields))
