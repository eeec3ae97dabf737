"""decide(): order-free, monotone, and the prefilter never changes the answer. explain(): every question and its answer."""

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import DELIVER, Decision, Disposition
from policies.facts import Context, Facts
from policies.load import load
from policies.rule import Mode, Ruleset, decide, explain, matches, outline
from scanners.message import Direction
from tests.policies.world import CODES, LOCAL, facts, found, mail, rule, rules

CONDITIONS = [
    '"malware.clamav"',
    '{ finding = "malware.yara.*" }',
    '{ any = ["malware.clamav", "content.account.own"] }',
    '{ any = ["malware.clamav", "recipient.outside"] }',
    '{ all = ["recipient.outside", "content.dictionary.company"] }',
    '{ all = [{ fact = "direction", is = "inbound" }, "content.dictionary.company"] }',
    '{ none = ["auth.dkim.pass"] }',
    '{ none = [{ fact = "direction", is = "inbound" }] }',
    '{ all = [{ any = [{ fact = "direction", is = "inbound" }, "malware.clamav"] }, { fact = "first_contact", is = true }] }',
    '{ fact = "counter.sent_hour", min = 5 }',
    '{ finding = "content.identifier.*", min_count = 2 }',
]
THENS = ['disposition = "deliver", treatments = ["encrypt"]', 'disposition = "approve"', 'disposition = "reject"']
SOURCES = st.lists(
    st.tuples(st.sampled_from(CONDITIONS), st.sampled_from(["", '"recipient.outside"', '"auth.dkim.pass"']), st.sampled_from(THENS)),
    min_size=1,
    max_size=6,
)  # fmt: skip
FINDINGS = st.lists(
    st.sampled_from(["malware.clamav", "malware.yara.x", "content.account.own", "content.dictionary.company", "auth.dkim.pass",
                     "content.identifier.iban", "content.identifier.cn_id18"]),
    max_size=4,
    unique=True,
)  # fmt: skip
FACTS = st.builds(
    lambda codes, direction, known: facts(
        mail(direction=direction), *(found(code, "1") for code in codes), context=Context(LOCAL, first_contact=known)
    ),
    FINDINGS,
    st.sampled_from(Direction),
    st.sampled_from([True, False, None]),
)


def built(sources: list[tuple[str, str, str]], order: list[int] | None = None) -> Ruleset:
    texts = [
        rule(when, unless=unless, then=then, name=f"r{number}") for number, (when, unless, then) in enumerate(sources)
    ]
    files = [
        (f"{place}.toml", "schema = 1\n" + texts[number]) for place, number in enumerate(order or range(len(texts)))
    ]
    return load(files, CODES, {})


@settings(max_examples=60)
@given(SOURCES, FACTS, st.randoms())
def test_rules_have_no_order(sources: list[tuple[str, str, str]], seen: Facts, shuffle: object) -> None:
    order = list(range(len(sources)))
    shuffle.shuffle(order)  # type: ignore[attr-defined]
    one, other = built(sources), built(sources, order)
    assert decide(one, seen) == decide(other, seen)
    assert one.version == other.version


@settings(max_examples=60)
@given(SOURCES, FACTS)
def test_adding_a_rule_never_weakens(sources: list[tuple[str, str, str]], seen: Facts) -> None:
    fewer, more = (
        decide(built(sources[:-1]), seen).decision if sources[1:] else DELIVER,
        decide(built(sources), seen).decision,
    )
    assert more.disposition >= fewer.disposition
    assert fewer.treatments <= more.treatments
    assert set(fewer.reasons) <= set(more.reasons)


@settings(max_examples=120)
@given(SOURCES, FACTS)
def test_the_prefilter_skips_only_what_cannot_match(sources: list[tuple[str, str, str]], seen: Facts) -> None:
    ruleset = built(sources)
    assert [match.rule for match in decide(ruleset, seen).matched] == [
        one.name for one in ruleset.rules if matches(one, seen)
    ]
    assert {one.rule.name for one in explain(ruleset, seen) if one.matched} == {
        one.name for one in ruleset.rules if matches(one, seen)
    }


def test_monitor_mode_says_and_does_not_act() -> None:
    ruleset = rules(rule('"malware.clamav"', then='disposition = "reject"', extra='mode = "monitor"\n'))
    judgement = decide(ruleset, facts(None, found("malware.clamav")))
    assert ruleset.rules[0].mode is Mode.MONITOR
    assert judgement.decision == DELIVER
    assert judgement.monitored.disposition is Disposition.REJECT
    assert judgement.matched[0].monitor


def test_the_reason_names_the_part() -> None:
    ruleset = rules(rule('{ all = ["recipient.outside", { finding = "malware.yara.*" }] }'))
    assert decide(ruleset, facts(None, found("malware.yara.x", "2!a.zip"))).decision.reasons[0].part == "2!a.zip"


def test_a_trace_shows_what_matched_missed_and_what_was_there() -> None:
    ruleset = rules(
        rule(
            '{ all = ["recipient.outside", { any = [{ fact = "size", min = "1MB" }, "malware.clamav"] }] }',
            unless='{ fact = "sender.groups", has = "boss" }',
        )
    )
    trace = explain(ruleset, facts(context=Context(LOCAL)))[0]
    assert not trace.matched
    assert [(line.state.value, line.depth) for line in trace.when] == [("-", 0), ("+", 1), ("-", 1), ("-", 2), ("-", 2)]
    assert trace.when[3].seen == "1"
    assert [line.state.value for line in trace.unless] == ["?"]
    assert len(outline(ruleset.rules[0].when)) == 5


def test_an_exception_is_shown_as_one() -> None:
    ruleset = rules(rule('"recipient.outside"', unless='"recipient.outside"'))
    trace = explain(ruleset, facts())[0]
    assert trace.excepted
    assert not trace.matched


def test_nothing_matches_costs_nothing_and_says_deliver() -> None:
    assert decide(rules(rule('"malware.clamav"')), facts()).decision == Decision()
    assert decide(Ruleset(), facts()).matched == ()
