"""Events for tests."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from audit.event import Actor, Event, Secret, new_id
from audit.log import Entry, Log
from audit.signer import Signer

NOW = datetime(2026, 11, 22, 2, 10, 31, 482000, UTC)
SEED = bytes(range(32))
ORIGIN = "gw.test/audit"
SMALL = 1 << 16
"""Bytes of a journal segment in tests, so that they roll."""


def signer(origin: str = ORIGIN, seed: bytes = SEED) -> Signer:
    return Signer(origin, seed)


def event_id(number: int) -> str:
    return new_id(int(NOW.timestamp() * 1000) + number, sha256(b"%d" % number).digest()[:10])


def entry(number: int, size: int = 40) -> Entry:
    identifier = event_id(number)
    return Entry(identifier, b'{"id":"%s","type":"test","x":"%s"}' % (identifier.encode(), b"x" * size))


def open_log(directory: Path, **options: int) -> Log:
    return Log.open(directory, signer(), "2026-11-22T00:00:00.000Z", segment_bytes=SMALL, reserve_bytes=0, **options)


def decided(
    number: int = 0, *, msg: str = "", sender: str = "zhang@corp.test", to: str = "buyer@acme.example"
) -> Event:
    return Event(
        id=event_id(number),
        type="message.decided",
        at=NOW + timedelta(milliseconds=number),
        actor=Actor("system", "gateway"),
        outcome="relay",
        msg=msg or event_id(10_000 + number),
        session="S1",
        dir="out",
        public={
            "intent": "relay",
            "steps": [["read", 0.0, 1.1, "2 parts"], ["dictionaries", 1.1, 0.3, ""]],
            "findings": [{"code": "content.dictionary.company", "count": 1, "part": "1"}],
            "policy": {"version": "sha256:77b1", "disposition": "deliver", "rules": 42, "matched": ["contract-price"]},
            "read": {"size": 16384, "parts": 2, "recipients": 1},
        },
        sealed={
            "from": Secret(sender, sender),
            "to0": Secret(to, to),
            "subject": Secret("合同总价"),
            "excerpt": Secret("content.dictionary.company 1  本合同**：***"),
        },
        commits={"body": b"the whole message"},
    )


def outcome(first: Event, number: int, kind: str = "relayed") -> Event:
    return Event(
        id=event_id(number),
        type=f"message.{kind}",
        at=first.at + timedelta(milliseconds=7),
        actor=first.actor,
        outcome=kind,
        msg=first.msg,
        dir=first.dir,
        public={"code": 250, "enhanced": "2.0.0", "hop": "127.0.0.1"},
        sealed={"reply": Secret("250 2.0.0 queued")},
        prev=first.id,
    )
