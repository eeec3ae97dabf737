"""The keeper killed again and again under load: nothing acknowledged is lost or altered, nothing stands twice."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from audit.reader import LogView
from audit.verify import verify
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.socket_recorder import SocketRecorder
from tests.audit.events import decided, outcome
from tests.fakes.keeper import at_last

PATIENCE_S = 120.0
"""The machine may be busy."""
CONFIG = '[gateway]\nhostname = "gw.test"\nlocal_domains = ["corp.test"]\nstate_dir = "state"\n'
PRODUCERS = 8
EACH = 21
"""Events acknowledged in each life before it ends, at least."""


@contextlib.asynccontextmanager
async def process(config: Path, *before: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        *before,
        sys.executable,
        "-m",
        "gateway.recording.keeper",
        "--config",
        str(config),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            await child.wait()


async def answers(socket: Path) -> None:
    """Waits until the keeper takes connections."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(str(socket))
                writer.close()
                return
            await asyncio.sleep(0.01)


async def produce(log: SocketRecorder, number: int, stopping: asyncio.Event, acknowledged: dict[str, int]) -> None:
    """A message after the other; what was not acknowledged is offered again under the same ids."""
    count = 0
    while not stopping.is_set():
        first = decided(number * 1_000_000 + count * 2)
        second = outcome(first, number * 1_000_000 + count * 2 + 1)
        count += 1
        key = await log.message_key(["zhang@corp.test", "buyer@acme.example"])
        for event in (first, second):
            while True:
                try:
                    acknowledged[event.id] = (await log.record([event], key)).index
                    break
                except RecorderUnavailable:
                    continue


async def loop(tmp_path: Path, kills: int) -> None:
    config, socket = tmp_path / "sealgate.toml", tmp_path / "state" / "run" / "keeper.sock"
    config.write_text(CONFIG)
    acknowledged: dict[str, int] = {}
    stopping = asyncio.Event()
    log = SocketRecorder(socket, "producer", time.monotonic, patience_s=PATIENCE_S)
    dice = random.Random(7)
    hits = 0
    producers: list[asyncio.Task[None]] = []
    for _ in range(kills):
        async with process(config) as child:
            await answers(socket)
            if not producers:
                await log.open()
                producers = [
                    asyncio.create_task(produce(log, number, stopping, acknowledged)) for number in range(PRODUCERS)
                ]
            before = len(acknowledged)
            async with asyncio.timeout(PATIENCE_S):
                while len(acknowledged) < before + EACH:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(dice.uniform(0.005, 0.3))
            hits += any(not task.done() for task in producers)
            os.kill(child.pid, signal.SIGKILL)
            await child.wait()
    assert hits == kills
    async with process(config) as child:
        await answers(socket)
        os.kill(child.pid, signal.SIGHUP)
        stopping.set()
        await asyncio.gather(*producers)
        await log.close()
        os.kill(child.pid, signal.SIGTERM)
        assert await child.wait() == 0
    check(tmp_path / "state" / "audit", acknowledged, kills)


def check(folder: Path, acknowledged: dict[str, int], kills: int) -> None:
    assert verify(folder).mismatches == ()
    view = LogView.open(folder)
    stored = {}
    for event in view.entries():
        assert event.text("id") not in stored, "nothing stands twice"
        stored[event.text("id")] = event
    assert len(acknowledged) >= EACH * kills
    for identifier, index in acknowledged.items():
        assert stored[identifier].index == index
    messages = [event for event in stored.values() if event.text("msg")]
    relayed = [event for event in messages if event.text("type") == "message.relayed"]
    assert len(messages) == 2 * len(relayed), "a relayed message is exactly two events"
    assert sum(event.text("type") == "audit.start" for event in stored.values()) == kills + 1


async def test_five_kills(tmp_path: Path) -> None:
    await loop(tmp_path, 5)


@pytest.mark.full
async def test_fifty_kills(tmp_path: Path) -> None:
    await loop(tmp_path, 50)


def traced(pid: int) -> bool:
    """Whether every thread of the process has a tracer."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile: look again
        tasks = [task.joinpath("status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        return all("TracerPid:\t0\n" not in text for text in tasks)
    return False


@pytest.mark.parametrize("fault", ["fdatasync:error=EIO", "pwrite64:error=ENOSPC"])
async def test_a_disk_error_ends_the_keeper_without_an_answer(tmp_path: Path, fault: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace missing: apt install strace")
    config, socket = tmp_path / "sealgate.toml", tmp_path / "state" / "run" / "keeper.sock"
    config.write_text(CONFIG)
    segment = tmp_path / "state" / "audit" / "journal" / f"{0:020d}.aj"
    async with process(config) as child:
        await answers(socket)
        os.kill(child.pid, signal.SIGTERM)
        assert await child.wait() == 0
    log = SocketRecorder(socket, "producer", time.monotonic, patience_s=PATIENCE_S)
    kind = fault.partition(":")[0]
    inject = f"inject={fault}:when=1+"  # whichever thread writes
    watched = ("strace", "-f", "-qq", "-o", "/dev/null", "-P", str(segment), "-e", f"trace={kind}", "-e", inject)
    async with process(config) as child:
        await answers(socket)
        await log.open()
        key = await log.message_key(["zhang@corp.test", "buyer@acme.example"])
        await log.record([decided(1)], key)
        tracer = await asyncio.create_subprocess_exec(*watched, "-p", str(child.pid))
        async with asyncio.timeout(PATIENCE_S):
            while not traced(child.pid):
                await asyncio.sleep(0.01)
        hasty = SocketRecorder(socket, "hasty", time.monotonic, patience_s=2)
        await at_last(hasty.open)
        with pytest.raises(RecorderUnavailable):
            await hasty.record([decided(2)], key)
        assert await child.wait() == 70
        await tracer.wait()
        await hasty.close()
    async with process(config) as child:
        await answers(socket)
        receipt = await log.record([decided(2)], key)
        await log.close()
        os.kill(child.pid, signal.SIGTERM)
        assert await child.wait() == 0
    assert LogView.open(tmp_path / "state" / "audit").entry(receipt.index).text("id") == decided(2).id
    assert verify(tmp_path / "state" / "audit").mismatches == ()
