"""A Delivery: one message, one decision, one next hop; and the one way it may change (law 6).

``TRANSITIONS`` is the whole truth about what may follow what: docs/deliveries.md is drawn from it, ``advance`` is driven by it,
and nothing else in the gateway assigns a state. ``advance`` is pure: a clock, an actor and the id of the event come in as arguments, so
the same call made again after a crash gives the same result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from audit.event import JSON, Actor, Event, Secret, derived_id
from gateway.custody.waivers import Waiver, unanswered
from policies.decision import Decision, Disposition, Reason


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    AWAITING_APPROVAL = "awaiting-approval"
    QUARANTINED = "quarantined"
    DELAYED = "delayed"
    QUEUED = "queued"
    SENDING = "sending"
    CLOSING = "closing"
    ON_HOLD = "on-hold"
    OUTCOME_UNKNOWN = "outcome-unknown"
    UNDELIVERABLE = "undeliverable"
    SENT = "sent"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DELETED = "deleted"
    SWEPT = "swept"


class Verb(StrEnum):
    """What may be done to a delivery."""

    QUEUE = "queue"
    ASK = "ask"
    QUARANTINE = "quarantine"
    DELAY = "delay"
    SWEEP = "sweep"
    WAIVE = "waive"
    RELEASE = "release"
    REJECT = "reject"
    EXPIRE = "expire"
    ATTEMPT = "attempt"
    DOT = "dot"
    ABANDON = "abandon"
    LOSE = "lose"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"
    STRANDED = "stranded"
    HOLD = "hold"
    RESUME = "resume"
    RETRY = "retry"
    CONFIRM = "confirm"
    DELETE = "delete"
    NOTED = "noted"
    ANSWER = "answer"
    """Not a transition of its own: one answer per recipient, each a verb of ANSWERS."""


HELD = frozenset({State.AWAITING_APPROVAL, State.QUARANTINED, State.DELAYED})
"""Waiting for a person or a time; a release is what lets it go."""
TERMINAL = frozenset({State.SENT, State.BOUNCED, State.REJECTED, State.EXPIRED, State.DELETED, State.SWEPT})
"""Nothing follows; the content may be destroyed once every delivery of the message is here."""


ORIGINAL_KEPT = timedelta(days=30)
"""How long what a treatment took out of a message can be asked for."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Where a verb leads, and the event that tells of it (``""``: the step is not told on its own)."""

    to: State
    event: str = ""


