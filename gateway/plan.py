"""From decisions to a plan: refuse, relay in the session, or keep. Pure; the table of architecture section 4, "one answer, one owner"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.config import Route
from gateway.routes import Routes
from gateway.smtp.reply import Reply
from policies.decision import Decision, Disposition, Treatment
from scanners.message import Recipient

IN_SESSION_SCHEMES = ("smtp://", "smtps://")
"""LMTP answers per recipient and MX hosts may be many: both always use custody."""


@dataclass(frozen=True, slots=True)
class Share:
    """The recipients that have one decision and one next hop in common."""

    recipients: tuple[Recipient, ...]
    route: Route
    decision: Decision


@dataclass(frozen=True, slots=True)
class Refuse:
    """Everyone's decision is REJECT: a 5xx, no custody."""

    reply: Reply
    decision: Decision


@dataclass(frozen=True, slots=True)
class Relay:
    """One share, in the client's session: the next hop's answer is ours."""

    share: Share


@dataclass(frozen=True, slots=True)
class Keep:
    """Custody: one blob, a delivery per share."""

    shares: tuple[Share, ...]

    @property
    def decision(self) -> Decision:
        """The strictest of all shares, for the event's summary."""
        joined = Decision()
        for share in self.shares:
            joined = joined | share.decision
        return joined


Plan = Refuse | Relay | Keep


def plan(
    decisions: Sequence[tuple[Recipient, Decision]],
    routes: Routes,
    feasible: Callable[[Share], Share] = lambda share: share,
    quick: Callable[[Treatment], bool] = lambda treatment: treatment.kind == "tag",
) -> Plan:
    """What to do with a message. ``decisions`` has every accepted recipient once, each with a route (checked at RCPT).

    ``feasible`` makes a share as strict as the treatments that can't be done ask; ``quick`` says which treatments may be done while
    the client waits.
    """
    if unkeepable(decisions) or all(decision.disposition is Disposition.REJECT for _, decision in decisions):
        joined = Decision()
        for _, decision in decisions:
            joined = joined | decision
        return Refuse(refusal(joined), joined)
    shares = tuple(map(feasible, _shares(decisions, routes)))
    if len(shares) == 1 and _in_session(shares[0], quick):
        return Relay(shares[0])
    return Keep(shares)


def unkeepable(decisions: Sequence[tuple[Recipient, Decision]]) -> bool:
    """Whether the law forbids storing it, whoever it is for: the whole message is refused, so that no custody ever writes a blob of it.

    (A monitored decision delivers whatever its reasons say.)
    """
    return any(
        decision.disposition is not Disposition.DELIVER and any(not reason.keep_content for reason in decision.reasons)
        for _, decision in decisions
    )


def monitored(decision: Decision) -> Decision:
    """What monitor mode does instead: deliver, and say in a header what would have happened."""
    if decision == Decision():
        return decision
    rules = ",".join(dict.fromkeys(reason.rule for reason in decision.reasons)) or "none"
    stamp = Treatment("tag", f"X-Sealgate-Monitor={decision.disposition.name.lower()}; rules={rules}")
    return Decision(Disposition.DELIVER, frozenset({stamp}), decision.reasons)


def refusal(decision: Decision) -> Reply:
    """The 5xx for a decided refusal: the strictest reason's status code and its title in English (RFC 5321 asks for ASCII)."""
    reasons = [reason for reason in decision.reasons if reason.disposition is Disposition.REJECT]
    reasons.sort(
        key=lambda reason: reason.keep_content
    )  # what may not be stored refuses the whole message: it is the one to name
    if not reasons:
        return Reply(550, "5.7.1", "refused by policy")
    first = reasons[0]
    return Reply(550, first.enhanced, f"{first.title.en} ({first.rule})".encode("ascii", "replace").decode())


def _shares(decisions: Sequence[tuple[Recipient, Decision]], routes: Routes) -> tuple[Share, ...]:
    groups: dict[tuple[Decision, str], list[Recipient]] = {}
    found: dict[tuple[Decision, str], Route] = {}
    for recipient, decision in decisions:
        route = routes.find(recipient.address)
        if route is None:
            raise LookupError("a recipient without a route was accepted")
        key = (decision, route.to)
        groups.setdefault(key, []).append(recipient)
        found[key] = route
    return tuple(Share(tuple(people), found[key], key[0]) for key, people in groups.items())


def _in_session(share: Share, quick: Callable[[Treatment], bool]) -> bool:
    return (
        share.decision.disposition is Disposition.DELIVER
        and share.route.to.startswith(IN_SESSION_SCHEMES)
        and all(map(quick, share.decision.treatments))
    )
