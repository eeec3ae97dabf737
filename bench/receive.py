"""What receiving costs: CPU of one process that reads mail over loopback and hands it to nobody.

    python bench/receive.py [--size 16000] [--messages 2000] [--per-connection 10] [--loop uvloop|asyncio] [--pipelined]

The client runs in a process of its own; the figure is the server process's CPU time, best of three rounds.
"""

import argparse
import asyncio
import logging
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.config import Config, Gateway, Limits, Listener, Route
from gateway.smtp.answered import Answered
from gateway.smtp.limits import WorkerLimits
from gateway.smtp.parameters import Capabilities
from gateway.smtp.parts import Parts
from gateway.smtp.reply import Reply
from gateway.smtp.server import Server
from scanners.message import Envelope


class Nobody:
    """Takes every message and forgets it."""

    def __init__(self) -> None:
        self.messages = 0
        self.octets = 0

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """Count it."""
        self.messages += 1
        self.octets += len(raw)
        return Reply(250, "2.0.0", envelope.id)


def mail(size: int) -> bytes:
    """A message of about that many octets in lines of 40 to 76, as it goes over the wire."""
    chance = random.Random(1)
    lines = [b"Subject: bench", b"From: a@sender.example", b"To: b@corp.test", b""]
    total = 0
    while total < size:
        lines.append(
            bytes(chance.choice(b"abcdefghijklmnopqrstuvwxyz ,") for _ in range(chance.choice((40, 70, 76, 76))))
        )
        total += len(lines[-1]) + 2
    return b"\r\n".join(lines) + b"\r\n.\r\n"


def client(port: int, body: bytes, messages: int, per_connection: int, pipelined: bool) -> None:
    """Send them one after another."""
    commands = [b"MAIL FROM:<a@sender.example> SIZE=%d\r\n" % len(body), b"RCPT TO:<b@corp.test>\r\n", b"DATA\r\n"]
    for _ in range(messages // per_connection):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = sock.makefile("rb")
            reader.readline()
            sock.sendall(b"EHLO bench.example\r\n")
            while reader.readline()[3:4] == b"-":
                pass
            for _ in range(per_connection):
                for group in [b"".join(commands)] if pipelined else commands:
                    sock.sendall(group)
                    for _ in range(group.count(b"\r\n")):
                        reader.readline()
                sock.sendall(body)
                assert reader.readline().startswith(b"250"), "refused"
            sock.sendall(b"QUIT\r\n")
            reader.readline()


async def measure(arguments: argparse.Namespace, state: Path) -> tuple[float, float]:
    """Seconds of CPU for one round: our own, and the system's in our name."""
    ids: Callable[[], str] = map(str, count()).__next__
    config = Config(
        Gateway("gw.test", ("corp.test",), state_dir=state),
        routes=(Route("corp.test", "smtp://127.0.0.1:9"),),
        limits=Limits(message_bytes=100_000_000, inflight_mb=400),
    )
    receiver = Nobody()
    parts = Parts(
        config=config,
        receiver=receiver,
        clock=time.monotonic,
        now=lambda: datetime.now(UTC),
        ids=ids,
        limits=WorkerLimits.of(config.limits, time.monotonic),
        answered=Answered(time.monotonic),
        log=logging.getLogger("bench"),
        capabilities=Capabilities,
    )
    server = Server(parts, Listener("bench", "127.0.0.1:0", "inbound"))
    sock = socket.create_server(("127.0.0.1", 0))
    await server.start(sock)
    body = mail(arguments.size)
    sender = multiprocessing.get_context("spawn").Process(
        target=client,
        args=(sock.getsockname()[1], body, arguments.messages, arguments.per_connection, arguments.pipelined),
    )
    sender.start()
    began = os.times()
    await asyncio.to_thread(sender.join)
    ended = os.times()
    assert sender.exitcode == 0, "the client failed"
    assert receiver.messages == arguments.messages // arguments.per_connection * arguments.per_connection
    await server.stop(1)
    return ended.user - began.user, ended.system - began.system


def main() -> None:
    """Print the best of three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16_000)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--per-connection", type=int, default=10)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--pipelined", action="store_true")
    arguments = parser.parse_args()
    if arguments.loop == "uvloop":
        import uvloop

        runner = uvloop.run
    else:
        runner = asyncio.run
    with tempfile.TemporaryDirectory() as folder:
        user, system = min((runner(measure(arguments, Path(folder))) for _ in range(3)), key=sum)
    each = (user + system) / arguments.messages
    print(
        f"{arguments.loop} {arguments.size} octets, {arguments.per_connection} per connection: "
        f"{each * 1e6:.0f} us a message ({user / arguments.messages * 1e6:.0f} user), {each * 1e9 / arguments.size:.2f} ms/MB"
    )


if __name__ == "__main__":
    main()
