"""Ports for servers that can't be told to choose one themselves, and ports where nobody answers."""

import contextlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

LOWEST, HIGHEST = 10_000, 32_768
"""Sought between these: above, the system hands ports out by itself, to connections and to whoever binds port 0."""
TRIES = 1_000


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that nobody but another caller of this function will be given by chance."""
    handed_out = Path("/proc/sys/net/ipv4/ip_local_port_range")
    highest = min(HIGHEST, int(handed_out.read_text().split()[0])) if handed_out.exists() else HIGHEST
    if highest - LOWEST < TRIES:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return int(probe.getsockname()[1])
    chance = random.SystemRandom()
    for _ in range(TRIES):
        port = chance.randrange(LOWEST, highest)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port")


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections for as long as the block lasts: taken, and nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
