"""The client against servers written by others: Postfix's smtp-sink (SMTP and LMTP) and aiosmtpd."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import Phase
from gateway.smtp.nexthop import NextHop, Scheme
from gateway.smtp.pool import Pool
from scanners.message import Recipient
from tests.fakes.ports import free_port

DATA = (b"Received: by gw.test\r\n", b"Subject: hi\r\n\r\nHello\r\n.\r\n..two\r\nlast\r\n")
PATIENCE_S = 120.0
"""The machine may be busy."""


@asynccontextmanager
async def smtp_sink(folder: Path, *options: str) -> AsyncIterator[int]:
    """Postfix's test server; takes mail into one file each in ``folder``."""
    program = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    if not Path(program).exists():
        pytest.skip("smtp-sink missing: apt install postfix")
    port = free_port()
    if os.geteuid() == 0:
        folder.chmod(0o777)
        options = ("-u", "nobody", "-R", str(folder), *options)
        template = "got.%S"
    else:
        template = str(folder / "got.%S")
    process = await asyncio.create_subprocess_exec(program, "-d", template, *options, f"127.0.0.1:{port}", "10")
    try:
        await _until_open(port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        await process.wait()


async def _until_open(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def send(hop: NextHop, *recipients: str, times: int = 1) -> list[Sent]:
    pool = Pool(hostname="gw.test", clock=time.monotonic)
    mail = Outgoing("a@corp.test", tuple(map(Recipient, recipients)))
    sent = [await pool.send(hop, mail, DATA, deadline=time.monotonic() + PATIENCE_S) for _ in range(times)]
    await pool.close()
    return sent


def codes(sent: Sent) -> list[int]:
    return [one.reply.code for one in sent.recipients]


class TestPostfixSink:
    async def test_smtp(self, tmp_path: Path) -> None:
        async with smtp_sink(tmp_path) as port:
            sent = await send(NextHop(Scheme.SMTP, "127.0.0.1", port), "x@corp.test", "y@corp.test", times=3)
        assert [codes(one) for one in sent] == [[250, 250]] * 3
        files = [file.read_bytes() for file in tmp_path.iterdir()]
        assert len(files) == 3
        assert all(b"Hello\n.\n..two\nlast\n" in content.replace(b"\r\n", b"\n") for content in files)

    async def test_lmtp(self, tmp_path: Path) -> None:
        async with smtp_sink(tmp_path, "-L") as port:
            sent = await send(NextHop(Scheme.LMTP, "127.0.0.1", port), "x@corp.test", "y@corp.test", times=2)
        assert [codes(one) for one in sent] == [[250, 250]] * 2

    @pytest.mark.parametrize(
        ("options", "phase", "code"),
        [
            (("-r", "rcpt"), Phase.RCPT, 450),
            (("-r", "data"), Phase.DATA, 450),
            (("-f", "mail"), Phase.MAIL, 500),
            (("-f", "."), Phase.AFTER_DOT, 500),
            (("-q", "mail"), Phase.MAIL, 451),
            (("-q", "rcpt"), Phase.RCPT, 451),
            (("-q", "data"), Phase.DATA, 451),
            (("-e",), Phase.AFTER_DOT, 250),
            (("-p",), Phase.AFTER_DOT, 250),
            (("-8",), Phase.AFTER_DOT, 250),
        ],
        ids=lambda value: "".join(value) if isinstance(value, tuple) else None,
    )
    async def test_its_ways_to_misbehave(
        self, tmp_path: Path, options: tuple[str, ...], phase: Phase, code: int
    ) -> None:
        async with smtp_sink(tmp_path, *options) as port:
            (sent,) = await send(NextHop(Scheme.SMTP, "127.0.0.1", port), "x@corp.test")
        assert (sent.phase, codes(sent)[0] // 100) == (phase, code // 100)
        assert not sent.unknown


class Keeping:
    """An aiosmtpd handler that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.got.append(envelope)
        return "250 2.0.0 kept"


async def test_aiosmtpd_gets_the_same_bytes() -> None:
    handler = Keeping()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="peer.test", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (sent,) = await send(NextHop(Scheme.SMTP, "127.0.0.1", port), "x@corp.test", "y@corp.test")
    server.close()
    await server.wait_closed()
    assert str(sent.final) == "250 2.0.0 kept"
    assert handler.got[0].original_content == b"".join(DATA)
    assert handler.got[0].rcpt_tos == ["x@corp.test", "y@corp.test"]
