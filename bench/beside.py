"""How long small mail takes beside 3 MB mail: the latency a person feels while somebody else sends drawings.

  PEERS_BASE=/var/tmp/peers .venv/bin/python bench/beside.py [--small 4x20s] [-n 1000] [--large 1] [--peer]

The rig offers the small mail and times it; meanwhile ``--large`` connections send the corpus' largest messages one after the other. The
first row is the same load alone. Large mail that comes before the rig's sink is up gets 451 and isn't counted.
"""

import argparse
import contextlib
import itertools
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from run import BASE, PORT, Table, gateway, rig

LARGE = 2_500_000
"""Octets from which a message of the corpus counts as large."""
SMALL, MESSAGES = "4x20s", 1000
"""Fewer connections than cores can serve at once: the figure is about waiting behind large mail, not behind a queue of small ones."""
PAUSE_S = 0.2
"""Between two large messages of a connection, so that a fast server is not offered many times what a slow one is."""
REPLY_S = 60.0
"""Longest wait for an answer; a silent server ends the run with an error instead of hanging it."""


def large_messages() -> list[tuple[str, str, str, bytes]]:
    """Sender, recipient, client and wire form of the corpus' large messages."""
    found = []
    for line in (BASE / "corpus" / "index.tsv").read_text().splitlines():
        path, sender, to, _, client = line.split("\t")
        if Path(path).stat().st_size >= LARGE:
            raw = Path(path).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            found.append((sender, to, client, raw.replace(b"\r\n.", b"\r\n..") + b".\r\n"))
    return found


class Sender(threading.Thread):
    """One connection after the other, a large message over each, until told to stop."""

    def __init__(self, messages: Sequence[tuple[str, str, str, bytes]], first: int) -> None:
        super().__init__(daemon=True)
        self.messages, self.first = messages, first
        self.stopping = threading.Event()
        self.delivered = 0

    def run(self) -> None:
        """See the class."""
        for number in itertools.count(self.first):
            if self.stopping.is_set():
                return
            with contextlib.suppress(OSError):
                self.delivered += self.one(*self.messages[number % len(self.messages)])
            self.stopping.wait(PAUSE_S)

    def one(self, sender: str, to: str, client: str, data: bytes) -> bool:
        """Whether the message was taken."""
        with socket.create_connection(("127.0.0.1", PORT), REPLY_S) as connection, connection.makefile("rb") as answers:

            def say(line: bytes) -> bytes:
                connection.sendall(line)
                while (answer := answers.readline())[3:4] == b"-":
                    pass
                return answer[:3]

            answers.readline()
            say(b"EHLO bench.example\r\n")
            say(f"XCLIENT ADDR={client} NAME=[UNAVAILABLE]\r\n".encode())
            say(b"EHLO bench.example\r\n")
            say(f"MAIL FROM:<{sender}>\r\n".encode())
            say(f"RCPT TO:<{to}>\r\n".encode())
            return say(b"DATA\r\n") == b"354" and say(data) == b"250"


def measured(arguments: Sequence[str], large: int) -> tuple[dict[str, object], int]:
    """The rig's row of the small mail, and how many large messages were delivered beside it."""
    messages = large_messages()
    senders = [Sender(messages, number) for number in range(large)]
    for sender in senders:
        sender.start()
    try:
        row = rig(arguments)[0]
    finally:
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(REPLY_S)
    return row, sum(sender.delivered for sender in senders)


def rows(
    table: Table, *, small: str = SMALL, most: int = MESSAGES, connections: int = 1, peer: bool = False,
    python: str = sys.executable,
) -> None:  # fmt: skip
    """Alone, then beside large mail; with ``peer`` the same for Postfix with rspamd first."""
    load = ["--loads", small, "-n", str(most)]
    table.say(
        f"| who, {small} small | large connections | small msgs/s | p50 ms | p95 ms | p99 ms | large delivered | others' CPU % |"
    )
    table.say("|---|---|---|---|---|---|---|---|")

    def show(who: str, large: int, row: dict[str, object], delivered: int) -> None:
        times = row.get("tx_ms")
        cells = times if isinstance(times, list) else ["", "", ""]
        words = [who, large, row.get("msg_s"), *cells, delivered, row.get("other_cpu_pct")]
        table.say("| " + " | ".join(map(str, words)) + " |")

    if peer:
        for large in (0, connections):
            show("Postfix + rspamd lean", large, *measured(["bench", "postfix-rspamd-lean-noav", *load], large))
    with gateway("true", False, python) as pids:
        flags = [flag for pid in pids for flag in ("--pid", str(pid))]
        common = ["ext", str(PORT), *flags, "--client-ip", "xclient"]
        rig([*common, "--loads", "10x20", "-n", "100", "--label", "warm-up"])
        for large in (0, connections):
            show("ours", large, *measured([*common, *load, "--label", "beside"], large))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", default=SMALL)
    parser.add_argument("-n", type=int, default=MESSAGES)
    parser.add_argument("--large", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    rows(
        Table(),
        small=arguments.small,
        most=arguments.n,
        connections=arguments.large,
        peer=arguments.peer,
        python=arguments.python,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
