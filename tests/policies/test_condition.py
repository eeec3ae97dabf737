"""Every comparison, every fact, and the three values."""

import itertools

import pytest

from policies.condition import Leaf, Mode, group
from policies.decision import Title
from policies.facts import Context, Facts
from policies.rule import decide, explain, matches
from policies.vocabulary import FACTS
from scanners.message import Direction, Part
from tests.policies.world import FRIDAY, LOCAL, facts, found, header, mail, rule, rules

T, F, U = True, False, None


def leaf(value: bool | None) -> Leaf:
    return Leaf(lambda _: value, Title("问", "question"), fact="size")


KLEENE = [
    (Mode.ALL, (T, T), T), (Mode.ALL, (T, U), U), (Mode.ALL, (U, U), U), (Mode.ALL, (F, U), F), (Mode.ALL, (U, F), F),
    (Mode.ANY, (F, F), F), (Mode.ANY, (F, U), U), (Mode.ANY, (U, T), T), (Mode.ANY, (T, F), T), (Mode.ANY, (U, U), U),
    (Mode.NONE, (F, F), T), (Mode.NONE, (F, U), U), (Mode.NONE, (T, U), F), (Mode.NONE, (T, T), F), (Mode.NONE, (F,), T),
    (Mode.NONE, (U,), U),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "values", "expected"), KLEENE)
def test_groups_follow_kleene(mode: Mode, values: tuple[bool | None, ...], expected: bool | None) -> None:
    assert group(mode, [leaf(value) for value in values]).test(facts()) is expected


UNKNOWN_WHEN = '{ fact = "first_contact", is = true }'


@pytest.mark.parametrize(("known", "matched"), [(True, True), (False, False), (None, True)])
def test_an_unknown_fact_matches_in_when(known: bool | None, matched: bool) -> None:
    ruleset = rules(rule(UNKNOWN_WHEN))
    one = facts(context=Context(LOCAL, first_contact=known))
    judgement = decide(ruleset, one)
    assert bool(judgement.matched) is matched
    if known is None:
        assert judgement.matched[0].unknown == ("first_contact",)
        assert explain(ruleset, one)[0].when[0].state.value == "?"


@pytest.mark.parametrize(("known", "matched"), [(True, False), (False, True), (None, True)])
def test_an_unknown_fact_does_not_match_in_unless(known: bool | None, matched: bool) -> None:
    ruleset = rules(rule('{ fact = "size", min = 0 }', unless=UNKNOWN_WHEN))
    assert bool(decide(ruleset, facts(context=Context(LOCAL, first_contact=known))).matched) is matched


def test_the_whole_three_valued_table_of_a_rule() -> None:
    ruleset = rules(rule('{ fact = "size", min = 0 }'))
    base = ruleset.rules[0]
    for when, unless in itertools.product((T, F, U), (T, F, U)):
        one = type(base)(
            *(
                leaf(when) if name == "when" else leaf(unless) if name == "unless" else getattr(base, name)
                for name in base.__slots__
            )
        )
        assert matches(one, facts()) is (when is not False and unless is not True)


ATTACHED = mail(
    headers=(
        header("From", "Li <Li@Corp.Test>"),
        header("Subject", "Angebot 报价 Q-17"),
        header("In-Reply-To", "<a@b>"),
        header("X-Mailer", "Foxmail"),
        header("List-Id", "<l.x>"),
        header("Auto-Submitted", "auto-replied"),
        header("Content-Type", "multipart/signed; protocol=x"),
    ),
    parts=(
        Part("1", "text/plain", "text/plain", text="hi", is_body=True),
        Part("2", "application/zip", "application/octet-stream", filename="Offer.ZIP"),
        Part("2!offer.xlsx", "application/x-x", "", filename="offer.xlsx"),
    ),
    user="li",
    raw=b"x" * 2_000_000,
)

