"""A storm of hostile sessions against a whole gateway: every message gets an answer, nothing dies, memory stays flat, mail still flows."""

import asyncio
import base64
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.demo import mails
from gateway.demo.stage import Stage
from tests.e2e.conftest import SECRET
from tests.faults.test_kill_loop import children

CLIENTS = 8
ANSWER_S = 60.0
"""Longest wait for any one answer: bombs must be answered within 30 s, and the machine may be busy."""
WORKER_MB = 600
"""Resident size no process of ours may pass during the storm."""
NAMES = ("a.zip", "b.docx", "报价单.pdf", "x.xlsx", "winmail.dat", "y.eml", "z.html", "双.exe.pdf", "\u202efdp.exe")


def boundary_mess(chance: random.Random) -> bytes:
    """Multiparts that contradict themselves."""
    mark = chance.choice(["b", "b b", "", "b" * 80, "=?utf-8?q?b?="])
    other = chance.choice([mark, mark + "x", "c"])
    head = f'Content-Type: multipart/mixed; boundary="{mark}"; boundary={other}\r\nContent-Type: text/plain\r\n'
    parts = "".join(
        f"--{chance.choice([mark, other])}{chance.choice(['', '--'])}\r\n{part(chance)}\r\n"
        for _ in range(chance.randrange(30))
    )
    return head.encode("utf-8", "replace") + b"\r\n" + parts.encode("utf-8", "replace")


def part(chance: random.Random) -> str:
    encoding = chance.choice(["base64", "quoted-printable", "x-uuencode", "7bit", "BASE64 ", "binary"])
    body = base64.b64encode(chance.randbytes(chance.randrange(2000))).decode()
    if chance.random() < 0.3:
        body = body.replace("A", chance.choice(["=", "!", "\u00e9", ""]))
    return f'Content-Transfer-Encoding: {encoding}\r\nContent-Disposition: attachment; filename="{chance.choice(NAMES)}"\r\n\r\n{body}'


def header_mess(chance: random.Random) -> bytes:
    """Headers of every length, folded, repeated, without names."""
    lines = [
        chance.choice(
            ["Subject", "From", "From ", "X" * chance.randrange(2000), "", "\tTo", "DKIM-Signature", "ARC-Seal"]
        )
        + chance.choice([":", " :", "", "::"])
        + chance.choice(
            ["=?gb18030?b?" + "u7bT" * 40 + "?=", "a@b.example", "v=1; a=rsa-sha256; " * 50, "\u5408 " * 300, " "]
        )
        for _ in range(chance.randrange(1, 300))
    ]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\nbody\r\n"


def nested(chance: random.Random) -> bytes:
    """Depth without end."""
    depth = chance.randrange(5, 300)
    return (
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(depth))
        + b"end\r\n"
    )


def archive(chance: random.Random) -> bytes:
    """A zip in a zip, damaged somewhere."""
    data = mails.zipped(
        "in.zip", mails.zipped("x" * chance.randrange(1, 300) + ".txt", b"\0" * chance.randrange(1, 2_000_000))
    )
    broken = bytearray(data)
    for _ in range(chance.randrange(4)):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    return mails.mail("li@corp.test", "zhang@corp.test", "archive", "see", {chance.choice(NAMES): bytes(broken)})


def noise(chance: random.Random) -> bytes:
    """Bytes."""
    return chance.randbytes(chance.randrange(20_000)).replace(b"\r", b"").replace(b"\n", b"\r\n").replace(b"\0", b"")


def text_bomb(chance: random.Random) -> bytes:
    """Long runs of what makes careless matchers slow."""
    unit = chance.choice([" ", "\t", "1", "a@", "合", "6222 ", "=", "<b>", "&#65;", "\u200b合\u200b同", "a" * 50 + " "])
    html = chance.random() < 0.5
    kind = "html" if html else "plain"
    body = (unit * chance.randrange(1, 100_000))[:300_000]
    return (
        f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode()
        + b"\r\n".join(body[n : n + 900].encode() for n in range(0, len(body), 900))
    )


MESSAGES = (boundary_mess, header_mess, nested, archive, noise, text_bomb)
COMMANDS: Sequence[bytes] = (
    b"EHLO \xff\xfe\r\n", b"MAIL FROM:<" + b"a" * 3000 + b">\r\n", b"RCPT TO:<@a,@b:c@corp.test>\r\n", b"DATA\n", b"MAIL FROM:<a@b>\n.\n",
    b"\x00\x01\x02\r\n", b"STARTTLS\r\nMAIL FROM:<x@y>\r\n", b"BDAT 10 LAST\r\n0123456789", b"AUTH PLAIN AAAA\r\n",
    b"XCLIENT ADDR=1.2.3.4\r\n",
    b"RSET\r\n" * 200, b"HELP\r\nNOOP\r\nVRFY x\r\n", b"MAIL FROM:<> SIZE=999999999999999999999\r\n", b"." * 5000 + b"\r\n",
    b"QUIT\r\nQUIT\r\n",
)  # fmt: skip


