"""The listening sockets: one SO_REUSEPORT socket per listener and worker slot, bound before privileges are dropped, kept for life."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config import Listener

BACKLOG = 1024
"""Connections that may wait while a worker is replaced."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A listener's sockets, one per worker slot, and where they really are (port 0 is picked free)."""

    name: str
    bind: str
    address: tuple[str, int]
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        """Give the port back."""
        for each in self.sockets:
            each.close()


def bind(name: str, where: str, slots: int) -> Bound:
    """Bind ``address:port`` for every slot. Raises OSError."""
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    number = int(port)
    made: list[socket.socket] = []
    try:
        for _ in range(slots):
            each = socket.socket(family, socket.SOCK_STREAM)
            made.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind((host, number))
            number = each.getsockname()[1]
            each.listen(BACKLOG)
            each.setblocking(False)
    except OSError:
        for each in made:
            each.close()
        raise
    return Bound(name, where, (host, number), tuple(made))


def bind_all(listeners: Sequence[Listener], slots: int) -> tuple[Bound, ...]:
    """All listeners or none. Raises OSError naming the listener."""
    bound: list[Bound] = []
    for listener in listeners:
        try:
            bound.append(bind(listener.name, listener.bind, slots))
        except OSError as error:
            for each in bound:
                each.close()
            raise OSError(error.errno, f"listener {listener.name} on {listener.bind}: {error.strerror}") from None
    return tuple(bound)