QUESTIONS = [
    ('{ fact = "direction", is = "outbound" }', T),
    ('{ fact = "direction", in = ["inbound", "submission"] }', F),
    ('{ fact = "listener", is = "out" }', T),
    ('{ fact = "sender.address", is = "LI@corp.test" }', T),
    ('{ fact = "sender.domain", under = "test" }', T),
    ('{ fact = "sender.domain", under = "rp.test" }', F),
    ('{ fact = "sender.groups", has = "sales" }', T),
    ('{ fact = "sender.groups", has_any = ["hr", "it"] }', F),
    ('"sender.outside"', F),
    ('{ fact = "sender.login", is = "li" }', T),
    ('"sender.is_login"', T),
    ('{ fact = "from.address", is = "li@corp.test" }', T),
    ('{ fact = "from.local", is = true }', T),
    ('{ fact = "from.authenticated", is = false }', T),
    ('{ fact = "recipient.address", contains = "BUYER" }', T),
    ('{ fact = "recipient.domain", in = ["acme.example", "b.example"] }', T),
    ('{ fact = "recipient.groups", empty = true }', T),
    ('"recipient.outside"', T),
    ('{ fact = "recipient.country", in = ["US", "de"] }', T),
    ('{ fact = "recipients", is = 1 }', T),
    ('"first_contact"', T),
    ('{ fact = "size", min = "2MB" }', T),
    ('{ fact = "size", min = "1MB", max = "2 MB" }', T),
    ('{ fact = "size", max = 5 }', F),
    ('{ fact = "subject", matches = "q-\\\\d+$" }', T),
    ('{ fact = "subject", contains = "报价" }', T),
    ('{ fact = "attachment.names", has = "OFFER.zip" }', T),
    ('{ fact = "attachment.names", matches = "\\\\.xlsx?$" }', T),
    ('{ fact = "attachment.extensions", has_any = ["xlsx", "doc"] }', T),
    ('{ fact = "attachment.types", has = "application/zip" }', T),
    ('{ fact = "attachment.count", is = 1 }', T),
    ('"message.reply"', T),
    ('"message.list"', T),
    ('"message.automatic"', T),
    ('"message.signed"', T),
    ('"message.encrypted"', F),
    ('{ fact = "client.address", is = "192.0.2.1" }', T),
    ('{ fact = "client.tls", is = "" }', T),
    ('{ fact = "time.hour", between = [9, 17] }', T),
    ('{ fact = "time.hour", between = [22, 6] }', F),
    ('{ fact = "time.weekday", in = ["sat", "sun"] }', F),
    ('{ fact = "counter.sent_hour", min = 100 }', U),
    ('{ fact = "counter.sent_day", min = 10 }', T),
    ('{ fact = "counter.recipients_day", in = [3, 4] }', T),
    ('{ header = "x-mailer", contains = "foxmail" }', T),
    ('{ header = "X-Mailer", matches = "^out" }', F),
    ('{ header = "X-Nothing", exists = true }', F),
    ('{ none = [{ fact = "size", max = 5 }], all = ["recipient.outside"] }', T),
]


def asked() -> Facts:
    context = Context(
        LOCAL, frozenset(("sales",)), frozenset(), True, "US", FRIDAY, {"sent_day": 12, "recipients_day": 4}
    )
    return facts(ATTACHED, context=context)


@pytest.mark.parametrize(("when", "expected"), QUESTIONS)
def test_each_comparison(when: str, expected: bool | None) -> None:
    ruleset = rules(rule(when))
    assert ruleset.rules[0].when.test(asked()) is expected
    assert bool(decide(ruleset, asked()).matched) is (expected is not False)
    for line in explain(ruleset, asked())[0].when:
        assert line.words.zh
        assert line.words.en


def test_every_fact_is_asked_in_the_table_above() -> None:
    text = " ".join(question for question, _ in QUESTIONS)
    untested = {name for name in FACTS if f'"{name}"' not in text} - {"from.domain"}
    assert untested == set()


def test_every_fact_can_be_unknown_but_the_direction() -> None:
    blank = facts(mail(), context=Context())
    empty = type(blank)(
        type(blank.common)("inbound", *(None,) * (len(type(blank.common).__slots__) - 3), {}, {}),
        None,
        None,
        Context(),
    )
    known = {name for name, fact in FACTS.items() if fact.read(empty) is not None}
    assert known == {"direction"}


BODIES = (
    Part("1.1", "text/plain", "", is_body=True),
    Part("1.2", "text/html", "", is_body=True),
    Part("2", "application/zip", "", filename="a.zip"),
)
COUNTS = [
    ('{ finding = "content.identifier.cn_id18", min_count = 3 }', [("1.1", 2), ("1.2", 2)], F),
    ('{ finding = "content.identifier.cn_id18", min_count = 3 }', [("1.1", 2), ("2!x", 1)], T),
    ('{ finding = "content.identifier.cn_id18", min_count = 3 }', [("2!x", 1), ("2!y", 1), ("2!z", 1)], T),
    ('{ finding = "content.identifier.cn_id18", min_count = 3 }', [("2!x", 2), ("2!x", 2)], F),
    ('{ finding = "content.identifier.*", min_count = 2 }', [("1.1", 2)], T),
    ('{ finding = "content.identifier.*", except = ["content.identifier.cn_id18"] }', [("1.1", 2)], F),
    ('{ finding = "content.identifier.*", except = ["content.identifier.iban"] }', [("1.1", 2)], T),
    ('{ finding = "content.identifier.cn_id18", part = "body" }', [("2", 1)], F),
    ('{ finding = "content.identifier.cn_id18", part = "nested" }', [("2!x", 1)], T),
    ('{ finding = "content.identifier.cn_id18", part = "attachment" }', [("2!x", 1)], T),
    ('{ finding = "content.identifier.cn_id18", part = "header" }', [(None, 1)], T),
    ('{ finding = "content.identifier.cn_id18" }', [], F),
]