@dataclass
class Storm:
    """Clients that send rubbish until the time is up."""

    stage: Stage
    seconds: float
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    sizes: list[dict[str, float]] = field(default_factory=list)

    async def client(self, seed: int) -> None:
        chance = random.Random(seed)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                if chance.random() < 0.3:
                    await self.chatter(chance)
                else:
                    await self.letter(chance)

    async def chatter(self, chance: random.Random) -> None:
        """Commands out of order, then gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stage.ports["outbound"])
        try:
            for _ in range(chance.randrange(1, 12)):
                writer.write(chance.choice(COMMANDS))
                await writer.drain()
                if chance.random() < 0.5:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.2):
                            line = await reader.readuntil(b"\r\n")
                            assert b"Traceback" not in line
                            assert b"Error" not in line, line
        finally:
            writer.close()

    async def letter(self, chance: random.Random) -> None:
        """A message that is nothing but trouble; the end of data must be answered."""
        make = chance.choice(MESSAGES)
        data = make(chance).replace(b"\r\n.", b"\r\n..")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stage.ports["outbound"], limit=1 << 20)
        try:
            await reader.readuntil(b"\r\n")
            for line in (b"HELO x", b"MAIL FROM:<li@corp.test>", b"RCPT TO:<zhang@corp.test>", b"DATA"):
                writer.write(line + b"\r\n")
                said = await reader.readuntil(b"\r\n")
                if said[:1] in b"45":
                    self.answers[int(said[:3])] += 1
                    return
            writer.write(data + b"\r\n.\r\n")
            await writer.drain()
            try:
                async with asyncio.timeout(ANSWER_S):
                    said = await reader.readuntil(b"\r\n")
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
                self.unanswered.append(f"{make.__name__}: {type(error).__name__}")
                return
            assert b"Traceback" not in said
            self.answers[int(said[:3])] += 1
        finally:
            writer.close()

    async def watch(self) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            self.sizes.append(resident(self.stage))
            await asyncio.sleep(1.0)


def resident(stage: Stage) -> dict[str, float]:
    """MB of our long-lived processes; decoders come and go and have their own limit."""
    found = {}
    assert stage.process is not None
    for pid, name in children(stage.process.pid).items():
        with contextlib.suppress(OSError, StopIteration, IndexError):
            status = Path(f"/proc/{pid}/status").read_text()
            found[f"{name}-{pid}"] = int(status.split("VmRSS:")[1].split()[0]) / 1024
    return found


async def storm(tmp_path: Path, seconds: float) -> Storm:
    async with Stage(tmp_path, SECRET) as stage:
        made = Storm(stage, seconds)
        before = set(resident(stage))
        await asyncio.gather(made.watch(), *(made.client(seed) for seed in range(CLIENTS)))
        died = [
            json.loads(line)
            for line in (tmp_path / "gateway.log").read_text().splitlines()
            if '"event": "died"' in line
        ]
        assert not died, died
        lasting = {name for name in before if not name.startswith("sg-decoder")}
        assert {name for name in lasting if name.startswith("sg-")} <= set(resident(stage))
        assert not made.unanswered, made.unanswered[:10]
        assert made.answers[250] > 0
        assert set(made.answers) <= {250, 421, 450, 451, 452, 550, 552, 554, 500, 503}, made.answers
        biggest = max(size for sample in made.sizes for size in sample.values())
        assert biggest < WORKER_MB, made.sizes[-1]
        after = await stage.send(
            "outbound", "li@corp.test", ["zhang@corp.test"], mails.mail("li@corp.test", "zhang@corp.test", "calm", "x")
        )
        assert after.code == 250
        verified = await stage.command("audit", "verify")
        assert verified.status == 0, verified.text
        log = (tmp_path / "gateway.log").read_text()
        assert "Traceback" not in log
        return made


async def test_twenty_seconds(tmp_path: Path) -> None:
    made = await storm(tmp_path, 20.0)
    print(dict(made.answers), made.sizes[-1])


@pytest.mark.full
async def test_ten_minutes_with_flat_memory(tmp_path: Path) -> None:
    made = await storm(tmp_path, 600.0)
    third = len(made.sizes) // 3
    for name in made.sizes[third]:
        if name.startswith(("sg-worker", "sg-keeper", "sg-queue")):
            middle = [sample[name] for sample in made.sizes[third : 2 * third] if name in sample]
            last = [sample[name] for sample in made.sizes[2 * third :] if name in sample]
            assert last, f"{name} died"
            assert sum(last) / len(last) < 1.15 * sum(middle) / len(middle) + 10, f"{name} grows"
    print(dict(made.answers), made.sizes[-1])
