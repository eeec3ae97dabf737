"""SPF: the RFC 7208 suite through the pipeline's own function, then what the suite doesn't ask."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanners.answers import Answer
from scanners.authentication import spf
from scanners.authentication.verdicts import Verdict
from tests.fakes.resolver import FakeResolver

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("SEALGATE_SHARED", ROOT.parent / "shared"))
SUITE = SHARED / "data" / "rfc7208" / "rfc7208-tests.yml"
CASES_EXPECTED = 203

HARDENED: dict[str, str] = {}
"""Cases of the suite that we answer differently on purpose: name -> the hardening. None."""


def require(path: Path) -> None:
    if not path.exists():
        message = f"{path} missing: set SEALGATE_SHARED to the folder that holds data/"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def suite_zone(data: dict[str, list[Any]]) -> dict[str, Any]:
    """The suite's zone as FakeResolver wants it: SPF doubles as TXT unless TXT is given, TIMEOUT answers all other types."""
    zone: dict[str, Any] = {}
    for name, entries in data.items():
        types: dict[str, list[Any]] = {}
        timeout = False
        for entry in entries:
            if entry == "TIMEOUT":
                timeout = True
                continue
            ((rdtype, value),) = entry.items()
            types.setdefault(rdtype, []).append(value)
        if "SPF" in types and "TXT" not in types:
            types["TXT"] = types["SPF"]
        types = {rdtype: values for rdtype, values in types.items() if values != ["NONE"]}
        if "TXT" in types:
            types["TXT"] = [_bytes(value) for value in types["TXT"]]
        if timeout:
            types = {rdtype: types.get(rdtype, ["TIMEOUT"]) for rdtype in ("A", "AAAA", "MX", "PTR", "TXT")}
        zone[name] = types
    return zone


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(piece) for piece in value]
    return value.encode("latin-1")


def suite() -> list[Any]:
    if not SUITE.exists():
        return []
    cases = []
    for document in yaml.safe_load_all(SUITE.read_text(encoding="utf-8")):
        zone = suite_zone(document["zonedata"])
        cases += [pytest.param(zone, case, id=name) for name, case in document["tests"].items()]
    return cases


def test_the_suite_is_there_and_whole() -> None:
    require(SUITE)
    assert len(suite()) == CASES_EXPECTED


@pytest.mark.parametrize(("zone", "case"), suite())
async def test_rfc7208(zone: dict[str, Any], case: dict[str, Any], request: pytest.FixtureRequest) -> None:
    result = await spf.check(FakeResolver(zone), case["host"], case["helo"], case["mailfrom"])
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert result.verdict in allowed, (request.node.callspec.id, result)
    if result.verdict is Verdict.FAIL and (explanation := case.get("explanation")) not in (None, "DEFAULT"):
        assert result.explanation == explanation


ZONE: dict[str, Any] = {
    "ok.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "xn--fsqu00a.test": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "helo.test": {"TXT": ["v=spf1 ip4:192.0.2.9 -all"]},
    "redir.test": {"TXT": ["v=spf1 redirect=ok.test"]},
    "incl.test": {"TXT": ["v=spf1 include:ok.test -all"]},
    "dead.test": "SERVFAIL",
    "incdead.test": {"TXT": ["v=spf1 include:dead.test -all"]},
    "two.test": {"TXT": ["v=spf1 -all", "v=spf1 +all"]},
    "long.test": {"TXT": ["v=spf1 " + "ip4:192.0.2.7 " * 700 + "-all"]},
    "term.test": {"TXT": ["v=spf1 a:" + "a" * 60_000 + " -all"]},
    "macro.test": {"TXT": ["v=spf1 exists:" + "%{d}." * 10_000 + "x -all"]},
    "lp.test": {"TXT": ["v=spf1 exists:%{l}.lp.test -all"]},
    "joe.lp.test": {"A": ["127.0.0.2"]},
    "exp.test": {"TXT": ["v=spf1 -all exp=why.exp.test"]},
    "why.exp.test": {"TXT": ["go away\r\n250 ok %{i}"]},
    "mx.test": {"TXT": ["v=spf1 mx -all"], "MX": [(1, f"m{n}.mx.test") for n in range(11)]},
    "fan.test": {"TXT": ["v=spf1 " + " ".join(f"mx:f{n}.fan.test" for n in range(9)) + " -all"]},
    **{f"f{n}.fan.test": {"MX": [(1, f"h{m}.f{n}.fan.test") for m in range(10)]} for n in range(9)},
    **{f"h{m}.f{n}.fan.test": {"A": ["192.0.2.77"]} for n in range(9) for m in range(10)},
}


