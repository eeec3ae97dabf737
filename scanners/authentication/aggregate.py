"""What a DMARC aggregate report says of one message (RFC 9990): pure; the gateway counts and keeps the rows."""

from dataclasses import dataclass
from datetime import datetime

from scanners.authentication.verdicts import Authentication, Verdict

MAX_SIGNATURES = 3
"""Signatures named in a row; more would let a sender make every row its own."""


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """One row of a report before counting. All fields together are its key; ``source`` is personal data.

    ``day`` is the UTC date, ``disposition`` what was done (``none``, ``quarantine``, ``reject``), ``override`` why it differs from what the
    owner asks for (RFC 9990 2.1.5: ``trusted_forwarder``, ``policy_test_mode``, ``local_policy`` or ``""``).
    """

    day: str
    domain: str
    """Whose report this goes into: the domain of the policy record."""
    record: str
    header_from: str
    source: str
    disposition: str
    override: str
    spf_aligned: bool
    dkim_aligned: bool
    spf: str
    """``domain result scope``."""
    dkim: str
    """``domain selector result`` of the first signatures, separated by semicolons."""


def aggregate_row(
    authentication: Authentication, source: str | None, at: datetime, disposition: str
) -> AggregateRow | None:
    """The row of this message, or None when there is nothing to report: no record, no client, or a verdict that says nothing."""
    dmarc, spf = authentication.dmarc, authentication.spf
    if not source or not dmarc.record or dmarc.verdict not in (Verdict.PASS, Verdict.FAIL):
        return None
    signatures = [f"{one.domain} {one.selector} {one.verdict}" for one in authentication.dkim[:MAX_SIGNATURES]]
    return AggregateRow(
        at.strftime("%Y-%m-%d"),
        dmarc.record_domain,
        dmarc.record,
        dmarc.domain,
        source,
        disposition,
        _override(authentication, disposition),
        dmarc.spf_aligned,
        dmarc.dkim_aligned,
        f"{spf.domain} {spf.verdict} {'mfrom' if spf.identity == 'mailfrom' else 'helo'}",
        "; ".join(signatures),
    )


def _override(authentication: Authentication, disposition: str) -> str:
    dmarc = authentication.dmarc
    if dmarc.verdict is Verdict.PASS or disposition == dmarc.requested:
        return ""
    if dmarc.testing and disposition == "none":
        return "policy_test_mode"
    return "trusted_forwarder" if authentication.arc.trusted else "local_policy"
