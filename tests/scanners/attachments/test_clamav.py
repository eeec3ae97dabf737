"""The real clamd on a signature of our own, and clamds that misbehave."""

import asyncio
import base64
import dataclasses
import os
import random
import select
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners.attachments.clamav import MAX_STREAM, ClamavError, ClamavScanner, streams
from scanners.base import scan
from scanners.message import Message
from scanners.mime import parse
from tests.scanners.attachments.samples import mail

_NEEDLE = b"SEALGATE-OWN-TEST-SIGNATURE-0001"
_START_TRIES = 2_400


def _message(raw: bytes) -> Message:
    return dataclasses.replace(mail(), raw=raw)


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A clamd with one signature; its address."""
    program = shutil.which("clamd")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("clamd missing: apt install clamav-daemon")
        pytest.skip("clamd missing: apt install clamav-daemon")
    folder = tmp_path_factory.mktemp("clamd")
    database = folder / "db"
    database.mkdir()
    (database / "own.ndb").write_text(f"Sealgate.Own.Test:0:*:{_NEEDLE.hex()}\n")
    socket_path = folder / "clamd.sock"
    config = folder / "clamd.conf"
    config.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {socket_path}\nForeground yes\nTemporaryDirectory {folder}\nStreamMaxLength 1M\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        address = f"unix:{socket_path}"
        for _ in range(_START_TRIES):
            if process.poll() is not None:
                assert process.stderr is not None
                pytest.fail(f"clamd did not start: {process.stderr.read().decode()[:300]}")
            with suppress(ClamavError):
                asyncio.run(ClamavScanner(address, 1.0).version())
                break
            _pause()
        yield address
    finally:
        process.terminate()
        process.wait(120)
        if process.stderr:
            process.stderr.close()


def _pause() -> None:
    """Give clamd a moment: it tells nobody when it listens."""
    select.select([], [], [], 0.05)


async def test_a_signature_is_found_and_named(clamd: str) -> None:
    result = await ClamavScanner(clamd, 120.0).scan(_message(b"From: a\r\n\r\nhello " + _NEEDLE))
    (finding,) = result.findings
    assert finding.code == "malware.clamav"
    assert finding.about.startswith("Sealgate.Own.Test")


async def test_clean_mail_has_no_finding(clamd: str) -> None:
    assert (await ClamavScanner(clamd, 120.0).scan(_message(b"From: a\r\n\r\nhello"))).findings == ()


async def test_two_at_once(clamd: str) -> None:
    scanner = ClamavScanner(clamd, 120.0)
    results = await asyncio.gather(*(scanner.scan(_message(b"x" * 300_000 + _NEEDLE)) for _ in range(2)))
    assert [len(result.findings) for result in results] == [1, 1]


async def test_what_clamd_refuses_for_its_size_is_not_clean(clamd: str) -> None:
    with pytest.raises(ClamavError):
        await ClamavScanner(clamd, 120.0).scan(_message(b"x" * 3_000_000))


async def test_no_clamd_is_a_failed_scanner(tmp_path: Path) -> None:
    scanner = ClamavScanner(f"unix:{tmp_path / 'none'}", 1.0)
    with pytest.raises(ClamavError):
        await scanner.version()
    scanned = await scan(_message(b"x"), (scanner,), None, 120.0, asyncio.get_running_loop().time)
    assert [(finding.code, finding.about) for finding in scanned.findings] == [("scanner.failed", "clamav")]


async def test_longer_than_any_clamd_takes() -> None:
    message = dataclasses.replace(mail(), raw=bytes(MAX_STREAM + 1))
    with pytest.raises(ClamavError):
        await ClamavScanner("unix:/none").scan(message)


@asynccontextmanager
async def _fake(path: Path, answer: bytes | None) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        if answer is None:
            await reader.read()
        else:
            await reader.readuntil(bytes(4))
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path / "fake")
    try:
        yield f"unix:{path / 'fake'}"
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "answer", [b"", b"rubbish\0", b"stream: \0", b"INSTREAM size limit exceeded. ERROR\0", b"x" * 10_000, b"stream: OK"]
)
async def test_an_answer_that_is_no_verdict_raises(tmp_path: Path, answer: bytes) -> None:
    async with _fake(tmp_path, answer) as address:
        with pytest.raises(ClamavError):
            await ClamavScanner(address, 2.0).scan(_message(b"x"))


async def test_a_hanging_clamd_raises_in_time(tmp_path: Path) -> None:
    async with _fake(tmp_path, None) as address:
        with pytest.raises(ClamavError):
            await ClamavScanner(address, 0.1).scan(_message(b"x"))


@pytest.mark.parametrize("name", ["Eicar-Test-Signature", "Win.Test.EICAR_HDB-1 with blanks"])
async def test_names_come_through(tmp_path: Path, name: str) -> None:
    async with _fake(tmp_path, f"stream: {name} FOUND\0".encode()) as address:
        (finding,) = (await ClamavScanner(address, 120.0).scan(_message(b"x"))).findings
        assert finding.about == name


def _attached(block: bytes, more: str = "") -> bytes:
    return (
        b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
        b"hello\r\n--b\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n"
        + more.encode()
        + b"\r\n"
        + block
        + b"\r\n--b--\r\n"
    )


_LARGE = bytes(range(256)) * 90 + _NEEDLE
_BLOCK = base64.encodebytes(_LARGE).replace(b"\n", b"\r\n").rstrip()


async def test_a_large_attachment_goes_decoded_and_is_named(clamd: str) -> None:
    """In the mail's own stream the signature stands only in base64; the part that held it is said."""
    (finding,) = (await ClamavScanner(clamd, 120.0).scan(parse(mail().envelope, _attached(_BLOCK)))).findings
    assert (finding.code, finding.part) == ("malware.clamav", "2")