@pytest.mark.parametrize(
    ("ip", "helo", "sender", "verdict", "record_domain"),
    [
        ("192.0.2.1", "h.test", "a@ok.test", "pass", "ok.test"),
        ("::ffff:192.0.2.1", "h.test", "a@ok.test", "pass", "ok.test"),
        ("192.0.2.2", "h.test", "a@ok.test", "fail", "ok.test"),
        ("192.0.2.1", "h.test", "张三@例.test", "none", ""),
        ("192.0.2.1", "h.test", "张三@例子.test", "pass", "xn--fsqu00a.test"),
        ("192.0.2.9", "helo.test", "", "pass", "helo.test"),
        ("192.0.2.8", "helo.test", "", "fail", "helo.test"),
        ("192.0.2.1", "h.test", "a@redir.test", "pass", "ok.test"),
        ("192.0.2.1", "h.test", "a@incl.test", "pass", "incl.test"),
        ("192.0.2.1", "h.test", "a@dead.test", "temperror", ""),
        ("192.0.2.1", "h.test", "a@incdead.test", "temperror", "incdead.test"),
        ("192.0.2.1", "h.test", "a@two.test", "permerror", ""),
        ("192.0.2.1", "h.test", "a@long.test", "permerror", ""),
        ("192.0.2.1", "h.test", "a@term.test", "permerror", ""),
        ("192.0.2.1", "h.test", "a@macro.test", "permerror", ""),
        ("192.0.2.1", "h.test", "joe@lp.test", "pass", "lp.test"),
        ("192.0.2.1", "h.test", "张三@lp.test", "fail", "lp.test"),
        ("192.0.2.1", "h.test", "a@mx.test", "permerror", "mx.test"),
        ("192.0.2.1", "h.test", '"x@evil.test"@ok.test', "pass", "ok.test"),
        ("192.0.2.1", "[192.0.2.1]", "", "none", ""),
        ("192.0.2.1", "h.test", "no-domain", "none", ""),
        ("192.0.2.1", "h.test", "a@" + "x." * 4000, "none", ""),
    ],
)
async def test_table(ip: str, helo: str, sender: str, verdict: str, record_domain: str) -> None:
    result = await spf.check(FakeResolver(ZONE), ip, helo, sender)
    assert (result.verdict, result.record_domain) == (verdict, record_domain), result


@pytest.mark.parametrize("client", [None, "", "not an address"])
async def test_without_a_client_nothing_is_judged_and_nothing_asked(client: str | None) -> None:
    resolver = FakeResolver(ZONE)
    result = await spf.check(resolver, client, "h.test", "a@ok.test")
    assert not result.judged
    assert result.verdict is Verdict.NONE
    assert resolver.asked == []


async def test_the_owners_explanation_cannot_carry_line_breaks() -> None:
    result = await spf.check(FakeResolver(ZONE), "192.0.2.1", "h.test", "a@exp.test")
    assert result.verdict is Verdict.FAIL
    assert "\r" not in result.explanation
    assert "\n" not in result.explanation


async def test_a_record_cannot_make_us_ask_without_end() -> None:
    resolver = FakeResolver(ZONE)
    result = await spf.check(resolver, "192.0.2.1", "h.test", "a@fan.test")
    assert result.verdict is Verdict.FAIL
    assert len(resolver.asked) == 1 + 9 + 90


async def test_more_names_than_the_bound_is_permerror() -> None:
    zone = dict(ZONE)
    zone["fan.test"] = {
        "TXT": ["v=spf1 " + " ".join(f"mx:f{n % 9}.fan.test" for n in range(9)) + " include:more.test -all"]
    }
    zone["more.test"] = {"TXT": ["v=spf1 mx:f0.fan.test ptr -all"]}
    result = await spf.check(FakeResolver(zone), "192.0.2.1", "h.test", "a@fan.test")
    assert result.verdict is Verdict.PERMERROR


class Silent:
    """A resolver that never answers."""

    def peek(self, name: str, rdtype: str) -> Answer | None:
        return None

    async def query(self, name: str, rdtype: str) -> Answer:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError


async def test_the_whole_check_has_a_time_limit_and_that_is_temperror() -> None:
    result = await spf.check(Silent(), "192.0.2.1", "h.test", "a@ok.test", timeout_s=0.01)
    assert result.verdict is Verdict.TEMPERROR
