"""A whole gateway on a stage: configuration, stub DNS, stub server, the processes, and ways to send, ask and look."""

import asyncio
import contextlib
import json
import os
import signal
import smtplib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.reader import LogView
from gateway.demo.mails import Keys, make_keys, zone
from gateway.demo.stubs import Delivered, StubDns, StubServer, Zone

START_S = 120.0
"""A gateway that is not listening by then has failed."""
SEND_S = 150.0
"""Longest wait for one answer."""
CONFIG = """# made by sealgate demo
[gateway]
hostname = "gw.test"
local_domains = ["corp.test"]
state_dir = "state"
mode = "enforce"
workers = 2
trusted_hops = ["127.0.0.1/32"]

[dns]
servers = ["{dns}"]
timeout_s = 5.0

[[listener]]
name = "inbound"
bind = "127.0.0.1:0"
direction = "inbound"
proxy_protocol = true

[[listener]]
name = "outbound"
bind = "127.0.0.1:0"
direction = "outbound"
clients = ["127.0.0.0/8"]

[[route]]
recipients = "*"
to = "smtp://{server}"

[console]
bind = "127.0.0.1:0"

[[operator]]
name = "wang.fang"
address = "wang.fang@corp.test"
roles = ["approver", "auditor"]
groups = ["sales-managers"]
totp_file = "wang.fang.totp"
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an SMTP client was told at the end: code, text, and the message id in it."""

    code: int
    text: str

    @property
    def message_id(self) -> str:
        """The ULID in the text, or ``""``."""
        words = self.text.replace("[", " ").replace("]", " ").replace(",", " ").split()
        return next((word for word in words if len(word) == 26 and word.isalnum() and word.isupper()), "")


@dataclass(frozen=True, slots=True)
class Printed:
    """What a sealgate command said."""

    status: int
    text: str


@dataclass
class Stage:
    """Set up with ``async with``; the folder is the caller's to keep or remove."""

    folder: Path
    totp_secret: str
    config: str = CONFIG
    keys: Keys = field(default_factory=make_keys)
    make_dns: Callable[[Zone], StubDns] = StubDns
    dns: StubDns | None = None
    server: StubServer = field(default_factory=StubServer)
    ports: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    @property
    def state(self) -> Path:
        """The gateway's state folder."""
        return self.folder / "state"

    @property
    def settings(self) -> Path:
        """The gateway's configuration file."""
        return self.folder / "sealgate.toml"

    async def __aenter__(self) -> "Stage":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.dns = self.make_dns(zone(self.keys))
        self.addresses["dns"] = await self.dns.start()
        self.addresses["server"] = await self.server.start()
        self.settings.write_text(
            self.config.format(dns=self.addresses["dns"], server=self.addresses["server"]), encoding="utf-8"
        )
        secret = self.folder / "wang.fang.totp"
        secret.touch(mode=0o600)
        secret.write_text(self.totp_secret + "\n", encoding="ascii")
        try:
            await self.start_gateway()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_gateway()
        if self.dns is not None:
            self.dns.stop()
        await self.server.stop()

    async def start_gateway(self) -> None:
        """Start ``sealgate serve`` and read from its log where it listens. Raises RuntimeError with the log's end."""
        log = self.folder / "gateway.log"
        with open(log, "ab") as handle:  # noqa: ASYNC230  a local file, once, before anything runs
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.cli",
                "serve",
                "--config",
                str(self.settings),
                stderr=handle,
                stdout=handle,
            )
        end = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < end and self.process.returncode is None:
            self.ports = {**_listening(log)}
            if {"inbound", "outbound"} <= set(self.ports):
                return
            await asyncio.sleep(0.05)
        raise RuntimeError("the gateway did not start:\n" + log.read_text(encoding="utf-8", errors="replace")[-3000:])

    async def stop_gateway(self) -> None:
        """SIGTERM, and wait until all its processes are gone."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(
                    self.process.pid, signal.SIGTERM
                )  # the library's own would take the status of one that has just ended
            await self.process.wait()

    async def send(
        self, listener: str, sender: str, to: Sequence[str], data: bytes, client: str | None = None
    ) -> Answer:
        """One message over real SMTP; ``client`` is told by PROXY v1."""
        return await asyncio.to_thread(self._send, listener, sender, to, data, client)

    def _send(self, listener: str, sender: str, to: Sequence[str], data: bytes, client: str | None) -> Answer:
        connection = _Client(client, self.ports[listener])
        try:
            code, text = connection.connect("127.0.0.1", self.ports[listener])
            if code != 220:
                return Answer(code, text.decode("utf-8", "replace"))
            connection.ehlo("client.example")
            for command in (f"MAIL FROM:<{sender}> BODY=8BITMIME", *(f"RCPT TO:<{person}>" for person in to)):
                code, text = connection.docmd(command)
                if code >= 400:
                    return Answer(code, text.decode("utf-8", "replace"))
            code, text = connection.data(data)
            return Answer(code, text.decode("utf-8", "replace"))
        except smtplib.SMTPDataError as error:
            reply = error.smtp_error
            return Answer(error.smtp_code, reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply)
        finally:
            connection.close()

    async def command(self, *words: str, stdin: str = "") -> Printed:
        """Run a sealgate command as a person would."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", *words, "--config", str(self.settings),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUTF8": "1"},
        )  # fmt: skip
        out, _ = await process.communicate(stdin.encode())
        return Printed(process.returncode or 0, out.decode("utf-8", "replace"))

    async def pause(self, seconds: float) -> None:
        """Let the processes work; only for waits that are bounded by the caller."""
        await asyncio.sleep(seconds)

    def events(self, message_id: str = "") -> list[Mapping[str, Any]]:
        """What the log holds, in order; of one message if its id is given."""
        found = [stored.record for stored in LogView.open(self.state / "audit").entries()]
        return [event for event in found if not message_id or event.get("msg") == message_id]

    def delivered(self) -> list[Delivered]:
        """What reached the corporate server."""
        return list(self.server.delivered)


class _Client(smtplib.SMTP):
    """smtplib with a PROXY v1 line before the greeting."""

    def __init__(self, client: str | None, port: int) -> None:
        self.proxy = f"PROXY TCP4 {client} 127.0.0.1 40000 {port}\r\n".encode() if client else b""
        super().__init__(timeout=SEND_S, local_hostname="client.example")

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        made = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        made.sendall(self.proxy)
        return made


def _listening(log: Path) -> Mapping[str, int]:
    ports: dict[str, int] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record.get("event") == "listening":
                ports[record["listener"]] = record["address"][1]
    return ports
