"""The caching resolver against a real server on loopback that answers well, badly, late, twice or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from scanners.answers import Status
from scanners.resolver import CachingResolver, parse_server, system_servers
from tests.fakes.nameserver import Nameserver, Respond, nameserver, reply

Query = dns.message.Message
SOA = ("a.test. 60 IN SOA ns.a.test. h.a.test. 1 2 3 4 30",)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ask(
    respond: Respond, rdtype: str = "TXT", name: str = "a.test", timeout_s: float = 60.0
) -> tuple[Any, Nameserver]:
    async with nameserver(respond) as server:
        resolver = CachingResolver((f"127.0.0.1:{server.port}",), timeout_s)
        answer = await resolver.query(name, rdtype)
        await resolver.close()
        return answer, server


@pytest.mark.parametrize(
    ("rdtype", "records", "field", "expected"),
    [
        ("TXT", ('a.test. 60 IN TXT "v=spf1 " "-all"',), "strings", (b"v=spf1 -all",)),
        ("TXT", ('a.test. 60 IN TXT "\\195\\169"',), "strings", ("é".encode(),)),
        ("A", ("A.TEST. 60 IN A 192.0.2.1",), "addresses", ("192.0.2.1",)),
        ("AAAA", ("a.test. 60 IN AAAA 2001:db8::1",), "addresses", ("2001:db8::1",)),
        ("PTR", ("a.test. 60 IN PTR Host.Test.",), "names", ("host.test",)),
        ("A", ("a.test. 60 IN CNAME b.test.", "b.test. 60 IN A 192.0.2.2"), "addresses", ("192.0.2.2",)),
    ],
)
async def test_found(rdtype: str, records: tuple[str, ...], field: str, expected: tuple[Any, ...]) -> None:
    answer, _ = await ask(lambda query, how: reply(query, *records), rdtype)
    assert answer.status is Status.FOUND
    assert getattr(answer, field) == expected


async def test_mx() -> None:
    answer, _ = await ask(lambda query, how: reply(query, "a.test. 60 IN MX 10 Mail.a.test."), "MX")
    assert [(one.preference, one.host) for one in answer.exchanges] == [(10, "mail.a.test")]


def other_id(query: Query, how: str) -> list[bytes]:
    good = reply(query, "a.test. 60 IN A 192.0.2.1").to_wire()
    forged = bytes([good[0] ^ 1]) + good[1:]
    return [forged, b"short", good]


async def test_datagrams_with_another_id_do_not_end_the_wait() -> None:
    answer, _ = await ask(other_id, "A")
    assert answer.addresses == ("192.0.2.1",)


def silence(query: Query, how: str) -> None:
    return None


def other_question(query: Query, how: str) -> Query:
    wrong = dns.message.make_query("b.test", "A", id=query.id)
    return reply(wrong, "b.test. 60 IN A 192.0.2.66")


def rubbish(query: Query, how: str) -> bytes:
    return query.id.to_bytes(2, "big") + b"\x81\x80\x00\x01\x00\x05\x00\x00\x00\x00" + b"\xc0\x0c" * 40


def endless_alias(query: Query, how: str) -> Query:
    name = query.question[0].name.to_text()
    return reply(query, f"{name} 60 IN CNAME x{name}")


def alias_ring(query: Query, how: str) -> Query:
    return reply(query, "a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.")


def referral(query: Query, how: str) -> Query:
    return reply(query, authority=("test. 60 IN NS ns.test.",))


def too_many(query: Query, how: str) -> Query:
    if how == "udp":
        return reply(query, flags=dns.flags.TC)
    return reply(query, *(f"a.test. 60 IN TXT {'x' * 200}{n}" for n in range(280)))


def cut_short(query: Query, how: str) -> Query | bytes:
    return reply(query, flags=dns.flags.TC) if how == "udp" else b""


def strays(query: Query, how: str) -> list[bytes]:
    return [b"\0" * 20] * 100


@pytest.mark.parametrize(
    "respond",
    [
        silence,
        other_question,
        rubbish,
        endless_alias,
        alias_ring,
        referral,
        too_many,
        cut_short,
        strays,
        lambda query, how: reply(query, rcode=dns.rcode.SERVFAIL),
        lambda query, how: reply(query, rcode=dns.rcode.REFUSED),
    ],
)
async def test_what_is_no_answer_is_temperror(respond: Respond) -> None:
    answer, _ = await ask(respond, "TXT", timeout_s=0.1)
    assert answer.status is Status.TEMPERROR
    assert answer.detail


async def test_nothing_listening_is_temperror() -> None:
    async with nameserver(silence) as server:
        port = server.port
    resolver = CachingResolver((f"127.0.0.1:{port}",), 0.2)
    assert (await resolver.query("a.test", "A")).status is Status.TEMPERROR


@pytest.mark.parametrize(
    ("rcode", "status"), [(dns.rcode.NXDOMAIN, Status.NXDOMAIN), (dns.rcode.NOERROR, Status.NODATA)]
)
@pytest.mark.parametrize(("authority", "ttl"), [(SOA, 30), ((), 0)])
async def test_absence_is_kept_as_long_as_the_soa_says(
    rcode: int, status: Status, authority: tuple[str, ...], ttl: int
) -> None:
    answer, _ = await ask(lambda query, how: reply(query, rcode=rcode, authority=authority))
    assert (answer.status, answer.ttl) == (status, ttl)


async def test_truncated_answers_come_by_tcp_in_pieces() -> None:
    texts = [f"{n:03d}{'x' * 200}" for n in range(40)]

    def respond(query: Query, how: str) -> Query:
        if how == "udp":
            return reply(query, flags=dns.flags.TC)
        return reply(query, *(f"a.test. 60 IN TXT {text}" for text in texts))

    answer, server = await ask(respond)
    assert sorted(answer.strings) == [text.encode() for text in texts]
    assert [how for _, how in server.asked] == ["udp", "tcp"]


async def test_a_server_from_before_edns_is_asked_again_without() -> None:
    def respond(query: Query, how: str) -> Query:
        return reply(query, rcode=dns.rcode.FORMERR) if query.edns >= 0 else reply(query, "a.test. 60 IN A 192.0.2.1")

    answer, _ = await ask(respond, "A")
    assert answer.addresses == ("192.0.2.1",)


async def test_the_next_server_is_asked_when_one_fails() -> None:
    async with (
        nameserver(lambda query, how: reply(query, rcode=dns.rcode.SERVFAIL)) as bad,
        nameserver(lambda query, how: reply(query, "a.test. 60 IN A 192.0.2.1")) as good,
    ):
        resolver = CachingResolver((f"127.0.0.1:{bad.port}", f"127.0.0.1:{good.port}"), 1.0)
        assert (await resolver.query("a.test", "A")).addresses == ("192.0.2.1",)


async def cached(
    ttl: int, then: Callable[[CachingResolver, Clock], Awaitable[None]], max_cache: int = 100
) -> Nameserver:
    clock = Clock()
    async with nameserver(lambda query, how: reply(query, f"{query.question[0].name} {ttl} IN A 192.0.2.1")) as server:
        resolver = CachingResolver((f"127.0.0.1:{server.port}",), 1.0, clock, max_cache=max_cache)
        await resolver.query("a.test", "A")
        await then(resolver, clock)
        return server


async def test_an_answer_is_kept_for_its_ttl_whatever_the_case() -> None:
    async def then(resolver: CachingResolver, clock: Clock) -> None:
        assert resolver.peek("A.Test.", "A") is not None
        clock.now += 59
        await resolver.query("a.test", "A")
        clock.now += 2
        assert resolver.peek("a.test", "A") is None
        await resolver.query("a.test", "A")

    assert len((await cached(60, then)).asked) == 2


async def test_ttl_0_is_not_kept() -> None:
    async def then(resolver: CachingResolver, clock: Clock) -> None:
        assert resolver.peek("a.test", "A") is None
        await resolver.query("a.test", "A")

    assert len((await cached(0, then)).asked) == 2


async def test_the_cache_has_a_bound() -> None:
    async def then(resolver: CachingResolver, clock: Clock) -> None:
        for name in "bcd":
            await resolver.query(f"{name}.test", "A")
        assert resolver.peek("a.test", "A") is None
        assert resolver.peek("d.test", "A") is not None

    await cached(60, then, max_cache=2)


async def test_the_same_question_at_once_is_asked_once_and_giving_up_harms_nobody() -> None:
    asked = asyncio.Event()

    def respond(query: Query, how: str) -> Query:
        asked.set()
        return reply(query, "a.test. 60 IN A 192.0.2.1")

    async with nameserver(respond) as server:
        resolver = CachingResolver((f"127.0.0.1:{server.port}",), 60.0)
        waiting = [asyncio.create_task(resolver.query("a.test", "A")) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        answers = await asyncio.gather(*waiting[1:])
        assert {answer.addresses for answer in answers} == {("192.0.2.1",)}
        assert len(server.asked) == 1


async def test_each_question_has_its_own_port_and_id() -> None:
    async with nameserver(lambda query, how: reply(query, rcode=dns.rcode.NXDOMAIN)) as server:
        resolver = CachingResolver((f"127.0.0.1:{server.port}",), 60.0)
        for number in range(12):
            await resolver.query(f"n{number}.test", "A")
        assert len(server.sources) > 6
        assert len(set(server.ids)) > 6


@pytest.mark.parametrize("name", ["", "a..test", "x" * 64 + ".test", "x." * 200, "张.test"])
async def test_what_is_no_dns_name_is_not_asked(name: str) -> None:
    answer, server = await ask(silence, "A", name)
    assert answer.status in (Status.NXDOMAIN, Status.NODATA)
    assert server.asked == []


def test_servers_as_written() -> None:
    assert parse_server("192.0.2.1").port == 53
    assert parse_server("192.0.2.1:5353").port == 5353
    assert (parse_server("[::1]:5353").host, parse_server("::1").port) == ("::1", 53)
    for wrong in ("ns.test", "192.0.2.1:0", "192.0.2.1:x", ""):
        with pytest.raises(ValueError):
            parse_server(wrong)


def test_the_systems_servers(tmp_path: Any) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# comment\nsearch test\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver ::1\n")
    assert [server.host for server in system_servers(conf)] == ["192.0.2.1", "fe80::1%eth0", "::1"]
    assert [server.host for server in system_servers(tmp_path / "none")] == ["127.0.0.1"]
