"""The real pool: jobs cross to sandboxed processes; those that die, hang or lie cost one finding and nobody else's mail."""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.process.decoders import DecoderError, DecoderPool
from scanners.attachments import yara
from scanners.attachments.cache import Cache
from scanners.attachments.decoder import READY
from scanners.attachments.opener import AttachmentOpener, DecodersBusy, exchange
from scanners.attachments.poison import PoisonMemory, PoisonTable
from scanners.attachments.protocol import ACCEPTED, Answer, FoundFinding, FoundPart, Job, JobPart, frame
from scanners.attachments.yara import CompiledRules
from scanners.base import scan
from scanners.message import Message
from tests.scanners.attachments.samples import CN_ID, EICAR, attached, mail, zipped

PATIENCE_S = 120.0
"""The machine may be busy."""
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def pool(tmp_path: Path, rules_file: Path) -> AsyncIterator[DecoderPool]:
    pool = DecoderPool(tmp_path / "decoder.sock", 1, rules_file)
    await pool.start()
    yield pool
    await pool.stop()


def _opener(path: Path, rules: CompiledRules, cache: int = 0, deadline_s: float = PATIENCE_S) -> AttachmentOpener:
    return AttachmentOpener(path / "decoder.sock", rules.version, Cache(cache), PoisonMemory({}), deadline_s)


def _codes(message: Message) -> set[str]:
    return {finding.code for finding in message.defects}


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def test_a_message_without_attachments_is_the_same_object(tmp_path: Path, rules: CompiledRules) -> None:
    message = mail()
    assert await _opener(tmp_path, rules).open(message) is message


