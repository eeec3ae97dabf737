"""DKIM (RFC 6376, 8301, 8463, 8616) by a subclass of dkimpy's verifier with its defects closed.

What differs from stock dkimpy: linear canonicalisation and ``b=`` removal; no SHA-1; From must be signed; ``l=`` never authenticates;
DNS errors are temperror; key flags and sizes are respected; doubled singleton fields make a signature not count; expiry is exact;
verification is done by ``cryptography`` with parsed keys kept; several signatures, up to a cap.
"""

import asyncio
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dkim
from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError

from scanners.answers import Answer, Prefetched, Resolver, Status
from scanners.authentication.canonical import Prepared, relaxed_field, without_signature
from scanners.authentication.domains import is_below, to_ascii
from scanners.authentication.keys import GOOD_RSA_BITS, MIN_RSA_BITS, BadKey, Key, KeyStore
from scanners.authentication.verdicts import Dkim, Verdict

MAX_SIGNATURES = 10
"""Signatures looked at, from the top; real mail has up to four. Each costs a key lookup."""
MAX_READ = 60
"""Signatures whose tags are read to choose those: forwarders add theirs on top, the author's is at the bottom."""
MAX_FIELD = 32_768
"""Octets of one signature field; real ones are below 2,000."""
FUTURE_S = 300
"""How far ahead of us a signer's clock may be."""
THREAD_BYTES = 1_000_000
"""Bodies above are hashed in a thread: the loop stays free. A hand-over costs 80 us of CPU, hashing this much 700."""
KEY_TIMEOUT_S = 20.0
"""For all keys of a message together."""

WORTH_SIGNING = (b"subject", b"date", b"to", b"content-type", b"reply-to")
"""Fields whose absence from h= is reported: anybody may change them under a valid signature."""


class Refused(dkim.ValidationError):  # type: ignore[misc]  # dkimpy has no types
    """A signature that gets no pass, with the verdict, a reason and flags."""

    def __init__(self, verdict: Verdict, reason: str, *flags: str) -> None:
        super().__init__(reason)
        self.verdict, self.reason, self.flags = verdict, reason, flags


class KeyUnavailable(Exception):
    """DNS didn't say whether there is a key. Not a DKIMException, so that dkimpy can't turn it into a failure."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What verify_sig learned besides its answer."""

    key: Key | None = None
    record: str = ""


NOT_CHECKED = Checked()


class Verifier(dkim.DKIM):  # type: ignore[misc]
    """dkimpy's DKIM over a Prepared message. One per message; ``verify(idx, dnsfunc=...)`` is dkimpy's own."""

    def __init__(
        self, prepared: Prepared, keys: KeyStore, now_s: float, parsed: Sequence[dict[bytes, bytes] | None] = ()
    ) -> None:
        self.prepared, self.keys, self.now_s, self.parsed = prepared, keys, now_s, parsed
        self.checked = NOT_CHECKED
        super().__init__()

    def set_message(self, message: Any) -> None:
        """Nothing is parsed again: the prepared fields are dkimpy's headers."""
        super().set_message(None)
        self.headers = self.prepared.headers

    def verify_headerprep(self, idx: int = 0) -> Any:
        """Tags of signature ``idx``, checked; raises Refused."""
        positions = self.prepared.index.get(b"dkim-signature", ())
        if len(positions) <= idx:
            return False
        fields = [self.headers[at] for at in positions]
        known = self.parsed[idx] if idx < len(self.parsed) else None
        sig = self.signature_fields = known or tags_of(fields[idx][1])
        self.checked = NOT_CHECKED
        _check_tags(sig)
        include = [name.strip().lower() for name in sig[b"h"].split(b":")]
        if b"from" not in include:
            raise Refused(Verdict.PERMERROR, "From is not signed", "from_unsigned")
        self.include_headers = tuple(include)
        _check_times(sig, self.now_s)
        if b"l" in sig:
            raise Refused(Verdict.POLICY, "l= leaves room for unsigned content", "length")
        return sig, include, fields

    def verify_sig(self, sig: Any, include_headers: list[bytes], sig_header: tuple[bytes, bytes], dnsfunc: Any) -> bool:
        """Whether body and header match the signature; raises Refused or KeyUnavailable."""
        key = self._key(sig, dnsfunc)
        policy = _policy(sig)
        _check_key(sig, key)
        if binascii_hash(sig[b"bh"]) != self.prepared.body_hash(policy.body_algorithm.name == b"relaxed"):
            raise Refused(Verdict.FAIL, "body hash did not verify")
        # One From more than was signed: a From added later breaks the signature (dkimpy does the same).
        return verify_headers(self.prepared, key, sig, [*include_headers, b"from"], sig_header, policy)

    def _key(self, sig: Any, dnsfunc: Any) -> Key:
        record = dnsfunc(key_name(sig).encode() + b".")
        if record is None:
            raise Refused(Verdict.PERMERROR, "no key for signature")
        key = self.keys.get(record)
        shown = record[:1024].decode("ascii", "replace")
        if isinstance(key, BadKey):
            self.checked = Checked(record=shown)
            raise Refused(Verdict.PERMERROR, key.reason)
        self.checked = Checked(key, shown)
        return key


