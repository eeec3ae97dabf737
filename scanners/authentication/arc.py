"""ARC (RFC 8617): dkimpy walks the chain, on the same linear canonicalisation, keys and resolver as DKIM.

A trusted sealer counts only from the newest instance downwards: whoever sealed last could have changed everything, so the seals
above the one relied on must all be trusted, and what they vouch for must be the author domain the reader sees.
"""

import binascii
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import dkim
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError

from scanners.answers import LookupBudget, Prefetched, Resolver
from scanners.authentication.canonical import Prepared
from scanners.authentication.dkim import (
    KeyUnavailable,
    Refused,
    fetch_keys,
    hash_bodies,
    key_lookup,
    key_name,
    tags_of,
    verify_headers,
)
from scanners.authentication.domains import is_below, to_ascii
from scanners.authentication.fields import Claim, parse_results
from scanners.authentication.keys import MIN_RSA_BITS, BadKey, KeyStore
from scanners.authentication.verdicts import Arc, Verdict

MAX_INSTANCES = 50
"""RFC 8617 4.2.1: i= runs to 50."""
MAX_BYTES = 262_144
"""Octets of all ARC fields together; each seal hashes all before it, so this bounds a square."""
CONTROLS = frozenset(b"\x00\x0b\x0c")
"""dkimpy's expressions take them for blanks, and are quadratic in runs of those; no sealer writes them."""
FIELDS = (b"arc-seal", b"arc-message-signature", b"arc-authentication-results")
NONE = Arc(Verdict.NONE, reason="no ARC chain")


class Chain(dkim.ARC):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy's ARC over a Prepared message."""

    def __init__(self, prepared: Prepared, keys: KeyStore) -> None:
        self.prepared, self.keys = prepared, keys
        super().__init__()

    def set_message(self, message: Any) -> None:
        """Nothing is parsed again."""
        super().set_message(None)
        self.headers = self.prepared.headers

    def sorted_arc_headers(self) -> Any:
        """dkimpy canonicalises all fields to find these; give it only these."""
        everything, self.headers = self.headers, [self.headers[at] for at in _positions(self.prepared)]
        try:
            return super().sorted_arc_headers()
        finally:
            self.headers = everything

    def verify_sig(self, sig: Any, include_headers: list[bytes], sig_header: tuple[bytes, bytes], dnsfunc: Any) -> bool:
        """One message signature (with bh=) or seal (without)."""
        name = key_name(sig)
        record = dnsfunc(name.encode() + b".") if name else None
        key = self.keys.get(record) if record is not None else BadKey("no key")
        if isinstance(key, BadKey) or key.kind != "rsa" or key.bits < MIN_RSA_BITS:
            return False
        try:
            policy = CanonicalizationPolicy.from_c_value(sig[b"c"])
        except InvalidCanonicalizationPolicyError:
            return False
        if b"bh" in sig:
            expected = binascii.a2b_base64(b"".join(sig[b"bh"].split()))
            if b"l" in sig or expected != self.prepared.body_hash(policy.body_algorithm.name == b"relaxed"):
                return False
        if b"from" in include_headers:
            include_headers = [*include_headers, b"from"]
        value = sig_header[1] if sig_header[1].endswith(b"\r\n") else sig_header[1] + b"\r\n"
        return verify_headers(self.prepared, key, sig, include_headers, (sig_header[0], value), policy)


def _positions(prepared: Prepared) -> list[int]:
    return sorted(at for name in FIELDS for at in prepared.index.get(name, ()))


async def verify(prepared: Prepared, resolver: Resolver, keys: KeyStore) -> Arc:
    """The verdict on the chain; never raises for what a mail says."""
    positions = _positions(prepared)
    if not positions:
        return NONE
    values = [prepared.headers[at][1] for at in positions]
    if len(positions) > 3 * MAX_INSTANCES or sum(map(len, values)) > MAX_BYTES:
        return Arc(Verdict.FAIL, reason="ARC chain too long")
    if any(CONTROLS.intersection(value) or b"\r" in value.replace(b"\r\n", b"") for value in values):
        return Arc(Verdict.FAIL, reason="control characters in an ARC field")
    prefetched = Prefetched(resolver, 2 * MAX_INSTANCES)
    seals = [prepared.headers[at] for name in FIELDS[:2] for at in prepared.index.get(name, ())]
    if not await fetch_keys(prefetched, [_key_name(value) for _, value in seals]):
        return Arc(Verdict.TEMPERROR, reason="DNS took too long")
    await hash_bodies(prepared, {True})
    return _walk(prepared, keys, prefetched)


