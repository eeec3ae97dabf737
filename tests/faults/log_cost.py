"""What the log costs: CPU per event in a worker and in the keeper. Run: python -m tests.faults.log_cost [--concurrent N] [--messages N]"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from audit.event import Actor, Event, Secret, new_id
from gateway.recording.socket_recorder import SocketRecorder

CONFIG = '[gateway]\nhostname = "gw.test"\nlocal_domains = ["corp.test"]\nstate_dir = "state"\n'
STEPS = [[name, 0.1, 0.2, ""] for name in ("read", "authentication", "dictionaries", "identifiers", "yara", "decide")]


def decided(number: int, slots: int) -> Event:
    """About what the gateway records of a small mail."""
    now = datetime.now(UTC)
    names = [
        "from",
        "to0",
        "subject",
        "ip",
        "helo",
        "hop",
        "hfrom",
        "hto",
        "hdate",
        "msgid",
        "part0",
        "part1",
        "part2",
        "x",
    ]
    people = {"from": "zhang@corp.test", "to0": "buyer@acme.example"}
    return Event(
        new_id(int(now.timestamp() * 1000), os.urandom(10)),
        "message.decided",
        now,
        Actor("system", "gateway"),
        "relay",
        msg=f"M{number}",
        session="S",
        dir="out",
        public={"intent": "relay", "steps": STEPS, "policy": {"version": "sha256:77b1", "rules": 42, "matched": []}},
        sealed={name: Secret(people.get(name, "some text here"), people.get(name, "")) for name in names[:slots]},
        commits={"body": b"x" * 16384},
    )


def relayed(first: Event) -> Event:
    """The outcome."""
    now = datetime.now(UTC)
    identifier = new_id(int(now.timestamp() * 1000), os.urandom(10))
    kind = "message.relayed"
    return Event(
        identifier, kind, now, first.actor, "relayed", msg=first.msg, prev=first.id, sealed={"reply": Secret("250 ok")}
    )


async def load(path: Path, messages: int, concurrent: int, slots: int) -> tuple[float, float, list[float]]:
    """CPU and wall seconds in this process, and waits per event in ms."""
    recorder = SocketRecorder(path, "cost", time.monotonic)
    await recorder.open()
    waits: list[float] = []
    left = iter(range(messages))

    async def client() -> None:
        for number in left:
            key = await recorder.message_key(["zhang@corp.test", "buyer@acme.example"])
            first = decided(number, slots)
            for event in (first, relayed(first)):
                began = time.perf_counter()
                await recorder.record([event], key)
                waits.append((time.perf_counter() - began) * 1000)

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrent)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await recorder.close()
    return cpu, wall, waits


def keeper_cpu(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--concurrent", type=int, default=10)
    parser.add_argument("--slots", type=int, default=5)
    parser.add_argument("--dir")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        config = Path(folder, "sealgate.toml")
        config.write_text(CONFIG)
        keeper = subprocess.Popen([sys.executable, "-m", "gateway.recording.keeper", "--config", str(config)])
        socket = Path(folder, "state", "run", "keeper.sock")
        while not socket.exists():
            time.sleep(0.01)
        try:
            before = keeper_cpu(keeper.pid)
            cpu, wall, waits = uvloop.run(load(socket, options.messages, options.concurrent, options.slots))
            spent = keeper_cpu(keeper.pid) - before
            rss = [line for line in Path(f"/proc/{keeper.pid}/status").read_text().splitlines() if "VmRSS" in line]
        finally:
            keeper.send_signal(signal.SIGTERM)
            status = keeper.wait()
    events = 2 * options.messages
    waits.sort()
    print(
        f"{events} events, {options.concurrent} at once: {events / wall:.0f} events/s; worker {cpu / events * 1e6:.0f} us,"
        f" keeper {spent / events * 1e6:.0f} us CPU per event; wait p50 {waits[events // 2]:.2f} p99"
        f" {waits[events * 99 // 100]:.2f} max {waits[-1]:.1f} ms; keeper exit {status}, {rss[0]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
