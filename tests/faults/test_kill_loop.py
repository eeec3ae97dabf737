"""Kill the gateway's processes while mail is under way at every stage; nothing acknowledged may be lost or altered.

Each kill first makes its stage slow from outside (a client that pauses, a DNS or next hop that does not answer, a keeper that is
stopped, a store that is locked), waits until enough messages are in flight and at least one is in that stage, and then kills.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import config as configuration
from gateway.demo import mails
from gateway.demo.stage import Stage
from gateway.demo.stubs import StubDns, StubServer
from gateway.store.blobs import FolderBlobs
from gateway.store.opening import open_store
from gateway.store.protocol import Filter
from tests.e2e.conftest import SECRET

IN_FLIGHT = 8
SENDERS = 14
PATIENCE_S = 180.0
"""Processes that die often are started again after up to half a minute, and the machine may be busy."""
STAGES = ("receiving", "judging", "logging", "custody", "relaying")


class SlowServer(StubServer):
    """A next hop that can be made to hesitate before its final answer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await super().handle_DATA(server, session, envelope)


class SlowDns(StubDns):
    """A DNS that can be made silent."""

    silent = False
    unanswered = 0

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self.silent:
            self.unanswered += 1
            return
        super().datagram_received(data, address)


@dataclass
class Letter:
    """One message of the test: what was sent, how far the client came, what it was told."""

    token: str
    kind: str
    raw: bytes
    phase: str = "idle"
    code: int = 0
    message_id: str = ""


