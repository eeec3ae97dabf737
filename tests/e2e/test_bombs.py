"""Bombs against a whole gateway: each is answered in time with a finding that names its bound, memory stays, and the next mail passes."""

import asyncio
import contextlib
import gzip
import io
import os
import random
import signal
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from gateway.demo import mails
from gateway.demo.stage import Stage
from scanners.attachments.poison import GIVE_UP

ANSWER_S = 30.0
"""Issue 3: longest time for any answer; of the processor, all our processes together, since the machine may be busy."""
PATIENCE_S = 300.0
"""Of the clock on the wall, for what a free machine does in seconds."""
TRIES = 6
"""Of a bomb that meets the bound on time first, as on a machine that is busy with other work."""
NO_TIME = {"content.limit.time", "scanner.failed"}
MAX_RSS_KB = 1_200_000
"""Of one process: the decoder's own limit and its libraries; a bomb that unpacks whole needs more."""
REFUSED = "554"
NUMBER = "content.identifier.cn_id18"
BEHIND = f"\r\nid {mails.RESIDENT_ID}\r\n".encode()
PEOPLE = ("li@corp.test", "zhang@corp.test")


def nested_zip(levels: int = 12) -> bytes:
    data = b"x"
    for _ in range(levels):
        data = mails.zipped("a.zip", data)
    return data


def fat_zip(members: int = 40) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}.bin", bytes(20_000_000))
    return out.getvalue()


def _zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def many_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(5_000):
            archive.writestr(f"{number}.txt", "x")
    return out.getvalue()


def office(member: str, xml: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", mails.WORKBOOK["[Content_Types].xml"])
        archive.writestr(member, xml)
    return out.getvalue()


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "lol">{entities}]><document>&l11;</document>'.encode()


def wide_sheet() -> bytes:
    head = b'<?xml version="1.0"?><worksheet xmlns="x"><dimension ref="A1:XFD1048576"/><sheetData>'
    cells = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    return head + cells * 1_000_000 + b"</sheetData></worksheet>"


def attached(name: str, data: bytes) -> bytes:
    return mails.mail(PEOPLE[0], PEOPLE[1], "bomb", "hello", {name: data})


def headed(kind: str, body: bytes, more: bytes = b"") -> bytes:
    head = f"From: {PEOPLE[0]}\r\nTo: {PEOPLE[1]}\r\nSubject: bomb\r\nContent-Type: {kind}\r\n".encode()
    return head + more + b"\r\n" + body


def picture(side: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "png")
    return out.getvalue()