def test_streams_hold_every_byte_once() -> None:
    raw = _attached(_BLOCK)
    (none, rest), (path, content) = streams(parse(mail().envelope, raw))
    assert (none, path, content) == (None, "2", _LARGE)
    assert rest == raw.replace(_BLOCK, b"")


@pytest.mark.parametrize(
    "raw",
    [
        _attached(_BLOCK[:400] + b"!!!!" + _BLOCK[400:]),
        _attached(_BLOCK + b"\r\nMZ more"),
        _attached(_BLOCK, "Content-Transfer-Encoding: 8bit\r\n"),
        _attached(_BLOCK).replace(b"--b--\r\n", b""),
        _attached(base64.encodebytes(_LARGE[:4000]).replace(b"\n", b"\r\n").rstrip()),
    ],
    ids=["foreign letters", "text behind", "two encodings", "no end", "small"],
)
def test_a_mail_in_doubt_goes_as_it_came(raw: bytes) -> None:
    assert list(streams(parse(mail().envelope, raw))) == [(None, raw)]


def test_a_body_that_looks_like_the_attachment_is_sent_too() -> None:
    """The same beginning and the same length, but other bytes: taking out the wrong block would hide the body from clamd."""
    decoy = base64.encodebytes(_LARGE[:60] + bytes(len(_LARGE) - 60)).replace(b"\n", b"\r\n").rstrip()
    raw = _attached(_BLOCK).replace(
        b"text/plain\r\n\r\nhello", b"text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + decoy
    )
    message = parse(mail().envelope, raw)
    sent = list(streams(dataclasses.replace(message, defects=())))
    assert sent == [(None, raw)]


def test_searching_ends_with_the_first_that_is_not_there() -> None:
    """Thousands of parts in another encoding would each be searched for through the whole mail."""
    message = parse(mail().envelope, _attached(_BLOCK))
    stranger = dataclasses.replace(message.parts[-1], content=b"x" * 20_000)
    sent = list(streams(dataclasses.replace(message, parts=(stranger, *message.parts))))
    assert sent == [(None, message.raw)]


@given(st.lists(st.tuples(st.integers(8_193, 20_000), st.integers(0, 9)), max_size=3), st.sampled_from([64, 72, 76]))
@settings(max_examples=25)
def test_what_is_taken_out_is_what_is_sent(wanted: list[tuple[int, int]], width: int) -> None:
    """Nothing is sent twice and nothing is left away, whatever the lengths of files and lines."""
    files = [random.Random(seed).randbytes(size) for size, seed in wanted]
    blocks = []
    for each in files:
        text = base64.b64encode(each)
        blocks.append(b"\r\n".join(text[at : at + width] for at in range(0, len(text), width)))
    head = b"From: a@b.c\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    one = b"--b\r\nContent-Type: application/x-a\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    raw = head + b"".join(one + block + b"\r\n" for block in blocks) + b"--b--\r\n"
    (_, rest), *apart = streams(parse(mail().envelope, raw))
    assert len(rest) + sum(len(block) for block, _ in zip(blocks, apart, strict=False)) == len(raw)
    assert [content for _, content in apart] == files[: len(apart)]
    assert len(apart) == len(files)
