"""The table, and the state machine that tries to get round it."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.custody.delivery import (
    HELD,
    TERMINAL,
    TRANSITIONS,
    Action,
    Answer,
    IllegalMove,
    NotWaived,
    State,
    Verb,
    advance,
    first_verb,
)  # fmt: skip
from gateway.custody.picture import MEANINGS, render
from gateway.custody.waivers import UNEXPLAINED, Waiver, unanswered
from policies.decision import Decision, Disposition
from tests.gateway.samples import START, SYSTEM, counting_ids, decision, delivery, reason

APPROVE = decision(reason())
EVENT = "01KAMZ3W8Q0000000000000E07"


def waiver(of=None, *, content=None, recipients=None):
    of = of or reason()
    subject = delivery()
    return Waiver(of.rule, of.version, content or subject.content, recipients or subject.addresses, "wang", START)


def test_the_picture_in_the_docs_is_the_table():
    page = Path(__file__).parents[3] / "docs" / "deliveries.md"
    assert page.read_text() == render(), "run: python -m gateway.custody.picture > docs/deliveries.md"


def test_every_state_has_a_meaning_and_a_way_out_unless_final():
    assert set(MEANINGS) == set(State)
    for state in State:
        assert any(at is state for at, _ in TRANSITIONS) is (state not in TERMINAL), state


@pytest.mark.parametrize(("state", "verb"), [(s, v) for s in State for v in Verb if v is not Verb.ANSWER])
def test_advance_does_what_the_table_says_and_nothing_else(state, verb):
    before = replace(delivery(), state=state)
    action = Action(verb, EVENT)
    step = TRANSITIONS.get((state, verb))
    if step is None:
        with pytest.raises(IllegalMove):
            advance(before, action, SYSTEM, START)
        return
    (after,), events = advance(before, action, SYSTEM, START)
    assert (after.state, after.version) == (step.to, before.version + 1)
    assert [event.type for event in events] == ([step.event] if step.event else [])


def test_held_mail_is_let_go_only_when_every_reason_is_answered():
    two = decision(reason("a"), reason("b"))
    held = replace(delivery(two), state=State.AWAITING_APPROVAL, waivers=(waiver(reason("a")),))
    with pytest.raises(NotWaived) as caught:
        advance(held, Action(Verb.RELEASE, EVENT), SYSTEM, START)
    assert [r.rule for r in caught.value.reasons] == ["b"]
    last = Action(Verb.RELEASE, EVENT, comment="seen", waivers=(waiver(reason("b")),))
    (after,), (answered, event) = advance(held, last, SYSTEM, START)
    assert after.state is State.QUEUED
    assert (answered.type, answered.public["waived"], answered.sealed["comment"].text) == (
        "hold.approve",
        ["b@v1"],
        "seen",
    )
    assert (event.type, "waived" in event.public, "comment" in event.sealed) == ("message.released", False, False)
    assert answered.id != event.id == EVENT


@pytest.mark.parametrize("verb", [Verb.QUEUE, Verb.ATTEMPT, Verb.RELEASE])
def test_no_step_towards_the_wire_with_an_open_reason(verb):
    state = {Verb.QUEUE: State.PENDING, Verb.ATTEMPT: State.QUEUED, Verb.RELEASE: State.QUARANTINED}[verb]
    with pytest.raises(NotWaived):
        advance(replace(delivery(APPROVE), state=state), Action(verb, EVENT), SYSTEM, START)


@pytest.mark.parametrize(
    ("given", "open_rules"),
    [
        (waiver(), []),
        (waiver(reason(version="v2")), ["outbound-contract-price"]),
        (waiver(content="0" * 64), ["outbound-contract-price"]),
        (waiver(recipients=("a@x.test",)), ["outbound-contract-price"]),
        (waiver(recipients=("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test")), []),
    ],
    ids=["covers", "rule changed", "content changed", "fewer recipients", "part of the recipients"],
)
def test_what_a_waiver_covers(given, open_rules):
    subject = delivery(APPROVE)
    found = unanswered(subject.decision, (given,), subject.content, subject.addresses)
    assert [r.rule for r in found] == open_rules


def test_a_ceiling_is_never_reached():
    malware = decision(reason("malware", Disposition.QUARANTINE, waivable=False))
    subject = delivery(malware)
    assert unanswered(malware, (waiver(reason("malware")),), subject.content, subject.addresses)


def test_a_decision_stricter_than_its_reasons_cannot_be_answered():
    odd = Decision(Disposition.QUARANTINE, frozenset(), (reason(),))
    assert unanswered(odd, (waiver(),), delivery().content, delivery().addresses) == (UNEXPLAINED,)


def test_monitor_mode_delivers_whatever_the_reasons_say():
    watched = Decision(Disposition.DELIVER, frozenset(), (reason(),))
    assert first_verb(watched) is Verb.QUEUE
    assert unanswered(watched, (), "", ()) == ()


def test_a_mixed_answer_splits_and_what_waits_keeps_the_id():
    sending = replace(delivery(), state=State.CLOSING, version=4)
    answers = tuple(
        Answer(verb, text)
        for verb, text in [
            (Verb.DELIVERED, "250 2.0.0 ok"), (Verb.DEFERRED, "450 4.2.0 later"),
            (Verb.FAILED, "550 5.1.1 unknown"), (Verb.STRANDED, "550 5.7.1 no"),
        ]
    )  # fmt: skip
    parts, events = advance(sending, Action(Verb.ANSWER, EVENT, answers=answers), SYSTEM, START)
    assert [(p.id, p.state, p.addresses) for p in parts] == [
        (sending.id, State.QUEUED, ("b@x.test",)),
        (f"{sending.id}.4a", State.SENT, ("a@x.test",)),
        (f"{sending.id}.4b", State.BOUNCED, ("c@x.test",)),
        (f"{sending.id}.4c", State.UNDELIVERABLE, ("d@x.test",)),
    ]
    assert len({event.id for event in events}) == 4
    assert advance(sending, Action(Verb.ANSWER, EVENT, answers=answers), SYSTEM, START) == (parts, events)


def test_before_the_dot_nothing_can_have_been_delivered():
    sending = replace(delivery(recipients=("a@x.test",)), state=State.SENDING)
    with pytest.raises(IllegalMove):
        advance(sending, Action(Verb.ANSWER, EVENT, answers=(Answer(Verb.DELIVERED, "250 ok"),)), SYSTEM, START)


def test_addresses_stand_only_in_sealed_fields():
    sending = replace(delivery(recipients=("planted@x.test",)), state=State.CLOSING)
    action = Action(Verb.ANSWER, EVENT, answers=(Answer(Verb.FAILED, "550 5.1.1 <planted@x.test> unknown"),))
    _, (event,) = advance(sending, action, SYSTEM, START)
    assert "planted" not in repr((event.public, event.reason, event.outcome, event.actor))
    assert event.public["replies"] == ["550"]
    assert {secret.subject_address for secret in event.sealed.values()} == {"planted@x.test"}


class Life(RuleBasedStateMachine):
    """Any caller, any order: what may never happen, doesn't."""

    @initialize(
        strictest=st.sampled_from([Disposition.DELIVER, Disposition.DELAY, Disposition.APPROVE, Disposition.QUARANTINE])
    )
    def begin(self, strictest):
        what = Decision() if strictest is Disposition.DELIVER else decision(reason("first", strictest))
        self.ids = counting_ids()
        self.all = {delivery().id: delivery(what)}
        self.everyone = sorted(delivery().addresses)
        self.trail = {delivery().id: [State.PENDING]}
        self.now = START

    def apply(self, n, action):
        before = list(self.all.values())[n % len(self.all)]
        self.now += timedelta(seconds=1)
        try:
            parts, events = advance(before, replace(action, id=self.ids()), SYSTEM, self.now)
        except (IllegalMove, NotWaived):
            return
        assert before.state not in TERMINAL
        assert parts[0].id == before.id
        history = self.trail[before.id]
        for part in parts:
            assert part.id == before.id or part.id not in self.all
            self.all[part.id] = part
            self.trail[part.id] = [*history, part.state]
        assert all(event.msg == before.message_id for event in events)

    @rule(n=st.integers(0, 9), verb=st.sampled_from([v for v in Verb if v is not Verb.ANSWER]))
    def act(self, n, verb):
        self.apply(n, Action(verb))

    @rule(
        n=st.integers(0, 9),
        verbs=st.lists(st.sampled_from([Verb.DELIVERED, Verb.DEFERRED, Verb.FAILED]), min_size=4, max_size=4),
    )
    def answer(self, n, verbs):
        count = len(list(self.all.values())[n % len(self.all)].recipients)
        self.apply(n, Action(Verb.ANSWER, answers=tuple(Answer(v, "") for v in verbs[:count])))

    @rule(n=st.integers(0, 9), name=st.sampled_from(["first", "second"]), whom=st.sampled_from([4, 1]))
    def waive(self, n, name, whom):
        given_for = tuple(self.everyone[:whom])
        self.apply(n, Action(Verb.WAIVE, waivers=(waiver(reason(name), recipients=given_for),)))

    @rule(n=st.integers(0, 9))
    def asked_anew(self, n):
        self.apply(n, Action(Verb.ASK, decision=decision(reason("first"), reason("second"))))

    @invariant()
    def recipients_are_conserved(self):
        if hasattr(self, "all"):
            assert sorted(a for d in self.all.values() for a in d.addresses) == self.everyone

    @invariant()
    def nothing_leaves_with_an_open_reason(self):
        for d in getattr(self, "all", {}).values():
            if d.state in (State.SENDING, State.CLOSING, State.SENT) and State.OUTCOME_UNKNOWN not in self.trail[d.id]:
                assert not unanswered(d.decision, d.waivers, d.content, d.addresses)

    @invariant()
    def from_held_the_way_out_is_by_the_queue(self):
        for states in getattr(self, "trail", {}).values():
            for was, then in itertools.pairwise(states):
                assert not (was in HELD and then in (State.SENDING, State.CLOSING, State.SENT))


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestLife = Life.TestCase