def _table() -> dict[tuple[State, Verb], Transition]:
    s, v = State, Verb
    table = {
        # Taking custody: message.decided in the log tells of it, so these have no event of their own.
        (s.PENDING, v.QUEUE): Transition(s.QUEUED),
        (s.PENDING, v.ASK): Transition(s.AWAITING_APPROVAL),
        (s.PENDING, v.QUARANTINE): Transition(s.QUARANTINED),
        (s.PENDING, v.DELAY): Transition(s.DELAYED),
        (s.PENDING, v.SWEEP): Transition(s.SWEPT),
        # One attempt. Before the final dot it may be given up safely; after it only the next hop knows.
        (s.QUEUED, v.ATTEMPT): Transition(s.SENDING),
        (s.SENDING, v.DOT): Transition(s.CLOSING),
        (s.SENDING, v.DEFERRED): Transition(s.QUEUED, "message.deferred"),
        (s.SENDING, v.FAILED): Transition(s.BOUNCED, "message.bounced"),
        (s.SENDING, v.STRANDED): Transition(s.UNDELIVERABLE, "message.undeliverable"),
        (s.SENDING, v.ABANDON): Transition(s.QUEUED, "delivery.abandoned"),
        (s.CLOSING, v.DELIVERED): Transition(s.SENT, "message.delivered"),
        (s.CLOSING, v.DEFERRED): Transition(s.QUEUED, "message.deferred"),
        (s.CLOSING, v.FAILED): Transition(s.BOUNCED, "message.bounced"),
        (s.CLOSING, v.STRANDED): Transition(s.UNDELIVERABLE, "message.undeliverable"),
        (s.CLOSING, v.LOSE): Transition(s.OUTCOME_UNKNOWN, "message.outcome_unknown"),
        # The queue.
        (s.QUEUED, v.HOLD): Transition(s.ON_HOLD, "delivery.held"),
        (s.QUEUED, v.RETRY): Transition(s.QUEUED, "delivery.retried"),
        (s.QUEUED, v.NOTED): Transition(s.QUEUED, "delivery.delay_notice"),
        (s.QUEUED, v.FAILED): Transition(s.BOUNCED, "message.bounced"),
        (s.QUEUED, v.STRANDED): Transition(s.UNDELIVERABLE, "message.undeliverable"),
        (s.QUEUED, v.ASK): Transition(s.AWAITING_APPROVAL, "hold.create"),
        (s.QUEUED, v.QUARANTINE): Transition(s.QUARANTINED, "quarantine.add"),
        (s.ON_HOLD, v.RESUME): Transition(s.QUEUED, "delivery.resumed"),
        (s.UNDELIVERABLE, v.RETRY): Transition(s.QUEUED, "delivery.retried"),
        (s.UNDELIVERABLE, v.EXPIRE): Transition(s.EXPIRED, "hold.expire"),
        (s.OUTCOME_UNKNOWN, v.RETRY): Transition(s.QUEUED, "delivery.retried"),
        (s.OUTCOME_UNKNOWN, v.CONFIRM): Transition(s.SENT, "delivery.confirmed"),
        # What waits for an answer.
        (s.DELAYED, v.QUARANTINE): Transition(s.QUARANTINED, "quarantine.add"),
        (s.DELAYED, v.ASK): Transition(s.AWAITING_APPROVAL, "hold.create"),
        (s.DELAYED, v.DELAY): Transition(s.DELAYED, "hold.create"),
        (s.AWAITING_APPROVAL, v.ASK): Transition(s.AWAITING_APPROVAL, "hold.create"),
        (s.AWAITING_APPROVAL, v.QUARANTINE): Transition(s.QUARANTINED, "quarantine.add"),
        (s.QUARANTINED, v.QUARANTINE): Transition(s.QUARANTINED, "quarantine.add"),
        (s.AWAITING_APPROVAL, v.EXPIRE): Transition(s.EXPIRED, "hold.expire"),
        (s.QUARANTINED, v.EXPIRE): Transition(s.EXPIRED, "hold.expire"),
    }
    for held in (s.AWAITING_APPROVAL, s.QUARANTINED, s.DELAYED):
        table[held, v.WAIVE] = Transition(held, "hold.approve")
        table[held, v.RELEASE] = Transition(s.QUEUED, "message.released")
        table[held, v.REJECT] = Transition(s.REJECTED, "hold.deny")
    deletable = (s.AWAITING_APPROVAL, s.QUARANTINED, s.DELAYED, s.QUEUED, s.ON_HOLD, s.UNDELIVERABLE, s.OUTCOME_UNKNOWN)
    for state in deletable:
        table[state, v.DELETE] = Transition(s.DELETED, "delivery.deleted")
    return table


TRANSITIONS: Mapping[tuple[State, Verb], Transition] = MappingProxyType(_table())


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient of a delivery: its DSN parameters (RFC 3461) and what the next hop last said of it.

    ``status`` is ``""`` until an attempt has ended, then ``delivered``, ``deferred``, ``failed`` or ``stranded``.
    """

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""
    status: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one recipient in one attempt; ``verb`` is one of ANSWERS."""

    verb: Verb
    reply: str


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do. ``id`` is the id of its event; further events of the same action (a split) derive theirs from it.

    ``due`` is when to look at the delivery again, ``keep_until`` the end of waiting for a person. ``answers`` stand in the order of
    the delivery's recipients, ``treated`` is what was done to the bytes that were offered.
    ``why`` is a public word, ``comment`` what a person wrote (sealed in the event).
    """

    verb: Verb
    id: str = ""
    why: str = ""
    comment: str = ""
    due: datetime | None = None
    keep_until: datetime | None = None
    owner: str = ""
    lease_until: datetime | None = None
    decision: Decision | None = None
    judged: str = ""
    waivers: tuple[Waiver, ...] = ()
    answers: tuple[Answer, ...] = ()
    treated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    """A change that has been begun: enough to make the same call again after a crash."""

    action: Action
    actor: Actor
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """See the module. ``content`` is the SHA-256 (hex) of the raw message, ``decided`` the id of the event that told of taking it.

    ``due`` is the next attempt, the end of a delay or of a hold, by state. ``attempts`` counts tries begun, ``abandoned`` those that ended
    with their process. ``judged`` is the version of the judge that last looked.
    """

    id: str
    message_id: str
    next_hop: str
    decision: Decision
    recipients: tuple[Addressee, ...]
    created_at: datetime
    due: datetime
    content: str
    decided: str
    size: int = 0
    state: State = State.PENDING
    version: int = 1
    attempts: int = 0
    abandoned: int = 0
    waivers: tuple[Waiver, ...] = ()
    judged: str = ""
    owner: str = ""
    lease_until: datetime | None = None
    delay_noticed: bool = False
    intent: Intent | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients' addresses, in order."""
        return tuple(recipient.address for recipient in self.recipients)