def verify_headers(
    prepared: Prepared, key: Key, sig: Any, names: Sequence[bytes], field: tuple[bytes, bytes], policy: Any
) -> bool:
    """Hash the named fields and the signature field itself without b=, and check ``b=`` by ``key`` (RFC 6376 3.7)."""
    relaxed = policy.header_algorithm.name == b"relaxed"
    name, value = field[0], without_signature(field[1])
    own = relaxed_field(name, value) if relaxed else name + b":" + value
    # A tag list may end in blanks: the field is hashed without its CRLF, and nothing else is removed in simple form.
    digest = hashlib.sha256(prepared.signed_headers(names, relaxed) + own.removesuffix(b"\r\n")).digest()
    return key.verifies(digest, binascii_hash(sig[b"b"]))


def tags_of(value: bytes) -> dict[bytes, bytes]:
    """The tags of a signature field (RFC 6376 3.2, as lenient as dkimpy in what a name holds); raises Refused."""
    if len(value) > MAX_FIELD:
        raise Refused(Verdict.PERMERROR, "signature field too long")
    tags: dict[bytes, bytes] = {}
    pieces = value.strip().split(b";")
    if not pieces[-1]:  # the list may end in a semicolon
        pieces.pop()
    for piece in pieces:
        name, equals, content = piece.partition(b"=")
        name = name.strip()
        if not equals or name in tags or not name[:1].isalpha():
            raise Refused(Verdict.PERMERROR, "malformed tag list")
        tags[name] = content.strip()
    return tags


def key_name(sig: dict[bytes, bytes]) -> str:
    """Where the key is: ``selector._domainkey.domain`` in A-labels, or ``""``."""
    selector, domain = (to_ascii(sig.get(tag, b"").decode("utf-8", "replace")) for tag in (b"s", b"d"))
    return f"{selector}._domainkey.{domain}" if selector and domain else ""


def binascii_hash(value: bytes) -> bytes:
    """Base64 with folding; raises Refused."""
    try:
        return binascii.a2b_base64(b"".join(value.split()), strict_mode=True)
    except ValueError:
        raise Refused(Verdict.PERMERROR, "malformed base64") from None


def _policy(sig: dict[bytes, bytes]) -> Any:
    try:
        return CanonicalizationPolicy.from_c_value(sig.get(b"c", b"simple/simple").lower())
    except InvalidCanonicalizationPolicyError:
        raise Refused(Verdict.PERMERROR, "unknown canonicalisation") from None


