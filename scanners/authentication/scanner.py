"""The authentication scanner: SPF, DKIM, ARC and DMARC of one message, as findings and as one Authentication."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from scanners.answers import Remembered, Resolver
from scanners.authentication import arc as arc_check
from scanners.authentication import dkim as dkim_check
from scanners.authentication import dmarc as dmarc_check
from scanners.authentication import headers
from scanners.authentication import spf as spf_check
from scanners.authentication.canonical import Prepared
from scanners.authentication.codes import (
    ARC_TRUSTED,
    BY_CODE,
    BY_VERDICT,
    CODES,
    DUPLICATE,
    FOREIGN,
    FROM_AMBIGUOUS,
    LENGTH,
    NO_CLIENT,
    TOO_MANY,
    UNSIGNED,
    WEAK_KEY,
)
from scanners.authentication.domains import is_below, public_suffixes, split_address, to_ascii
from scanners.authentication.keys import KeyStore
from scanners.authentication.verdicts import Arc, Authentication, Author, Dkim, Dmarc, Spf, Verdict
from scanners.base import Result, Stage
from scanners.finding import Code, Evidence, Finding
from scanners.message import Direction, Message

__all__ = ["CODES", "AuthenticationScanner", "findings"]


@dataclass(frozen=True, slots=True)
class AuthenticationScanner:
    """Judges inbound mail in full; mail of our own people only by whom its From names.

    ``trusted_sealers`` are domains whose ARC seals are believed; ``local_domains`` are ours; ``is_suffix`` tells public
    suffixes; ``keys`` keeps parsed DKIM keys between messages, ``spf`` and ``dmarc`` verdicts for as long as the DNS answers behind
    them stand.
    """

    resolver: Resolver
    local_domains: tuple[str, ...] = ()
    trusted_sealers: Collection[str] = ()
    is_suffix: Callable[[str], bool] = field(default_factory=public_suffixes)
    keys: KeyStore = field(default_factory=KeyStore)
    spf: Remembered[Spf] = field(default_factory=Remembered[Spf], compare=False)
    dmarc: Remembered[Dmarc] = field(default_factory=Remembered[Dmarc], compare=False)

    @property
    def name(self) -> str:
        """``authentication``."""
        return "authentication"

    @property
    def codes(self) -> tuple[Code, ...]:
        """Every code it may report."""
        return CODES

    @property
    def stage(self) -> Stage:
        """Needs the bytes only."""
        return Stage.BYTES

    async def scan(self, message: Message) -> Result:
        """Judge the message; DNS trouble is temperror, hostile content is a verdict."""
        authentication = await self.authenticate(message)
        if message.envelope.direction is not Direction.INBOUND:
            return Result(tuple(_own_findings(authentication, self.local_domains)), authentication)
        signatures = sum(1 for header in message.headers if header.key == "dkim-signature")
        return Result(tuple(findings(authentication, signatures)), authentication)

    async def authenticate(self, message: Message) -> Authentication:
        """The verdicts alone."""
        envelope = message.envelope
        prepared = Prepared(message.raw, message.header_length)
        author = headers.author(prepared, message.raw, message.header_length)
        if envelope.direction is not Direction.INBOUND:
            return _outbound(author, prepared, envelope.sender, envelope.helo)
        spf, dkim, arc = await self._checks(message, prepared, author)
        arc = arc_check.vouch(arc, prepared, author.domain if len(author.domains) == 1 else "", self.trusted_sealers)
        results = [
            await dmarc_check.check(self.resolver, domain, spf, dkim, self.is_suffix, self.dmarc)
            for domain in author.domains
        ]
        dmarc = dmarc_check.join(results, author.ambiguous)
        return Authentication(spf, dkim, arc, dmarc, author, envelope.sender, envelope.helo, prepared.duplicates())

    async def _checks(self, message: Message, prepared: Prepared, author: Author) -> tuple[Spf, tuple[Dkim, ...], Arc]:
        """The three that don't need each other: one after the other when DNS is warm, at once when there is waiting to do."""
        envelope = message.envelope
        spf = spf_check.check(self.resolver, envelope.client, envelope.helo, envelope.sender, remembered=self.spf)
        at = envelope.received_at.timestamp()
        dkim = dkim_check.verify(prepared, self.resolver, self.keys, at, author.domains)
        arc = arc_check.verify(prepared, self.resolver, self.keys)
        domain = to_ascii(split_address(envelope.sender)[1] if envelope.sender else envelope.helo)
        if domain and self.resolver.peek(domain, "TXT") is None:
            return await asyncio.gather(spf, dkim, arc)
        return await spf, await dkim, await arc


