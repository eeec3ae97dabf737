"""DMARC evaluated by us: RFC 9989 (DNS tree walk, np, psd, t; pct ignored), on records of either age.

The organizational domain comes from the tree walk. The public suffix list may only narrow its answer (see
docs/decisions/dmarc-tree-walk.md): a registry that publishes a record without ``psd=y`` must not make its registrants one organization.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scanners.answers import Answer, LookupBudget, NotYet, Prefetched, Remembered, Resolver, Status, evaluate
from scanners.authentication.verdicts import Disposition, Dkim, Dmarc, Spf, Verdict

MAX_WALK = 8
"""Queries of one tree walk (RFC 9989 4.10)."""
MAX_NAMES = 64
"""Questions of one evaluation: walks for the author, SPF and the signatures' domains that share two labels with it."""
MAX_RUNS = 40
"""Evaluations; each adds the names of one walk at once."""
MAX_RECORD = 4096
"""Octets of a record that is read."""
TIMEOUT_S = 20.0
"""For the whole evaluation."""

IsSuffix = Callable[[str], bool]
POLICIES = {word.value: word for word in Disposition}


@dataclass(frozen=True, slots=True)
class Record:
    """One DMARC policy record as read. ``usable`` is False when p, sp or np isn't a policy and no report address excuses it."""

    text: str
    p: Disposition
    sp: Disposition | None
    np: Disposition | None
    strict_dkim: bool
    strict_spf: bool
    psd: str
    testing: bool
    usable: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """What ``_dmarc.<domain>`` holds: a record, or why not."""

    domain: str
    record: Record | None = None
    several: bool = False


class _DnsError(Exception):
    """DNS didn't say; the verdict is temperror."""


@lru_cache(maxsize=1024)
def parse_record(octets: bytes) -> Record | None:
    """Read a TXT record; None if it isn't a DMARC record (RFC 9989 4.7: v=DMARC1 first, exactly)."""
    text = octets[:MAX_RECORD].decode("ascii", "replace")
    pairs = [[side.strip(" \t") for side in piece.split("=", 1)] for piece in text.split(";")]
    if pairs[0] != ["v", "DMARC1"]:
        return None
    tags: dict[str, str] = {}
    for pair in pairs[1:]:
        if len(pair) == 2:
            tags.setdefault(pair[0].lower(), pair[1].lower())
    policies = {tag: POLICIES.get(tags[tag]) for tag in ("p", "sp", "np") if tag in tags}
    broken = None in policies.values()
    reports = any(uri.strip().startswith("mailto:") and "@" in uri for uri in tags.get("rua", "").split(","))
    if broken:
        policies = {}
    return Record(
        text,
        policies.get("p") or Disposition.NONE,
        policies.get("sp"),
        policies.get("np"),
        tags.get("adkim") == "s",
        tags.get("aspf") == "s",
        tags.get("psd", "u"),
        tags.get("t") == "y",
        reports or not broken,
    )


def walk_targets(domain: str) -> list[str]:
    """The domains a tree walk asks, longest first, at most eight (RFC 9989 4.10)."""
    labels = domain.split(".")
    longest = len(labels) - 1 if len(labels) < MAX_WALK else MAX_WALK - 1
    return [domain, *(".".join(labels[-count:]) for count in range(longest, 0, -1))]


