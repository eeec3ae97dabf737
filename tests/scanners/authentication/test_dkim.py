"""DKIM: every way we differ from stock dkimpy, what stays equal to it, and hostile fields at scale."""

import base64
import time
from typing import Any

import dkim as dkimpy
import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners.authentication import canonical, dkim, keys
from scanners.authentication.verdicts import Dkim, Verdict
from tests.cost import TRIES
from tests.fakes.resolver import SERVFAIL, FakeResolver
from tests.scanners.authentication.mail import NOW, PLAIN, ed_key, pem, prepare, record, rsa_key, sign

KEY = "s._domainkey.a.test"
ZONE: dict[str, Any] = {KEY: {"TXT": [record()]}}
H = [b"from", b"to", b"subject", b"date", b"message-id", b"content-type"]
AT = int(NOW.timestamp())


async def verify(raw: bytes, zone: dict[str, Any] | None = None) -> tuple[Dkim, ...]:
    return await dkim.verify(prepare(raw), FakeResolver(zone or ZONE), keys.KeyStore(), NOW.timestamp())


async def one(raw: bytes, zone: dict[str, Any] | None = None) -> Dkim:
    (result,) = await verify(raw, zone)
    return result


async def test_pass_and_what_is_said_about_it() -> None:
    result = await one(sign(PLAIN))
    assert (result.verdict, result.domain, result.selector, result.bits) == (Verdict.PASS, "a.test", "s", 2048)
    assert result.record.startswith("v=DKIM1; p=")
    assert result.algorithm == "rsa-sha256"
    assert result.flags == ()


@pytest.mark.parametrize("header", [b"relaxed", b"simple"])
@pytest.mark.parametrize("body", [b"relaxed", b"simple"])
async def test_what_dkimpy_signs_verifies(header: bytes, body: bytes) -> None:
    field = dkimpy.sign(PLAIN, b"s", b"a.test", pem(), canonicalize=(header, body), include_headers=H)
    (result,) = await dkim.verify(prepare(field + PLAIN), FakeResolver(ZONE), keys.KeyStore(), time.time())
    assert result.verdict is Verdict.PASS


async def test_ed25519() -> None:
    result = await one(sign(PLAIN, key=ed_key()), {KEY: {"TXT": [record(ed_key())]}})
    assert (result.verdict, result.bits, result.flags) == (Verdict.PASS, 256, ())


async def test_no_signature() -> None:
    assert await verify(PLAIN) == ()


@pytest.mark.parametrize(
    ("raw", "verdict", "reason"),
    [
        (sign(PLAIN).replace(b"Hello", b"Hallo"), "fail", "body hash"),
        (sign(PLAIN).replace(b"Subject: hello", b"Subject: Hello"), "fail", "signature"),
        (sign(PLAIN) + b"more\r\n", "fail", "body hash"),
        (sign(PLAIN, h="to:subject"), "permerror", "From"),
        (sign(PLAIN, h="to:from-x:xfrom"), "permerror", "From"),
        (sign(PLAIN, algorithm="rsa-sha1"), "permerror", "sha1"),
        (sign(PLAIN, algorithm="rsa-md5"), "permerror", "algorithm"),
        (sign(PLAIN, algorithm="ed25519-sha256"), "permerror", "key type"),
        (sign(PLAIN, extra="l=5; ", body=b"Hello") + b"more\r\n", "policy", "l="),
        (sign(PLAIN, extra=f"x={AT - 1}; "), "policy", "expired"),
        (sign(PLAIN, extra=f"t={AT - 9}; x={AT + 9}; "), "pass", ""),
        (sign(PLAIN, extra=f"t={AT + 3600}; "), "policy", "future"),
        (sign(PLAIN, extra=f"t={AT + 60}; "), "pass", ""),
        (sign(PLAIN, extra=f"t={AT}; x={AT - 5}; "), "permerror", "x="),
        (sign(PLAIN, extra="t=-1; "), "permerror", "t="),
        (sign(PLAIN, extra="t=" + "9" * 5000 + "; "), "permerror", "t="),
        (sign(PLAIN, extra="i=@b.test; "), "permerror", "i="),
        (sign(PLAIN, extra="i=joe@sub.a.test; "), "pass", ""),
        (sign(PLAIN, extra="i=@nota.test; "), "permerror", "i="),
        (sign(PLAIN, extra="q=http; "), "permerror", "lookup"),
        (sign(PLAIN, extra="q=x:dns/txt; "), "pass", ""),
        (sign(PLAIN, extra="c=loose/loose; "), "permerror", "canonicalisation"),
        (sign(PLAIN, extra="d=b.test; "), "permerror", "tag list"),
        (sign(PLAIN, domain="no_such.test"), "permerror", "no key"),
        (sign(PLAIN, domain="[192.0.2.1]"), "permerror", "name"),
        (b"DKIM-Signature: v=1; a=rsa-sha256\r\n" + PLAIN, "permerror", "missing"),
        (b"DKIM-Signature: complete nonsense\r\n" + PLAIN, "permerror", "tag list"),
        (b"DKIM-Signature:\r\n" + PLAIN, "permerror", "missing"),
        (sign(PLAIN).replace(b" bh=", b" bh=!!"), "permerror", "base64"),
        (sign(PLAIN).replace(b"v=1;", b"v=2;"), "permerror", "version"),
    ],
)
async def test_verdicts(raw: bytes, verdict: str, reason: str) -> None:
    result = await one(raw)
    assert result.verdict == verdict, result
    assert reason in result.reason


