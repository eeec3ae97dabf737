"""Drives the gateway beside its peers in one sitting and prints a table of ratios.

  PEERS_BASE=/var/tmp/peers SEALGATE_SHARED=../shared .venv/bin/python bench/run.py [--rounds 1] [--loads 10x20,10x20s] [-n 500]
      [--write docs/bench.md]     the tables of the document, made anew: rows, processes, memory, small mail beside large
      [--python PATH]             run our processes on another interpreter, which must find the same packages

The rig (shared/bench, its README says how to set it up) starts the peers, the DNS and the sink, offers the load and counts CPU by
cgroup.
everything on; attachment text off; with clamd on both sides. Caches are off: every row says so.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SEALGATE_SHARED", ROOT.parent / "shared"))
BASE = Path(os.environ.get("PEERS_BASE", "/var/tmp/peers"))
RIG = SHARED / "bench" / "rig.py"
PORT, SINK, CLAMD = 20100, 20025, 20310

CONFIG = """
[gateway]
hostname = "gw.corp.test"
local_domains = ["corp.test"]
state_dir = "{state}"
workers = 2
decoders = {decoders}
trusted_hops = ["127.0.0.1/32"]
attachment_text = {text}
attachment_cache_mb = 0
[dns]
servers = ["127.0.0.53:53"]
[[listener]]
name = "inbound"
bind = "127.0.0.1:{port}"
direction = "inbound"
xclient = true
[[route]]
recipients = "corp.test"
to = "smtp://127.0.0.1:{sink}"
tls = "opportunistic"
[limits]
connections_per_client = 1000
[console]
bind = "127.0.0.1:0"
{clamav}
"""
ROWS = {
    "ours": ("true", False, "postfix-rspamd-lean-noav"),
    "ours, attachment text off": ("false", False, "postfix-rspamd-lean-noav"),
    "ours with clamd": ("true", True, "postfix-rspamd-lean"),
}


BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEADING = """| who | corpus | msgs/s | CPU s/1000 | p99 ms | PSS MB | others' CPU % | CPU ratio | msgs/s ratio |
|---|---|---|---|---|---|---|---|---|"""


@dataclass
class Table:
    """Lines as they are printed, kept for the document."""

    lines: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Print and keep."""
        print(line, flush=True)
        self.lines.append(line)


