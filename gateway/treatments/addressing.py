"""Treatments of the envelope: redirect and copy; and one delivery per MX domain. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.plan import Share
from policies.decision import Decision
from scanners.message import Recipient


def redirected(decision: Decision, addresses: Sequence[str] = ()) -> str:
    """Where the mail to these goes instead, or ``""``; a copy goes where it was meant to. Two redirects that differ are a conflict,
    which policies turn into APPROVE."""
    if addresses and set(addresses) <= set(copies(decision)):
        return ""
    return next((t.value for t in sorted(decision.treatments) if t.kind == "redirect"), "")


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
