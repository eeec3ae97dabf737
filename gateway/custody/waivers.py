"""Waivers (law 7): which reasons for holding have been answered, for which content and which recipients. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from policies.decision import Decision, Disposition, Reason, Title

UNEXPLAINED = Reason(
    "unexplained",
    "-",
    Disposition.QUARANTINE,
    Title("裁决比所列理由更严，无法放行", "the decision is stricter than its reasons, so nobody can answer it"),
    waivable=False,
)
"""Stands in for a reason that a decision should have named and did not: held, and never released."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """One reason that someone entitled (or time) has answered.

    ``content`` is the SHA-256 (hex) of the data as accepted. ``recipients`` are the addresses it was given for; it covers any part
    of them, so that what is left of a split delivery stays covered. ``by`` is an operator's name, or ``time``. ``choice`` is what was
    chosen where the reason is a choice: of rules that redirect differently, the address.
    """

    rule: str
    version: str
    content: str
    recipients: tuple[str, ...]
    by: str
    at: datetime
    choice: str = ""


def holding(decision: Decision) -> tuple[Reason, ...]:
    """The reasons that keep it from leaving, strictest first. Monitor mode delivers whatever its reasons say."""
    if decision.disposition is Disposition.DELIVER:
        return ()
    reasons = tuple(reason for reason in decision.reasons if reason.disposition > Disposition.DELIVER)
    if decision.disposition > max((reason.disposition for reason in reasons), default=Disposition.DELIVER):
        return (UNEXPLAINED, *reasons)
    return reasons


def unanswered(
    decision: Decision, waivers: Iterable[Waiver], content: str, addresses: tuple[str, ...]
) -> tuple[Reason, ...]:
    """The reasons for holding that no waiver covers. One that may not be waived is never covered: its rule's ceiling."""
    wanted = set(addresses)
    covered = {(w.rule, w.version) for w in waivers if w.content == content and wanted <= set(w.recipients)}
    return tuple(r for r in holding(decision) if not (r.waivable and (r.rule, r.version) in covered))