def _key_name(value: bytes) -> str:
    try:
        return key_name(tags_of(value))
    except Refused:
        return ""


def _walk(prepared: Prepared, keys: KeyStore, prefetched: Prefetched) -> Arc:
    chain = Chain(prepared, keys)
    try:
        newest, _ = chain.sorted_arc_headers()
        if newest > MAX_INSTANCES:
            return Arc(Verdict.FAIL, reason="i= is above 50")
        cv, sets, reason = chain.verify(dnsfunc=key_lookup(prefetched))
    except KeyUnavailable as error:
        return Arc(Verdict.TEMPERROR, reason=f"key unavailable: {error}")
    except LookupBudget as error:
        return Arc(Verdict.FAIL, reason=f"too many keys: {error}")
    except (dkim.DKIMException, ValueError, TypeError, LookupError) as error:
        # dkimpy meeting a chain it was not written for: a chain that can't be read doesn't vouch for anything.
        return Arc(Verdict.FAIL, reason=f"malformed chain ({type(error).__name__})")
    sealers = tuple(to_ascii(one["as-domain"].decode("utf-8", "replace")) for one in reversed(sets))
    verdict = {dkim.CV_Pass: Verdict.PASS, dkim.CV_None: Verdict.NONE}.get(cv, Verdict.FAIL)
    return Arc(verdict, len(sets), sealers, reason[:200])


def vouch(arc: Arc, prepared: Prepared, author: str, trusted_sealers: Collection[str]) -> Arc:
    """Fill ``trusted`` when a passing chain's trusted sealers say that ``author`` was authenticated before they forwarded it."""
    if (
        arc.verdict is not Verdict.PASS
        or not author
        or not trusted_sealers
        or not _covers_author(prepared, arc.instances)
    ):
        return arc
    trusted = {to_ascii(sealer) for sealer in trusted_sealers}
    statements = {i: claims for i, claims in map(_statement, prepared.values(FIELDS[2])) if i}
    for instance in range(arc.instances, 0, -1):
        sealer = arc.sealers[instance - 1]
        if not sealer or sealer not in trusted:
            break
        for claim in statements.get(instance, ()):
            if _is_about(claim, author):
                return replace(arc, trusted=sealer, vouched=f"i={instance} {claim.method}={claim.result}")
    return arc


def _covers_author(prepared: Prepared, newest: int) -> bool:
    """Whether the newest message signature signs From."""
    for value in prepared.values(FIELDS[1]):
        tags = tags_of(value)
        if tags.get(b"i") == str(newest).encode():
            return b"from" in [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]
    return False


def _statement(value: bytes) -> tuple[int, tuple[Claim, ...]]:
    """``i=1; lists.example.org; dmarc=pass ...`` -> 1 and its claims."""
    head, _, rest = value.partition(b";")
    name, _, number = head.partition(b"=")
    if name.strip().lower() != b"i" or not number.strip().isdigit() or len(number.strip()) > 2:
        return 0, ()
    return int(number), parse_results(rest).claims


def _is_about(claim: Claim, author: str) -> bool:
    """Whether this claim says that the author domain (or its parent, or its subdomain) was authenticated."""
    if claim.result != "pass":
        return False
    if claim.method == "dmarc":
        return to_ascii(claim.properties.get("header.from", author).rpartition("@")[2]) == author
    keys = {"dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom", "smtp.mfrom")}.get(claim.method, ())
    names = [to_ascii(claim.properties[key].rpartition("@")[2]) for key in keys if key in claim.properties]
    return any(name and ((is_below(author, name) and "." in name) or is_below(name, author)) for name in names)
