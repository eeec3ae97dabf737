"""The listening sockets: one SO_REUSEPORT socket per listener and worker slot, bound before privileges are dropped, kept for life."""

import socket
from collections.abc import Mapping, Sequence
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


def bind(name: str, where: str, slots: int, kept: Sequence[socket.socket] = ()) -> Bound:
    """Bind ``address:port`` for every slot; ``kept`` sockets of the run before are taken up as far as they are bound there, with the
    connections that wait in them, and closed otherwise. Raises OSError."""
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    number = int(port)
    mine = [each for each in kept if _is(each, family, host, number)]
    made = mine[:slots]
    for each in kept:
        if each not in made:
            each.close()
    if made:
        number = made[0].getsockname()[1]
    try:
        for _ in range(slots - len(made)):
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


def _is(kept: socket.socket, family: socket.AddressFamily, host: str, port: int) -> bool:
    """Whether the socket is bound where the listener belongs."""
    try:
        name = kept.getsockname()
        return kept.family == family and name[0] == (host or "0.0.0.0") and port in (0, name[1])  # noqa: S104
    except OSError:
        return False


def bind_all(
    listeners: Sequence[Listener], slots: int, kept: Mapping[str, Sequence[socket.socket]] | None = None
) -> tuple[Bound, ...]:
    """All listeners or none. Raises OSError naming the listener."""
    bound: list[Bound] = []
    for listener in listeners:
        try:
            bound.append(bind(listener.name, listener.bind, slots, (kept or {}).get(listener.name, ())))
        except OSError as error:
            for each in bound:
                each.close()
            raise OSError(error.errno, f"listener {listener.name} on {listener.bind}: {error.strerror}") from None
    return tuple(bound)
