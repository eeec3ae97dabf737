"""DMARC: records of either age, the tree walk, alignment, and what DNS trouble may not become."""

from typing import Any

import pytest

from scanners.authentication import dmarc
from scanners.authentication.domains import public_suffixes
from scanners.authentication.verdicts import Disposition, Dkim, Dmarc, Spf, Verdict
from tests.fakes.resolver import SERVFAIL, FakeResolver

NO_SPF = Spf(Verdict.FAIL, "elsewhere.test")


def zone(**records: Any) -> dict[str, Any]:
    """``a_test="v=DMARC1; ..."`` -> its _dmarc record, and the name itself exists."""
    made: dict[str, Any] = {}
    for key, record in records.items():
        domain = key.replace("_", ".")
        made[f"_dmarc.{domain}"] = (
            record if record == SERVFAIL else {"TXT": [record] if isinstance(record, str) else record}
        )
        made.setdefault(domain, {"A": ["192.0.2.1"]})
    return made


def spf(domain: str, verdict: Verdict = Verdict.PASS) -> Spf:
    return Spf(verdict, domain)


def dkim(domain: str, verdict: Verdict = Verdict.PASS) -> Dkim:
    return Dkim(verdict, domain)


async def check(author: str, data: dict[str, Any], spf: Spf = NO_SPF, *signed: Dkim) -> Dmarc:
    return await dmarc.check(FakeResolver(data), author, spf, signed, public_suffixes())


@pytest.mark.parametrize(
    ("spf", "signed", "record", "verdict", "aligned"),
    [
        (spf("a.test"), (), "v=DMARC1; p=reject", "pass", (True, False)),
        (NO_SPF, (dkim("a.test"),), "v=DMARC1; p=reject", "pass", (False, True)),
        (spf("a.test"), (dkim("a.test"),), "v=DMARC1; p=reject", "pass", (True, True)),
        (spf("bounce.a.test"), (), "v=DMARC1; p=reject", "pass", (True, False)),
        (spf("bounce.a.test"), (), "v=DMARC1; p=reject; aspf=s", "fail", (False, False)),
        (NO_SPF, (dkim("x.y.a.test"),), "v=DMARC1; p=reject", "pass", (False, True)),
        (NO_SPF, (dkim("x.a.test"),), "v=DMARC1; p=reject; adkim=s", "fail", (False, False)),
        (NO_SPF, (dkim("x.a.test"),), "v=DMARC1; p=reject; adkim=S;aspf=s", "fail", (False, False)),
        (spf("nota.test"), (dkim("a.test.evil.test"),), "v=DMARC1; p=reject", "fail", (False, False)),
        (spf("test"), (dkim("test"),), "v=DMARC1; p=reject", "fail", (False, False)),
        (spf("a.test", Verdict.SOFTFAIL), (), "v=DMARC1; p=reject", "fail", (False, False)),
        (spf("a.test", Verdict.NEUTRAL), (), "v=DMARC1; p=reject", "fail", (False, False)),
        (NO_SPF, (dkim("a.test", Verdict.POLICY),), "v=DMARC1; p=reject", "fail", (False, False)),
        (NO_SPF, (dkim("evil.test"), dkim("a.test")), "v=DMARC1; p=reject", "pass", (False, True)),
        (NO_SPF, (dkim("a.test", Verdict.FAIL), dkim("a.test")), "v=DMARC1; p=reject", "pass", (False, True)),
    ],
)
async def test_alignment(
    spf: Spf, signed: tuple[Dkim, ...], record: str, verdict: str, aligned: tuple[bool, bool]
) -> None:
    result = await check("a.test", zone(a_test=record), spf, *signed)
    assert (result.verdict, (result.spf_aligned, result.dkim_aligned)) == (verdict, aligned), result


