"""The pool against a real, scripted server on loopback: reuse, caps, loss at every place, TLS, LMTP, MX."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.smtp.breaker import FAILURES, FIRST_PAUSE_S
from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import AT_ONCE_BYTES, DOT, MAIL, Phase, RecipientReply, Turn
from gateway.smtp.nexthop import NextHop, Scheme, TlsPolicy
from gateway.smtp.pool import MESSAGES_PER_CONNECTION, Pool
from gateway.smtp.wire import AFTER_DOT_LEAST_S, Budget
from scanners.message import Recipient
from tests.fakes.certificates import Authority
from tests.fakes.ports import deaf_port
from tests.fakes.resolver import FakeResolver, Zone
from tests.fakes.smtp_server import DROP, RESET, Hold, ScriptedServer, scripted

PATIENCE_S = 120.0
"""The machine may be busy."""
SMALL = (b"Received: by gw.test\r\n", b"Subject: hi\r\n\r\nHello\r\n.dot\r\n")
WIRE = b"Received: by gw.test\r\nSubject: hi\r\n\r\nHello\r\n..dot\r\n"
LARGE = (b"Subject: big\r\n\r\n", (b"0123456789" * 7 + b"\r\n") * 60_000)


@dataclass
class Clock:
    """Real time, which a test may push forward."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def mail(*recipients: str) -> Outgoing:
    return Outgoing("a@corp.test", tuple(map(Recipient, recipients or ("x@corp.test",))))


def hop(server: ScriptedServer, **changes: object) -> NextHop:
    return replace(NextHop(Scheme.SMTP, server.host, server.port), **changes)  # type: ignore[arg-type]


class Bench:
    """A pool with a clock."""

    def __init__(self, **settings: object) -> None:
        self.clock = Clock()
        self.pool = Pool(hostname="gw.test", clock=self.clock, **settings)  # type: ignore[arg-type]

    async def send(
        self,
        server: ScriptedServer | NextHop,
        *recipients: str,
        data: Sequence[bytes] = SMALL,
        within: float = PATIENCE_S,
        before_dot: Callable[[Sequence[RecipientReply]], "asyncio.Future[bool]"] | None = None,
    ) -> Sent:
        where = server if isinstance(server, NextHop) else hop(server)
        return await self.pool.send(
            where, mail(*recipients), data, deadline=self.clock() + within, before_dot=before_dot
        )


@pytest.fixture
async def bench():  # type: ignore[no-untyped-def]
    made = Bench()
    yield made
    await made.pool.close()


def codes(sent: Sent) -> list[int]:
    return [one.reply.code for one in sent.recipients]


class TestDelivery:
    async def test_bytes_arrive_as_they_are(self, bench: Bench) -> None:
        async with scripted() as server:
            sent = await bench.send(server)
        assert codes(sent) == [250]
        assert str(sent.final) == "250 2.0.0 Ok: queued as F1"
        assert (sent.phase, sent.tls, sent.unknown, sent.dsn) == (Phase.AFTER_DOT, "", False, True)
        assert sent.remote == f"127.0.0.1[127.0.0.1]:{server.port}"
        assert server.messages[0].data == WIRE

    async def test_large_content_under_back_pressure(self, bench: Bench) -> None:
        async with scripted() as server:
            sent = await bench.send(server, data=LARGE)
        assert codes(sent) == [250]
        assert server.messages[0].data == b"".join(LARGE)

    async def test_without_pipelining(self, bench: Bench) -> None:
        async with scripted(offers=()) as server:
            server.say("RCPT", b"450 4.2.1 later\r\n")
            sent = await bench.send(server, "x@corp.test", "y@corp.test")
        assert codes(sent) == [450, 250]
        assert server.messages[0].data == WIRE
        assert not sent.dsn

    async def test_capabilities_are_remembered(self, bench: Bench) -> None:
        async with scripted(offers=("SIZE 777", "DSN")) as server:
            assert bench.pool.capabilities(hop(server)) is None
            await bench.send(server)
            seen = bench.pool.capabilities(hop(server))
        assert seen is not None
        assert (seen.size, seen.dsn, seen.smtputf8) == (777, True, False)


