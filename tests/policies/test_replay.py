"""Replay never guesses: for every fact, the answer from the log is the true one, or that only a rescan could tell."""

import pytest

from gateway import events
from gateway.commands.replay import kept_of
from gateway.config import Route
from gateway.judging.judge import Judged
from gateway.plan import Keep, Share
from policies.decision import Decision, Disposition
from policies.facts import Context, Facts
from policies.problem import PolicyError
from policies.replay import Kept, compare_kept, facts_of, holds
from policies.rule import Ruleset, decide
from policies.vocabulary import FACTS, KEPT, Fact, Kind, kept
from scanners.base import Scanned
from scanners.message import Direction, Part
from tests.policies.world import FRIDAY, LOCAL, facts, found, header, mail, rule, rules

NOW = FRIDAY.astimezone()
CONTEXT = Context(
    LOCAL,
    frozenset({"sales"}),
    frozenset({"buyers"}),
    True,
    "us",
    NOW,
    {"sent_hour": 3, "sent_day": 9, "recipients_day": 2},
)
MAILS = [
    mail(),
    mail(to="wang@corp.test", direction=Direction.SUBMISSION, user="li", raw=b"x" * 5000),
    mail(
        "a@acme.example", "li@corp.test", direction=Direction.INBOUND,
        headers=(header("From", "a@acme.example"), header("In-Reply-To", "<1@x>"), header("Auto-Submitted", "auto-replied"),
                 header("List-Id", "<l.x>"), header("Content-Type", "multipart/signed"), header("Subject", "planted")),
        parts=(Part("1", "text/plain", "", b"x", "x"), Part("2", "application/pdf", "a.pdf", b"y", "y")),
    ),
    mail("", "li@corp.test", direction=Direction.INBOUND),
]  # fmt: skip
FINDINGS = [
    (),
    (found("auth.dmarc.pass", about="corp.test"),),
    (found("auth.dkim.pass", about="acme.example"),),
    (found("malware.clamav"),),
]
VALUES = {
    Kind.YESNO: ["is = true", "is = false"],
    Kind.NUMBER: ["min = 1", "max = 4", "is = 2", "between = [9, 12]"],
    Kind.DOMAIN: ['is = "corp.test"', 'under = "example"', "empty = true"],
    Kind.WORDS: ['has = "sales"', 'has_any = ["pdf", "a.pdf", "buyers"]', "empty = true"],
    Kind.TEXT: ['is = "us"', 'contains = "a"', "matches = 'l.st|planted'", "empty = true"],
}


def conditions(fact: Fact) -> list[str]:
    wanted = [f'is = "{value}"' for value in fact.values] if fact.values else VALUES[fact.kind]
    return [f'{{ fact = "{fact.name}", {each} }}' for each in wanted]


def logged(known: Facts, message, findings) -> Kept:  # type: ignore[no-untyped-def]
    """What the log would keep of it, through the very event and back."""
    share = Share(message.envelope.recipients, Route("*", "smtp://x"), Decision(Disposition.APPROVE))
    judged = Judged(
        Scanned(message, tuple(findings), (), None),
        ((message.envelope.recipients[0], Decision()),),
        (),
        "j",
        "p",
        1,
        (kept(known),),
    )
    event = events.decided("E", FRIDAY, judged, Keep((share,)), ())
    return kept_of({**event.public, "msg": event.msg, "dir": event.dir}, FRIDAY)


def loaded(fact: Fact) -> list[Ruleset]:
    """A set of one rule for each comparison that this fact takes."""
    found = []
    for condition in conditions(fact):
        try:
            found.append(rules(rule(condition)))
        except PolicyError:
            continue  # not a comparison of this kind of fact
    return found


@pytest.mark.parametrize("name", FACTS)
def test_no_fact_is_guessed(name: str) -> None:
    told = 0
    several = loaded(FACTS[name])
    assert several
    for ruleset in several:
        for message in MAILS:
            for findings in FINDINGS:
                known = facts(message, *findings, context=CONTEXT)
                past = logged(known, message, findings)
                answer = holds(ruleset.rules[0], facts_of(past), past)
                if answer is not None and FACTS[name].read(known) is not None:
                    told += 1
                    assert answer is bool(decide(ruleset, known).matched), (ruleset.rules[0].source, message.envelope)
    always = {*KEPT, "listener", "size", "recipients", "client.tls", "time.hour", "time.weekday"}
    assert (told > 0) is (name in always), "what the log keeps is answered, what it does not keep is left to a rescan"


def test_what_went_out_is_not_taken_for_one_kind_of_listener() -> None:
    """Of mail with more different recipients than are kept the log says only that it went out."""
    past = Kept("M", "outbound", "l", "", 1, 30, (), False, frozenset(), "", Disposition.DELIVER, NOW)
    for words, answer in (
        ('is = "submission"', None),
        ('is = "outbound"', None),
        ('in = ["outbound", "submission"]', True),
        ('is = "inbound"', False),
    ):
        one = rules(rule(f'{{ fact = "direction", {words} }}')).rules[0]
        assert holds(one, facts_of(past), past) is answer, words


def test_authentication_is_not_read_from_half_a_list_of_findings() -> None:
    past = Kept(
        "M", "inbound", "l", "", 1, 1, (found("auth.dmarc.pass"),), True, frozenset(), "", Disposition.DELIVER, NOW
    )
    one = rules(rule('"from.authenticated"')).rules[0]
    assert holds(one, facts_of(past), past) is None


BANK = rule('"malware.clamav"', then='disposition = "deliver", treatments = ["encrypt"]')


def test_the_same_rules_change_nothing_though_mail_was_held_because_it_could_not_be_encrypted() -> None:
    current = rules(BANK)
    past = Kept(
        "M", "outbound", "l", "", 1, 1, (found("malware.clamav"),), False, frozenset({"r"}), current.version, Disposition.APPROVE, NOW,
        treatments=frozenset({"encrypt"}),
    )  # fmt: skip
    assert compare_kept(current, current, past) is None
    without = compare_kept(
        current, rules(rule('"malware.clamav"', then='disposition = "deliver", treatments = ["banner"]')), past
    )
    assert without is not None
    assert (without.before, without.after) == (Disposition.APPROVE, Disposition.DELIVER)
    assert (without.treated_before, without.treated_after) == (("encrypt",), ("banner",))


def test_another_treatment_alone_is_a_change() -> None:
    current = rules(rule('"malware.clamav"', then='disposition = "deliver"'))
    past = Kept(
        "M",
        "outbound",
        "l",
        "",
        1,
        1,
        (found("malware.clamav"),),
        False,
        frozenset({"r"}),
        current.version,
        Disposition.DELIVER,
        NOW,
    )
    assert compare_kept(current, current, past) is None
    change = compare_kept(current, rules(BANK), past)
    assert change is not None
    assert (change.certain, change.gained, change.treated_after) == (True, (), ("encrypt",))


def test_in_monitor_mode_rules_are_compared_by_what_they_would_have_done() -> None:
    current = rules(rule('"malware.clamav"', then='disposition = "quarantine"'))
    line = {
        "msg": "M", "dir": "in", "would": "quarantine", "findings": [{"code": "malware.clamav"}],
        "policy": {"version": current.version, "disposition": "deliver", "treatments": ["tag"], "matched": ["r"]},
    }  # fmt: skip
    assert compare_kept(current, current, kept_of(line)) is None