@dataclass
class Load:
    """Senders that never stop: a third relayed, a third held, a third refused, some of them slow in DATA."""

    stage: Stage
    letters: list[Letter] = field(default_factory=list)
    stopped: bool = False
    pause: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.pause.set()

    @property
    def under_way(self) -> list[Letter]:
        return [letter for letter in self.letters if letter.phase not in ("idle", "answered", "lost")]

    @property
    def answered(self) -> int:
        return sum(1 for letter in self.letters if letter.phase == "answered")

    def in_phase(self, phase: str) -> int:
        return sum(1 for letter in self.under_way if letter.phase == phase)

    def write(self) -> Letter:
        number = next(self.numbers)
        kind = ("relay", "hold", "inbound", "refuse")[number % 4]
        token = f"token-{number:06d}-end"
        text = f"{token} " + ("本合同总价 USD 1" if kind == "hold" else "hello") + " lorem" * (number % 400)
        sender = (
            f"ann@{mails.PARTNER}" if kind == "inbound" else "ceo@bank.example" if kind == "refuse" else "li@corp.test"
        )
        to = "buyer@acme.example" if kind == "hold" else "zhang@corp.test"
        return Letter(token, kind, mails.mail(sender, to, token, text))

    async def send_for_ever(self) -> None:
        while not self.stopped:
            letter = self.write()
            self.letters.append(letter)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, EOFError):
                await self.send(letter)
            if letter.phase != "answered":
                letter.phase = "lost"
            await asyncio.sleep(0.05)

    async def send(self, letter: Letter) -> None:
        inbound = letter.kind in ("inbound", "refuse")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.stage.ports.get("inbound" if inbound else "outbound", 1)
        )
        try:
            if inbound:
                client = mails.PARTNER_IP if letter.kind == "inbound" else mails.STRANGER_IP
                writer.write(f"PROXY TCP4 {client} 127.0.0.1 40000 25\r\n".encode())
            sender = {"inbound": f"ann@{mails.PARTNER}", "refuse": "ceo@bank.example"}.get(letter.kind, "li@corp.test")
            to = "buyer@acme.example" if letter.kind == "hold" else "zhang@corp.test"
            await answer(reader)
            for line in ("EHLO client.example", f"MAIL FROM:<{sender}> BODY=8BITMIME", f"RCPT TO:<{to}>", "DATA"):
                writer.write(line.encode() + b"\r\n")
                code, _ = await answer(reader)
                if code >= 400:
                    return
            letter.phase = "receiving"
            writer.write(letter.raw[: len(letter.raw) // 2])
            await writer.drain()
            await self.pause.wait()
            letter.phase = "sent"
            writer.write(letter.raw[len(letter.raw) // 2 :] + b".\r\n")
            letter.code, text = await answer(reader)
            letter.phase = "answered"
            words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
            letter.message_id = next((word for word in words if len(word) == 26 and word.startswith("0")), "")
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    while True:
        line = await reader.readuntil(b"\r\n")
        if line[3:4] == b" ":
            return int(line[:3]), line.decode("utf-8", "replace")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


def children(pid: int) -> dict[int, str]:
    """Processes below one, with their names."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found[int(child)] = (Path("/proc") / child / "comm").read_text().strip()
                found |= children(int(child))
    return found


def of(stage: Stage, name: str) -> list[int]:
    assert stage.process is not None
    return [pid for pid, comm in children(stage.process.pid).items() if comm == name]


@dataclass
class Killer:
    """Brings one stage to a halt, kills, and lets go."""

    stage: Stage
    load: Load
    server: SlowServer
    dns: SlowDns
    hits: Counter[str] = field(default_factory=Counter)

    async def strike(self, where: str, victim: str) -> None:
        lock: sqlite3.Connection | None = None
        stopped: list[int] = []
        if where == "receiving":
            self.load.pause.clear()
            ready = lambda: self.load.in_phase("receiving") >= IN_FLIGHT  # noqa: E731
        elif where == "judging":
            before = self.dns.unanswered
            self.dns.silent = True
            ready = lambda: self.dns.unanswered > before and len(self.load.under_way) >= IN_FLIGHT  # noqa: E731
        elif where == "logging":
            stopped = of(self.stage, "sg-keeper")
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            ready = lambda: self.load.in_phase("sent") >= IN_FLIGHT  # noqa: E731
        elif where == "custody":
            lock = sqlite3.connect(self.stage.state / "state.db", isolation_level=None, timeout=PATIENCE_S)
            lock.execute("BEGIN IMMEDIATE")
            ready = lambda: (  # noqa: E731
                any(letter.kind == "hold" and letter.phase == "sent" for letter in self.load.under_way)
                and len(self.load.under_way) >= IN_FLIGHT
            )
        else:
            self.server.gate.clear()
            ready = lambda: self.server.waiting > 0 and len(self.load.under_way) >= IN_FLIGHT  # noqa: E731
        try:
            try:
                await until(ready)
            except TimeoutError:
                phases = Counter(letter.phase for letter in self.load.under_way)
                pytest.fail(f"no mail came to {where} before {victim} was to be killed; under way: {dict(phases)}")
            assert len(self.load.under_way) >= IN_FLIGHT
            self.hits[where] += 1
            await self.kill(victim, lock)
        finally:
            self.load.pause.set()
            self.dns.silent = False
            self.server.gate.set()
            if lock is not None:
                lock.close()
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def kill(self, victim: str, lock: sqlite3.Connection | None) -> None:
        """SIGKILL, and wait until the dead are replaced; the store is let go first, since a start writes to it."""
        process = self.stage.process
        assert process is not None
        if victim == "everything":
            pids = [process.pid, *children(process.pid)]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await process.wait()
            if lock is not None:
                lock.rollback()
            (self.stage.folder / "gateway.log").unlink()
            await self.stage.start_gateway()
            return
        old = of(self.stage, victim)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        if lock is not None:
            lock.rollback()
        await until(lambda: len(set(of(self.stage, victim)) - set(old)) >= len(old))


async def run(tmp_path: Path, kills: int) -> None:
    """The loop, and then the account."""
    stage = Stage(tmp_path, SECRET)
    server = SlowServer()
    stage.server = server
    stage.make_dns = SlowDns
    async with stage:
        assert isinstance(stage.dns, SlowDns)
        load = Load(stage)
        senders = [asyncio.create_task(load.send_for_ever()) for _ in range(SENDERS)]
        killer = Killer(stage, load, server, stage.dns)
        chance = random.Random(20261122)
        victims = {
            "receiving": ["sg-worker", "everything"], "judging": ["sg-worker", "everything"], "logging": ["sg-keeper", "everything"],
            "custody": ["sg-worker", "everything"], "relaying": ["everything", "sg-worker"],
        }  # fmt: skip
        await until(lambda: sum(1 for letter in load.letters if letter.code == 250) >= 10)
        for number in range(kills):
            where = STAGES[number % len(STAGES)]
            await killer.strike(where, chance.choice(victims[where]))
            goal = load.answered + 20
            await until(lambda goal=goal: load.answered >= goal)  # type: ignore[misc]
        load.stopped = True
        await asyncio.gather(*senders)
        missed = [where for where in STAGES if not killer.hits[where]]
        assert not missed or kills < len(STAGES), f"no kill landed in {missed}"
        await account(stage, load, server)


async def account(stage: Stage, load: Load, server: SlowServer) -> None:
    """Acknowledged means there, unaltered, and in the log; refused means nowhere."""
    config = configuration.load(stage.settings)
    acknowledged = [letter for letter in load.letters if letter.code == 250]
    store = await open_store(config)
    blobs = FolderBlobs(stage.state / "custody")
    kept: set[str] = set()
    cursor = ""
    while True:
        page = await store.page(Filter(), cursor, 500)
        kept |= {delivery.message_id for delivery in page.deliveries}
        if not page.next:
            break
        cursor = page.next
    arrived: dict[str, list[bytes]] = {}
    for each in server.delivered:
        for letter_token in [word for word in each.data.split() if word.startswith(b"token-")][:1]:
            arrived.setdefault(letter_token.decode(), []).append(each.data)
    decided = {event["msg"]: event for event in stage.events() if event["type"] == "message.decided"}
    outcomes = Counter(event["msg"] for event in stage.events() if event["type"] == "message.relayed")
    problems: list[str] = []
    for letter in acknowledged:
        event = decided.get(letter.message_id)
        if event is None:
            problems.append(f"{letter.token}: acknowledged, not in the log")
        elif event["intent"] == "relay":
            if not any(data.endswith(letter.raw) for data in arrived.get(letter.token, ())):
                problems.append(f"{letter.token}: acknowledged, not delivered as sent")
            if outcomes[letter.message_id] != 1:
                problems.append(f"{letter.token}: {outcomes[letter.message_id]} outcomes in the log")
        elif letter.message_id in kept:
            box, held = await store.box(letter.message_id), await store.held(letter.message_id)
            sealed = await blobs.get(held.blob) if held else None
            if box is None or sealed is None or box.open_blob(sealed) != letter.raw:
                problems.append(f"{letter.token}: held, but not as it was sent")
        elif letter.token not in arrived:
            problems.append(f"{letter.token}: acknowledged for custody, neither there nor delivered")
    for letter in load.letters:
        if letter.kind == "refuse" and letter.token in arrived:
            problems.append(f"{letter.token}: refused mail was delivered")
        if letter.kind == "hold" and letter.token in arrived:
            problems.append(f"{letter.token}: held mail was delivered")
    await store.close()
    assert not problems, "\n".join(problems[:20])
    assert {letter.kind for letter in acknowledged} >= {"relay", "hold", "inbound"}
    verified = await stage.command("audit", "verify")
    assert verified.status == 0, verified.text
    print(json.dumps({"letters": len(load.letters), "acknowledged": len(acknowledged), "kept": len(kept)}))


async def test_five_kills_one_in_each_stage(tmp_path: Path) -> None:
    await run(tmp_path, 5)


@pytest.mark.full
async def test_fifty_kills(tmp_path: Path) -> None:
    await run(tmp_path, 50)