async def test_members_texts_and_findings_come_back(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    data = zipped({"b.com": EICAR, "名单.txt": f"身份证 {CN_ID}".encode("gb18030")})
    opened = await _opener(tmp_path, rules).open(mail(attached("a.zip", data)))
    assert [part.path for part in opened.parts] == ["1", "2", "2!a.zip!b.com", "2!a.zip!名单.txt"]
    assert CN_ID in (opened.parts[3].text or "")
    assert opened.parts[1].content == data
    assert opened.parts[1].sha256
    assert ("malware.yara.eicar", "2!a.zip!b.com") in {(finding.code, finding.part) for finding in opened.defects}


async def test_the_sandbox_holds(tmp_path: Path, pool: DecoderPool) -> None:
    """What the kernel says about the process, not what the process says about itself."""
    (pid,) = pool.pids
    status = _children(pid)
    assert "NoNewPrivs:\t1" in status
    assert {"rlimits", "no_new_privs"} <= set(pool.layers)
    if "seccomp" in pool.layers:
        assert "Seccomp:\t2" in status
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max core file size        0" in limits
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    descriptors = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert sum(name.startswith("socket:") for name in descriptors) == 1


_ATTEMPTS = {
    "socket": "import socket; socket.socket()",
    "program": "import os; os.execv('/bin/true', ['true'])",
    "process": "import os; os.fork()",
    "write": "open('/tmp/sealgate-test-write', 'w')",
    "read state": "open('/etc/passwd').read()",
    "signal": "import os; os.kill(os.getppid(), 0)",
    "unlink": "import os; os.unlink('/tmp/sealgate-test-none')",
    "thread": "import threading; t = threading.Thread(target=print); t.start(); t.join(); raise PermissionError",
}


@pytest.mark.parametrize("attempt", sorted(_ATTEMPTS))
def test_what_a_decoder_cannot_do(attempt: str) -> None:
    """Each attempt ends in PermissionError in a process that has entered the sandbox (threads are allowed, and work)."""
    code = (
        "import os, socket, threading\nfrom scanners.attachments import sandbox\nlayers = sandbox.enter()\n"
        "missing = {'seccomp', 'landlock'} - set(layers)\n"
        "if missing: print('missing', *missing); raise SystemExit(3)\n"
        f"try:\n    {_ATTEMPTS[attempt]}\nexcept PermissionError:\n    raise SystemExit(7)\nraise SystemExit(1)\n"
    )
    import subprocess

    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip(f"this kernel lacks {done.stdout}")
    assert done.returncode == 7, done.stderr


def _holds_a_job(pid: int) -> bool:
    return any("memfd:attachments" in os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir())


async def test_a_killed_decoder_comes_back_and_the_part_is_read(
    tmp_path: Path, rules: CompiledRules, pool: DecoderPool
) -> None:
    os.kill(pool.pids[0], signal.SIGKILL)
    opened = await _opener(tmp_path, rules).open(mail(attached("a.txt", b"hello words")))
    assert opened.parts[1].text == "hello words"
    assert _codes(opened) == set()


async def test_a_decoder_killed_in_the_middle_of_a_job(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    """Stopped with the job in hand, then killed: the retry reads the part, and the next message is untouched."""
    (pid,) = pool.pids
    opener = _opener(tmp_path, rules)
    slow = zipped({f"{number}.bin": bytes(3_000_000) for number in range(40)})
    for _ in range(100):  # it may have done the job before we look
        task = asyncio.create_task(opener.open(mail(attached("a.zip", slow), attached("b.com", EICAR, "3"))))
        while not (has_it := _holds_a_job(pid)) and not task.done():
            await asyncio.sleep(0.001)
        if has_it:
            break
        await task
    assert has_it
    os.kill(pid, signal.SIGKILL)
    opened = await task
    assert "malware.yara.eicar" in _codes(opened)
    assert "content.crashes" not in _codes(opened)


@asynccontextmanager
async def _fake(path: Path, serve: Serve) -> AsyncIterator[None]:
    """A decoder of ours: its connections are over when the block is."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_unix_server(one, path / "decoder.sock")
    try:
        yield
    finally:
        server.close()
        await asyncio.gather(*tasks)


async def _crash(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65_536)
    writer.write(ACCEPTED)


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ACCEPTED)
    await reader.read(65_536)
    await reader.read()


def _answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(ACCEPTED + answer)

    return serve


def _part(path: str) -> FoundPart:
    return FoundPart(path, "text/plain", "", 1, "0" * 64, None)


_RUBBISH = {
    "noise": b"\0\0\0\x04abcd",
    "too long": b"\xff\xff\xff\xff",
    "cut": b"\0\0\0\x10ab",
    "not utf-8": frame(Answer("v", (_part("2"),), ())).replace(b"text/plain", b"text\xffplain"),
    "another part": frame(Answer("v", (_part("9"),), ())),
    "no part": frame(Answer("v", (), ())),
    "undeclared": frame(Answer("v", (_part("2"),), (FoundFinding("auth.spf.pass", 0, "", "2", "", 1, -1, 0),))),
}


@pytest.mark.parametrize("serve", [_crash, *map(_answering, _RUBBISH.values())], ids=["crash", *_RUBBISH])
async def test_a_decoder_that_dies_or_lies_is_a_finding(tmp_path: Path, rules: CompiledRules, serve: Serve) -> None:
    async with _fake(tmp_path, serve):
        opener = _opener(tmp_path, rules)
        opened = await opener.open(mail(attached("a.txt", b"x")))
        assert _codes(opened) == {"content.crashes"}
        assert len(opened.parts) == 2


async def test_a_decoder_that_hangs_is_a_finding_in_time(tmp_path: Path, rules: CompiledRules) -> None:
    async with _fake(tmp_path, _hang):
        loop = asyncio.get_running_loop()
        began = loop.time()
        opened = await _opener(tmp_path, rules, deadline_s=0.4).open(mail(attached("a.txt", b"x")))
        assert _codes(opened) & {"content.crashes", "content.limit.time"}
        assert loop.time() - began < PATIENCE_S


async def test_content_that_crashed_twice_is_not_decoded_again(tmp_path: Path, rules: CompiledRules) -> None:
    jobs = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal jobs
        jobs += 1
        await _crash(reader, writer)

    async with _fake(tmp_path, serve):
        opener = _opener(tmp_path, rules)
        message = mail(attached("a.txt", b"x"))
        await opener.open(message)
        assert jobs == 2
        opened = await opener.open(message)
        assert jobs == 2
        assert _codes(opened) == {"content.crashes"}


async def test_one_poisonous_part_does_not_cost_the_others(tmp_path: Path, rules: CompiledRules) -> None:
    """A decoder that dies whenever part 2 is in its job: part 3 is read alone."""
    import msgspec

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65_536)
        job = msgspec.msgpack.decode(data[4:], type=Job)
        writer.write(ACCEPTED)
        if all(part.path != "2" for part in job.parts):
            writer.write(frame(Answer(rules.version, tuple(_part(part.path) for part in job.parts), ())))

    async with _fake(tmp_path, serve):
        opened = await _opener(tmp_path, rules).open(mail(attached("a.txt", b"x"), attached("b.txt", b"y", "3")))
        assert [(finding.code, finding.part) for finding in opened.defects] == [("content.crashes", "2")]


async def test_no_decoder_is_a_failed_scanner(tmp_path: Path, rules: CompiledRules) -> None:
    opener = _opener(tmp_path, rules, deadline_s=0.3)
    with pytest.raises(DecodersBusy):
        await opener.open(mail(attached("a.txt", b"x")))
    scanned = await scan(mail(attached("a.txt", b"x")), (), opener, PATIENCE_S, asyncio.get_running_loop().time)
    assert [(finding.code, finding.about) for finding in scanned.findings] == [("scanner.failed", "attachments")]


async def test_a_decoder_that_leaves_before_taking_the_job_is_not_held_against_it(
    tmp_path: Path, rules: CompiledRules
) -> None:
    left = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left += 1
        if left > 3:
            await reader.read(65_536)
            writer.write(ACCEPTED + frame(Answer(rules.version, (_part("2"),), ())))

    async with _fake(tmp_path, serve):
        opened = await _opener(tmp_path, rules).open(mail(attached("a.txt", b"x")))
        assert _codes(opened) == set()
        assert left == 4


async def test_a_decoder_never_accepting_is_busy_not_poison(tmp_path: Path, rules: CompiledRules) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "decoder.sock"))
        listener.listen(1)
        opener = _opener(tmp_path, rules, deadline_s=0.3)
        with pytest.raises(DecodersBusy):
            await opener.open(mail(attached("a.txt", b"x")))
        assert opener.poison.count("0" * 64) == 0


async def test_a_job_without_time_says_so(tmp_path: Path, pool: DecoderPool) -> None:
    descriptor = os.memfd_create("x")
    os.write(descriptor, b"x")
    job = Job((JobPart("2", "", "a.txt", 0, 1),), (), 0)
    answer = await exchange(tmp_path / "decoder.sock", job, descriptor, 8.0)
    assert {finding.code for finding in answer.findings} == {"content.limit.time"}
    os.close(descriptor)


async def test_a_job_that_was_taken_late_is_not_blamed_for_it(tmp_path: Path) -> None:
    """Its own time is not over yet; ours is."""
    descriptor = os.memfd_create("x")
    os.write(descriptor, b"x")
    job = Job((JobPart("2", "", "a.txt", 0, 1),), (), 1_000)
    async with _fake(tmp_path, _hang):
        end = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(DecodersBusy, match="too late"):
            await exchange(tmp_path / "decoder.sock", job, descriptor, PATIENCE_S, end)
    os.close(descriptor)


@asynccontextmanager
async def _hostile(path: Path, count: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Real sandboxed decoders with an engine that dies or hangs on certain bytes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / "decoder.sock"))
        listener.listen(8)
        read_end, write_end = os.pipe()
        fds = (listener.fileno(), write_end)
        arguments = [sys.executable, "-m", "tests.scanners.attachments.hostile_decoder", *map(str, fds)]
        processes = [
            await asyncio.create_subprocess_exec(*arguments, pass_fds=fds, cwd=Path(__file__).parents[3])
            for _ in range(count)
        ]  # fmt: skip
        try:
            for _ in processes:
                assert await asyncio.to_thread(os.read, read_end, 1) == READY
            yield processes
        finally:
            for process in processes:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                await process.wait()
            os.close(read_end)
            os.close(write_end)


async def test_a_segmentation_fault_is_a_finding_and_the_next_message_fine(
    tmp_path: Path, rules: CompiledRules
) -> None:
    async with _hostile(tmp_path, 3) as processes:
        opener = _opener(tmp_path, rules)
        opened = await opener.open(mail(attached("a.txt", b"segv"), attached("b.txt", b"fine", "3")))
        assert [(finding.code, finding.part) for finding in opened.defects] == [("content.crashes", "2")]
        assert opened.parts[2].text == "fine"
        each = [asyncio.ensure_future(process.wait()) for process in processes]
        async with asyncio.timeout(PATIENCE_S):
            ended = [await first for first in itertools.islice(asyncio.as_completed(each), 2)]
        assert ended == [-signal.SIGSEGV] * 2
        assert sum(one.done() for one in each) == 2
        after = await opener.open(mail(attached("a.txt", b"good")))
        assert after.parts[1].text == "good"
        assert _codes(after) == set()


async def test_a_hanging_library_is_ended_by_the_alarm(tmp_path: Path, rules: CompiledRules) -> None:
    async with _hostile(tmp_path, 2) as processes:
        opened = await _opener(tmp_path, rules, deadline_s=8.0).open(mail(attached("a.txt", b"hang")))
        assert _codes(opened) == {"content.crashes"}
        assert [await process.wait() for process in processes] == [-signal.SIGALRM] * 2


async def test_decoders_are_replaced_after_their_jobs(tmp_path: Path, rules_file: Path, rules: CompiledRules) -> None:
    pool = DecoderPool(tmp_path / "decoder.sock", 1, rules_file, jobs=5)
    await pool.start()
    try:
        first = set(pool.pids)
        opener = _opener(tmp_path, rules)
        seen: set[int] = set()
        for number in range(10_000):
            opened = await opener.open(mail(attached("a.txt", b"%d" % number)))
            assert opened.parts[1].text == str(number)
            assert _codes(opened) == set()
            seen |= set(pool.pids)
            if seen - first and not first & set(pool.pids):
                break
            await asyncio.sleep(0.02)
        assert seen - first
    finally:
        await pool.stop()


async def test_new_rules_without_a_lost_message(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    new = yara.compile_rules({"own": 'rule own { strings: $a = "needle" condition: $a }'})
    opener = _opener(tmp_path, new, cache=1_000_000)
    await pool.replace(new.save(tmp_path))
    opened = await opener.open(mail(attached("a.txt", b"a needle")))
    assert "malware.yara.own" in _codes(opened)
    bad = tmp_path / "yara-0.rules"
    bad.write_bytes(b"rubbish")
    with pytest.raises(DecoderError):
        await pool.replace(bad)
    assert "malware.yara.own" in _codes(await opener.open(mail(attached("b.txt", b"a needle"))))


async def test_the_cache_answers_without_a_decoder(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    opener = _opener(tmp_path, rules, cache=1_000_000)
    message = mail(attached("a.zip", zipped({"b.com": EICAR})))
    first = await opener.open(message)
    await pool.stop()
    again = await opener.open(message)
    assert (again.parts, again.defects) == (first.parts, first.defects)
    assert opener.cache.hits == 1
    with pytest.raises(DecodersBusy):
        await opener.open(mail(attached("another-name.zip", zipped({"b.com": EICAR}))))


async def test_a_spent_budget_is_said_for_every_attachment_and_not_remembered(
    tmp_path: Path, rules: CompiledRules, pool: DecoderPool
) -> None:
    """The first archive eats the entries; the second is unread in this message, and whole in the next."""
    opener = _opener(tmp_path, rules, cache=10_000_000)
    greedy = zipped({f"{number}": b"" for number in range(2_100)})
    later = zipped({"b.com": EICAR}, 8)
    both = await opener.open(mail(attached("a.zip", greedy), attached("b.zip", later, "3")))
    assert {finding.part for finding in both.defects if finding.code == "content.limit.entries"} == {"2", "3"}
    alone = await opener.open(mail(attached("b.zip", later)))
    assert "malware.yara.eicar" in _codes(alone)


async def test_a_password_in_the_mail_opens_its_archive(
    tmp_path: Path, rules: CompiledRules, pool: DecoderPool
) -> None:
    from tests.scanners.attachments.test_archives import _classic

    message = mail(attached("a.zip", _classic(EICAR, b"Abc_123")), body="附件解压密码：Abc_123，请查收")
    assert "malware.yara.eicar" in _codes(await _opener(tmp_path, rules, 1_000_000).open(message))
    other = mail(attached("a.zip", _classic(EICAR, b"Abc_123")), body="另行告知")
    assert "content.encrypted" in _codes(await _opener(tmp_path, rules).open(other))


async def test_a_body_that_is_not_text_is_opened(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    import dataclasses

    body = dataclasses.replace(mail().parts[0], content=zipped({"b.com": EICAR}), text="PK")
    message = dataclasses.replace(mail(), parts=(body,))
    assert "malware.yara.eicar" in _codes(await _opener(tmp_path, rules).open(message))


@pytest.mark.parametrize(
    "page", ["<ScRiPt>x = new Blob([atob(d)]); a.href = URL.createObjectURL(x); a.download = 'b.zip'</ScRiPt>"]
)
async def test_a_body_that_smuggles_is_opened(
    tmp_path: Path, rules: CompiledRules, pool: DecoderPool, page: str
) -> None:
    import dataclasses

    body = dataclasses.replace(mail().parts[0], media_type="text/html", content=page.encode(), text="")
    message = dataclasses.replace(mail(), parts=(body,))
    assert "attachment.html_smuggling" in _codes(await _opener(tmp_path, rules).open(message))


async def test_many_messages_at_once(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    opener = _opener(tmp_path, rules)
    messages = [mail(attached(f"{number}.txt", b"%d" % number)) for number in range(300)]
    opened = await asyncio.gather(*(opener.open(message) for message in messages))
    assert [one.parts[1].text for one in opened] == [str(number) for number in range(300)]


async def test_memory_stays_flat(tmp_path: Path, rules: CompiledRules, pool: DecoderPool) -> None:
    opener = _opener(tmp_path, rules)
    bomb = zipped({f"{number}": bytes(7_900_000) for number in range(20)})
    readings = []
    for _ in range(6):
        await opener.open(mail(attached("a.zip", bomb)))
        status = _children(pool.pids[0])
        readings.append(int(status.split("VmRSS:")[1].split()[0]))
    assert readings[-1] < readings[1] * 1.2 + 10_000


def test_the_poison_table_is_shared_and_survives(tmp_path: Path) -> None:
    first, second = PoisonTable(tmp_path / "poison"), PoisonTable(tmp_path / "poison")
    digest = "ab" * 32
    assert first.crashed(digest) == 1
    assert second.crashed(digest) == 2
    assert first.count(digest) == 2
    first.close()
    second.close()
    third = PoisonTable(tmp_path / "poison")
    assert third.count(digest) == 2
    assert third.count("cd" * 32) == 0
    third.close()
    (tmp_path / "poison").write_bytes(b"short")
    fourth = PoisonTable(tmp_path / "poison")
    assert fourth.count(digest) == 0
    fourth.close()


def test_a_full_poison_table_forgets_the_oldest(tmp_path: Path) -> None:
    table = PoisonTable(tmp_path / "poison")
    digests = [f"{'00' * 4}{number:056x}" for number in range(20)]
    for digest in digests:
        table.crashed(digest)
    assert table.count(digests[0]) == 0
    assert table.count(digests[-1]) == 1
    table.close()
