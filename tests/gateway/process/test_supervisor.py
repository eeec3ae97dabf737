"""What the supervisor does about processes that end, and about a second gateway in one folder."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from gateway import config as configuration
from gateway.process import lifeline, supervisor
from gateway.process.console import ready
from gateway.process.lifeline import StateInUse
from gateway.process.service_manager import ServiceManager
from gateway.process.supervisor import Child, StartFailed, Supervisor

PATIENCE_S = 180.0
"""The machine may be busy."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervisor, "BACKOFF_S", (0.01, 0.02))
    path = tmp_path / "sealgate.toml"
    path.write_text(
        '[gateway]\nhostname="gw.test"\nlocal_domains=["corp.test"]\n[[route]]\nrecipients="*"\nto="smtp://127.0.0.1:1"\n'
    )
    config = configuration.load(path)
    (config.gateway.state_dir / "run").mkdir(parents=True)
    made = Supervisor(path, config, logging.getLogger("tests.supervisor"), ServiceManager())
    made.held = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    return made


def child(code: str, *, waits_ready: bool) -> Child:
    return Child("queue", (sys.executable, "-c", code), waits_ready=waits_ready)


async def until(true: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_one_that_ends_in_order_at_once_is_trouble_and_is_said(
    house: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    dying = child("", waits_ready=False)
    await house._start(dying)
    await until(lambda: "queue keeps dying" in caplog.text)
    assert "queue" in ready(house.config)
    assert "status 0" in (house.trouble / "queue").read_text("utf-8")
    await house._stop([dying])
    await until(lambda: not house.tasks)


async def test_one_that_lives_again_is_no_trouble(house: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    mended = house.config.gateway.state_dir / "mended"
    code = "import os, signal, sys; os.path.exists(sys.argv[1]) or sys.exit(3); signal.pause()"
    dying = Child("queue", (sys.executable, "-c", code, str(mended)), waits_ready=False)
    await house._start(dying)
    await until((house.trouble / "queue").exists)
    monkeypatch.setattr(supervisor, "STABLE_S", 0.1)  # of the lives that begin from here on
    mended.touch()
    await until(lambda: not (house.trouble / "queue").exists() and dying.process.returncode is None)
    assert ready(house.config) == ["keeper.sock", "decoder.sock"]
    await house._stop([dying])
    await until(lambda: not house.tasks)


async def test_failed_restarts_never_make_two_of_one(house: Supervisor, tmp_path: Path) -> None:
    """A process that dies before it is ready is started by one hand only, however often."""
    count = tmp_path / "starts"
    code = (
        "import os, sys; f = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.write(f, b'x')\n"
        "n = os.fstat(f).st_size; n == 1 and os.write(int(sys.argv[2].partition('=')[2]), b'1')"
    )
    dying = Child("worker", (sys.executable, "-c", code, str(count)), waits_ready=True)
    await house._start(dying)
    await until(lambda: count.stat().st_size >= 6)
    assert len(house.tasks) == 1
    await house._stop([dying])
    await until(lambda: not house.tasks)


async def test_not_ready_says_which_and_with_what_status(house: Supervisor) -> None:
    with pytest.raises(StartFailed, match=r"worker did not start \(exit status 7\)"):
        await house._start(Child("worker", (sys.executable, "-c", "raise SystemExit(7)")))
    with pytest.raises(StartFailed, match="worker"):
        await house._start(Child("worker", ("/no/such/program",)))


async def test_one_gateway_per_folder(tmp_path: Path) -> None:
    first = await lifeline.lock(tmp_path)
    assert lifeline.holder(tmp_path) == os.getpid()
    with pytest.raises(StateInUse, match=f"pid {os.getpid()}"):
        await lifeline.lock(tmp_path)
    os.close(first)
    assert lifeline.holder(tmp_path) == 0
    os.close(await lifeline.lock(tmp_path))


async def test_leftovers_of_a_killed_gateway_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await lifeline.lock(tmp_path)
    os.pwrite(first, b"2147483647\n", 0)  # a pid that can't be
    later = asyncio.create_task(lifeline.lock(tmp_path))
    await asyncio.sleep(0)
    assert not later.done()
    os.close(first)
    os.close(await later)
    monkeypatch.setattr(lifeline, "LOCK_S", 0.0)
    first = await lifeline.lock(tmp_path)
    os.pwrite(first, b"2147483647\n", 0)
    with pytest.raises(StateInUse, match="killed"):
        await lifeline.lock(tmp_path)
    os.close(first)


async def test_a_reload_moves_no_mail_out_of_sight_into_another_database(
    house: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    before = house.config
    with house.path.open("a", encoding="utf-8") as file:
        file.write('[store]\nurl = "postgresql://u@127.0.0.1:1/mail"\n')
    await house.reload()
    assert house.config is before
    assert "restart instead of reload" in str(caplog.records[-1].__dict__["fields"])