class TestReuse:
    async def test_one_connection_for_many(self, bench: Bench) -> None:
        async with scripted() as server:
            for _ in range(5):
                assert codes(await bench.send(server)) == [250]
        assert (server.connections, len(server.messages)) == (1, 5)
        assert b"RSET" not in server.commands

    async def test_bounded_messages_per_connection(self, bench: Bench) -> None:
        async with scripted() as server:
            for _ in range(MESSAGES_PER_CONNECTION + 1):
                await bench.send(server)
        assert server.connections == 2
        assert server.commands.count(b"QUIT") == 1

    async def test_rset_after_all_recipients_were_refused(self, bench: Bench) -> None:
        async with scripted() as server:
            server.say("RCPT", b"550 5.1.1 no\r\n")
            assert codes(await bench.send(server)) == [550]
            assert codes(await bench.send(server)) == [250]
        assert server.connections == 1
        assert server.commands.count(b"RSET") == 1

    async def test_idle_connection_is_closed(self) -> None:
        bench = Bench(idle_s=0.05)
        async with scripted() as server:
            await bench.send(server)
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
            assert server.commands[-1] == b"QUIT"
        await bench.pool.close()

    async def test_too_long_idle_is_not_used_again(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            bench.clock.ahead = 31
            await bench.send(server)
        assert server.connections == 2

    async def test_connection_closed_by_the_server_while_idle(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            server.drop_all()
            assert codes(await bench.send(server)) == [250]
        assert len(server.messages) == 2

    async def test_421_said_while_idle_is_heard(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            await server.push(b"421 4.4.2 idle too long\r\n")
            assert codes(await bench.send(server)) == [250]
        assert server.connections == 2

    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
    @pytest.mark.parametrize("answer", [DROP, RESET], ids=["closed", "reset"])
    async def test_dead_kept_connection_is_tried_once_more(self, bench: Bench, verb: str, answer: object) -> None:
        async with scripted() as server:
            await bench.send(server)
            server.say(verb, answer)
            assert codes(await bench.send(server)) == [250]
        assert (server.connections, len(server.messages)) == (2, 2)

    async def test_421_to_mail_on_a_kept_connection(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            server.say("MAIL", b"421 4.4.2 too many messages\r\n")
            assert codes(await bench.send(server)) == [250]
        assert server.connections == 2

    async def test_once_only(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            server.say("MAIL", DROP, DROP)
            sent = await bench.send(server)
        assert codes(sent) == [451]
        assert (sent.phase, server.connections) == (Phase.MAIL, 2)

    async def test_never_again_after_the_dot(self, bench: Bench) -> None:
        async with scripted() as server:
            await bench.send(server)
            server.say("DOT", DROP)
            sent = await bench.send(server)
        assert sent.unknown
        assert sent.final is None
        assert sent.phase is Phase.AFTER_DOT
        assert (server.connections, len(server.messages)) == (1, 2)


class TestLoss:
    @pytest.mark.parametrize(
        ("verb", "phase"),
        [
            ("GREETING", Phase.CONNECT),
            ("EHLO", Phase.CONNECT),
            ("MAIL", Phase.MAIL),
            ("RCPT", Phase.RCPT),
            ("DATA", Phase.DATA),
            ("DOT", Phase.AFTER_DOT),
        ],
    )
    @pytest.mark.parametrize(
        "answer", [DROP, RESET, b"hello?\r\n", b"\xff" * 9000], ids=["closed", "reset", "junk", "flood"]
    )
    async def test_at_every_place(self, bench: Bench, verb: str, phase: Phase, answer: object) -> None:
        async with scripted() as server:
            server.say(verb, answer)
            sent = await bench.send(server)
        assert (sent.phase, codes(sent), sent.unknown, sent.final) == (phase, [451], phase is Phase.AFTER_DOT, None)

    async def test_nobody_listens(self, bench: Bench) -> None:
        with deaf_port() as port:
            sent = await bench.send(NextHop(Scheme.SMTP, "127.0.0.1", port))
        assert (sent.phase, codes(sent)) == (Phase.CONNECT, [451])
        assert sent.recipients[0].reply.enhanced == "4.4.1"

    async def test_unknown_host(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Said by the system's resolver; which may take its time, or lie about names that can't exist: it is not asked here."""

        def unknown(*_: object, **__: object) -> object:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        sent = await bench.send(NextHop(Scheme.SMTP, "no-such-host.invalid", 25))
        assert (sent.phase, codes(sent), sent.recipients[0].reply.enhanced) == (Phase.CONNECT, [451], "4.4.3")

    @pytest.mark.parametrize("verb", ["GREETING", "MAIL", "DATA"])
    async def test_silence_ends_at_the_deadline(self, bench: Bench, verb: str) -> None:
        for within in (0.7, 3.0, 12.0, 48.0):  # a busy machine may need longer to get that far
            silent = Hold(b"250 too late\r\n")
            async with scripted() as server:
                server.say(verb, silent)
                sent = await asyncio.wait_for(bench.send(server, within=within), PATIENCE_S)
            assert codes(sent) == [451]
            if silent.reached.is_set():
                return
        pytest.fail(f"the client never came to {verb}")

    async def test_after_the_dot_the_deadline_does_not_cut(self, bench: Bench) -> None:
        slow = Hold(b"250 2.0.0 at last\r\n")
        async with scripted() as server:
            server.say("DOT", slow)
            sending = asyncio.ensure_future(bench.send(server))
            await slow.reached.wait()
            bench.clock.ahead = 2 * PATIENCE_S
            slow.go.set()
            sent = await sending
        assert str(sent.final) == "250 2.0.0 at last"

    async def test_no_time_left_sends_no_dot(self, bench: Bench) -> None:
        async def late(_: Sequence[RecipientReply]) -> bool:
            bench.clock.ahead = 2 * PATIENCE_S
            return True

        async with scripted() as server:
            sent = await bench.send(server, before_dot=late)  # type: ignore[arg-type]
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
        assert (sent.phase, codes(sent), server.messages) == (Phase.DOT, [451], [])

    async def test_server_refuses_in_the_middle_of_the_content(self, bench: Bench) -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 x\r\n")
            await reader.readline()
            writer.write(b"250-x\r\n250 PIPELINING\r\n")
            await reader.readuntil(b"DATA\r\n")
            writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
            await reader.readexactly(1000)
            writer.write(b"552 5.3.4 too big\r\n")
            await writer.drain()
            await stop.wait()
            writer.close()

        stop = asyncio.Event()
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sent = await bench.send(NextHop(Scheme.SMTP, "127.0.0.1", port), data=LARGE)
        stop.set()
        server.close()
        await server.wait_closed()
        assert (sent.phase, str(sent.recipients[0].reply)) == (Phase.DOT, "552 5.3.4 too big")
        assert not sent.unknown

    async def test_cancelled_send_drops_the_connection(self, bench: Bench) -> None:
        held = Hold(b"250 ok\r\n")
        async with scripted() as server:
            server.say("DOT", held)
            sending = asyncio.ensure_future(bench.send(server))
            await held.reached.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            held.go.set()
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
            assert codes(await bench.send(server)) == [250]
        assert server.connections == 2


@pytest.mark.parametrize(
    ("turn", "spent", "wait_s"),
    [
        (MAIL, 0.0, 20.0),
        (MAIL, 15.0, 5.0),
        (MAIL, 30.0, -10.0),
        (DOT, 0.0, 600.0),
        (DOT, 30.0, 570.0),
        (DOT, 590.0, AFTER_DOT_LEAST_S),
    ],
)
def test_time_for_an_answer(turn: Turn, spent: float, wait_s: float) -> None:
    assert Budget(lambda: 100.0 + spent, began=100.0, deadline=120.0).turn(turn) == wait_s


class TestHook:
    @pytest.mark.parametrize("size", [10, 3 * AT_ONCE_BYTES], ids=["small", "large"])
    async def test_no_delivers_nothing(self, bench: Bench, size: int) -> None:
        async def no(replies: Sequence[RecipientReply]) -> bool:
            assert [one.reply.code for one in replies] == [450, 250]
            return False

        async with scripted() as server:
            server.say("RCPT", b"450 4.2.1 later\r\n")
            sent = await bench.send(server, "x@c.test", "y@c.test", data=(b"x" * size,), before_dot=no)  # type: ignore[arg-type]
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
        assert (sent.phase, codes(sent), server.messages) == (Phase.DOT, [450, 451], [])

    async def test_its_own_fault_is_raised_and_nothing_is_delivered(self, bench: Bench) -> None:
        async def broken(_: Sequence[RecipientReply]) -> bool:
            raise RuntimeError("disk full")

        async with scripted() as server:
            with pytest.raises(RuntimeError):
                await bench.send(server, before_dot=broken)  # type: ignore[arg-type]
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
            assert codes(await bench.send(server)) == [250]
        assert len(server.messages) == 1

    async def test_connection_lost_while_it_thinks_is_not_retried(self, bench: Bench) -> None:
        asked = []

        async def think(_: Sequence[RecipientReply]) -> bool:
            asked.append(1)
            server.drop_all()
            await server.until_open(0)
            return True

        async with scripted() as server:
            await bench.send(server)
            sent = await bench.send(server, before_dot=think)  # type: ignore[arg-type]
        assert codes(sent) == [451]
        assert (sent.phase, len(asked), len(server.messages)) == (Phase.DOT, 1, 1)


class TestBounds:
    async def test_connection_cap(self, bench: Bench) -> None:
        holds = [Hold(b"250 2.0.0 ok\r\n") for _ in range(2)]
        async with scripted() as server:
            server.say("DOT", *holds)
            where = hop(server, connections=2)
            sending = [asyncio.ensure_future(bench.send(where)) for _ in range(6)]
            for hold in holds:
                await hold.reached.wait()
            for hold in holds:
                hold.go.set()
            assert [codes(sent) for sent in await asyncio.gather(*sending)] == [[250]] * 6
        assert server.most_open == 2

    async def test_wait_is_bounded(self) -> None:
        bench = Bench(wait_s=0.05)
        hold = Hold(b"250 2.0.0 ok\r\n")
        async with scripted() as server:
            server.say("DOT", hold)
            where = hop(server, connections=1)
            first = asyncio.ensure_future(bench.send(where))
            await hold.reached.wait()
            sent = await bench.send(where)
            hold.go.set()
            assert codes(await first) == [250]
        assert sent.phase is Phase.WAIT
        assert codes(sent) == [451]
        await bench.pool.close()

    async def test_breaker_opens_and_closes_again(self, bench: Bench) -> None:
        async with scripted() as server:
            server.say("GREETING", *([DROP] * FAILURES))
            for _ in range(FAILURES):
                assert (await bench.send(server)).phase is Phase.CONNECT
            sent = await bench.send(server)
            assert sent.phase is Phase.WAIT
            assert server.connections == FAILURES
            bench.clock.ahead = FIRST_PAUSE_S + 1
            assert codes(await bench.send(server)) == [250]
            assert codes(await bench.send(server)) == [250]

    async def test_refusals_do_not_open_the_breaker(self, bench: Bench) -> None:
        async with scripted() as server:
            server.say("MAIL", *([b"451 4.7.1 greylisted\r\n"] * (FAILURES + 1)))
            for _ in range(FAILURES + 1):
                assert (await bench.send(server)).phase is Phase.MAIL
            assert codes(await bench.send(server)) == [250]

    async def test_our_own_haste_does_not_open_the_breaker(self, bench: Bench) -> None:
        async with scripted() as server:
            server.say("GREETING", *(Hold(b"220 late\r\n") for _ in range(FAILURES + 2)))
            for _ in range(FAILURES + 2):
                assert (await bench.send(server, within=0.02)).phase is Phase.CONNECT

    async def test_closing_lets_mail_under_way_finish(self) -> None:
        bench = Bench()
        held = Hold(b"250 2.0.0 ok\r\n")
        async with scripted() as server:
            server.say("DOT", held)
            sending = asyncio.ensure_future(bench.send(server))
            await held.reached.wait()
            await bench.pool.close()
            held.go.set()
            assert codes(await sending) == [250]
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)

    async def test_closed_pool_parts_politely(self) -> None:
        bench = Bench()
        async with scripted() as server:
            await bench.send(server)
            await bench.pool.close()
            await asyncio.wait_for(server.until_open(0), PATIENCE_S)
            assert server.commands[-1] == b"QUIT"
            assert (await bench.send(server)).phase is Phase.WAIT


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class TestTls:
    @pytest.mark.parametrize("policy", TlsPolicy)
    async def test_starttls(self, bench: Bench, authority: Authority, policy: TlsPolicy) -> None:
        ca_file = authority.ca_file if policy is TlsPolicy.VERIFIED else None
        async with scripted(certificate=authority.server("127.0.0.1")) as server:
            sent = [await bench.send(hop(server, tls=policy, ca_file=ca_file)) for _ in range(2)]
        assert [codes(one) for one in sent] == [[250], [250]]
        assert server.messages[0].tls == "TLSv1.3"
        assert sent[1].tls.startswith("TLSv1.3 TLS_")
        assert sent[1].tls.endswith(" verified") == (policy is TlsPolicy.VERIFIED)
        assert server.connections == 1

    @pytest.mark.parametrize("policy", TlsPolicy)
    async def test_smtps(self, bench: Bench, authority: Authority, policy: TlsPolicy) -> None:
        ca_file = authority.ca_file if policy is TlsPolicy.VERIFIED else None
        async with scripted(certificate=authority.server("127.0.0.1"), implicit=True) as server:
            sent = await bench.send(hop(server, scheme=Scheme.SMTPS, tls=policy, ca_file=ca_file), data=LARGE)
        assert codes(sent) == [250]
        assert server.messages[0].data == b"".join(LARGE)
        assert sent.tls.endswith(" verified") == (policy is TlsPolicy.VERIFIED)

    @pytest.mark.parametrize("implicit", [False, True])
    @pytest.mark.parametrize("fault", ["wrong name", "unknown authority"])
    async def test_verified_means_verified(
        self, bench: Bench, authority: Authority, tmp_path: Path, fault: str, implicit: bool
    ) -> None:
        wrong = fault == "wrong name"
        certificate = authority.server("mx.example.test" if wrong else "127.0.0.1")
        ca_file = authority.ca_file if wrong else Authority(tmp_path).ca_file
        scheme = Scheme.SMTPS if implicit else Scheme.SMTP
        async with scripted(certificate=certificate, implicit=implicit) as server:
            sent = await bench.send(hop(server, scheme=scheme, tls=TlsPolicy.VERIFIED, ca_file=ca_file))
        assert (sent.phase, codes(sent), sent.recipients[0].reply.enhanced) == (Phase.TLS, [451], "4.7.5")
        assert server.messages == []

    @pytest.mark.parametrize("policy", [TlsPolicy.REQUIRED, TlsPolicy.VERIFIED])
    async def test_required_and_not_offered(self, bench: Bench, policy: TlsPolicy) -> None:
        async with scripted() as server:
            sent = await bench.send(hop(server, tls=policy))
        assert (sent.phase, codes(sent), sent.recipients[0].reply.enhanced) == (Phase.TLS, [451], "4.7.4")
        assert not any(command.startswith(b"MAIL") for command in server.commands)

    async def test_failed_handshake_falls_back_only_when_opportunistic(
        self, bench: Bench, authority: Authority
    ) -> None:
        context = authority.server("127.0.0.1")
        context.verify_mode = ssl.CERT_REQUIRED  # the server wants a client certificate, which we have not
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(authority.ca_file)
        async with scripted(certificate=context) as server:
            plain = await bench.send(hop(server))
            refused = await bench.send(hop(server, tls=TlsPolicy.REQUIRED))
        assert (codes(plain), plain.tls) == ([250], "")
        assert (codes(refused), refused.phase) == ([451], Phase.TLS)

    async def test_answers_injected_before_the_handshake_are_dropped(self, bench: Bench, authority: Authority) -> None:
        async with scripted(certificate=authority.server("127.0.0.1"), offers=("PIPELINING",)) as server:
            server.say("STARTTLS", b"220 go\r\n250-evil\r\n250 SIZE 1\r\n")
            sent = await bench.send(hop(server, tls=TlsPolicy.REQUIRED))
        assert codes(sent) == [250]
        seen = bench.pool.capabilities(hop(server, tls=TlsPolicy.REQUIRED))
        assert seen is not None
        assert seen.size is None

    async def test_unreadable_ca_file_is_a_deferral(self, bench: Bench, tmp_path: Path) -> None:
        async with scripted() as server:
            sent = await bench.send(hop(server, tls=TlsPolicy.VERIFIED, ca_file=tmp_path / "none.pem"))
        assert (sent.phase, codes(sent)) == (Phase.TLS, [451])


class TestLmtp:
    async def test_a_reply_each_over_a_unix_socket(self, bench: Bench, tmp_path: Path) -> None:
        path = str(tmp_path / "lmtp")
        async with scripted(unix=path, lmtp=True) as server:
            server.say("DOT", b"250 2.0.0 kept\r\n", b"452 4.2.2 full\r\n")
            where = NextHop(Scheme.LMTP, "", 0, path)
            sent = [await bench.send(where, "x@c.test", "y@c.test") for _ in range(2)]
        assert [codes(one) for one in sent] == [[250, 452], [250, 250]]
        assert server.commands[0] == b"LHLO gw.test"
        assert sent[0].remote == path

    async def test_lost_between_two_answers(self, bench: Bench) -> None:
        async with scripted(lmtp=True) as server:
            server.say("DOT", b"250 2.0.0 kept\r\n", DROP)
            sent = await bench.send(hop(server, scheme=Scheme.LMTP), "x@c.test", "y@c.test")
        assert codes(sent) == [250, 451]
        assert [one.unknown for one in sent.recipients] == [False, True]


class TestMx:
    def bench(self, mxs: Sequence[tuple[int, str]], **hosts: str) -> Bench:
        zone = {name.replace("_", "."): {"A": [address]} for name, address in hosts.items()}
        return Bench(resolver=FakeResolver({"corp.test": {"MX": mxs}, **zone}))

    async def test_best_host_first_then_the_next(self) -> None:
        async with scripted() as server:
            bench = self.bench([(20, "b.test."), (10, "a.test.")], a_test="127.0.0.9", b_test="127.0.0.1")
            where = NextHop(Scheme.MX, "", server.port).toward("corp.test")
            sent = await bench.send(where)
            assert codes(sent) == [250]
            assert sent.remote == f"b.test[127.0.0.1]:{server.port}"
            await bench.pool.close()

    @pytest.mark.parametrize(
        ("mxs", "code", "enhanced"),
        [
            ([(0, ".")], 550, "5.1.10"),
            ([(10, "gw.test")], 550, "5.4.6"),
            ([(10, "nowhere.test")], 451, "4.4.4"),
        ],
    )
    async def test_what_dns_says_against_it(self, mxs: Sequence[tuple[int, str]], code: int, enhanced: str) -> None:
        sent = await self.bench(mxs).send(NextHop(Scheme.MX, "corp.test", 25))
        assert (sent.phase, codes(sent), sent.recipients[0].reply.enhanced) == (Phase.CONNECT, [code], enhanced)

    async def test_no_such_domain(self) -> None:
        sent = await Bench(resolver=FakeResolver({})).send(NextHop(Scheme.MX, "corp.test", 25))
        assert (codes(sent), sent.recipients[0].reply.enhanced) == ([550], "5.1.2")

    @pytest.mark.parametrize(
        "zone", [{"corp.test": "TIMEOUT"}, {"corp.test": {"MX": [(1, "mx.corp.test")]}, "mx.corp.test": "SERVFAIL"}]
    )
    async def test_dns_silent(self, zone: Zone) -> None:
        sent = await Bench(resolver=FakeResolver(zone)).send(NextHop(Scheme.MX, "corp.test", 25))
        assert (codes(sent), sent.recipients[0].reply.enhanced) == ([451], "4.4.3")

    async def test_without_a_domain_is_our_own_mistake(self) -> None:
        with pytest.raises(ValueError, match="toward"):
            await Bench(resolver=FakeResolver({})).send(NextHop(Scheme.MX, "", 25))


async def _starttls(bench: Bench, authority: Authority) -> None:
    await TestTls().test_starttls(bench, authority, TlsPolicy.VERIFIED)


async def _smtps(bench: Bench, authority: Authority) -> None:
    await TestTls().test_smtps(bench, authority, TlsPolicy.VERIFIED)


async def _wrong_name(bench: Bench, authority: Authority) -> None:
    await TestTls().test_verified_means_verified(bench, authority, authority.folder, "wrong name", implicit=False)


async def _lost_everywhere(bench: Bench, _: Authority) -> None:
    for verb, phase in (("EHLO", Phase.CONNECT), ("DATA", Phase.DATA), ("DOT", Phase.AFTER_DOT)):
        for answer in (DROP, RESET, b"\xff" * 9000):
            await TestLoss().test_at_every_place(bench, verb, phase, answer)
            bench.pool = Pool(hostname="gw.test", clock=bench.clock)  # nine failures running would open the breaker


UVLOOP = {
    "bytes": lambda bench, _: TestDelivery().test_bytes_arrive_as_they_are(bench),
    "large": lambda bench, _: TestDelivery().test_large_content_under_back_pressure(bench),
    "cap": lambda bench, _: TestBounds().test_connection_cap(bench),
    "refused in content": lambda bench, _: TestLoss().test_server_refuses_in_the_middle_of_the_content(bench),
    "hook says no": lambda bench, _: TestHook().test_no_delivers_nothing(bench, 3 * AT_ONCE_BYTES),
    "stale": lambda bench, _: TestReuse().test_dead_kept_connection_is_tried_once_more(bench, "MAIL", RESET),
    "cancelled": lambda bench, _: TestLoss().test_cancelled_send_drops_the_connection(bench),
    "injected": lambda bench, authority: TestTls().test_answers_injected_before_the_handshake_are_dropped(
        bench, authority
    ),
    "fall back": lambda bench, authority: TestTls().test_failed_handshake_falls_back_only_when_opportunistic(
        bench, authority
    ),
    "starttls": _starttls,
    "smtps": _smtps,
    "wrong name": _wrong_name,
    "lost": _lost_everywhere,
}


@pytest.mark.parametrize("name", UVLOOP)
def test_the_same_under_uvloop(name: str, authority: Authority) -> None:
    async def scene() -> None:
        bench = Bench()
        await UVLOOP[name](bench, authority)
        await bench.pool.close()

    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