@pytest.mark.parametrize(
    ("record", "verdict", "requested", "disposition"),
    [
        ("v=DMARC1; p=none", "fail", "none", "none"),
        ("v=DMARC1; p=quarantine", "fail", "quarantine", "quarantine"),
        ("v=DMARC1;p=reject", "fail", "reject", "reject"),
        ("v=DMARC1; P = REJECT ;", "fail", "reject", "reject"),
        ("v = DMARC1 ; p=reject", "fail", "reject", "reject"),
        ("v=DMARC1; p=reject; t=y", "fail", "reject", "none"),
        ("v=DMARC1; p=reject; pct=0", "fail", "reject", "reject"),
        ("v=DMARC1; p=reject; pct=banana; ri=x; unknown=1", "fail", "reject", "reject"),
        ("v=DMARC1; sp=none; p=reject", "fail", "reject", "reject"),
        ("v=DMARC1", "fail", "none", "none"),
        ("v=DMARC1; p=rejct; rua=mailto:x@a.test", "fail", "none", "none"),
        ("v=DMARC1; p=rejct", "permerror", "none", "none"),
        ("v=DMARC1; p=reject; sp=x", "permerror", "none", "none"),
        ("v=DMARC2; p=reject", "none", "none", "none"),
        ("v=dmarc1; p=reject", "none", "none", "none"),
        ("p=reject; v=DMARC1", "none", "none", "none"),
        ("V=DMARC1; p=reject", "none", "none", "none"),
        ("v=DMARC1; p=reject; p=none", "fail", "reject", "reject"),
        (["v=DMARC1; p=reject", "v=DMARC1; p=none"], "permerror", "none", "none"),
        (["v=DMARC1; p=reject", "some other text"], "fail", "reject", "reject"),
        ([["v=DMARC1; ", "p=reject"]], "fail", "reject", "reject"),
        ([b"v=DMARC1; p=reject; x=\xff"], "fail", "reject", "reject"),
    ],
)
async def test_records(record: Any, verdict: str, requested: str, disposition: str) -> None:
    result = await check("a.test", zone(a_test=record))
    assert (result.verdict, result.requested, result.disposition) == (verdict, requested, disposition), result


TREE = zone(
    a_test="v=DMARC1; p=reject; sp=quarantine; np=none",
    own_a_test="v=DMARC1; p=none",
    reg="v=DMARC1; p=reject; np=quarantine; psd=y",
    shop_reg="v=DMARC1; p=none",
    cut_big_test="v=DMARC1; p=quarantine; psd=n",
    big_test="v=DMARC1; p=reject",
    co_uk="v=DMARC1; p=reject",
)
TREE |= {"sub.a.test": {"A": ["192.0.2.1"]}, "free.reg": {"A": ["192.0.2.1"]}, "one.co.uk": {"A": ["192.0.2.1"]}}


@pytest.mark.parametrize(
    ("author", "record_domain", "requested"),
    [
        ("a.test", "a.test", "reject"),
        ("sub.a.test", "a.test", "quarantine"),
        ("absent.a.test", "a.test", "none"),
        ("own.a.test", "own.a.test", "none"),
        ("deep.absent.own.a.test", "a.test", "none"),
        ("free.reg", "reg", "reject"),
        ("absent.reg", "reg", "quarantine"),
        ("shop.reg", "shop.reg", "none"),
        ("x.shop.reg", "shop.reg", "none"),
        ("x.cut.big.test", "cut.big.test", "quarantine"),
        ("one.co.uk", "co.uk", "reject"),
        (".".join("abcdefghijk") + ".a.test", "a.test", "none"),
    ],
)
async def test_policy_discovery(author: str, record_domain: str, requested: str) -> None:
    result = await check(author, TREE)
    assert (result.verdict, result.record_domain, result.requested) == (Verdict.FAIL, record_domain, requested)


@pytest.mark.parametrize(
    ("author", "identifier", "verdict"),
    [
        ("x.shop.reg", "shop.reg", "pass"),
        ("shop.reg", "free.reg", "fail"),
        ("free.reg", "x.free.reg", "pass"),
        ("x.cut.big.test", "y.cut.big.test", "pass"),
        ("x.cut.big.test", "big.test", "fail"),
        ("x.big.test", "big.test", "pass"),
        # A registry's record without psd=y: the public suffix list keeps its registrants apart.
        ("one.co.uk", "two.co.uk", "fail"),
        ("one.co.uk", "x.one.co.uk", "pass"),
    ],
)
async def test_organizations(author: str, identifier: str, verdict: str) -> None:
    assert (await check(author, TREE, spf(identifier))).verdict == verdict