class _Evaluation:
    """One synchronous pass over prefetched answers."""

    def __init__(self, prefetched: Prefetched, author: str, is_suffix: IsSuffix | None) -> None:
        self.prefetched, self.author, self.is_suffix = prefetched, author, is_suffix

    def ask(self, domain: str) -> _Found:
        answer = self.prefetched.get(f"_dmarc.{domain}", "TXT")
        if answer.status is Status.TEMPERROR:
            if "." not in domain:
                # Only a registry's record could be there; without it alignment gets narrower, never wider.
                return _Found(domain)
            raise _DnsError(f"DNS for _dmarc.{domain}: {answer.detail or 'error'}")
        records = [record for record in map(parse_record, answer.strings) if record]
        if len(records) == 1:
            return _Found(domain, records[0])
        return _Found(domain, several=len(records) > 1)

    def walk(self, start: str) -> list[_Found]:
        """Everything found from ``start`` upwards; ends at the first psd=y or psd=n."""
        targets = walk_targets(start)
        self._ask_all(targets)
        found = []
        for target in targets:
            one = self.ask(target)
            if one.record or one.several:
                found.append(one)
            if one.record and one.record.psd in ("y", "n"):
                break
        return found

    def _ask_all(self, domains: Sequence[str]) -> None:
        """Note all missing names at once: a walk costs one round."""
        missing = False
        for domain in domains:
            try:
                self.prefetched.get(f"_dmarc.{domain}", "TXT")
            except NotYet:
                missing = True
        if missing:
            raise NotYet(domains[0])

    def organization(self, start: str) -> str:
        """The organizational domain of ``start`` (RFC 9989 4.10.2)."""
        records = [(one.domain, one.record) for one in self.walk(start) if one.record]
        if not records:
            return start
        domain, last = records[-1]  # the walk ended at the first psd=y or n: only the last can have one
        if last.psd == "n" or domain == start:
            return domain
        if last.psd == "y" or (self.is_suffix is not None and self.is_suffix(domain)):
            return ".".join(start.split(".")[-domain.count(".") - 2 :])
        return domain

    def aligned(self, identifier: str, strict: bool) -> bool:
        """Whether an authenticated domain aligns with the author domain (RFC 9989 4.4)."""
        if not identifier:
            return False
        if identifier == self.author:
            return True
        if strict or identifier.split(".")[-2:] != self.author.split(".")[-2:] or "." not in identifier:
            return False  # one organization shares two labels at least: a top-level domain is nobody's organization
        return self.organization(identifier) == self.organization(self.author)

    def policy(self) -> tuple[_Found | None, bool]:
        """The record that applies and whether several records stood in its way (RFC 9989 4.10.1)."""
        own = self.ask(self.author)
        if own.record:
            return own, False
        found = self.walk(self.author)
        records = [one for one in found if one.record]
        if not records:
            return None, any(one.several for one in found)
        organization = self.organization(self.author)
        at_organization = next((one for one in records if one.domain == organization), None)
        return at_organization or records[-1], False

    def requested(self, found: _Found) -> Disposition:
        """What the owner asks for mail of the author domain: p, sp or np."""
        record = found.record
        assert record is not None
        if found.domain == self.author:
            return record.p
        if record.np is not None and self._is_absent():
            return record.np
        return record.sp if record.sp is not None else record.p

    def _is_absent(self) -> bool:
        answer: Answer = self.prefetched.get(self.author, "A")
        if answer.status is Status.TEMPERROR:
            raise _DnsError(f"DNS for {self.author}: {answer.detail or 'error'}")
        return answer.status is Status.NXDOMAIN

    def run(self, spf: Spf, dkim: Sequence[Dkim]) -> Dmarc:
        """The verdict, or NotYet while answers are missing."""
        found, several = self.policy()
        if found is None or found.record is None:
            verdict, reason = (Verdict.PERMERROR, "several") if several else (Verdict.NONE, "no")
            return Dmarc(verdict, self.author, reason=f"{reason} DMARC record{'s' if several else ''}")
        record = found.record
        known = Dmarc(
            Verdict.PERMERROR, self.author, record=record.text, record_domain=found.domain, testing=record.testing
        )
        if not record.usable:
            return replace(known, reason="unusable DMARC record")
        by_spf = spf.verdict is Verdict.PASS and self.aligned(spf.domain, record.strict_spf)
        by_dkim = any(one.verdict is Verdict.PASS and self.aligned(one.domain, record.strict_dkim) for one in dkim)
        requested = self.requested(found)
        if not (by_spf or by_dkim):
            return self._not_passed(replace(known, requested=requested), record, spf, dkim)
        reason = (
            " and ".join(name for name, passed in (("SPF", by_spf), ("DKIM", by_dkim)) if passed)
            + " passed and aligned"
        )
        return replace(
            known, verdict=Verdict.PASS, requested=requested, spf_aligned=by_spf, dkim_aligned=by_dkim, reason=reason
        )

    def _not_passed(self, result: Dmarc, record: Record, spf: Spf, dkim: Sequence[Dkim]) -> Dmarc:
        """Fail, unless an identifier that would align could not be checked: then nobody knows (RFC 9989 5.3)."""
        if spf.verdict is Verdict.TEMPERROR and self.aligned(spf.domain, record.strict_spf):
            return replace(result, verdict=Verdict.TEMPERROR, reason="SPF of the author's organization: temperror")
        if any(one.verdict is Verdict.TEMPERROR and self.aligned(one.domain, record.strict_dkim) for one in dkim):
            return replace(result, verdict=Verdict.TEMPERROR, reason="DKIM key of the author's organization: temperror")
        if not spf.judged:
            reason = "no aligned DKIM pass, and SPF can't be judged without the client's address"
            return replace(result, verdict=Verdict.NONE, reason=reason)
        disposition = Disposition.NONE if record.testing else result.requested
        return replace(result, verdict=Verdict.FAIL, disposition=disposition, reason="nothing that passed aligns")


