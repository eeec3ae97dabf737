"""SPF (RFC 7208): pyspf does the evaluation, our resolver the DNS, and no socket is opened here.

Differences from stock pyspf, each for a reason: DNS comes from ``Prefetched``; an error on the PTR way fails the mechanism instead of
the check (RFC 7208 5.5); a void answer counts once per question; records and terms have a bound; Unicode domains become A-labels.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import spf

from scanners.answers import Answer, LookupBudget, NotYet, Prefetched, Remembered, Resolver, Status, Used, evaluate
from scanners.authentication.domains import split_address, to_ascii
from scanners.authentication.verdicts import Spf, Verdict

MAX_NAMES = 150
"""Distinct questions of one check: 10 terms, ten MX or PTR names each, and explanations (RFC 7208 4.6.4)."""
MAX_RUNS = 60
"""Evaluations of one check; each adds at least one name, and MX and PTR names come in one batch."""
TIMEOUT_S = 20.0
"""For the whole check (RFC 7208 4.6.4 asks for at least 20 s)."""
MAX_RECORD = 8192
"""Octets of one record; real ones stay under 2,000 (RFC 7208 3.4 asks for 450)."""
MAX_TERM = 400
"""Octets of one term: a domain of 253 with some macros. pyspf's own checks are quadratic in it."""
MAX_EXPLANATION = 255
"""Characters of the owner's explanation that we keep."""


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """pyspf's evaluation with DNS from ``prefetched``. Lives for one run."""

    def __init__(self, prefetched: Prefetched, ip: str, local: str, domain: str, helo: str) -> None:
        super().__init__(i=ip, s=f"{local}@{domain}", h=helo, timeout=0, querytime=0)
        self.l, self.o, self.d = local, domain, domain
        self.prefetched = prefetched
        self.deciding = ("", "")

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[Any]:
        """Replaces pyspf's DNS: same values, same errors, no sockets."""
        name = str(name).lower().removesuffix(".")
        if not name.isascii() or not all(0 < len(label) < 64 for label in name.split(".")) or len(name) > 253:
            return []
        answer = self._ask(name, qtype)
        if answer.status is Status.TEMPERROR:
            raise spf.TempError(f"DNS {answer.detail or 'error'}", name)
        values = _values(answer, qtype)
        if not values and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"Void lookup limit of {spf.MAX_VOID_LOOKUPS} exceeded")
        return values

    def _ask(self, name: str, qtype: str) -> Answer:
        return self.prefetched.get(name, qtype)

    def _ask_all(self, hosts: Sequence[str]) -> None:
        """Note all missing addresses at once, so that ten exchanges cost one round."""
        missing = False
        for host in hosts:
            try:
                self.prefetched.get(host.lower().removesuffix("."), self.A)
            except NotYet:
                missing = True
        if missing:
            raise NotYet(self.A)

    def dns_mx(self, domainname: str) -> list[str]:
        """Addresses of the exchanges; more than ten exchanges are a permerror (RFC 7208 4.6.4)."""
        exchanges = sorted(self.dns(domainname, "MX"))
        if len(exchanges) > spf.MAX_MX:
            raise spf.PermError(f"More than {spf.MAX_MX} MX records returned")
        hosts = [host for _, host in exchanges if host]
        self._ask_all(hosts)
        return [address for host in hosts for address in self.dns_a(host, self.A)]

    def validated_ptrs(self) -> list[str]:
        """Names of the client that point back at it; DNS errors only leave names out (RFC 7208 5.5)."""
        try:
            names = self.dns_ptr(self.i)[: spf.MAX_PTR]
        except spf.TempError:
            return []
        self._ask_all(names)
        validated = []
        for name in names:
            try:
                addresses = self.dns_a(name, self.A)
            except spf.TempError:
                continue
            if self.cidrmatch(addresses, self.cidrmax):
                validated.append(name)
        return validated

    def cidrmatch(self, ipaddrs: Sequence[str], n: int) -> bool:
        """Whether the client is within ``n`` bits of one of the addresses: integers instead of network objects, a third of the cost."""
        width, client = self.ipaddr.max_prefixlen, int(self.ipaddr)
        try:
            numbers = [_number(address) for address in ipaddrs]
        except ValueError as error:
            raise spf.PermError(str(error)) from None
        return any(size == width and (number ^ client) >> (width - n) == 0 for size, number in numbers)

    def check1(self, record: str, domain: str, recursion: int) -> Any:
        """Notes the record in force, and refuses monsters before pyspf's expressions see them."""
        if record:
            if len(record) > MAX_RECORD or any(len(term) > MAX_TERM for term in record.split(" ")):
                raise spf.PermError("SPF record or term too long", domain)
            if recursion == 0:
                self.deciding = (domain, record)
        return super().check1(record, domain, recursion)


