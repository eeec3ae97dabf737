"""Sockets that systemd keeps over a restart: what it is told, and what is taken up again."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.stage import Stage
from gateway.process import sockets
from gateway.process.service_manager import PREFIX, ServiceManager, handed_over
from tests.e2e.conftest import SECRET
from tests.e2e.test_gateway import one_after_the_other

WAIT_S = 180.0


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(WAIT_S)
        yield notify


def test_what_is_said(tmp_path: Path, told: socket.socket) -> None:
    manager = ServiceManager(str(tmp_path / "notify"))
    for state in ("ready", "reload-refused", "reloaded", "stopping"):
        manager.announce(state)
    with socket.create_server(("127.0.0.1", 0)) as server:
        manager.keep("inbound", [server.fileno()])
    assert [told.recv(100) for _ in range(3)] == [b"READY=1", b"READY=1", b"STOPPING=1"]
    assert told.recv(100) == b"FDSTOREREMOVE=1\nFDNAME=listener-inbound"
    words, descriptors, _, _ = socket.recv_fds(told, 100, 4)
    assert (words, len(descriptors)) == (b"FDSTORE=1\nFDNAME=listener-inbound", 1)
    os.close(descriptors[0])


def test_nobody_asked() -> None:
    ServiceManager().announce("ready")
    ServiceManager().keep("inbound", [0])


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": f"{PREFIX}inbound"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "-1", "LISTEN_FDNAMES": f"{PREFIX}inbound"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "99999", "LISTEN_FDNAMES": f"{PREFIX}inbound"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "somebody"},
        {"LISTEN_PID": "7", "LISTEN_FDS": "0", "LISTEN_FDNAMES": f"{PREFIX}inbound"},
    ],
)
def test_what_is_not_for_us(environment: dict[str, str]) -> None:
    assert handed_over(environment, 7) == {}


def test_sockets_are_taken_up_where_they_belong_and_closed_elsewhere() -> None:
    first = sockets.bind("inbound", "127.0.0.1:0", 2)
    copies = [each.dup() for each in first.sockets]
    first.close()
    again = sockets.bind("inbound", f"127.0.0.1:{first.address[1]}", 3, copies)
    assert again.address == first.address
    assert [each.fileno() for each in again.sockets[:2]] == [each.fileno() for each in copies]
    assert {each.getsockname() for each in again.sockets} == {first.address}
    other = sockets.bind("inbound", "127.0.0.2:0", 1, again.sockets)
    assert all(each.fileno() == -1 for each in again.sockets)
    other.close()


async def test_nobody_is_refused_over_a_restart(
    tmp_path: Path, told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway is stopped and started anew while clients go on connecting; its sockets wait with us in between."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    async with Stage(tmp_path / "stage", SECRET) as stage:
        kept: dict[str, list[int]] = {}
        while len(kept) < 2:
            words, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, told, 200, 16)
            if words.startswith(b"FDSTORE=1"):
                kept[words.rpartition(b"=")[2].decode()] = descriptors
        stopped = asyncio.Event()
        codes: list[int] = []
        running = asyncio.create_task(one_after_the_other(stage, stopped, codes))
        while len(codes) < 3:
            await asyncio.sleep(0.01)
        before = dict(stage.ports)
        await stage.stop_gateway()
        seen = len(codes)
        descriptors = [each for some in kept.values() for each in some]
        names = ":".join(name for name, some in kept.items() for _ in some)
        again = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STARTER, names, ",".join(map(str, descriptors)),
            "-m", "gateway.cli", "serve", "--config", str(stage.settings), pass_fds=descriptors,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        stage.process = again
        async with asyncio.timeout(WAIT_S):
            while len(codes) < seen + 5:
                await asyncio.sleep(0.01)
        stopped.set()
        await running
        assert set(codes) == {250}
        assert stage.ports == before
        for each in descriptors:
            os.close(each)


STARTER = """
import os, sys
names, numbers = sys.argv[1], [int(each) for each in sys.argv[2].split(",")]
for place, each in enumerate(numbers):
    os.dup2(each, 100 + place)
for place, _ in enumerate(numbers):
    os.dup2(100 + place, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=names)
os.environ.pop("NOTIFY_SOCKET", None)
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""
"""What systemd does: the kept sockets become descriptors 3 and up."""
