"""Health and metrics over HTTP, from a process of its own: /livez, /readyz, /metrics. GET changes nothing (law 8)."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess

from gateway import config as configuration
from gateway.config import Config
from gateway.custody.delivery import State
from gateway.process import lifeline, logs, metrics, past_metrics
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.keeper_protocol import Head, HeadRequest
from gateway.store.errors import StoreUnavailable
from gateway.store.opening import open_store

MAX_VISITORS = 32
"""Requests at once; probes and scrapers are a handful, each holds a thread."""
MAX_VISIT_S = 30.0
"""For a whole request: whoever sends a byte now and then must not keep its place for good."""
PROBE_S = 2.0
"""A part that takes longer to answer is not ready."""
FOLD_S = 60.0
"""Pause between clearing up after ended processes when nobody asks for /metrics: a worker that keeps dying leaves two files a minute."""


def ready(config: Config) -> list[str]:
    """What is missing for mail to flow; empty: ready."""
    missing = []
    for name in ("keeper.sock", "decoder.sock"):
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(PROBE_S)
                probe.connect(str(config.gateway.state_dir / "run" / name))
        except OSError:
            missing.append(name)
    trouble = config.gateway.state_dir / "run" / "trouble"
    return missing + sorted(path.name for path in trouble.glob("*"))


def refresh(config: Config) -> None:
    """Set the gauges that nobody counts: how far the log is, and what custody holds. What does not answer keeps its last value."""
    state = config.gateway.state_dir
    with contextlib.suppress(KeeperUnavailable), KeeperClient(state / "run" / "keeper.sock") as keeper:
        head = keeper.ask(HeadRequest(1), Head)
        metrics.LOG_SIZE.set(head.size)
        metrics.LOG_UNPUBLISHED.set(head.size - head.published)
    with contextlib.suppress(OSError):
        metrics.LOG_AGE.set(max(0.0, time.time() - (state / "audit" / "checkpoint").stat().st_mtime))
    with contextlib.suppress(StoreUnavailable):
        counts = asyncio.run(_counts(config))
        for each in State:
            metrics.DELIVERIES.labels(each.value).set(counts.get(each, 0))


async def _counts(config: Config) -> dict[State, int]:
    store = await open_store(config)
    try:
        return await store.counts()
    finally:
        await store.close()


class Handler(BaseHTTPRequestHandler):
    """Three pages, all of them plain text."""

    config: Config
    one_at_a_time: threading.Lock
    folder: Path
    timeout = 10

    def version_string(self) -> str:
        """Not which Python: who looks for holes begins there."""
        return "sealgate"

    def do_GET(self) -> None:
        """Answer a probe; anything else is 404."""
        if self.path == "/livez":
            self._say(200, b"ok\n")
        elif self.path == "/readyz":
            missing = ready(self.config)
            self._say(
                503 if missing else 200,
                ("not ready 未就绪: " + ", ".join(missing) + "\n" if missing else "ok\n").encode(),
            )
        elif self.path == "/metrics":
            with self.one_at_a_time:
                refresh(self.config)
                past_metrics.fold(self.folder, past_metrics.running)
                registry = CollectorRegistry()
                multiprocess.MultiProcessCollector(registry, str(self.folder))  # type: ignore[no-untyped-call]
                page = generate_latest(registry)
            self._say(200, page, CONTENT_TYPE_LATEST)
        else:
            self._say(404, "no such page 没有此页; try /livez /readyz /metrics\n".encode())

    def _say(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds; they are not news."""


class Pages(ThreadingHTTPServer):
    """The server, which clears up after ended processes and cuts off slow visitors meanwhile. ``clock`` is monotonic seconds."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, config: Config, address: tuple[str, int], clock: Callable[[], float]) -> None:
        self.folder = config.gateway.state_dir / "run" / "metrics"
        self.lock = threading.Lock()
        self.clock = clock
        self.due = clock()
        self.visitors: dict[socket.socket, float] = {}
        members = {"config": config, "one_at_a_time": self.lock, "folder": self.folder}
        super().__init__(address, type("BoundHandler", (Handler,), members))

    def service_actions(self) -> None:
        """Called by the library twice a second."""
        for visitor, since in tuple(self.visitors.items()):
            if self.clock() - since > MAX_VISIT_S:
                with contextlib.suppress(OSError):  # gone meanwhile
                    visitor.shutdown(socket.SHUT_RDWR)
        if self.clock() < self.due or not self.lock.acquire(blocking=False):
            return
        try:
            past_metrics.fold(self.folder, past_metrics.running)
            self.due = self.clock() + FOLD_S
        finally:
            self.lock.release()

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether there is room for one more; asked in the one thread that accepts."""
        return len(self.visitors) < MAX_VISITORS

    def process_request(self, request: object, client_address: object) -> None:
        """A thread for this one."""
        assert isinstance(request, socket.socket), "it is a TCP server"
        self.visitors[request] = self.clock()
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        """It has left, or found no room."""
        self.visitors.pop(cast(socket.socket, request), None)
        super().shutdown_request(request)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor that hangs up is no news, and its address belongs into no log; a fault of ours does."""
        if not isinstance(sys.exc_info()[1], OSError):
            logging.getLogger("sealgate").error("page failed", exc_info=True)


def main() -> int:
    """Composition root of the console process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args()
    lifeline.end_with_parent()
    log = logs.start("console")
    config = configuration.load(arguments.config)
    host, _, port = config.console.bind.rpartition(":")
    server = Pages(config, (host.strip("[]"), int(port)), time.monotonic)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.info("console", extra={"fields": {"address": list(server.server_address)}})
    if arguments.ready_fd >= 0:
        os.write(arguments.ready_fd, b"1")
        os.close(arguments.ready_fd)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