class IllegalMove(Exception):
    """The table has no such transition; the delivery is as it was."""

    def __init__(self, state: State, verb: Verb) -> None:
        super().__init__(f"{verb} is not possible while {state}")
        self.state, self.verb = state, verb


class NotWaived(Exception):
    """A step towards the wire was asked for while reasons for holding are unanswered."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("not answered: " + ", ".join(reason.rule for reason in reasons))
        self.reasons = reasons


def first_verb(decision: Decision) -> Verb:
    """How a pending delivery goes on. A REJECT that came into custody after all waits in quarantine."""
    return {
        Disposition.DELIVER: Verb.QUEUE,
        Disposition.DELAY: Verb.DELAY,
        Disposition.APPROVE: Verb.ASK,
    }.get(decision.disposition, Verb.QUARANTINE)


def advance(
    delivery: Delivery, action: Action, actor: Actor, at: datetime
) -> tuple[tuple[Delivery, ...], tuple[Event, ...]]:
    """What the delivery becomes, and what the log is told. The first of the returned deliveries keeps the id.

    Raises IllegalMove where the table has no such step, NotWaived for a step towards the wire with open reasons,
    ValueError for an action that does not fit the delivery (answers that do not match the recipients).
    """
    if action.verb is Verb.ANSWER:
        return _answer(delivery, action, actor, at)
    if action.verb is Verb.RELEASE and action.waivers:
        return _answered_and_released(delivery, action, actor, at)
    step = _step(delivery, action.verb)
    moved = _moved(delivery, step.to, action, at)
    if action.verb in _LETS_GO:
        unanswered_reasons = unanswered(moved.decision, moved.waivers, moved.content, moved.addresses)
        if unanswered_reasons:
            raise NotWaived(unanswered_reasons)
    events = (_event(delivery, moved, step.event, action, actor, at, action.id),) if step.event else ()
    return (moved,), events


def _answered_and_released(
    delivery: Delivery, action: Action, actor: Actor, at: datetime
) -> tuple[tuple[Delivery, ...], tuple[Event, ...]]:
    """A release that brings its answers: two steps of the table and their two events, made durable as one change."""
    answer = Action(
        Verb.WAIVE, derived_id(action.id, Verb.WAIVE.value), action.why, action.comment, waivers=action.waivers
    )
    (waived,), answered = advance(delivery, answer, actor, at)
    released, told = advance(waived, replace(action, why="", comment="", waivers=()), actor, at)
    return released, answered + told


def _step(delivery: Delivery, verb: Verb) -> Transition:
    step = TRANSITIONS.get((delivery.state, verb))
    if step is None:
        raise IllegalMove(delivery.state, verb)
    return step


def _moved(delivery: Delivery, to: State, action: Action, at: datetime) -> Delivery:
    active = to in (State.SENDING, State.CLOSING, State.PENDING)
    return replace(
        delivery,
        state=to,
        version=delivery.version + 1,
        intent=None,
        due=_due(delivery, to, action, at),
        decision=action.decision or delivery.decision,
        judged=action.judged or delivery.judged,
        waivers=delivery.waivers + tuple(waiver for waiver in action.waivers if waiver not in delivery.waivers),
        attempts=0 if action.verb is Verb.RETRY else delivery.attempts + (action.verb is Verb.ATTEMPT),
        abandoned=0 if action.verb in _PROGRESS else delivery.abandoned + (action.verb is Verb.ABANDON),
        delay_noticed=delivery.delay_noticed or action.verb is Verb.NOTED,
        owner=(action.owner or delivery.owner) if active else "",
        lease_until=(action.lease_until or delivery.lease_until) if active else None,
    )


def _due(delivery: Delivery, to: State, action: Action, at: datetime) -> datetime:
    """When to look at it again. A finished message is destroyed at once, but for the original of what left without some parts."""
    if to in TERMINAL:
        lessened = any(treatment.kind in ("strip", "disarm") for treatment in delivery.decision.treatments)
        return at + ORIGINAL_KEPT if to is State.SENT and lessened else at
    if to in (State.UNDELIVERABLE, State.OUTCOME_UNKNOWN) and action.keep_until is not None:
        return action.keep_until
    return action.due or delivery.due


_LETS_GO = frozenset({Verb.QUEUE, Verb.RELEASE, Verb.ATTEMPT})
"""Steps towards the wire: each asks again whether every reason is answered, so that no single mistake lets held mail out."""
_PROGRESS = frozenset({Verb.DEFERRED, Verb.DELIVERED, Verb.FAILED, Verb.STRANDED, Verb.RETRY, Verb.RELEASE})
ANSWERS = (Verb.DEFERRED, Verb.DELIVERED, Verb.FAILED, Verb.STRANDED, Verb.LOSE)
"""In the order in which a split keeps the id: what still waits is what people look for under the old one."""


def _answer(
    delivery: Delivery, action: Action, actor: Actor, at: datetime
) -> tuple[tuple[Delivery, ...], tuple[Event, ...]]:
    if len(action.answers) != len(delivery.recipients):
        raise ValueError("one answer per recipient")
    groups: dict[Verb, list[Addressee]] = {}
    for recipient, answer in zip(delivery.recipients, action.answers, strict=True):
        groups.setdefault(answer.verb, []).append(replace(recipient, status=answer.verb.value, reply=answer.reply))
    if unknown := groups.keys() - set(ANSWERS):
        raise IllegalMove(delivery.state, next(iter(unknown)))
    deliveries: list[Delivery] = []
    events: list[Event] = []
    for n, verb in enumerate(verb for verb in ANSWERS if verb in groups):
        step = _step(delivery, verb)
        part = replace(_moved(delivery, step.to, replace(action, verb=verb), at), recipients=tuple(groups[verb]))
        if n:  # the version in the name makes it unique: a delivery has each version once
            part = replace(part, id=f"{delivery.id}.{delivery.version}{'abcd'[n - 1]}", version=1)
        deliveries.append(part)
        event_id = derived_id(action.id, verb.value) if n else action.id
        events.append(_event(delivery, part, step.event, action, actor, at, event_id))
    return tuple(deliveries), tuple(events)


def _event(
    before: Delivery, after: Delivery, kind: str, action: Action, actor: Actor, at: datetime, event_id: str
) -> Event:
    public: dict[str, JSON] = {
        "delivery": after.id,
        "was": before.state.value,
        "next_hop": after.next_hop,
        "attempt": after.attempts,
        "recipients": len(after.recipients),
    }
    if after.id != before.id:
        public["split_from"] = before.id
    codes = sorted({recipient.reply[:3] for recipient in after.recipients if recipient.reply[:3].isdigit()})
    if codes and action.verb is Verb.ANSWER:
        public["replies"] = codes
    if action.treated:
        public["treated"] = list(action.treated)
    if action.waivers:
        public["waived"] = sorted({f"{waiver.rule}@{waiver.version}" for waiver in action.waivers})
    if action.decision is not None:
        public["open"] = [
            reason.rule for reason in unanswered(after.decision, after.waivers, after.content, after.addresses)
        ]
    sealed = {f"to{n}": Secret(recipient.address, recipient.address) for n, recipient in enumerate(after.recipients)}
    if action.verb is Verb.ANSWER:
        sealed |= {f"reply{n}": Secret(r.reply, r.address) for n, r in enumerate(after.recipients)}
    if action.comment:
        sealed["comment"] = Secret(action.comment)
    return Event(
        id=event_id, type=kind, at=at, actor=actor, outcome=after.state.value, reason=action.why, msg=after.message_id,
        public=public, sealed=sealed, prev=before.decided,
    )  # fmt: skip