def _outbound(author: Author, prepared: Prepared, sender: str, helo: str) -> Authentication:
    """Our own mail isn't judged by what the world publishes about us; only From is read."""
    unjudged = "mail of our own is not judged"
    return Authentication(
        Spf(Verdict.NONE, reason=unjudged, judged=False),
        (),
        Arc(Verdict.NONE, reason=unjudged),
        Dmarc(Verdict.NONE, author.domain, reason=unjudged),
        author,
        sender,
        helo,
        prepared.duplicates(),
    )


MAX_RECORD = 160
"""Characters of the deciding record that stand in a finding: enough to recognise it; the rest is in DNS."""


@lru_cache(maxsize=1024)
def _shown(record: str) -> str:
    """The beginning of a DNS record on one line: line ends in it would end the log's."""
    return " ".join(record.split())


def _finding(code: Code, summary: str, about: str = "", count: int = 0, record: str = "") -> Finding:
    """``record`` is the DNS record that decided: public, so it needs no mask."""
    shown = _shown(record[:MAX_RECORD]) if record else ""
    evidence = Evidence(shown, max(1, count)) if count or shown else None
    return Finding(code.code, code.severity, summary[:200], evidence=evidence, about=about)


def findings(authentication: Authentication, signatures: int) -> Iterator[Finding]:
    """What inbound mail's verdicts amount to; ``signatures`` is the number of DKIM signatures it carries."""
    spf, dmarc, arc = authentication.spf, authentication.dmarc, authentication.arc
    if spf.judged:
        yield _finding(BY_VERDICT["spf", spf.verdict], spf.reason, spf.domain, record=spf.record)
    else:
        yield _finding(NO_CLIENT, spf.reason, spf.domain)
    yield from _dkim_findings(authentication.dkim, signatures)
    yield _finding(BY_VERDICT["arc", arc.verdict], arc.reason, arc.sealers[-1] if arc.sealers else "")
    if arc.trusted:
        yield _finding(ARC_TRUSTED, arc.vouched, arc.trusted)
    yield _finding(BY_VERDICT["dmarc", dmarc.verdict], dmarc.reason, dmarc.domain, record=dmarc.record)
    if dmarc.verdict is Verdict.FAIL:
        yield _finding(BY_CODE[f"auth.dmarc.policy_{dmarc.disposition}"], dmarc.record_domain, dmarc.domain)
    yield from _header_findings(authentication)


def _dkim_findings(dkim: tuple[Dkim, ...], signatures: int) -> Iterator[Finding]:
    if not dkim:
        yield _finding(BY_CODE["auth.dkim.none"], "no signature")
    for one in dkim:
        yield _finding(BY_VERDICT["dkim", one.verdict], one.reason, one.domain, record=one.record)
        if "length" in one.flags:
            yield _finding(LENGTH, one.reason, one.domain)
        if "weak_key" in one.flags:
            yield _finding(WEAK_KEY, f"{one.bits}-bit key", one.domain)
        if unsigned := [flag.removeprefix("unsigned_") for flag in one.flags if flag.startswith("unsigned_")]:
            yield _finding(UNSIGNED, ", ".join(unsigned), one.domain)
    if signatures > dkim_check.MAX_SIGNATURES:
        yield _finding(TOO_MANY, f"{signatures} signatures", count=signatures)


def _header_findings(authentication: Authentication) -> Iterator[Finding]:
    author = authentication.author
    if author.ambiguous:
        yield _finding(FROM_AMBIGUOUS, ", ".join(author.ambiguous), author.domain, count=len(author.ambiguous))
    for name in authentication.duplicates:
        yield _finding(DUPLICATE, f"{name} occurs more than once", name)


def _own_findings(authentication: Authentication, local_domains: tuple[str, ...]) -> Iterator[Finding]:
    """Outbound: whom the mail claims to be from must be us."""
    yield from _header_findings(authentication)
    ours = [to_ascii(domain) for domain in local_domains]
    for domain in authentication.author.domains:
        if ours and not any(is_below(domain, own) for own in ours if own):
            yield _finding(FOREIGN, "From names a domain that is not ours", domain)
