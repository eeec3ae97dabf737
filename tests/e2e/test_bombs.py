"""Bombs against a whole gateway: each is answered in time with a finding that names its bound, memory stays, and the next mail passes."""

import asyncio
import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from gateway.demo import mails
from gateway.demo.stage import Stage

ANSWER_S = 30.0
"""Issue 3: longest wait for any answer."""
MAX_RSS_KB = 1_200_000
"""Of one process: the decoder's own limit and its libraries; a bomb that unpacks whole needs more."""
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


def bombs() -> Iterator[tuple[str, bytes, str]]:
    """(name, mail, beginning of a code that must be in the event; empty where no bound has to be met)."""
    yield "nested zip", attached("a.zip", nested_zip()), "content.limit.depth"
    yield "fat zip", attached("a.zip", fat_zip()), "content.limit."
    yield "many members", attached("a.zip", many_zip()), "content.limit.entries"
    yield "gz ratio", attached("a.gz", gzip.compress(bytes(60_000_000))), "content.limit."
    yield "gz of gz", attached("a.gz", gzip.compress(gzip.compress(bytes(200_000_000)))), "content.limit."
    yield "billion laughs", attached("a.docx", office("word/document.xml", laughs())), "content.limit.entities"
    yield "deep xml", attached("a.docx", office("word/document.xml", b"<a>" * 500_000)), "content.limit.depth"
    yield "wide sheet", attached("a.xlsx", office("xl/worksheets/sheet1.xml", wide_sheet())), ""
    deep = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(2_000))
    yield "mime depth", headed("multipart/mixed; boundary=x", b"--x\r\n" + deep), "content.limit.depth"
    yield "mime parts", headed("multipart/mixed; boundary=b", b"--b\r\n\r\nx\r\n" * 100_000), "content.limit.parts"
    yield "header", headed("text/plain", b"x", (b"X-A: " + b"a" * 900 + b"\r\n") * 5_500), ""
    yield "folded field", headed("text/plain", b"x", b"X-A: a\r\n" + b" b\r\n" * 50_000), ""
    words = b"Subject: " + b"=?utf-7?q?+AAAA-?=\r\n " * 9_000 + b"x\r\n"
    yield "encoded words", headed("text/plain", b"x", words), ""
    yield "charset", headed("text/plain; charset=iso-2022-jp", b"\x1b$B\x1b(B" * 2_000_000), ""
    yield "hz", headed("text/plain; charset=hz", b"~{~}" * 2_000_000), ""
    yield "spaces in Han", headed("text/plain; charset=utf-8", ("合" + " " * 400 + "\r\n").encode() * 10_000), ""
    yield "digits", headed("text/plain", (b"1" * 900 + b"\r\n" + b"1-" * 400 + b"\r\n") * 3_000), ""
    yield "at signs", headed("text/plain", (b"a@" * 400 + b"\r\n" + b"a." * 400 + b"\r\n") * 3_000), ""
    yield "html", headed("text/html", (b"<a href='" * 90 + b"\r\n") * 5_000), ""


def peak_kb(root: int) -> int:
    """The largest resident size that any process of the gateway has ever had."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    family = {root}
    for _ in range(6):  # generations
        family |= {child for child, parent in parents.items() if parent in family}
    sizes = [0]
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        sizes += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(sizes)


async def test_every_bomb_is_answered_bounded_and_said(stage: Stage) -> None:
    assert stage.process is not None
    wrong: list[str] = []
    hello = mails.mail(*PEOPLE, "hello", "text")
    for name, raw, wanted in bombs():
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], raw)
        except (TimeoutError, OSError) as error:
            wrong.append(f"{name}: no answer, {type(error).__name__}")
            continue
        if answer.code >= 500 and not answer.message_id:
            continue  # refused while it was still coming in: nothing was taken
        decided = [each for each in stage.events(answer.message_id) if each["type"] == "message.decided"]
        if answer.message_id and len(decided) != 1:
            wrong.append(f"{name}: {answer.code} {answer.text} with {len(decided)} decisions")
            continue
        codes = {str(finding["code"]) for finding in decided[0].get("findings", ())} if decided else set()
        if wanted and not any(code.startswith(wanted) for code in codes):
            wrong.append(f"{name}: {answer.code} {answer.text} without {wanted}: {sorted(codes)}")
        before = len(stage.delivered())
        async with asyncio.timeout(ANSWER_S):
            after = await stage.send("outbound", PEOPLE[0], [PEOPLE[1]], hello)
        if (after.code, len(stage.delivered()) - before) != (250, 1):
            wrong.append(f"{name}: the next mail got {after.code} {after.text}")
    assert not wrong, "\n".join(wrong)
    assert peak_kb(stage.process.pid) < MAX_RSS_KB
    assert (await stage.command("audit", "verify")).status == 0