@pytest.mark.parametrize("name", ["From", "Subject", "Date", "To", "Message-ID", "Content-Type", "Reply-To", "Cc"])
async def test_a_doubled_singleton_makes_a_valid_signature_not_count(name: str) -> None:
    original = sign(PLAIN if f"\r\n{name}:".encode() in b"\r\n" + PLAIN else f"{name}: x@a.test\r\n".encode() + PLAIN)
    assert (await one(original)).verdict is Verdict.PASS
    result = await one(f"{name}: other@evil.test\r\n".encode() + original)
    assert result.verdict in (Verdict.POLICY, Verdict.FAIL)
    if result.verdict is Verdict.POLICY:
        assert "duplicate_header" in result.flags


async def test_l_never_authenticates_even_when_it_covers_everything() -> None:
    raw = b"From: a@a.test\r\n\r\nHello"
    result = await one(sign(raw, h="from", extra="l=5; ", body=b"Hello"))
    assert (result.verdict, result.flags) == (Verdict.POLICY, ("length",))


async def test_unsigned_fields_are_remarked_on() -> None:
    assert (await one(sign(PLAIN, h="from"))).flags == tuple(
        f"unsigned_{name}" for name in ("subject", "date", "to", "content-type")
    )


@pytest.mark.parametrize(
    ("txt", "verdict", "reason", "flag"),
    [
        ([record(tags="v=DKIM1; h=sha1; ")], "permerror", "sha256", ""),
        ([record(tags="v=DKIM1; h=sha1:sha256; ")], "pass", "", ""),
        ([record(tags="v=DKIM1; s=tlsrpt; ")], "permerror", "mail", ""),
        ([record(tags="v=DKIM1; s=tlsrpt:email; ")], "pass", "", ""),
        ([record(tags="v=DKIM1; t=y; ")], "pass", "", "testing"),
        ([record(tags="v=DKIM2; ")], "permerror", "DKIM1", ""),
        ([record(tags="")], "pass", "", ""),
        ([record(tags="k=rsa; v=DKIM1; ")], "permerror", "DKIM1", ""),
        (["v=DKIM1; p="], "permerror", "revoked", ""),
        (["v=DKIM1; k=rsa"], "permerror", "p=", ""),
        (["v=DKIM1; k=dsa; p=AAAA"], "permerror", "key type", ""),
        (["v=DKIM1; p=!!!!"], "permerror", "unreadable", ""),
        (["v=DKIM1; p=AAAA"], "permerror", "unreadable", ""),
        (["hello; world"], "permerror", "malformed", ""),
        ([record(), record()], "permerror", "several", ""),
        ([[record()[:100], record()[100:]]], "pass", "", ""),
        (["v=DKIM1; p=" + "A" * 60_000], "permerror", "too long", ""),
    ],
)
async def test_key_records(txt: list[Any], verdict: str, reason: str, flag: str) -> None:
    result = await one(sign(PLAIN), {KEY: {"TXT": txt}})
    assert result.verdict == verdict, result
    assert reason in result.reason
    assert flag in (*result.flags, "")


