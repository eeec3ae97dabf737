"""Everything the scanners say about the rig's corpus, as JSON lines: compare two revisions after work on speed.

  PEERS_BASE=/var/tmp/peers .venv/bin/python bench/findings.py > before.jsonl    and later    > after.jsonl; diff before.jsonl after.jsonl

One line a message: findings in order, and for each part its path, type, size, hash and the hash of its text.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402

from gateway import config as configuration  # noqa: E402
from gateway.judging import loading  # noqa: E402
from scanners import registry  # noqa: E402
from scanners.attachments.inspection import Inspection  # noqa: E402
from scanners.attachments.opener import _member, needs_opening  # noqa: E402
from scanners.attachments.protocol import JobPart  # noqa: E402
from scanners.attachments.yara import YaraEngine, compile_rules, load_rules  # noqa: E402
from scanners.finding import Evidence, Finding  # noqa: E402
from scanners.message import Direction, Envelope, Message, Recipient  # noqa: E402
from scanners.mime import parse  # noqa: E402
from tests.fakes.resolver import FakeResolver  # noqa: E402

AT = datetime(2026, 11, 30, tzinfo=UTC)
"""Always the same, and after the corpus was signed."""


def _listed(one: Finding) -> tuple[object, ...]:
    """A finding as it is written down, with what was seen."""
    return tuple(
        list(msgspec.structs.astuple(x)) if isinstance(x, Evidence) else x for x in msgspec.structs.astuple(one)
    )


def _hash(text: str | None) -> str:
    return hashlib.sha256((text or "").encode("utf-8", "replace")).hexdigest()[:16]


def opened(message: Message, engine: YaraEngine, texts: bool) -> tuple[Message, list[object]]:
    """The message with its attachments' parts, and the decoder's findings."""
    parts = [part for part in message.parts if needs_opening(part)]
    if not parts:
        return message, []
    inspection = Inspection(engine, (), time.monotonic, 20.0, text=texts)
    for part in parts:
        job = JobPart(part.path, part.declared, part.filename, 0, len(part.content))
        inspection.attachment(job, part.content)
    answer = inspection.answer()
    members = [_member(found.path, found) for found in answer.parts]
    kept = [part for part in message.parts if part not in parts]
    found = [msgspec.structs.astuple(one) for one in answer.findings]
    found += [(one.path, _hash(one.other)) for one in answer.parts if one.other]
    return dataclasses.replace(message, parts=(*kept, *members)), found


def raw_bytes(path: str) -> bytes:
    """A message as it comes over the wire."""
    return Path(path).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


async def main() -> None:
    """One line a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=500)
    arguments = parser.parse_args()
    base = Path(os.environ.get("PEERS_BASE", "/var/tmp/peers"))
    zone: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in (base / "corpus" / "records.tsv").read_text().splitlines():
        name, kind, value = line.split("\t")
        zone[name][kind].append(value)
    config = configuration.parse(b'[gateway]\nhostname="gw.corp.test"\nlocal_domains=["corp.test"]\n', ROOT / "x.toml")
    dictionaries = loading.load_dictionaries(config)
    scanners = registry.scanners(loading.registry_settings(config), dictionaries, FakeResolver(zone, warm=True))
    engine = load_rules(compile_rules(loading.yara_source(config)).save(Path("/tmp")))
    corpus = (base / "corpus" / "index.tsv").read_text().splitlines()[: arguments.n]
    for number, (path, sender, to, _, client) in enumerate(line.split("\t") for line in corpus):
        raw = raw_bytes(path)
        envelope = Envelope(
            str(number), "s", "inbound", Direction.INBOUND, AT, client, "127.0.0.1", "mx.sender.example", "", "",
            sender, (Recipient(to),),
        )  # fmt: skip
        message, found = opened(parse(envelope, raw), engine, True)
        said: list[object] = [_listed(one) for one in message.defects]
        for scanner in scanners:
            said += [_listed(one) for one in (await scanner.scan(message)).findings]
        parts = [
            (one.path, one.media_type, one.filename, one.size, one.sha256, _hash(one.text)) for one in message.parts
        ]
        others = {key: _hash(text) for key, text in message.texts.items()}
        shown = {"mail": Path(path).name, "findings": said, "decoder": found, "parts": parts, "texts": others}
        print(json.dumps(shown, ensure_ascii=False, default=str))


asyncio.run(main())
