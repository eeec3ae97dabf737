"""Treatments of the envelope: redirect and copy; and one delivery per MX domain. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.custody.waivers import Waiver
from gateway.plan import Share
from policies.decision import CONFLICT, Decision
from scanners.message import Recipient


def redirects(decision: Decision) -> tuple[str, ...]:
    """Where rules want it instead; more than one is a conflict, which a person answers."""
    return tuple(t.value for t in sorted(decision.treatments) if t.kind == "redirect")


def redirected(decision: Decision, addresses: Sequence[str] = (), waivers: Sequence[Waiver] = ()) -> str:
    """Where the mail to these goes instead, or ``""``; a copy goes where it was meant to.

    Of redirects that differ none is followed, unless whoever answered the conflict chose one: released without a choice, the mail goes
    to those it was written to.
    """
    if addresses and set(addresses) <= set(copies(decision)):
        return ""
    wanted = redirects(decision)
    if len(wanted) < 2:
        return next(iter(wanted), "")
    asked = {(reason.rule, reason.version) for reason in decision.reasons if reason.rule == CONFLICT}
    chosen = (waiver.choice for waiver in waivers if (waiver.rule, waiver.version) in asked)
    return next((choice for choice in chosen if choice in wanted), "")


def copies(decision: Decision) -> tuple[str, ...]:
    """Who also gets it."""
    return tuple(t.value for t in sorted(decision.treatments) if t.kind == "copy" and t.value)


def spread(shares: Sequence[Share]) -> tuple[Share, ...]:
    """The deliveries that these shares make: a copy is a delivery of its own under the same decision, by the same next hop; mail for
    ``mx:`` is one delivery per domain."""
    spread: list[Share] = []
    known = {person.address.lower() for share in shares for person in share.recipients}
    for share in shares:
        spread.extend(_by_domain(share))
        for address in copies(share.decision):
            if address.lower() not in known:
                known.add(address.lower())
                spread.append(replace(share, recipients=(Recipient(address, notify=("NEVER",)),)))
    return tuple(spread)


def _by_domain(share: Share) -> list[Share]:
    if share.route.to != "mx:" or redirected(share.decision):
        return [share]
    domains: dict[str, list[Recipient]] = {}
    for person in share.recipients:
        domains.setdefault(person.address.rpartition("@")[2].lower(), []).append(person)
    return [replace(share, recipients=tuple(people)) for people in domains.values()]