async def test_a_strict_key_wants_the_very_domain() -> None:
    zone = {KEY: {"TXT": [record(tags="v=DKIM1; t=y:s; ")]}}
    assert (await one(sign(PLAIN, extra="i=@sub.a.test; "), zone)).verdict is Verdict.PERMERROR
    assert (await one(sign(PLAIN, extra="i=@a.test; "), zone)).verdict is Verdict.PASS


async def test_key_sizes() -> None:
    middle = await one(sign(PLAIN, key=rsa_key(1024)), {KEY: {"TXT": [record(rsa_key(1024))]}})
    assert (middle.verdict, middle.flags) == (Verdict.PASS, ("weak_key",))
    weak = keys.Key(rsa_key(1024).public_key(), 768, frozenset(), strict=False, testing=False)
    with pytest.raises(dkim.Refused, match="weak"):
        dkim._check_key({b"a": b"rsa-sha256", b"d": b"a.test"}, weak)


async def test_dns_trouble_is_temperror_never_fail() -> None:
    result = await one(sign(PLAIN), {KEY: SERVFAIL})
    assert result.verdict is Verdict.TEMPERROR
    # Even when the body hash is wrong: nobody asked for the key says whose signature that was.
    assert (await one(sign(PLAIN) + b"x", {KEY: SERVFAIL})).verdict is Verdict.TEMPERROR


async def test_several_signatures_each_get_a_verdict_up_to_the_cap() -> None:
    raw = PLAIN
    for number in range(dkim.MAX_SIGNATURES + 3):
        raw = sign(raw, selector="s" if number % 2 else "gone")
    results = await verify(raw)
    assert len(results) == dkim.MAX_SIGNATURES
    assert {result.verdict for result in results} == {Verdict.PASS, Verdict.PERMERROR}


async def test_beyond_the_cap_the_authors_own_signature_comes_first() -> None:
    raw = sign(PLAIN)
    for _ in range(dkim.MAX_SIGNATURES + 3):
        raw = sign(raw, domain="forwarder.test")
    results = await dkim.verify(prepare(raw), FakeResolver(ZONE), keys.KeyStore(), NOW.timestamp(), ("sub.a.test",))
    assert len(results) == dkim.MAX_SIGNATURES
    assert [result.verdict for result in results if result.domain == "a.test"] == [Verdict.PASS]


async def test_internationalised_signers() -> None:
    zone = {"s._domainkey.xn--fsqu00a.test": {"TXT": [record()]}}
    result = await one(sign(PLAIN, domain="xn--fsqu00a.test"), zone)
    assert (result.verdict, result.domain) == (Verdict.PASS, "xn--fsqu00a.test")
    raw = sign(PLAIN, domain="例子.test", extra="i=张三@例子.test; ")
    assert (await one(raw, zone)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "raw",
    [
        b" folded: first\r\n" + sign(PLAIN),
        b"\tfolded\r\n" + sign(PLAIN),
        b"no colon here\r\n" + sign(PLAIN),
        b"\xff\xfe: x\r\n" + sign(PLAIN),
        b": empty name\r\n" + sign(PLAIN),
        b"From joe Mon Jan 1 00:00:00 2024\r\n" + sign(PLAIN),
    ],
)
async def test_odd_lines_beside_a_signature_neither_crash_nor_change_it(raw: bytes) -> None:
    assert (await one(raw)).verdict is Verdict.PASS


async def test_an_empty_message() -> None:
    assert await verify(b"") == ()
    assert await verify(b"\r\n") == ()
    assert (await one(b"DKIM-Signature: v=1")).verdict is Verdict.PERMERROR


# --- canonical forms: equal to dkimpy's where dkimpy is right ---------------------------------------------------------------

blanks = st.text(alphabet=" \tab\r\n", max_size=60).map(lambda text: text.encode())
lines = st.lists(st.text(alphabet=" \tab", max_size=9), max_size=9).map(
    lambda parts: "".join(f"{p}\r\n" for p in parts)
)


