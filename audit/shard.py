"""The way out of damage: set the log aside as it is, and begin a new one whose first event says what happened."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from audit.event import Actor, Event, line, new_id, timestamp
from audit.files import sync_directory
from audit.log import Entry, Identity, Log, LogDamaged, load_identity, lock_directory
from audit.notes import Checkpoint, NoteError, open_checkpoint, parse_vkey
from audit.signer import Signer, load_secret
from audit.tiles import CHECKPOINT
from audit.verify import verify

MAX_FOUND = 20
"""Mismatches cited in the first event; the old log still holds all of them."""
BEGUN = "audit.new"
"""The new log while it is being made; where this stands, the keeper doesn't start."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The new log's name, and where the old one lies."""

    origin: str
    aside: Path


def new_shard(
    state_dir: Path, hostname: str, reason: str, who: str, now: datetime, random: Callable[[int], bytes]
) -> Shard:
    """Set ``state_dir/audit`` aside and begin a new log there. Raises LogLocked, OSError, ValueError."""
    if not reason.strip():
        raise ValueError("say why 请说明原因")
    audit, begun = state_dir / "audit", state_dir / BEGUN
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    if not audit.exists() and not begun.exists():
        raise ValueError(f"{audit}: there is no log here 此处没有日志")
    if not audit.exists():
        return _finish(state_dir, begun)
    descriptor = lock_directory(audit)
    try:
        aside = state_dir / f"audit.aside-{stamp}"
        _begin(audit, begun, hostname, reason, who, now, random, aside.name)
        # A crash after this: no log under its name, and the keeper refuses; running the command again goes on from here.
        os.rename(audit, aside)
        sync_directory(state_dir)
        return _finish(state_dir, begun)
    finally:
        os.close(descriptor)


def _begin(
    audit: Path,
    begun: Path,
    hostname: str,
    reason: str,
    who: str,
    now: datetime,
    random: Callable[[int], bytes],
    aside: str,
) -> None:
    """The new log, complete, under a name nobody uses yet."""
    old, head = _last_good(audit)
    origin = _next_origin(old.origin if old else f"{hostname}/audit")
    key = audit.parent / "keys" / "log.key"
    try:
        seed = load_secret(key, None)
    except FileNotFoundError:
        seed = load_secret(key, random(32))
    found = verify(audit)
    event = Event(
        new_id(int(now.timestamp() * 1000), random(10)),
        "audit.new_shard",
        now,
        Actor("operator", who),
        "ok",
        reason=reason[:500],
        public={
            "old": {
                "origin": old.origin if old else "",
                "vkey": old.vkey if old else "",
                "head": head.text() if head else "",
                "aside": aside,
            },
            "found": [item[:200] for item in found.mismatches[:MAX_FOUND]],
            "mismatches": len(found.mismatches),
        },
    )
    _drop(begun)
    log = Log.open(begun, Signer(origin, seed), timestamp(now))
    try:
        log.append([Entry(event.id, line(event, hostname))])
        log.publish()
    finally:
        log.close()


def _drop(begun: Path) -> None:
    """An earlier attempt that did not get as far as the rename holds nothing anybody was told of."""
    if begun.exists():
        for path in sorted(begun.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        begun.rmdir()


def _finish(state_dir: Path, begun: Path) -> Shard:
    """Hand the erasable keys over, and give the new log its name. Can be done again after a crash at any line."""
    aside = sorted(state_dir.glob("audit.aside-*"))[-1]
    keys = aside / "keys"
    if keys.is_dir() and not (begun / "keys").exists():
        # The keys stay where erasures reach them: a log set aside is read-only, what is sealed in it still can be erased.
        os.rename(keys, begun / "keys")
    origin = load_identity(begun).origin
    os.rename(begun, state_dir / "audit")
    sync_directory(state_dir)
    for path in (aside, aside / "journal"):
        if path.is_dir():
            path.chmod(0o550)
    return Shard(origin, aside)


def _last_good(audit: Path) -> tuple[Identity | None, Checkpoint | None]:
    try:
        identity = load_identity(audit)
        note = (audit / CHECKPOINT).read_bytes()
        return identity, open_checkpoint(note, parse_vkey(identity.vkey), identity.origin)
    except (OSError, LogDamaged):
        return None, None
    except NoteError:
        return identity, None


def _next_origin(origin: str) -> str:
    """``gw.test/audit`` -> ``gw.test/audit/2`` -> ``gw.test/audit/3``: no two logs bear one name."""
    base, _, number = origin.rpartition("/")
    return f"{base}/{int(number) + 1}" if number.isdigit() else f"{origin}/2"