def slow_zip() -> bytes:
    """Twenty seconds and more of looking for codes where none is."""
    tile = Image.frombytes("L", (64, 64), random.Random(4).randbytes(4_096))
    whole = Image.new("L", (1_920, 1_920))
    for place in range(900):
        whole.paste(tile, (place % 30 * 64, place // 30 * 64))
    out = io.BytesIO()
    whole.save(out, "png")
    return _zipped({f"{number}.png": out.getvalue() + bytes([number]) for number in range(200)})


def bombs() -> Iterator[tuple[str, bytes, str]]:
    """(name, mail, what must be said): the finding that names the bound; ``554`` where it must be refused while it comes in; the number
    that stands behind the bomb where nothing stops the reading."""
    yield "nested zip", attached("a.zip", nested_zip()), "content.limit.depth"
    yield "fat zip", attached("a.zip", fat_zip()), "content.limit.ratio"
    yield "many members", attached("a.zip", many_zip()), "content.limit.entries"
    yield "gz ratio", attached("a.gz", gzip.compress(bytes(60_000_000))), "content.limit.ratio"
    yield "gz of gz", attached("a.gz", gzip.compress(gzip.compress(bytes(200_000_000)))), "content.limit.ratio"
    yield "billion laughs", attached("a.docx", office("word/document.xml", laughs())), "content.limit.entities"
    yield "deep xml", attached("a.docx", office("word/document.xml", b"<a>" * 500_000)), "content.limit.depth"
    yield "wide sheet", attached("a.xlsx", office("xl/worksheets/sheet1.xml", wide_sheet())), "content.limit.ratio"
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(2_000))
    yield "mime depth", headed("multipart/mixed; boundary=x", b"--x\r\n" + deep), "content.limit.depth"
    yield "mime parts", headed("multipart/mixed; boundary=b", b"--b\r\n\r\nx\r\n" * 100_000), "content.limit.parts"
    yield "header", headed("text/plain", b"x", (b"X-A: " + b"a" * 900 + b"\r\n") * 5_500), "content.limit.header_bytes"
    yield "folded field", headed("text/plain", b"x", b"X-A: a\r\n" + b" b\r\n" * 50_000), "content.limit.field_bytes"
    words = b"Subject: " + b"=?utf-7?q?+AAAA-?=\r\n " * 9_000 + b"x\r\n"
    yield "encoded words", headed("text/plain", b"x", words), "content.limit.field_bytes"
    yield "charset", headed("text/plain; charset=iso-2022-jp", b"\x1b$B\x1b(B" * 2_000_000), REFUSED
    yield "hz", headed("text/plain; charset=hz", b"~{~}" * 2_000_000), REFUSED
    yield (
        "spaces in Han",
        headed("text/plain; charset=utf-8", ("合" + " " * 400 + "\r\n").encode() * 10_000 + BEHIND),
        NUMBER,
    )
    yield (
        "digits",
        headed("text/plain", (b"1" * 900 + b"\r\n" + b"1-" * 400 + b"\r\n") * 3_000),
        "content.limit.numbers",
    )
    yield "at signs", headed("text/plain", (b"a@" * 400 + b"\r\n" + b"a." * 400 + b"\r\n") * 3_000 + BEHIND), NUMBER
    yield "html", headed("text/html", (b"<a href='" * 90 + b"\r\n") * 5_000), "content.limit.urls"
    lines = b"\x1b$B\x1b(B" * 100 + b"\r\n"
    yield "charset in lines", headed("text/plain; charset=iso-2022-jp", lines * 10_000 + BEHIND), NUMBER
    yield "hz in lines", headed("text/plain; charset=hz", (b"~{~}" * 200 + b"\r\n") * 10_000 + BEHIND), NUMBER
    yield "regular expressions", headed("text/plain", (b"a" * 900 + b"!\r\n") * 5_000 + BEHIND), NUMBER
    yield "parameters", headed("text/plain;" + " a=b;" * 5_000, b"x"), "content.limit.parameters"
    yield (
        "readings",
        headed("text/plain; boundary=a; boundary=b", b"--a\r\n" * 20_000 + b"--b\r\n" * 20_000),
        "mime.ambiguous",
    )
    yield "embedded", headed("text/plain", b"begin 644 a\r\n#9&%T\r\n`\r\nend\r\n" * 2_000), "content.limit.embedded"
    yield "streams", attached("a.gz", gzip.compress(b"x") * 5_000), "content.limit.streams"
    yield "huge picture", attached("a.png", picture(9_000)), "content.limit.pixels"


def family_of(root: int) -> set[int]:
    """The gateway's processes."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    family = {root}
    for _ in range(6):  # generations
        family |= {child for child, parent in parents.items() if parent in family}
    return family


def decoders(root: int) -> list[int]:
    """Those of them that open attachments."""
    found = []
    for pid in family_of(root):
        try:
            if b"scanners.attachments.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def processor_s(pids: Iterable[int]) -> float:
    """What these processes have used up to now; those that have ended count nothing."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_kb(root: int) -> int:
    """The largest resident size that any process of the gateway has ever had."""
    sizes = [0]
    for pid in family_of(root):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        sizes += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(sizes)


async def trouble_with(stage: Stage, name: str, raw: bytes, wanted: str) -> tuple[str, bool]:
    """What is wrong with the answer to a bomb, empty when it is right; and whether it may be that there was no time to find out."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], raw)
    except (TimeoutError, OSError) as error:
        return f"{name}: no answer, {type(error).__name__}", False
    if answer.code >= 500 and not answer.message_id:  # refused while it was still coming in: nothing was taken
        return ("" if wanted == str(answer.code) else f"{name}: {answer.code} {answer.text} instead of {wanted}"), False
    decided = [each for each in stage.events(answer.message_id) if each["type"] == "message.decided"]
    if answer.message_id and len(decided) != 1:
        return f"{name}: {answer.code} {answer.text} with {len(decided)} decisions", False
    codes = {str(finding["code"]) for finding in decided[0].get("findings", ())} if decided else set()
    if wanted in codes:
        return "", False
    return f"{name}: {answer.code} {answer.text} without {wanted}: {sorted(codes)}", bool(codes & NO_TIME)


async def test_every_bomb_is_answered_bounded_and_said(stage: Stage) -> None:
    assert stage.process is not None
    wrong: list[str] = []
    hello = mails.mail(*PEOPLE, "hello", "text")
    for name, raw, wanted in bombs():
        for _ in range(TRIES):
            family = family_of(stage.process.pid)
            spent = processor_s(family)
            trouble, again = await trouble_with(stage, name, raw, wanted)
            spent = processor_s(family) - spent
            if spent > ANSWER_S:
                wrong.append(f"{name}: {spent:.0f} s of the processor")
            if not again:
                break
        wrong += [trouble] if trouble else []
        before = len(stage.delivered())
        async with asyncio.timeout(PATIENCE_S):
            after = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], hello)
        if (after.code, len(stage.delivered()) - before) != (250, 1):
            wrong.append(f"{name}: the next mail got {after.code} {after.text}")
    assert not wrong, "\n".join(wrong)
    assert peak_kb(stage.process.pid) < MAX_RSS_KB
    assert (await stage.command("audit", "verify")).status == 0


class Killer:
    """Kills each decoder that is at work on something long: never one that starts, nor one that opens what is harmless.

    Told by what anybody may read of a process: its sandbox is in force (no file may grow), and since then it has worked for a while.
    """

    WORKED_TICKS = 5
    """Hundredths of a second; a harmless attachment takes less than one."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.killed = 0
        self.rested: dict[int, float] = {}

    async def kill(self) -> None:
        """Until cancelled."""
        while True:
            for pid in decoders(self.root):
                if self.is_up(pid) and self.works(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1
                    del self.rested[pid]
            await asyncio.sleep(0.02)

    def is_up(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
            return any(line.split()[:4] == ["Max", "file", "size", "0"] for line in lines)
        return False

    def works(self, pid: int) -> bool:
        now = processor_s([pid])
        return now - self.rested.setdefault(pid, now) >= self.WORKED_TICKS / os.sysconf("SC_CLK_TCK")


async def test_what_kills_its_decoder_is_said_and_no_other_mail_is_lost(stage: Stage) -> None:
    """Decoders that have it are killed, for as long as it is tried: that ends, it is said, and the mail beside it is opened meanwhile."""
    assert stage.process is not None
    bomb = attached("a.zip", slow_zip())
    hello = mails.mail(*PEOPLE, "hello", "text")
    killer = Killer(stage.process.pid)
    killing = asyncio.create_task(killer.kill())
    try:
        async with asyncio.timeout(PATIENCE_S):
            codes: set[str] = set()
            while (
                "content.crashes" not in codes
            ):  # each time at least one try less is left; a busy machine may start decoders slowly
                answer, beside = await asyncio.gather(
                    stage.send("outbound", PEOPLE[0], [PEOPLE[1]], bomb),
                    stage.send("outbound", PEOPLE[0], [PEOPLE[1]], hello),
                )
                assert (beside.code, answer.code // 100) == (250, 2)
                codes = _codes(stage, answer.message_id)
                assert codes & {"content.crashes", *NO_TIME}
            while not await _opens(stage):
                await asyncio.sleep(0.2)
            tried = killer.killed
            assert tried >= GIVE_UP
            again = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], bomb)
        assert "content.crashes" in _codes(stage, again.message_id)
        assert killer.killed == tried, "it is tried for ever"
    finally:
        killing.cancel()
    assert await _opens(stage)


def _codes(stage: Stage, message_id: str) -> set[str]:
    decided = [each for each in stage.events(message_id) if each["type"] == "message.decided"]
    assert len(decided) == 1
    return {str(finding["code"]) for finding in decided[0].get("findings", ())}


async def _opens(stage: Stage) -> bool:
    """Whether attachments are opened again."""
    raw = attached("a.zip", mails.zipped("b.txt", BEHIND + os.urandom(8).hex().encode()))
    answer = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], raw)
    return NUMBER in _codes(stage, answer.message_id)