def digest(octets: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(octets).digest()


@settings(max_examples=300)
@given(lines)
def test_bodies_as_dkimpy_makes_them(body: str) -> None:
    octets = body.encode()
    assert canonical.hash_body(octets, relaxed=True) == digest(Relaxed.canonicalize_body(octets))
    assert canonical.hash_body(octets, relaxed=False) == digest(Simple.canonicalize_body(octets))


@settings(max_examples=300)
@given(lines, st.integers(0, 9))
def test_bodies_in_blocks_as_in_one(body: str, before: int) -> None:
    """Blocks of four octets: every line is longer than one, or ends one."""
    octets = b"x" * before + body.encode()
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(canonical, "BLOCK", 4)
        found = canonical.hash_body(octets, relaxed=True, start=before)
    assert found == digest(Relaxed.canonicalize_body(octets[before:]))


@settings(max_examples=300)
@given(blanks)
def test_simple_bodies_with_stray_line_ends(body: bytes) -> None:
    assert canonical.hash_body(body, relaxed=False) == digest(Simple.canonicalize_body(body))


@settings(max_examples=200)
@given(
    st.sampled_from(["Subject", "X-y", "TO "]), st.lists(st.text(alphabet=" \tabc", max_size=9), min_size=1, max_size=5)
)
def test_fields_as_dkimpy_makes_them(name: str, parts: list[str]) -> None:
    value = "\r\n ".join(parts).encode() + b"\r\n"
    ((key, expected),) = Relaxed.canonicalize_headers([(name.encode(), value)])
    assert canonical.relaxed_field(name.encode(), value) == key + b":" + expected


@settings(max_examples=200)
@given(st.binary(max_size=400))
async def test_any_bytes_get_a_verdict(junk: bytes) -> None:
    for raw in (junk, b"DKIM-Signature: " + junk + b"\r\n" + PLAIN, sign(PLAIN)[:300] + junk):
        for result in await verify(raw):
            assert result.verdict in Verdict


# --- nothing grows faster than the mail ---------------------------------------------------------------------------------------

HOSTILE = {
    "blanks in the body": lambda n: sign(PLAIN, extra="c=relaxed/relaxed; ") + b" " * n,
    "tabs and blanks": lambda n: sign(PLAIN, extra="c=relaxed/relaxed; ") + b" \t" * (n // 2) + b"\r\n",
    "empty lines": lambda n: sign(PLAIN) + b"\r\n" * (n // 2),
    "stray line ends": lambda n: sign(PLAIN) + b"\r\n\n" * (n // 3),
    "blanks in b=": lambda n: b"DKIM-Signature: v=1; b=" + b" " * n + b"!\r\n" + PLAIN,
    "blanks in h=": lambda n: b"DKIM-Signature: v=1; h=" + b" " * n + b"\r\n" + PLAIN,
    "tags": lambda n: b"DKIM-Signature: " + b"".join(b"a%d=1;" % i for i in range(n // 8)) + b"\r\n" + PLAIN,
    "folded lines": lambda n: b"DKIM-Signature: v=1;\r\n" + b" \r\n" * (n // 3) + PLAIN,
    "folded Subject": lambda n: sign(PLAIN, extra="c=relaxed/simple; ").replace(
        b": hello", b": x" + b"\r\n y" * (n // 4)
    ),
    "many fields": lambda n: b"X: y\r\n" * (n // 6) + sign(PLAIN, h="from" + ":x" * 2000),
    "many names": lambda n: sign(PLAIN, h="from" + ":subject" * (n // 1000)),
    "blank Subject": lambda n: sign(PLAIN, extra="c=relaxed/simple; ").replace(b": hello", b":" + b" " * n),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_cost_is_linear(name: str) -> None:
    """Eight times the size may cost eight times, not sixty-four: the bound is half way on a log scale, and a floor hides noise."""
    small, large = HOSTILE[name](500_000), HOSTILE[name](4_000_000)
    for _ in range(TRIES):
        costs = []
        for raw in (small, large):
            prepared = prepare(raw)
            began = time.process_time()
            await dkim.verify(prepared, FakeResolver(ZONE, warm=True), keys.KeyStore(), NOW.timestamp())
            costs.append(time.process_time() - began)
        if costs[1] < max(24 * costs[0], 0.4):
            return
    pytest.fail(str(costs))


def test_parsed_keys_are_kept_by_content_within_a_bound() -> None:
    store = keys.KeyStore(max_keys=2)
    first = store.get(record().encode())
    assert store.get(record().encode()) is first
    for number in range(3):
        store.get(b"v=DKIM1; p=; n=%d" % number)
    assert store.get(record().encode()) is not first


def test_huge_exponents_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = RSAPublicNumbers(2**40 + 1, rsa_key().public_key().public_numbers().n).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = keys.parse(b"p=" + base64.b64encode(octets))
    assert isinstance(key, keys.BadKey)