def _check_tags(sig: dict[bytes, bytes]) -> None:
    for tag in (b"v", b"a", b"b", b"bh", b"d", b"h", b"s"):
        if not sig.get(tag):
            raise Refused(Verdict.PERMERROR, f"missing {tag.decode()}=")
    if sig[b"v"] != b"1":
        raise Refused(Verdict.PERMERROR, "unknown version")
    algorithm = sig[b"a"].lower()
    if algorithm == b"rsa-sha1":
        raise Refused(Verdict.PERMERROR, "rsa-sha1 is not accepted (RFC 8301)", "weak_algorithm")
    if algorithm not in (b"rsa-sha256", b"ed25519-sha256"):
        raise Refused(Verdict.PERMERROR, "unknown algorithm")
    if not key_name(sig):
        raise Refused(Verdict.PERMERROR, "d= or s= is not a name")
    if b"q" in sig and b"dns/txt" not in [method.strip().lower() for method in sig[b"q"].split(b":")]:
        raise Refused(Verdict.PERMERROR, "unknown key lookup method")
    domain = to_ascii(sig[b"d"].decode("utf-8", "replace"))
    identity = to_ascii(sig.get(b"i", b"@" + sig[b"d"]).rpartition(b"@")[2].decode("utf-8", "replace"))
    if not identity or not is_below(identity, domain):
        raise Refused(Verdict.PERMERROR, "i= is not below d=")
    _policy(sig)


def _check_times(sig: dict[bytes, bytes], now_s: float) -> None:
    times = {}
    for tag in (b"t", b"x"):
        if tag in sig:
            if not sig[tag].isdigit() or len(sig[tag]) > 12:  # 12 digits reach beyond the year 30000 (RFC 6376 3.5)
                raise Refused(Verdict.PERMERROR, f"malformed {tag.decode()}=")
            times[tag] = int(sig[tag])
    signed, expires = times.get(b"t"), times.get(b"x")
    if signed is not None and expires is not None and expires <= signed:
        raise Refused(Verdict.PERMERROR, "x= is not after t=")
    if signed is not None and signed > now_s + FUTURE_S:
        raise Refused(Verdict.POLICY, "signed in the future", "future")
    if expires is not None and expires < now_s:
        raise Refused(Verdict.POLICY, "signature expired", "expired")


def _check_key(sig: dict[bytes, bytes], key: Key) -> None:
    if sig[b"a"].lower() != key.kind.encode() + b"-sha256":
        raise Refused(Verdict.PERMERROR, "key type doesn't fit a=")
    if key.hashes and b"sha256" not in key.hashes:
        raise Refused(Verdict.PERMERROR, "key doesn't allow sha256 (h=)")
    if key.strict and b"i" in sig and sig[b"i"].rpartition(b"@")[2].lower() != sig[b"d"].lower():
        raise Refused(Verdict.PERMERROR, "key demands i= in the very domain (t=s)")
    if key.kind == "rsa" and key.bits < MIN_RSA_BITS:
        raise Refused(Verdict.POLICY, f"{key.bits}-bit key is too weak", "weak_key")


def key_lookup(prefetched: Prefetched) -> Any:
    """dkimpy's ``dnsfunc`` over prefetched answers: bytes, or None where there is surely no key; raises KeyUnavailable."""

    def txt(name: bytes, timeout: float = 0) -> bytes | None:
        answer: Answer = prefetched.get(name.decode().removesuffix("."), "TXT")
        if answer.status is Status.TEMPERROR:
            raise KeyUnavailable(answer.detail or "DNS error")
        if len(answer.strings) > 1:
            raise Refused(Verdict.PERMERROR, "several key records")
        return answer.strings[0] if answer.strings else None

    return txt


async def fetch_keys(prefetched: Prefetched, names: Sequence[str]) -> bool:
    """Have these keys ready; False if DNS took too long."""
    wanted = [(name, "TXT") for name in dict.fromkeys(names) if name]
    if prefetched.have(wanted):
        return True
    try:
        async with asyncio.timeout(KEY_TIMEOUT_S):
            await prefetched.fetch(wanted)
    except TimeoutError:
        return False
    return True


async def hash_bodies(prepared: Prepared, forms: set[bool]) -> None:
    """Hash the body in these forms (True: relaxed), in a thread if it is large."""
    if len(prepared.body) > THREAD_BYTES:
        for form in forms:
            await asyncio.to_thread(prepared.body_hash, form)


