"""What leaves is judged as it leaves (law 7): waivers by people and by time, and the judging again at release."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from audit.event import Actor
from gateway.config import Operator
from gateway.custody.custody import SYSTEM, Custody
from gateway.custody.delivery import HELD, TRANSITIONS, Action, Delivery, State, Verb
from gateway.custody.house import fields, written_here
from gateway.custody.outward import route_of
from gateway.custody.people import APPROVER, Refused, actor, entitled, own_mail
from gateway.custody.waivers import Waiver, holding, unanswered
from gateway.routes import Routes
from gateway.store.protocol import Held
from gateway.treatments.addressing import redirects
from gateway.treatments.table import is_unmet, obstacles
from policies.decision import CONFLICT, Decision, Disposition, Reason
from policies.mailbox import from_addresses
from scanners.message import Direction, Envelope, Recipient

MAX_AUTHOR_FIELDS = 16
"""From and Sender fields that are read for whose mail it is; one of each is what a mail has."""
TIME = "time"
"""Who answers a delay."""


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What the judge says now, per recipient of the envelope, and which judge it was."""

    decisions: tuple[tuple[Recipient, Decision], ...]
    version: str


Rejudge = Callable[[Envelope, bytes], Awaitable[Rejudged]]


@dataclass(frozen=True, slots=True)
class Released:
    """It is in the queue, due now."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is still held: these reasons are open. ``anew``: the judging at release brought them up."""

    delivery: Delivery
    reasons: tuple[Reason, ...]
    anew: bool


class Gone(Exception):
    """The message or its bytes are no longer there."""