async def test_a_walk_asks_eight_names_at_most_and_an_exact_match_one() -> None:
    resolver = FakeResolver({})
    await dmarc.check(resolver, ".".join("abcdefghijklmn"), NO_SPF, ())
    assert len(resolver.asked) == 8
    resolver = FakeResolver(TREE)
    await dmarc.check(resolver, "a.test", spf("a.test"), (dkim("esp.example"),))
    assert resolver.asked == [("_dmarc.a.test", "TXT")]


@pytest.mark.parametrize(
    ("data", "spf", "signed", "verdict"),
    [
        (zone(a_test=SERVFAIL), spf("a.test"), (), "temperror"),
        (zone(a_test=SERVFAIL), NO_SPF, (), "temperror"),
        (zone(a_test="v=DMARC1; p=reject"), spf("a.test", Verdict.TEMPERROR), (), "temperror"),
        (zone(a_test="v=DMARC1; p=reject"), NO_SPF, (dkim("a.test", Verdict.TEMPERROR),), "temperror"),
        (zone(a_test="v=DMARC1; p=reject"), NO_SPF, (dkim("x.a.test", Verdict.TEMPERROR),), "temperror"),
        (zone(a_test="v=DMARC1; p=reject"), spf("evil.test", Verdict.TEMPERROR), (), "fail"),
        (zone(a_test="v=DMARC1; p=reject"), NO_SPF, (dkim("evil.test", Verdict.TEMPERROR),), "fail"),
        (zone(a_test="v=DMARC1; p=reject"), spf("a.test", Verdict.TEMPERROR), (dkim("a.test"),), "pass"),
        (zone(a_test="v=DMARC1; p=reject"), Spf(Verdict.NONE, "a.test", judged=False), (), "none"),
        (zone(a_test="v=DMARC1; p=reject"), Spf(Verdict.NONE, "a.test", judged=False), (dkim("a.test"),), "pass"),
        ({}, spf("a.test"), (), "none"),
    ],
)
async def test_what_nobody_knows_is_neither_pass_nor_fail(
    data: dict[str, Any], spf: Spf, signed: tuple[Dkim, ...], verdict: str
) -> None:
    result = await check("a.test", data, spf, *signed)
    assert result.verdict == verdict, result


async def test_an_error_above_the_author_is_temperror_too() -> None:
    data = zone(a_test=SERVFAIL) | {"sub.a.test": {"A": ["192.0.2.1"]}}
    assert (await check("sub.a.test", data)).verdict is Verdict.TEMPERROR
    # ... but a registry that answers badly about itself is no reason to hold all mail below it.
    assert (
        await check("a.test", zone(test=SERVFAIL, a_test="v=DMARC1; p=reject"), spf("x.a.test"))
    ).verdict is Verdict.PASS


def made(verdict: Verdict, disposition: Disposition = Disposition.NONE) -> Dmarc:
    return Dmarc(verdict, disposition=disposition)


@pytest.mark.parametrize(
    ("results", "ambiguous", "verdict"),
    [
        ((), ("missing",), "permerror"),
        ((made(Verdict.PASS),), (), "pass"),
        ((made(Verdict.PASS),), ("several_mailboxes",), "pass"),
        ((made(Verdict.PASS),), ("address_in_name",), "pass"),
        ((made(Verdict.PASS),), ("several_fields",), "permerror"),
        ((made(Verdict.PASS),), ("control",), "permerror"),
        ((made(Verdict.PASS), made(Verdict.FAIL, Disposition.REJECT)), (), "fail"),
        ((made(Verdict.PASS), made(Verdict.NONE)), (), "permerror"),
        ((made(Verdict.NONE), made(Verdict.NONE)), (), "none"),
        ((made(Verdict.PASS), made(Verdict.TEMPERROR)), (), "temperror"),
    ],
)
def test_join(results: tuple[Dmarc, ...], ambiguous: tuple[str, ...], verdict: str) -> None:
    assert dmarc.join(results, ambiguous).verdict == verdict


def test_the_strictest_policy_wins_a_join() -> None:
    results = (made(Verdict.FAIL, Disposition.NONE), made(Verdict.FAIL, Disposition.REJECT))
    assert dmarc.join(results, ()).disposition is Disposition.REJECT