@lru_cache(maxsize=4096)
def _number(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.max_prefixlen, int(parsed)


def _values(answer: Answer, qtype: str) -> list[Any]:
    if qtype == "TXT":
        return [(string,) for string in answer.strings]
    if qtype == "MX":
        return [(exchange.preference, exchange.host) for exchange in answer.exchanges]
    if qtype == "PTR":
        return list(answer.names)
    return list(answer.addresses)


async def check(
    resolver: Resolver,
    client: str | None,
    helo: str,
    sender: str,
    timeout_s: float = TIMEOUT_S,
    remembered: Remembered[Spf] | None = None,
) -> Spf:
    """Judge ``client`` for the envelope ``sender`` (``""``: the null sender, judged by ``helo``). Never raises for what DNS says.

    ``remembered`` keeps verdicts by client and domain; also by local part and HELO where a record has macros, which may read those.
    """
    identity = "mailfrom" if sender else "helo"
    local, domain = split_address(sender) if sender else ("postmaster", helo)
    local = local or "postmaster"  # RFC 7208 4.3
    name = to_ascii(domain) or _pass_through(domain)
    base = Spf(Verdict.NONE, to_ascii(domain), identity)
    address = _address(client)
    if address is None:
        return replace(base, judged=False, reason="the client's address is not known")
    plain = (address, name, base.domain, identity)
    whole = (*plain, local, helo)
    if remembered is not None:
        known = remembered.get(plain, resolver) or remembered.get(whole, resolver)
        if known is not None:
            return known
    prefetched = Prefetched(resolver, MAX_NAMES)
    try:
        if prefetched_now := _warm(prefetched, address, local, name, helo):
            judged = _result(base, *prefetched_now)
            if remembered is not None and not _tells_time(prefetched.used):
                remembered.keep(whole if _has_macros(prefetched.used) else plain, prefetched.used, judged)
            return judged
        async with asyncio.timeout(timeout_s):
            await prefetched.settle()
            query, outcome = await evaluate(prefetched, lambda: _run(prefetched, address, local, name, helo), MAX_RUNS)
    except TimeoutError:
        return replace(base, verdict=Verdict.TEMPERROR, reason=f"DNS took longer than {timeout_s:g} s")
    except LookupBudget as error:
        return replace(base, verdict=Verdict.PERMERROR, reason=f"too many DNS lookups: {error}")
    except (AssertionError, ValueError, TypeError, LookupError, RecursionError) as error:
        # pyspf meeting data it was not written for: the record is at fault, and the message must still get a verdict.
        return replace(base, verdict=Verdict.PERMERROR, reason=f"record can't be evaluated ({type(error).__name__})")
    return _result(base, query, outcome)


Outcome = tuple[_Query, tuple[str, str]]


def _run(prefetched: Prefetched, ip: str, local: str, domain: str, helo: str) -> Outcome:
    query = _Query(prefetched, ip, local, domain, helo)
    verdict, _, text = query.check()
    return query, (verdict, text)


def _warm(prefetched: Prefetched, ip: str, local: str, domain: str, helo: str) -> Outcome | None:
    """The whole check without awaiting anything, when every answer is in the cache; what is missing is noted."""
    try:
        outcome = _run(prefetched, ip, local, domain, helo)
    except NotYet:
        return None
    return None if prefetched.incomplete else outcome


def _has_macros(used: Used) -> bool:
    """Could the outcome depend on more than client, domain and answers? Only text can hold macros (RFC 7208 7)."""
    return any(b"%" in string for _, _, answer in used for string in answer.strings)


def _tells_time(used: Used) -> bool:
    """Is there a macro for the time of the check in it (``%{t}``, in explanations)?"""
    return any(b"%{t" in string.lower() for _, _, answer in used for string in answer.strings)


def _result(base: Spf, query: _Query, outcome: tuple[str, str]) -> Spf:
    verdict, text = outcome
    where, record = query.deciding
    mechanism = query.mechanism or ""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text[:MAX_EXPLANATION])
    if verdict == "fail":
        explanation, reason = clean, f"{query.c} is not authorized by {where}"
    elif verdict in ("temperror", "permerror"):
        explanation, reason = "", clean.removeprefix("SPF Permanent Error: ").removeprefix("SPF Temporary Error: ")
    elif verdict == "none":
        explanation, reason = "", "no SPF record"
    else:
        explanation, reason = "", f"matched {mechanism}" if mechanism else "no mechanism matched"
    return Spf(Verdict(verdict), base.domain, base.identity, record, where, mechanism, reason, explanation)


@lru_cache(maxsize=4096)
def _address(client: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address((client or "").partition("%")[0]))
    except ValueError:
        return None


def _pass_through(domain: str) -> str:
    """Names that are no host names (address literals, empty labels) go to pyspf as they are: it answers ``none``."""
    return domain if domain.isascii() and len(domain) <= 1024 else "invalid"