class Releaser:
    """Lets held mail go, or not. ``rejudge`` scans and judges as reception does, by the judge of ``version``; ``routes`` are those of
    now."""

    def __init__(self, custody: Custody, rejudge: Rejudge, routes: Routes, version: str) -> None:
        self._custody, self._rejudge, self._routes, self._version = custody, rejudge, routes, version

    def is_current(self, delivery: Delivery, held: Held) -> bool:
        """Whether it was decided by the judge of now, or needs no judge."""
        return delivery.judged == self._version or written_here(held.envelope)

    async def release(
        self, delivery: Delivery, operator: Operator, comment: str = "", redirect: str = ""
    ) -> Released | Waiting:
        """Answer, as this person, every open reason they may answer; then judge again and let go what has no open reason left.

        ``redirect`` chooses one of the addresses where rules redirect differently; without it none of them is followed.
        Raises Refused (own mail, not entitled, not held), Gone, Busy, StoreUnavailable, RecorderUnavailable.
        """
        held = self._may_act(delivery, await self._custody.store.held(delivery.message_id), operator)
        await self._not_the_author(held, operator)
        missing = self._open(delivery)
        mine = [reason for reason in missing if entitled(operator, reason)]
        if missing and not mine:
            raise _refusal(missing[0])
        if redirect:
            _may_choose(delivery, mine, redirect)
        waivers = self._waivers(delivery, mine, operator.name, redirect)
        if len(mine) < len(missing):
            delivery = await self._waived(delivery, waivers, "", comment, actor(operator))
            return Waiting(delivery, self._open(delivery), anew=False)
        return await self._let_go(delivery, held, waivers, comment, actor(operator))

    async def reject(self, delivery: Delivery, operator: Operator, comment: str) -> Delivery:
        """Say no, for good. Raises as ``release``."""
        self.may_reject(delivery, await self._custody.store.held(delivery.message_id), operator)
        (after,) = await self._custody.change(delivery, Action(Verb.REJECT, comment=comment), actor(operator))
        return after

    def may_reject(self, delivery: Delivery, held: Held | None, operator: Operator) -> None:
        """Whether this person may say no. Raises Refused or Gone."""
        self._may_act(delivery, held, operator)
        missing = self._open(delivery)
        if missing and not any(entitled(operator, reason) or not reason.waivable for reason in missing):
            raise _refusal(missing[0])

    async def lapsed(self, delivery: Delivery) -> Released | Waiting:
        """The time of a delayed delivery has come: that answers its delays, then it is judged again. Raises Gone, Busy."""
        held = await self._custody.store.held(delivery.message_id)
        if held is None:
            raise Gone(delivery.message_id)
        delays = [
            reason for reason in self._open(delivery) if reason.disposition is Disposition.DELAY and reason.waivable
        ]
        waivers = self._waivers(delivery, delays, TIME)
        if missing := self._open(replace(delivery, waivers=delivery.waivers + waivers)):
            delivery = await self._waived(delivery, waivers, "waited", "", SYSTEM)
            return await self._ask(delivery, delivery.decision, "", missing)
        return await self._let_go(delivery, held, waivers, "", SYSTEM, why="waited")

    async def _let_go(
        self, delivery: Delivery, held: Held, waivers: tuple[Waiver, ...], comment: str, by: Actor, why: str = ""
    ) -> Released | Waiting:
        """Judge again with these answers given; release if nothing is open, else ask for what is. A crash while judging: as before,
        the answer is given again."""
        decision, version = await self.judged(delivery, held)
        missing = unanswered(decision, delivery.waivers + waivers, delivery.content, delivery.addresses)
        if missing:
            delivery = await self._waived(delivery, waivers, why, comment, by)
            return await self._ask(delivery, decision, version, missing)
        action = Action(
            Verb.RELEASE, why=why, comment=comment, waivers=waivers,
            decision=decision, judged=version, due=self._custody.now(),
        )  # fmt: skip
        (after,) = await self._custody.change(delivery, action, by)
        return Released(after)

    async def _waived(
        self, delivery: Delivery, waivers: tuple[Waiver, ...], why: str, comment: str, by: Actor
    ) -> Delivery:
        if not waivers:
            return delivery
        action = Action(Verb.WAIVE, why=why, comment=comment, waivers=waivers)
        (after,) = await self._custody.change(delivery, action, by)
        return after

    async def judged(self, delivery: Delivery, held: Held) -> tuple[Decision, str]:
        """What the judge says now of this delivery, obstacles to its treatments included, and the judge's version. Raises Gone."""
        raw = await self._custody.raw(delivery.message_id)
        if raw is None:
            raise Gone(delivery.message_id)
        if written_here(held.envelope):
            return delivery.decision, delivery.judged
        rejudged = await self._rejudge(held.envelope, raw)
        mine = {address.lower() for address in delivery.addresses}
        decision = Decision()
        found = [each for person, each in rejudged.decisions if person.address.lower() in mine]
        for each in found or [each for _, each in rejudged.decisions]:  # a copy's address is nobody's recipient
            decision = decision | each
        route = route_of(self._routes, delivery, decision)
        trouble = obstacles(decision, raw, route) if route else ()
        if trouble:
            decision = decision | Decision(Disposition.APPROVE, frozenset(), trouble)
        return decision, rejudged.version

    async def ask_anew(self, delivery: Delivery, decision: Decision, version: str) -> Waiting:
        """Back to waiting, for the reasons of ``decision`` that are open."""
        missing = unanswered(decision, delivery.waivers, delivery.content, delivery.addresses)
        return await self._ask(delivery, decision, version, missing)

    async def _ask(self, delivery: Delivery, decision: Decision, version: str, missing: tuple[Reason, ...]) -> Waiting:
        wanted = {Disposition.DELAY: Verb.DELAY, Disposition.APPROVE: Verb.ASK}.get(
            max(reason.disposition for reason in missing), Verb.QUARANTINE
        )
        verb = next(v for v in (wanted, Verb.ASK, Verb.QUARANTINE) if (delivery.state, v) in TRANSITIONS)
        due = self._custody.waiting_until(
            Decision(max(r.disposition for r in missing), reasons=missing), self._custody.now()
        )
        known = {(each.rule, each.version) for each in delivery.decision.reasons}
        anew = not {(each.rule, each.version) for each in missing} <= known
        if not anew and verb is not Verb.DELAY and delivery.state in HELD and delivery.state is not State.DELAYED:
            due = delivery.due  # asking again what is open gives it no longer to live
        action = Action(verb, decision=decision, judged=version, due=due, why="judged-again")
        (after,) = await self._custody.change(delivery, action)
        return Waiting(after, missing, anew)

    def _may_act(self, delivery: Delivery, held: Held | None, operator: Operator) -> Held:
        if delivery.state not in HELD:
            raise Refused(f"该投递未被扣留（{delivery.state}）", f"this delivery is not held, it is {delivery.state}")
        if APPROVER not in operator.roles:
            raise Refused(
                f"操作员 {operator.name} 没有 approver 角色", f"operator {operator.name} has not the role approver"
            )
        if not operator.address:
            raise Refused(
                "该操作员未配置 address，无法排除自批",
                "this operator has no address, so own mail cannot be told: set address",
            )
        if held is None:
            raise Gone(delivery.message_id)
        if own_mail(operator, held.envelope):
            raise _own()
        return held

    async def _not_the_author(self, held: Held, operator: Operator) -> None:
        """On the way out the envelope may name anybody, or nobody: who wrote it stands in From and Sender too. Raises Refused."""
        if held.envelope.direction is Direction.INBOUND:
            return
        raw = await self._custody.raw(held.envelope.id)
        if raw is not None and own_mail(operator, held.envelope, authors(raw)):
            raise _own()

    def _open(self, delivery: Delivery) -> tuple[Reason, ...]:
        """What is unanswered. What can't be done now may be possible since: the judging again says so, no person need answer it."""
        missing = unanswered(delivery.decision, delivery.waivers, delivery.content, delivery.addresses)
        return tuple(reason for reason in missing if not is_unmet(reason))

    def _waivers(self, delivery: Delivery, reasons: list[Reason], by: str, redirect: str = "") -> tuple[Waiver, ...]:
        at = self._custody.now()
        return tuple(
            Waiver(
                reason.rule,
                reason.version,
                delivery.content,
                delivery.addresses,
                by,
                at,
                choice=redirect if reason.rule == CONFLICT else "",
            )
            for reason in holding(delivery.decision)
            if reason in reasons
        )


def authors(raw: bytes) -> tuple[str, ...]:
    """The addresses in From and Sender, of every such field."""
    found = fields(raw, b"from", b"sender")
    return tuple(address for each in found[:MAX_AUTHOR_FIELDS] for address in from_addresses(each))


def _own() -> Refused:
    return Refused("不能审批自己的邮件", "nobody answers for their own mail: ask a colleague")


def _may_choose(delivery: Delivery, answered: Sequence[Reason], redirect: str) -> None:
    """Raises Refused: an address that no rule named, or nothing to choose."""
    if not any(reason.rule == CONFLICT for reason in answered):
        raise Refused("此邮件没有待选的改投地址", "there is no choice of redirects to make here: leave --redirect out")
    wanted = redirects(delivery.decision)
    if redirect not in wanted:
        known = ", ".join(wanted)
        raise Refused(f"只能从规则给出的地址中选择：{known}", f"choose one of the addresses that rules named: {known}")


def _refusal(reason: Reason) -> Refused:
    if not reason.waivable:
        return Refused(
            f"规则 {reason.rule} 不允许放行：{reason.title.zh}", f"{reason.rule} may not be released: {reason.title.en}"
        )
    who = ", ".join(reason.approvers) or "approver"
    return Refused(f"您无权答复规则 {reason.rule}；需要 {who}", f"you may not answer {reason.rule}; this may: {who}")
