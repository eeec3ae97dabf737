"""CPU per message and station on the rig's corpus, in one process: where the time goes.

  PEERS_BASE=/var/tmp/peers .venv/bin/python bench/stages.py [--small] [-n 200] [--profile STATION]

DNS answers come from the corpus' records, warm; attachments are decoded in this process, so their hand-over is not in the figure.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway import config as configuration  # noqa: E402
from gateway.context.gather import Gatherer  # noqa: E402
from gateway.judging import loading  # noqa: E402
from policies import facts, rule  # noqa: E402
from scanners import registry  # noqa: E402
from scanners.attachments.inspection import Inspection  # noqa: E402
from scanners.attachments.opener import needs_opening  # noqa: E402
from scanners.attachments.protocol import JobPart  # noqa: E402
from scanners.attachments.yara import compile_rules, load_rules  # noqa: E402
from scanners.message import Direction, Envelope, Recipient  # noqa: E402
from scanners.mime import parse  # noqa: E402
from tests.fakes.resolver import FakeResolver  # noqa: E402

BASE = Path(os.environ.get("PEERS_BASE", "/var/tmp/peers"))


def corpus(small: bool, most: int) -> list[tuple[Envelope, bytes]]:
    """Messages with the envelope the rig gives them."""
    found = []
    for number, line in enumerate((BASE / "corpus" / "index.tsv").read_text().splitlines()):
        path, sender, to, _, client = line.split("\t")
        raw = Path(path).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if small and len(raw) > 65536:
            continue
        envelope = Envelope(
            str(number), "s", "inbound", Direction.INBOUND, datetime.now(UTC), client, "127.0.0.1", "mx.sender.example", "", "",
            sender, (Recipient(to),),
        )  # fmt: skip
        found.append((envelope, raw))
        if len(found) == most:
            break
    return found


def zone() -> dict[str, dict[str, list[str]]]:
    """The corpus' DNS."""
    names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in (BASE / "corpus" / "records.tsv").read_text().splitlines():
        name, kind, value = line.split("\t")
        names[name][kind].append(value)
    return names


async def main() -> None:
    """One warm pass over a part, then the measured pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    config = configuration.parse(b'[gateway]\nhostname="gw.corp.test"\nlocal_domains=["corp.test"]\n', ROOT / "x.toml")
    dictionaries = loading.load_dictionaries(config)
    ruleset = loading.load_ruleset(config, dictionaries)
    scanners = registry.scanners(loading.registry_settings(config), dictionaries, FakeResolver(zone(), warm=True))
    gather = Gatherer.of(config, lambda: datetime.now(UTC))
    rules = compile_rules(loading.yara_source(config)).save(Path("/tmp"))
    engine = load_rules(rules)
    messages = corpus(arguments.small, arguments.n)
    spent: dict[str, float] = defaultdict(float)
    profiler = cProfile.Profile()

    class Station:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            if arguments.profile == self.name:
                profiler.enable()
            self.began = time.process_time()

        def __exit__(self, *_: object) -> None:
            spent[self.name] += time.process_time() - self.began
            if arguments.profile == self.name:
                profiler.disable()

    for warm in (True, False):
        spent.clear()
        for envelope, raw in messages[: 20 if warm else None]:
            with Station("read"):
                message = parse(envelope, raw)
            opened = message
            parts = [part for part in message.parts if needs_opening(part)]
            with Station("decode"):
                inspection = Inspection(engine, (), time.monotonic, 20.0)
                for part in parts:
                    inspection.attachment(
                        JobPart(part.path, part.declared, part.filename, 0, len(part.content)), part.content
                    )
                answer = inspection.answer()
            if parts:
                from dataclasses import replace

                from scanners.attachments.opener import _member

                members = [_member(found.path, found) for found in answer.parts]
                opened = replace(message, parts=(*[p for p in message.parts if p not in parts], *members))
            findings = []
            for scanner in scanners:
                with Station(scanner.name):
                    result = await scanner.scan(opened)
                findings += result.findings
            with Station("decide"):
                contexts = await gather(opened, ruleset.needs)
                for each in facts.build_each(opened, findings, contexts):
                    rule.decide(ruleset, each)
    total = sum(spent.values())
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{name:16} {seconds / len(messages) * 1e6:10.0f} us")
    print(f"{'total':16} {total / len(messages) * 1e6:10.0f} us  ({len(messages)} messages)")
    if arguments.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(22)


asyncio.run(main())
