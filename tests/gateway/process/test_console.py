"""The console's port: bounded in visitors and in time, and no help to who looks for versions."""

import contextlib
import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import Config, Gateway
from gateway.process.console import MAX_VISIT_S, MAX_VISITORS, Handler, Pages

WAIT_S = 60.0
"""For what a busy machine does late."""


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pages(tmp_path: Path, clock: Clock) -> Iterator[Pages]:
    (tmp_path / "run" / "metrics").mkdir(parents=True)
    server = Pages(Config(Gateway("gw.test", ("corp.test",), state_dir=tmp_path)), ("127.0.0.1", 0), clock)
    server.RequestHandlerClass.timeout = 10 * WAIT_S  # type: ignore[attr-defined]  # only the clock ends a visit here
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    for visitor in tuple(server.visitors):
        with contextlib.suppress(OSError):
            visitor.shutdown(socket.SHUT_RDWR)
    server.server_close()


def asked(pages: Pages, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", pages.server_address[1], timeout=WAIT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def test_it_does_not_say_what_it_runs_on(pages: Pages) -> None:
    answer = asked(pages, "/livez")
    assert (answer.status, answer.getheader("Server")) == (200, "sealgate")
    assert asked(pages, "/elsewhere").status == 404


def test_silent_visitors_fill_no_memory_and_keep_nobody_out_for_long(pages: Pages, clock: Clock) -> None:
    silent = [socket.create_connection(pages.server_address, WAIT_S) for _ in range(MAX_VISITORS)]  # type: ignore[arg-type]
    end = time.monotonic() + WAIT_S
    while len(pages.visitors) < MAX_VISITORS and time.monotonic() < end:
        silent[0].sendall(b"G")  # one byte now and then is no request either
        time.sleep(0.01)
    with socket.create_connection(pages.server_address, WAIT_S) as late:  # type: ignore[arg-type]
        assert late.recv(1) == b"", "no room, and no thread for it"
    clock.now += MAX_VISIT_S + 1
    for each in silent:
        with contextlib.suppress(ConnectionError):
            assert each.recv(1) == b""
        each.close()
    while pages.visitors and time.monotonic() < end:
        time.sleep(0.01)
    assert asked(pages, "/livez").status == 200


def test_our_own_faults_are_told_without_the_visitor(
    pages: Pages, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Handler) -> None:
        raise LookupError("planted")

    monkeypatch.setattr(pages.RequestHandlerClass, "do_GET", broken)
    with caplog.at_level(logging.ERROR, "sealgate"), pytest.raises((http.client.HTTPException, ConnectionError)):
        asked(pages, "/livez")
    end = time.monotonic() + WAIT_S
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == ["page failed"]