@pytest.mark.parametrize(("when", "seen", "expected"), COUNTS)
def test_counts_add_up_but_versions_of_one_body_do_not(
    when: str, seen: list[tuple[str | None, int]], expected: bool
) -> None:
    ruleset = rules(rule(when))
    findings = [found("content.identifier.cn_id18", part, count=count) for part, count in seen]
    assert bool(decide(ruleset, facts(mail(parts=BODIES), *findings)).matched) is expected


def test_scores_and_about() -> None:
    scored = rules(rule('{ finding = "content.dictionary.bank", min_score = 16 }'))
    assert not decide(scored, facts(None, found("content.dictionary.bank", "1", score=8))).matched
    assert decide(scored, facts(None, found("content.dictionary.bank", "1", score=16))).matched
    about = rules(rule('{ finding = "scanner.failed", about = ["clamav", "Yara"] }'))
    assert decide(about, facts(None, found("scanner.failed", about="yara"))).matched
    assert not decide(about, facts(None, found("scanner.failed", about="dictionaries"))).matched


AUTHENTICATED = [
    ([found("auth.dmarc.pass", about="corp.test")], T),
    ([found("auth.dkim.pass", about="corp.test")], T),
    ([found("auth.dkim.pass", about="sub.corp.test")], F),
    ([found("auth.dkim.pass", about="test")], F),
    ([found("auth.dkim.pass", about="evil.example")], F),
    ([found("auth.dmarc.pass", about="corp.test"), found("auth.from.ambiguous")], F),
    ([found("auth.dmarc.temperror")], U),
    ([found("scanner.failed", about="authentication")], U),
    ([], F),
]


@pytest.mark.parametrize(("findings", "expected"), AUTHENTICATED)
def test_from_is_authenticated_only_by_its_own_domain(findings: list, expected: bool | None) -> None:
    assert FACTS["from.authenticated"].read(facts(None, *findings)) is expected


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ('"Boss, ceo@corp.test" <x@evil.example>', "x@evil.example"),
        ("=?utf-8?q?ceo=40corp.test?= <x@evil.example>", "x@evil.example"),
        ("(ceo@corp.test) x@evil.example", "x@evil.example"),
        ("ceo@corp.test, x@evil.example", None),
        ("undisclosed", None),
        ("张三@例子.中国", "张三@xn--fsqu00a.xn--fiqs8s"),
        ('"a" "b@c.d" <X@Y.Example>', "x@y.example"),
    ],
)
def test_whom_the_reader_sees(written: str, address: str | None) -> None:
    assert FACTS["from.address"].read(facts(mail(headers=(header("From", written),)))) == address


@pytest.mark.parametrize(
    ("user", "sender", "author", "own"),
    [
        ("li@corp.test", "li@corp.test", "Li <LI@corp.test>", True),
        ("Li@CORP.test", "li+offers@corp.test", "li@corp.test", True),
        ("li", "li@corp.test", "li@corp.test", True),
        ("li@corp.test", "", "li@corp.test", True),
        ("li@corp.test", "li@corp.test", "boss@corp.test", False),
        ("li@corp.test", "boss@corp.test", "li@corp.test", False),
        ("li", "li@elsewhere.test", "li@elsewhere.test", False),
        ("li@corp.test", "", "boss@corp.test", False),
        ("li@corp.test", "li@corp.test", "li@corp.test, boss@corp.test", None),
        ("", "li@corp.test", "li@corp.test", None),
    ],
)
def test_who_logged_in_and_in_whose_name(user: str, sender: str, author: str, own: bool | None) -> None:
    message = mail(sender, direction=Direction.SUBMISSION, headers=(header("From", author),), user=user)
    assert FACTS["sender.is_login"].read(facts(message, context=Context(LOCAL))) is own


def test_two_from_fields_have_no_author() -> None:
    twice = mail(headers=(header("From", "a@corp.test"), header("From", "b@evil.example")))
    assert FACTS["from.address"].read(facts(twice)) is None
    assert FACTS["from.local"].read(facts(twice)) is None


def test_the_null_sender_is_outside_only_on_the_way_in() -> None:
    for direction, outside in ((Direction.INBOUND, True), (Direction.OUTBOUND, False)):
        assert FACTS["sender.outside"].read(facts(mail("", direction=direction))) is outside
