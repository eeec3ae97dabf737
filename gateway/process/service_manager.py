"""What systemd is told, and the sockets it keeps for us over a restart (sd_notify, FDSTORE): clients wait instead of being refused."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIRST_FD = 3
"""Descriptors that a service manager hands over begin here (sd_listen_fds)."""
MAX_FDS = 4096
"""More than any configuration has: listeners times workers."""
WORDS = {"ready": "READY=1", "reloaded": "READY=1", "stopping": "STOPPING=1"}
PREFIX = "listener-"


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """``address``: its NOTIFY_SOCKET, "" where nobody asked to be told. Nothing of it is needed to carry mail: what fails is left."""

    address: str = ""

    def announce(self, state: str) -> None:
        """``ready``, ``reloaded`` or ``stopping``; other words are not its business. Raises OSError."""
        if self.address and state in WORDS:
            self._send(WORDS[state], ())

    def keep(self, name: str, descriptors: Sequence[int]) -> None:
        """Keep these sockets of the listener, instead of any it has of that name, until the next start. Raises OSError."""
        if not self.address:
            return
        self._send(f"FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}", ())
        if descriptors:
            self._send(f"FDSTORE=1\nFDNAME={PREFIX}{name}", descriptors)

    def _send(self, words: str, descriptors: Sequence[int]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + self.address[1:] if self.address.startswith("@") else self.address)
            socket.send_fds(notify, [words.encode("ascii", "replace")], list(descriptors))


def handed_over(environment: Mapping[str, str], pid: int) -> dict[str, list[socket.socket]]:
    """The listening sockets that were kept, by the listener's name (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES); others are left alone."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(pid) or not count.isdigit() or int(count) > MAX_FDS:
        return {}
    found: dict[str, list[socket.socket]] = {}
    for number, name in enumerate(environment.get("LISTEN_FDNAMES", "").split(":")[: int(count)]):
        if name.startswith(PREFIX):
            kept = socket.socket(fileno=FIRST_FD + number)
            kept.set_inheritable(False)
            kept.setblocking(False)
            found.setdefault(name.removeprefix(PREFIX), []).append(kept)
    return found
