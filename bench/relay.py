"""What relaying costs: CPU of our side per small mail and per MB, against a sink in a process of its own.

    python -m bench.relay [--mails 20000] [--megabytes 3]

The sink answers as fast as it can and keeps nothing. Figures are process time of this process only, best of three.
"""

import argparse
import asyncio
import multiprocessing
import socket
import time
from collections.abc import Callable
from typing import cast

import uvloop

from gateway.smtp.commands import Outgoing
from gateway.smtp.nexthop import NextHop, Scheme
from gateway.smtp.pool import Pool
from scanners.message import Recipient

ROUNDS = 3


class Sink(asyncio.Protocol):
    """Offers PIPELINING and says yes to everything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 sink\r\n")
        self.rest, self.content = b"", False

    def data_received(self, data: bytes) -> None:
        if self.content:
            tail = self.rest + data[-5:]
            self.rest = tail[-5:]
            if not tail.endswith(b"\r\n.\r\n"):
                return
            self.transport.write(b"250 2.0.0 Ok\r\n")
            self.rest, self.content = b"", False
            return
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"EHLO"):
                self.transport.write(b"250-sink\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 DSN\r\n")
            elif line == b"DATA":
                self.transport.write(b"354 go\r\n")
                self.content = True
            else:
                self.transport.write(b"250 2.1.0 Ok\r\n")


def sink(listening: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, sock=listening)
        await server.serve_forever()

    uvloop.run(serve())


async def measure(port: int, count: int, data: tuple[bytes, ...], at_once: int) -> tuple[float, float]:
    """CPU seconds and wall seconds for one mail."""
    clock: Callable[[], float] = time.monotonic
    pool = Pool(hostname="bench.test", clock=clock)
    hop = NextHop(Scheme.SMTP, "127.0.0.1", port)
    mail = Outgoing("a@corp.test", (Recipient("b@corp.test"),))
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            sent = await pool.send(hop, mail, data, deadline=clock() + 60)
            assert sent.final is not None, sent

    await asyncio.gather(*(worker() for _ in range(at_once)))
    left = count
    cpu, wall = time.process_time(), clock()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    spent = (time.process_time() - cpu) / count, (clock() - wall) / count
    await pool.close()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=20000)
    parser.add_argument("--megabytes", type=int, default=3)
    args = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    process = multiprocessing.get_context("fork").Process(target=sink, args=(listening,), daemon=True)
    process.start()
    listening.close()
    line = b"0123456789" * 7 + b"abcdef\r\n"
    small = (b"Received: by bench.test\r\n", line * (16_000 // len(line)))
    large = (b"Received: by bench.test\r\n", line * (args.megabytes * 1_000_000 // len(line)))
    for name, count, data, at_once in (
        ("small 16 kB", args.mails, small, 8),
        (f"large {args.megabytes} MB", 100, large, 4),
    ):
        best = min(uvloop.run(measure(port, count, data, at_once)) for _ in range(ROUNDS))
        megabytes = sum(map(len, data)) / 1e6
        print(
            f"{name}: {best[0] * 1e6:.0f} us CPU/mail, {best[0] * 1e6 / megabytes:.0f} us/MB, {1 / best[1]:.0f} mails/s"
        )
    process.terminate()


if __name__ == "__main__":
    main()
