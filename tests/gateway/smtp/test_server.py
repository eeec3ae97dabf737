"""The listener over real sockets and real TLS, on both event loops."""

import asyncio
import contextlib
import dataclasses
import shutil
import socket
import ssl
import struct
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from argon2 import PasswordHasher

from gateway.config import Config, Gateway, Limits, Listener, ListenerTls, Route
from gateway.smtp.connection import PARTING_QUIET_S, WORK_S
from gateway.smtp.reply import Reply
from gateway.smtp.server import Server, server_context
from gateway.smtp.users import UsersFile, write
from scanners.message import Envelope
from tests.fakes import receiving
from tests.fakes.certificates import Authority

PATIENCE_S = 120.0
"""The machine may be busy."""
LOOPS = pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]
INBOUND = Listener("inbound", "127.0.0.1:0", "inbound")
BIG = b"".join(b"line %07d of a large message\r\n" % number for number in range(100_000))


def run(factory: Loop, work: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(bounded())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@dataclasses.dataclass
class Client:
    """A client that speaks octets."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, data: bytes) -> bytes:
        """Send and read one reply."""
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> bytes:
        lines = [await self.reader.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(await self.reader.readline())
        return b"".join(lines)

    async def transaction(self, body: bytes, sender: bytes = b"a@s.example", to: bytes = b"b@corp.test") -> bytes:
        assert (await self.ask(b"MAIL FROM:<%s>\r\n" % sender)).startswith(b"250")
        assert (await self.ask(b"RCPT TO:<%s>\r\n" % to)).startswith(b"250")
        assert (await self.ask(b"DATA\r\n")).startswith(b"354")
        return await self.ask(body + b".\r\n")

    async def start_tls(self, authority: Authority) -> None:
        await self.writer.start_tls(ssl.create_default_context(cafile=authority.ca_file), server_hostname="gw.test")

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    state: Path,
    receiver: receiving.Receiver,
    listener: Listener = INBOUND,
    limits: Limits | None = None,
    **more: object,
) -> AsyncIterator[tuple[Server, int]]:
    gateway = Gateway(
        "gw.test", ("corp.test",), state_dir=state, trusted_hops=("127.0.0.1",) if listener.proxy_protocol else ()
    )
    config = Config(gateway, routes=(Route("*", "smtp://127.0.0.1:9"),), limits=limits or Limits())
    server = receiving.server(config, listener, receiver, receiving.Clock(), tls=server_context(listener.tls), **more)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await server.start(sock)
    try:
        yield server, port
    finally:
        await server.stop(0)
        await asyncio.sleep(0.05)


async def connect(port: int, **more: object) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port, **more))  # type: ignore[arg-type]


async def hello(port: int) -> Client:
    client = await connect(port)
    assert (await client.answer()) == b"220 gw.test ESMTP Sealgate\r\n"
    assert (await client.ask(b"EHLO h.example\r\n")).startswith(b"250")
    return client


@LOOPS
def test_a_large_message_is_spooled_and_whole(factory: Loop, tmp_path: Path) -> None:
    async def work() -> None:
        receiver = receiving.Receiver()
        async with serving(tmp_path, receiver) as (server, port):
            client = await hello(port)
            assert await client.transaction(BIG) == b"250 2.0.0 taken\r\n"
            assert await client.transaction(b"small\r\n") == b"250 2.0.0 taken\r\n"
            assert await client.ask(b"QUIT\r\n") == b"221 2.0.0 bye\r\n"
            assert await client.reader.read() == b""
            assert [raw for _, raw in receiver.messages] == [BIG, b"small\r\n"]
            assert server.parts.limits.budget.used == 0
            client.close()

    run(factory, work())


@LOOPS
def test_starttls_auth_and_a_large_message(factory: Loop, tmp_path: Path, authority: Authority) -> None:
    async def work() -> None:
        write(tmp_path / "users", {"zhang": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("geheim")})
        tls = ListenerTls(*authority.issue("gw.test"), required=True)
        listener = Listener("submission", "", "submission", tls=tls)
        receiver = receiving.Receiver()
        users = UsersFile(tmp_path / "users", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        async with serving(tmp_path, receiver, listener, users=users) as (_, port):
            client = await hello(port)
            assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220")
            await client.start_tls(authority)
            assert (await client.ask(b"MAIL FROM:<a@corp.test>\r\n")).startswith(b"503")
            assert b"AUTH PLAIN LOGIN" in await client.ask(b"EHLO h.example\r\n")
            wrong, right = b64encode(b"\0zhang\0wrong"), b64encode(b"\0zhang\0geheim")
            assert (await client.ask(b"AUTH PLAIN " + wrong + b"\r\n")).startswith(b"535")
            assert (await client.ask(b"AUTH PLAIN " + right + b"\r\n")).startswith(b"235")
            assert (await client.transaction(BIG, b"zhang@corp.test", b"b@else.example")).startswith(b"250")
            envelope, raw = receiver.messages[0]
            assert (envelope.user, envelope.tls, raw) == ("zhang", "TLSv1.3", BIG)
            client.close()

    run(factory, work())


@LOOPS
def test_clear_text_behind_starttls_is_never_taken(factory: Loop, tmp_path: Path, authority: Authority) -> None:
    """CVE-2011-0411, with the injected commands in the same segment and just behind the 220."""

    async def work() -> None:
        listener = dataclasses.replace(INBOUND, tls=ListenerTls(*authority.issue("gw.test")))
        receiver = receiving.Receiver()
        async with serving(tmp_path, receiver, listener) as (server, port):
            client = await hello(port)
            assert (await client.ask(b"STARTTLS\r\nRSET\r\nMAIL FROM:<x@evil.example>\r\n")).startswith(b"503 5.5.0")
            assert await client.reader.read() == b""
            client.close()
            client = await hello(port)
            assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220")
            client.writer.write(b"RSET\r\nMAIL FROM:<x@evil.example>\r\n")
            assert b"250" not in await client.reader.read()
            client.close()
            await until(lambda: server.parts.limits.open == 0)
            client = await hello(port)
            assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220")
            client.close()
            await until(lambda: server.parts.limits.open == 0)
            assert not server.reception.guests
            assert not server.reception.tasks

    run(factory, work())


@LOOPS
@pytest.mark.parametrize("proxied", [False, True])
def test_implicit_tls(factory: Loop, tmp_path: Path, authority: Authority, proxied: bool) -> None:
    """Behind a proxy the header comes in clear, and the handshake may begin in the same segment."""

    async def work() -> None:
        tls = ListenerTls(*authority.issue("gw.test"), mode="implicit")
        listener = dataclasses.replace(INBOUND, tls=tls, proxy_protocol=proxied)
        receiver = receiving.Receiver()
        async with serving(tmp_path, receiver, listener) as (_, port):
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context(cafile=authority.ca_file)
            session = context.wrap_bio(incoming, outgoing, server_hostname="gw.test")
            with contextlib.suppress(ssl.SSLWantReadError):
                session.do_handshake()
            header = b"PROXY TCP4 198.18.0.9 127.0.0.1 4000 465\r\n" if proxied else b""
            sock.sendall(header + outgoing.read())

            def talk(data: bytes) -> bytes:
                if data:
                    session.write(data)
                sock.sendall(outgoing.read())
                while True:
                    try:
                        return session.read(4096)
                    except ssl.SSLWantReadError:
                        octets = sock.recv(65536)
                        assert octets, "closed"
                        incoming.write(octets)
                        sock.sendall(outgoing.read())

            def shake() -> None:
                while True:
                    try:
                        session.do_handshake()
                        return
                    except ssl.SSLWantReadError:
                        sock.sendall(outgoing.read())
                        incoming.write(sock.recv(65536))

            await asyncio.to_thread(shake)
            assert (await asyncio.to_thread(talk, b"")).startswith(b"220")
            assert b"STARTTLS" not in await asyncio.to_thread(talk, b"EHLO h.example\r\n")
            for command in (b"MAIL FROM:<>", b"RCPT TO:<b@corp.test>", b"DATA"):
                await asyncio.to_thread(talk, command + b"\r\n")
            assert (await asyncio.to_thread(talk, b".\r\n")).startswith(b"250")
            assert receiver.messages[0][0].client == ("198.18.0.9" if proxied else "127.0.0.1")
            sock.close()

    run(factory, work())


def test_old_tls_is_refused(tmp_path: Path, authority: Authority) -> None:
    context = server_context(ListenerTls(*authority.issue("gw.test")))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert server_context(ListenerTls()) is None


@LOOPS
def test_a_client_that_goes_after_the_final_dot(factory: Loop, tmp_path: Path) -> None:
    """Its message is carried through, and when it comes again it gets the same answer and no second delivery (RFC 1047)."""

    async def work() -> None:
        receiver = receiving.Receiver(Reply(250, "2.0.0", "first"), asyncio.Event())
        watch = receiving.Watching()
        async with serving(tmp_path, receiver, watch=watch) as (server, port):
            assert receiver.gate is not None
            client = await hello(port)
            for command in (b"MAIL FROM:<a@s.example>\r\n", b"RCPT TO:<b@corp.test>\r\n", b"DATA\r\n"):
                await client.ask(command)
            client.writer.write(b"text\r\n.\r\n")
            await until(lambda: receiver.messages)
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            await until(lambda: server.parts.limits.open == 0)
            assert server.parts.limits.budget.used > 0
            receiver.gate.set()
            await until(lambda: len(server.parts.answered) == 1)
            assert server.parts.limits.budget.used == 0
            receiver.answer = Reply(250, "2.0.0", "second")
            client = await hello(port)
            assert await client.transaction(b"text\r\n") == b"250 2.0.0 first\r\n"
            assert await client.transaction(b"text\r\n", to=b"c@corp.test") == b"250 2.0.0 second\r\n"
            assert len(receiver.messages) == 2
            assert [first for _, first in watch.duplicates] == [receiver.messages[0][0].id]
            client.close()

    run(factory, work())


def test_what_no_message_tells_of_is_told_to_the_watch(tmp_path: Path) -> None:
    """Refused commands, data refused as it came and failures of ours are counted; a message's own answer is not."""

    async def work() -> None:
        receiver, watch = receiving.Receiver(Reply(550, "5.7.1", "policy")), receiving.Watching()
        async with serving(tmp_path, receiver, watch=watch) as (_, port):
            client = await hello(port)
            await client.ask(b"RUBBISH\r\n")
            assert (await client.transaction(b"text\r\n")).startswith(b"550")
            assert (await client.transaction(b"bare\nLF\r\n")).startswith(b"554")
            receiver.answer = RuntimeError("boom")
            assert (await client.transaction(b"text\r\n")).startswith(b"451")
            client.close()
        told = [(client, code, enhanced) for _, client, code, enhanced in watch.refusals if code != 421]
        assert told == [("127.0.0.1", 500, "5.5.1"), ("127.0.0.1", 554, "5.6.0"), ("127.0.0.1", 451, "4.3.0")]
        assert watch.connections == 1

    run(asyncio.new_event_loop, work())


def test_a_log_without_room_takes_no_new_mail(tmp_path: Path) -> None:
    async def work() -> None:
        room = [False]
        async with serving(tmp_path, receiving.Receiver(), room=lambda: room[0]) as (_, port):
            client = await hello(port)
            assert (await client.ask(b"MAIL FROM:<a@s.example>\r\n")).startswith(b"452 4.3.1")
            room[0] = True
            assert (await client.transaction(b"text\r\n")).startswith(b"250")
            client.close()

    run(asyncio.new_event_loop, work())


@LOOPS
def test_stop(factory: Loop, tmp_path: Path) -> None:
    """421 to who is idle at once, to who sends on too long later; a message that is under way gets its answer, and QUIT its own."""

    async def work() -> None:
        receiver = receiving.Receiver(gate=asyncio.Event())
        async with serving(tmp_path, receiver) as (server, port):
            assert receiver.gate is not None
            idle, sending, busy, other = await hello(port), await hello(port), await hello(port), await hello(port)
            for client in (sending, busy, other):
                for command in (b"MAIL FROM:<a@s.example>\r\n", b"RCPT TO:<b@corp.test>\r\n"):
                    await client.ask(command)
            await sending.ask(b"DATA\r\n")
            sending.writer.write(b"half\r\n")
            receiver.gate.set()
            assert (await idle.transaction(b"one\r\n")).startswith(b"250")
            receiver.gate.clear()
            receiver.messages.clear()
            stopping = asyncio.create_task(server.stop(5, parting_s=1.0))
            await until(lambda: server.reception.stopping)
            server.parts.clock.seconds += PARTING_QUIET_S  # type: ignore[attr-defined]
            assert (await idle.answer()).startswith(b"421 4.3.2")
            for client in (busy, other):
                await client.ask(b"DATA\r\n")
                client.writer.write(b"whole\r\n.\r\n")
            await until(lambda: len(receiver.messages) == 2)
            receiver.gate.set()
            assert await busy.answer() == b"250 2.0.0 taken\r\n"
            assert await other.answer() == b"250 2.0.0 taken\r\n"
            assert await busy.ask(b"QUIT\r\n") == b"221 2.0.0 bye\r\n"
            assert (await other.ask(b"MAIL FROM:<a@s.example>\r\n")).startswith(b"421 4.3.2")
            assert not stopping.done()
            assert (await sending.answer()).startswith(b"421 4.3.2")
            await stopping
            with pytest.raises(OSError):
                await connect(port)
            for client in (idle, sending, busy, other):
                assert await client.reader.read() == b""
                client.close()

    run(factory, work())


@LOOPS
def test_a_client_that_closed_its_side_hears_the_answer(factory: Loop, tmp_path: Path) -> None:
    async def work() -> None:
        receiver = receiving.Receiver(gate=asyncio.Event())
        async with serving(tmp_path, receiver) as (_, port):
            assert receiver.gate is not None
            client = await hello(port)
            for command in (b"MAIL FROM:<a@s.example>\r\n", b"RCPT TO:<b@corp.test>\r\n", b"DATA\r\n"):
                await client.ask(command)
            client.writer.write(b"text\r\n.\r\nNOOP\r\nQUIT\r\n")
            client.writer.write_eof()
            await until(lambda: receiver.messages)
            receiver.gate.set()
            assert await client.reader.read() == b"250 2.0.0 taken\r\n250 2.0.0 ok\r\n221 2.0.0 bye\r\n"
            client.close()

    run(factory, work())


@LOOPS
def test_pipelining_without_end_is_held_back(factory: Loop, tmp_path: Path) -> None:
    """While a message is being answered at most MAX_AHEAD and one read are kept; afterwards every command gets its reply."""

    async def work() -> None:
        receiver = receiving.Receiver(gate=asyncio.Event())
        async with serving(tmp_path, receiver) as (server, port):
            assert receiver.gate is not None
            client = await hello(port)
            for command in (b"MAIL FROM:<a@s.example>\r\n", b"RCPT TO:<b@corp.test>\r\n", b"DATA\r\n"):
                await client.ask(command)
            client.writer.write(b"text\r\n.\r\n")
            await until(lambda: receiver.messages)
            client.writer.write(b"MAIL FROM:<%s@s.example>\r\nRSET\r\n" % (b"x" * 60) * 40_000)
            (connection,) = server.reception.guests
            await until(lambda: connection._held_back)
            await asyncio.sleep(0.1)
            assert len(connection._lines) < 1_000_000
            receiver.gate.set()
            assert await client.answer() == b"250 2.0.0 taken\r\n"
            assert (await client.answer()).startswith(b"250 2.1.0")
            client.close()

    run(factory, work())


async def until(condition: Callable[[], object]) -> None:
    """Wait for it, in steps of the loop; the test's time-out bounds it."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_a_handshake_that_breaks_beneath_us_holds_no_connection_for_ever(tmp_path: Path) -> None:
    config = Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path), routes=(Route("*", "smtp://127.0.0.1:9"),))
    listener = Listener("in", "127.0.0.1:0", "inbound", tls=ListenerTls(mode="implicit"))
    # The loop can't put TLS under this transport: an error that nobody foresees, in a task of its own.
    rig = await receiving.rig(config, listener, "198.18.0.7", tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert rig.take() == b""
    rig.clock.seconds += WORK_S - 1
    rig.server.sweep()
    assert not rig.transport.closed
    rig.clock.seconds += 2
    rig.server.sweep()
    assert rig.transport.closed


@LOOPS
def test_an_unanswered_client_is_told_to_come_again(factory: Loop, tmp_path: Path) -> None:
    """A pipeline that hangs: 451 after the reply budget; when it ends after all, its answer waits for the client."""

    async def work() -> None:
        receiver = receiving.Receiver(gate=asyncio.Event())
        async with serving(tmp_path, receiver, limits=Limits(reply_budget_s=10)) as (server, port):
            assert receiver.gate is not None
            client = await hello(port)
            sent = asyncio.create_task(client.transaction(b"text\r\n"))
            await until(lambda: receiver.messages)
            server.parts.clock.seconds += 39  # type: ignore[attr-defined]
            server.sweep()
            assert not sent.done()
            server.parts.clock.seconds += 2  # type: ignore[attr-defined]
            server.sweep()
            assert (await sent).startswith(b"451 4.3.0")
            receiver.gate.set()
            await until(lambda: len(server.parts.answered) == 1)
            client.close()

    run(factory, work())


def test_swaks_is_served(tmp_path: Path) -> None:
    if shutil.which("swaks") is None:
        pytest.skip("swaks missing: apt install swaks")

    async def work() -> None:
        receiver = receiving.Receiver()
        async with serving(tmp_path, receiver) as (_, port):
            words = ["--server", f"127.0.0.1:{port}", "--from", "a@s.example", "--to", "b@corp.test,c@corp.test"]
            process = await asyncio.create_subprocess_exec(
                *("swaks", *words, "--pipeline", "--body", ".dot\n中文"), stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            envelope, raw = receiver.messages[0]
            assert [each.address for each in envelope.recipients] == ["b@corp.test", "c@corp.test"]
            assert b"\r\n.dot\r\n" in raw

    run(asyncio.new_event_loop, work())


class Raises:
    """A pipeline with a fault."""

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        raise RuntimeError(f"about {envelope.sender}")


async def test_a_fault_is_logged_without_the_mail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path), routes=(Route("corp.test", ""),))
    server = receiving.server(config, INBOUND, Raises(), receiving.Clock())  # type: ignore[arg-type]
    connection, transport = receiving.connect(server, "198.18.0.7")
    rig = receiving.Rig(server, receiving.Receiver(), receiving.Clock(), connection, transport)
    await rig.send(b"HELO h\r\n")
    for command in (b"MAIL FROM:<planted@s.example>\r\n", b"RCPT TO:<b@corp.test>\r\n", b"DATA\r\n"):
        await rig.send(command)
    assert b"451 4.3.0" in await rig.send(b"text\r\n.\r\n")
    assert server.reception.stats.failed == 1
    assert "RuntimeError" in caplog.text
    assert "planted" not in caplog.text
