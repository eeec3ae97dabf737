"""Routes as operators write them, and the hosts of a domain as DNS tells them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.nexthop import (
    MX_HOSTS,
    LookupFailed,
    NextHop,
    NoRoute,
    RouteError,
    Scheme,
    TlsPolicy,
    addresses,
    mail_hosts,
    parse,
)
from tests.fakes.resolver import FakeResolver, Zone


@pytest.mark.parametrize(
    ("to", "hop", "written"),
    [
        ("smtp://127.0.0.1:2600", NextHop(Scheme.SMTP, "127.0.0.1", 2600), "smtp://127.0.0.1:2600"),
        ("smtp://Mail.Corp.test", NextHop(Scheme.SMTP, "mail.corp.test", 25), "smtp://mail.corp.test:25"),
        ("smtp://mail_1.corp.test/", NextHop(Scheme.SMTP, "mail_1.corp.test", 25), "smtp://mail_1.corp.test:25"),
        ("smtp://[::1]:2600", NextHop(Scheme.SMTP, "::1", 2600), "smtp://[::1]:2600"),
        ("smtps://mail.corp.test", NextHop(Scheme.SMTPS, "mail.corp.test", 465), "smtps://mail.corp.test:465"),
        ("smtp://邮件.例子.中国", NextHop(Scheme.SMTP, "xn--5nq051n.xn--fsqu00a.xn--fiqs8s", 25), None),
        ("lmtp://dovecot", NextHop(Scheme.LMTP, "dovecot", 24), "lmtp://dovecot:24"),
        ("lmtp:///run/dovecot/lmtp", NextHop(Scheme.LMTP, "", 0, "/run/dovecot/lmtp"), "lmtp:///run/dovecot/lmtp"),
        ("mx:", NextHop(Scheme.MX, "", 25), "mx:"),
        ("mx::2525", NextHop(Scheme.MX, "", 2525), "mx::2525"),
        ("mx:corp.test", NextHop(Scheme.MX, "corp.test", 25), "mx:corp.test"),
        ("mx:corp.test:2525", NextHop(Scheme.MX, "corp.test", 2525), "mx:corp.test:2525"),
    ],
)
def test_routes(to: str, hop: NextHop, written: str | None) -> None:
    assert parse(to) == hop
    if written is not None:
        assert str(hop) == written
        assert parse(written) == hop


def test_tls_and_connections() -> None:
    hop = parse("smtp://a.test", tls="verified", ca_file=Path("ca.pem"), connections=3)
    assert (hop.tls, hop.ca_file, hop.connections) == (TlsPolicy.VERIFIED, Path("ca.pem"), 3)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "corp.test",
        "corp.test:25",
        "http://corp.test",
        "smtp:corp.test",
        "smtp://",
        "smtp://:25",
        "smtp://a b",
        "smtp://-a.test",
        "smtp://a..test",
        "smtp://a.test:0x1",
        "smtp://a.test:70000",
        "smtp://a.test/path",
        "smtp://user:secret@a.test",
        "smtp://a.test?x=1",
        "smtp://[::1",
        "smtp:///run/socket",
        "lmtp:///",
        "mx:a.test:99999",
        "mx:a.test:x",
        "mx:a b",
        "smtp://" + "a." * 200 + "test",
    ],
)
def test_what_is_no_route(to: str) -> None:
    with pytest.raises(RouteError) as error:
        parse(to)
    assert any(ord(char) > 0x4E00 for char in str(error.value)), "Chinese too"


@pytest.mark.parametrize("settings", [{"tls": "none"}, {"connections": 0}, {"ca_file": Path("x")}])
def test_what_is_no_setting(settings: dict[str, object]) -> None:
    with pytest.raises(RouteError):
        parse("smtp://a.test", **settings)  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_never_anything_but_a_hop_or_a_route_error(text: str) -> None:
    for to in (text, "smtp://" + text, "lmtp://" + text, "mx:" + text):
        try:
            hop = parse(to)
        except RouteError:
            continue
        assert parse(str(hop)) == hop


class TestToward:
    def test_fills_in_the_domain(self) -> None:
        assert parse("mx:").toward("Corp.Test.").host == "corp.test"
        assert parse("mx:").toward("例子.中国").host == "xn--fsqu00a.xn--fiqs8s"

    def test_leaves_others_alone(self) -> None:
        for to in ("mx:relay.test", "smtp://a.test"):
            assert parse(to).toward("corp.test") == parse(to)

    def test_refuses_what_is_no_domain(self) -> None:
        with pytest.raises(RouteError):
            parse("mx:").toward("a b")


MX: Zone = {
    "two.test": {"MX": [(20, "b.test"), (10, "a.test")]},
    "same.test": {"MX": [(10, "b.test"), (10, "a.test"), (20, "a.test")]},
    "none.test": {"A": ["192.0.2.1"]},
    "null.test": {"MX": [(0, ".")]},
    "broken.test": "SERVFAIL",
    "backup.test": {"MX": [(10, "a.test"), (20, "GW.test"), (20, "c.test"), (30, "b.test")]},
    "ours.test": {"MX": [(10, "gw.test"), (20, "b.test")]},
    "many.test": {"MX": [(number, f"mx{number}.test") for number in range(20)]},
    "half.test": {"A": ["192.0.2.1"], "AAAA": ["TIMEOUT"]},
    "dark.test": {"AAAA": ["TIMEOUT"]},
    "six.test": {"AAAA": ["2001:db8::1"], "A": [f"192.0.2.{number}" for number in range(9)]},
}


class TestMailHosts:
    @pytest.mark.parametrize(
        ("domain", "hosts"),
        [
            ("two.test", ("a.test", "b.test")),
            ("same.test", ("a.test", "b.test")),
            ("none.test", ("none.test",)),
            ("backup.test", ("a.test",)),
            ("many.test", tuple(f"mx{number}.test" for number in range(MX_HOSTS))),
        ],
    )
    async def test_best_first(self, domain: str, hosts: tuple[str, ...]) -> None:
        assert await mail_hosts(domain, "gw.test", FakeResolver(MX)) == hosts

    @pytest.mark.parametrize(
        ("domain", "enhanced"), [("null.test", "5.1.10"), ("gone.example", "5.1.2"), ("ours.test", "5.4.6")]
    )
    async def test_no_route(self, domain: str, enhanced: str) -> None:
        with pytest.raises(NoRoute) as refused:
            await mail_hosts(domain, "gw.test", FakeResolver(MX))
        assert refused.value.enhanced == enhanced

    async def test_silent_dns_is_not_absence(self) -> None:
        with pytest.raises(LookupFailed):
            await mail_hosts("broken.test", "gw.test", FakeResolver(MX))

    async def test_addresses(self) -> None:
        resolver = FakeResolver(MX)
        assert await addresses("half.test", resolver) == ("192.0.2.1",)
        assert len(await addresses("six.test", resolver)) == 4
        assert await addresses("gone.example", resolver) == ()
        with pytest.raises(LookupFailed):
            await addresses("dark.test", resolver)