async def verify(
    prepared: Prepared, resolver: Resolver, keys: KeyStore, now_s: float, authors: Sequence[str] = ()
) -> tuple[Dkim, ...]:
    """The verdicts on at most MAX_SIGNATURES signatures, top first; ``()`` if there is none. Never raises for what a mail says.

    With more signatures than that, those that could align with ``authors`` come before the others.
    """
    positions = prepared.index.get(b"dkim-signature", ())[:MAX_READ]
    if not positions:
        return ()
    everything = [_tags_or_none(prepared.headers[at][1][:-2]) for at in positions]
    numbers = _choose(everything, authors)
    parsed = [everything[number] for number in numbers]
    prefetched = Prefetched(resolver, MAX_SIGNATURES)
    if not await fetch_keys(prefetched, [key_name(sig) for sig in parsed if sig]):
        return tuple(_describe(sig, Verdict.TEMPERROR, "DNS took too long") for sig in parsed)
    await hash_bodies(prepared, {b"/relaxed" in sig.get(b"c", b"").lower() for sig in parsed if sig})
    verifier = Verifier(prepared, keys, now_s, everything)
    lookup = key_lookup(prefetched)
    return tuple(_judge(verifier, number, sig, lookup) for number, sig in zip(numbers, parsed, strict=True))


def _choose(signatures: Sequence[dict[bytes, bytes] | None], authors: Sequence[str]) -> list[int]:
    """Which signatures are verified, in their order."""
    numbers = list(range(len(signatures)))
    if len(numbers) <= MAX_SIGNATURES:
        return numbers
    ends = {tuple(author.split(".")[-2:]) for author in authors}

    def stranger(number: int) -> bool:
        name = key_name(signatures[number] or {})
        return tuple(name.split(".")[-2:]) not in ends

    return sorted(sorted(numbers, key=stranger)[:MAX_SIGNATURES])


def _tags_or_none(value: bytes) -> dict[bytes, bytes] | None:
    try:
        return tags_of(value)
    except Refused:
        return None


def _judge(verifier: Verifier, number: int, sig: dict[bytes, bytes] | None, lookup: Any) -> Dkim:
    flags: list[str] = []
    try:
        valid = verifier.verify(number, dnsfunc=lookup)
        verdict, reason = (Verdict.PASS, "") if valid else (Verdict.FAIL, "signature did not verify")
    except Refused as refusal:
        verdict, reason, flags = refusal.verdict, refusal.reason, list(refusal.flags)
    except KeyUnavailable as error:
        verdict, reason = Verdict.TEMPERROR, f"key unavailable: {error}"
    except (dkim.DKIMException, ValueError, TypeError, LookupError) as error:
        # dkimpy meeting fields it was not written for (a first line that is folded, odd bytes): the signature is at fault.
        verdict, reason = Verdict.PERMERROR, f"malformed ({type(error).__name__})"
    if verdict is Verdict.PASS and (duplicates := verifier.prepared.duplicates()):
        verdict, reason = Verdict.POLICY, f"{', '.join(duplicates)} occurs more than once"
        flags.append("duplicate_header")
    flags += _remarks(verifier, verdict, flags)
    return _describe(sig, verdict, reason, tuple(flags), verifier.checked)


def _remarks(verifier: Verifier, verdict: Verdict, flags: list[str]) -> Iterator[str]:
    """What else is odd about a signature whose key is known."""
    key = verifier.checked.key
    if key is None:
        return
    if key.testing:
        yield "testing"
    if key.kind == "rsa" and key.bits < GOOD_RSA_BITS and "weak_key" not in flags:
        yield "weak_key"
    if verdict is Verdict.PASS:
        for name in WORTH_SIGNING:
            if name in verifier.prepared.index and name not in verifier.include_headers:
                yield f"unsigned_{name.decode()}"


def _describe(
    sig: dict[bytes, bytes] | None,
    verdict: Verdict,
    reason: str,
    flags: tuple[str, ...] = (),
    checked: Checked = NOT_CHECKED,
) -> Dkim:
    sig = sig or {}
    domain, selector = (to_ascii(sig.get(tag, b"").decode("utf-8", "replace")) for tag in (b"d", b"s"))
    identity = sig.get(b"i", b"")[:320].decode("utf-8", "replace")
    algorithm = sig.get(b"a", b"")[:32].decode("ascii", "replace").lower()
    signature = b"".join(sig.get(b"b", b"")[:64].split())[:8].decode("ascii", "replace")
    bits = checked.key.bits if checked.key else 0
    return Dkim(verdict, domain, selector, identity, algorithm, bits, checked.record, reason, signature, flags)
