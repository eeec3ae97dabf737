"""Every check of the doctor in good and bad order, against real sockets and files."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.checkup import examination, machine, neighbours, ports, running
from gateway.checkup.check import Health
from gateway.config import Config, Gateway, Listener, ListenerTls, Policies, Route
from gateway.process import lifeline
from tests.fakes.certificates import Authority
from tests.fakes.ports import deaf_port

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD, REMARK, WRONG = Health.GOOD, Health.REMARK, Health.WRONG


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path / "state"))


@asynccontextmanager
async def saying(*lines: bytes, asks: bytes = b"") -> AsyncIterator[int]:
    """A server that says these lines, one after each line of the client but for the first."""

    talking: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if asks:
                assert await reader.readexactly(len(asks)) == asks
            for line in lines:
                writer.write(line)
                if not asks:
                    await reader.readline()
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(talk(reader, writer))
        talking.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*talking)
        await asyncio.sleep(0)


def route(port: int, tls: str = "opportunistic") -> Route:
    return Route("*", f"smtp://127.0.0.1:{port}", tls=tls)


@pytest.mark.parametrize(
    ("said", "tls", "expected", "word"),
    [
        ((b"220 hi\r\n", b"250-hop\r\n250-STARTTLS\r\n250 SIZE 10\r\n"), "required", GOOD, "STARTTLS SIZE"),
        ((b"220 hi\r\n", b"250 hop\r\n"), "opportunistic", GOOD, "no extensions"),
        ((b"220 hi\r\n", b"250 hop\r\n"), "required", WRONG, "STARTTLS"),
        ((b"554 go away\r\n",), "opportunistic", WRONG, "554"),
        ((), "opportunistic", WRONG, "answered"),
        ((b"220 hi\r\n", b"250-x\r\n" * 200), "opportunistic", WRONG, "without end"),
    ],
)
async def test_route(config: Config, said: tuple[bytes, ...], tls: str, expected: Health, word: str) -> None:
    async with saying(*said) as port:
        found = await neighbours.check_route(config, route(port, tls))
    assert (found.health, word in found.en) == (expected, True), found


async def test_route_that_nobody_serves_and_by_mx(config: Config) -> None:
    with deaf_port() as port:
        assert (await neighbours.check_route(config, route(port))).health is WRONG
    assert (await neighbours.check_route(config, Route("*", "mx:"))).health is GOOD
    assert (await neighbours.check_route(config, Route("*", "smtp://"))).health is WRONG


async def test_listener(config: Config) -> None:
    async def look(port: int, *, serving: bool) -> Health:
        return (
            await ports.check_listener(config, Listener("in", f"127.0.0.1:{port}", "inbound"), serving=serving)
        ).health

    async with saying(b"220 gw.test\r\n") as port:
        assert await look(port, serving=True) is GOOD
        assert await look(port, serving=False) is WRONG
    assert await look(port, serving=False) is GOOD
    assert await look(port, serving=True) is WRONG
    async with saying(b"500 what\r\n") as port:
        assert await look(port, serving=True) is WRONG
    assert await look(0, serving=True) is REMARK


def test_certificate(config: Config, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("gw.test")

    def look(now: datetime, hostname: str = "gw.test", key_file: Path = key) -> Health:
        listener = Listener("in", "127.0.0.1:0", "inbound", tls=ListenerTls(cert, key_file))
        return ports.check_certificate(
            replace(config, gateway=replace(config.gateway, hostname=hostname)), listener, now
        ).health

    from cryptography import x509

    made = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    start, end = made.not_valid_before_utc, made.not_valid_after_utc
    fresh = max(start, end - timedelta(days=400)) + timedelta(hours=1)
    if end - fresh > timedelta(days=ports.EXPIRY_DAYS):
        assert look(fresh) is GOOD
        assert look(fresh, "other.test") is REMARK
    assert look(end - timedelta(days=1)) is REMARK
    assert look(end + timedelta(days=1)) is WRONG
    assert look(start - timedelta(days=1)) is WRONG
    _, other = authority.issue("other.test")
    assert look(fresh, key_file=other) is WRONG
    assert look(fresh, key_file=tmp_path / "missing") is WRONG


@pytest.mark.parametrize(("free", "expected"), [(1 << 20, WRONG), (2 << 30, REMARK), (1 << 40, GOOD)])
def test_disk(config: Config, free: int, expected: Health) -> None:
    assert machine.check_disk(config, lambda path: shutil._ntuple_diskusage(1 << 41, 0, free)).health is expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"ClamAV 1.4.3/27800/Sat Nov 21 08:25:09 2026\0", GOOD),
        (b"ClamAV 1.4.3/27700/Sat Aug 01 08:25:09 2026\0", REMARK),
        (b"ClamAV 1.4.3\0", REMARK),
        (b"no end", WRONG),
    ],
)
async def test_clamd(said: bytes, expected: Health) -> None:
    async with saying(said, asks=b"zVERSION\0") as port:
        found = await neighbours.check_clamd(f"127.0.0.1:{port}", NOW)
    assert found.health is expected
    assert (await neighbours.check_clamd("unix:/no/such/socket", NOW)).health is WRONG


async def test_clock_is_steady_here_and_ntp_is_known_or_said_not_to_be() -> None:
    found = await machine.check_clock()
    assert found.health in (GOOD, REMARK)
    assert {True: "synchronised", False: "not synchronised", None: "unknown"}[machine.ntp_synchronised()] in found.en


async def test_parts_that_do_not_answer(config: Config) -> None:
    assert running.check_keeper(config).health is WRONG
    assert (await running.check_decoders(config)).health is WRONG
    assert running.check_log(config).health is REMARK
    trouble = config.gateway.state_dir / "run" / "trouble"
    trouble.mkdir(parents=True)
    (trouble / "queue").write_text("5 deaths", "utf-8")
    (found,) = running.check_trouble(config)
    assert (found.subject, found.health) == ("queue", WRONG)


async def test_rules_that_do_not_load(config: Config, tmp_path: Path) -> None:
    (tmp_path / "10.toml").write_text("schema = 1\nwhat = 2\n")
    found = await examination.check_rules(replace(config, policies=Policies(tmp_path)))
    assert (found.health, "10.toml" in found.en) == (WRONG, True)


async def test_a_gateway_that_does_not_run_is_said(config: Config) -> None:
    assert lifeline.holder(config.gateway.state_dir) == 0
    checks = {each.subject: each.health for each in await examination.examine(config)}
    assert checks["processes 进程"] is REMARK
    assert checks["rules 策略"] is GOOD