@contextmanager
def gateway(text: str, clamd: bool, python: str = sys.executable) -> Iterator[list[int]]:
    """Our gateway on the rig's port; gives the pids of all its processes."""
    folder = BASE / "run" / "sealgate"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = folder / "sealgate.toml"
    clamav = f'[clamav]\naddress = "127.0.0.1:{CLAMD}"\n' if clamd else ""
    settings.write_text(
        CONFIG.format(state=folder / "state", port=PORT, sink=SINK, text=text, clamav=clamav, decoders=2),
        encoding="utf-8",
    )
    with open(folder / "log", "wb") as log:
        command = [python, "-m", "gateway.cli", "serve", "--config", str(settings)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        scanner = start_clamd(folder) if clamd else None
        try:
            wait_port(PORT)
            wait_started(folder / "log", "console")  # the last to start
            time.sleep(2)
            pids = [process.pid, *children(process.pid)]
            yield [*pids, *([scanner.pid] if scanner else [])]
        finally:
            for each in [process, scanner]:
                if each is not None:
                    each.send_signal(signal.SIGTERM)
                    each.wait(60)


def start_clamd(folder: Path) -> "subprocess.Popen[bytes]":
    """The rig's clamd: the same small signature file and the same settings as the peers get."""
    database, settings = BASE / "clamdb", folder / "clamd.conf"
    settings.write_text(
        f"TCPSocket {CLAMD}\nTCPAddr 127.0.0.1\nForeground yes\nDatabaseDirectory {database}\nLogFile {folder}/clamd.log\n"
        "MaxThreads 12\nMaxQueue 200\nMaxConnectionQueueLength 200\nDisableCache yes\nScanMail yes\nScanArchive yes\nStreamMaxLength 50M\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(["clamd", "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_port(CLAMD)
    return process


def children(pid: int) -> list[int]:
    """Every process below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *children(int(child))]
    return found


def wait_port(port: int) -> None:
    """Until somebody listens, at most a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"port {port} did not open")


def wait_started(log: Path, child: str) -> None:
    """Until the supervisor has said so, at most a minute: a process that starts later would be missing from the figures."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if f'"child": "{child}"' in log.read_text(encoding="utf-8", errors="replace"):
            return
        time.sleep(0.1)
    raise SystemExit(f"{child} did not start: see {log}")


def memory(pids: Sequence[int]) -> dict[str, list[int]]:
    """PSS in MB of each process, by name. Decoders come and go, so those that are there now."""
    found: dict[str, list[int]] = {}
    for pid in {*pids, *children(pids[0])}:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            held = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        if held:
            found.setdefault(name, []).append(round(int(held[1]) / 1024))
    return found


def rig(arguments: Sequence[str]) -> list[dict[str, object]]:
    """One call of the rig; its JSON lines."""
    environment = {**os.environ, "PEERS_BASE": str(BASE)}
    done = subprocess.run(
        [str(BASE / "venv/bin/python"), str(RIG), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def show(label: str, row: Mapping[str, object], peer: Mapping[str, object] | None) -> str:
    """A row of the table, with ratios to the peer of the same run."""
    latency = row.get("tx_ms")
    p99 = latency[2] if isinstance(latency, list) else ""
    cells = [
        label,
        "small" if row.get("small") else "mixed",
        f"{float(str(row.get('msg_s', 0))):.0f}",
        f"{float(str(row.get('cpu_per_1000', 0))):.2f}",
        str(p99),
        str(row.get("pss_mb", "")),
        str(row.get("other_cpu_pct", "")),
    ]
    if peer:
        cells.append(f"{float(str(row['cpu_per_1000'])) / float(str(peer['cpu_per_1000'])):.2f}")
        cells.append(f"{float(str(row['msg_s'])) / float(str(peer['msg_s'])):.1f}")
    else:
        cells += ["1", "1"]
    return "| " + " | ".join(cells) + " |"


def parts(label: str, row: Mapping[str, object]) -> str:
    """Who of ours spent how much."""
    spent = row.get("parts_per_1000")
    shares = sorted(spent.items(), key=lambda item: -item[1]) if isinstance(spent, dict) else []
    each = ", ".join(f"{name} {seconds}" for name, seconds in shares)
    return f"| {label} | {'small' if row.get('small') else 'mixed'} | {each} |"


def measure(arguments: argparse.Namespace, table: Table, detail: Table) -> None:
    """Rows against their peers, round by round."""
    chosen = [list(ROWS.items())[int(index)] for index in arguments.rows.split(",")]
    common = ["--loads", arguments.loads, "-n", str(arguments.n)]
    for _ in range(arguments.rounds):
        peers: dict[str, list[dict[str, object]]] = {}
        for label, (text, clamd, peer) in chosen:
            if peer not in peers and not arguments.no_peers:
                peers[peer] = rig(["bench", peer, *common])
                for row in peers[peer]:
                    table.say(show(peer, row, None))
            with gateway(text, clamd, arguments.python) as pids:
                flags = [flag for pid in pids for flag in ("--pid", str(pid))]
                ours = ["ext", str(PORT), *flags, "--client-ip", "xclient"]
                # The first call warms up (caches of names, pages of code); the second is measured.
                rig([*ours, "--loads", "10x20", "-n", "100", "--label", "warm-up"])
                rows = rig([*ours, *common, "--label", label])
                held = memory(pids)
            for index, row in enumerate(rows):
                table.say(show(label, row, peers[peer][index] if peer in peers else None))
                detail.lines.append(parts(label, row))
                if arguments.raw:
                    print(json.dumps(row))
            each = ", ".join(f"{name} {'+'.join(map(str, sizes))}" for name, sizes in sorted(held.items()))
            detail.lines.append(f"| {label} | PSS MB after the load | {each} |")


def document(path: Path, arguments: argparse.Namespace, tables: Sequence[Table]) -> None:
    """Put what was measured between the marks of the document."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    built = subprocess.run(
        [arguments.python, "-c", "import platform, sysconfig; how = sysconfig.get_config_var('CONFIG_ARGS') or ''; "
         "print(platform.python_version(), 'as a distribution builds it' if \"'--prefix=/usr'\" in how else "
         "'with profile-guided optimisation' if '--enable-optimizations' in how else 'without profile-guided optimisation')"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    where = f"{os.cpu_count()} cores, {cpu[1] if cpu else platform.machine()}, Linux {platform.release()}"
    what = f"commit {commit.stdout.strip()}, CPython {built.stdout.strip()}"
    words = " ".join(["bench/run.py", *sys.argv[1:]])
    head = f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {what}, on {where}. Caches off. Command: `{words}`"
    middle = "\n\n".join([head, *("\n".join(table.lines) for table in tables)])
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{middle}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loads", default="10x20,10x20s")
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--rows", default=",".join(str(index) for index in range(len(ROWS))))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--raw", action="store_true", help="print the rig's JSON too")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--write", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if not RIG.exists() or not (BASE / "load").exists():
        print(f"the rig is not set up: see {RIG.parent}/README.md and set PEERS_BASE", file=sys.stderr)
        return 2
    table, detail = Table(), Table(["| row | corpus | of this: CPU s/1000 by process |", "|---|---|---|"])
    table.say(HEADING)
    measure(arguments, table, detail)
    print("\n".join(detail.lines))
    if arguments.write:
        import beside  # it needs this module

        small = Table()
        beside.rows(small, peer=not arguments.no_peers, python=arguments.python)
        document(arguments.write, arguments, [table, detail, small])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