async def check(
    resolver: Resolver,
    author: str,
    spf: Spf,
    dkim: Sequence[Dkim],
    is_suffix: IsSuffix | None = None,
    remembered: Remembered[Dmarc] | None = None,
) -> Dmarc:
    """Judge one author domain (an A-label). ``is_suffix`` tells public suffixes. Never raises for what DNS says.

    ``remembered`` keeps verdicts by author, ``is_suffix``, and all that is read of ``spf`` and ``dkim``: verdicts and domains.
    """
    key = (author, is_suffix, spf.verdict, spf.domain, spf.judged, *[(one.verdict, one.domain) for one in dkim])
    if remembered is not None and (known := remembered.get(key, resolver)) is not None:
        return known
    prefetched = Prefetched(resolver, MAX_NAMES)
    evaluation = _Evaluation(prefetched, author, is_suffix)
    try:
        try:
            judged = evaluation.run(spf, dkim)  # the warm path: nothing is awaited
            if remembered is not None:
                remembered.keep(key, prefetched.used, judged)
            return judged
        except NotYet:
            async with asyncio.timeout(TIMEOUT_S):
                await prefetched.settle()
                return await evaluate(prefetched, lambda: evaluation.run(spf, dkim), MAX_RUNS)
    except TimeoutError:
        return Dmarc(Verdict.TEMPERROR, author, reason="DNS took too long")
    except (_DnsError, LookupBudget) as error:
        return Dmarc(Verdict.TEMPERROR, author, reason=str(error))


NEVER_PASS = frozenset(
    {"missing", "empty", "several_fields", "several_addresses", "group", "control", "nul", "bare_line_end"}
    | {"malformed_field", "blank_folding", "unterminated", "source_route", "text_after_address", "odd_address"}
    | {"encoded_address", "several_at_signs", "odd_domain", "no_address", "too_long", "not_utf8"}
)
"""Ambiguities of From with which another program may name another author: then nothing passes. The others are only remarked on."""

_ORDER = (Verdict.FAIL, Verdict.TEMPERROR, Verdict.PERMERROR, Verdict.NONE, Verdict.PASS)
_STRICTNESS = (Disposition.NONE, Disposition.QUARANTINE, Disposition.REJECT)


def join(results: Sequence[Dmarc], ambiguous: Sequence[str]) -> Dmarc:
    """One verdict for all author domains: the worst, with the strictest policy; a pass needs every domain and a plain From."""
    if not results:
        return Dmarc(Verdict.PERMERROR, reason="no author domain")
    worst = min(results, key=lambda one: (_ORDER.index(one.verdict), -_STRICTNESS.index(one.disposition)))
    passed = any(one.verdict is Verdict.PASS for one in results)
    if worst.verdict is Verdict.PASS and NEVER_PASS.intersection(ambiguous):
        return replace(worst, verdict=Verdict.PERMERROR, reason="From is ambiguous: " + ", ".join(ambiguous))
    if worst.verdict is Verdict.NONE and passed:
        return replace(worst, verdict=Verdict.PERMERROR, reason="not every author domain is authenticated")
    return worst
