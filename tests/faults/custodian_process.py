"""A process that takes mail into custody and moves it on until it is killed; says on stdout what it acknowledged.

Its log is a file of one line per event, synced before ``record`` returns, ids dropped that it has: what the keeper does, in ten lines.
"""

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from audit.event import Event, Place
from audit.sealing import MessageKey
from gateway.custody.custody import Busy, Custody
from gateway.custody.delivery import Action, Answer, State, Verb
from gateway.custody.desk import ids, now
from gateway.custody.owners import Owner
from gateway.custody.sweeper import Sweeper
from gateway.recording.recorder import Receipt
from gateway.store.blobs import FolderBlobs
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.errors import StoreUnavailable
from gateway.store.protocol import Filter
from gateway.store.sealing import load_key
from policies.decision import DELIVER
from tests.gateway.samples import decided, decision, envelope, reason, share

AT_ONCE = 8
LOG_FAILED = 70
FEW = 3
"""Held and rejected, sent, held: each way through custody once."""


class FileRecorder:
    """An append-only file of events."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "a+b")  # noqa: SIM115  lives as long as the process
        self.file.seek(0)
        whole = self.file.read().rpartition(b"\n")[0]
        self.file.truncate(len(whole) + 1 if whole else 0)  # a torn last line was never acknowledged
        self.events = [json.loads(line) for line in whole.splitlines()]
        self.ids = {event["id"] for event in self.events}

    async def message_key(self, addresses: Sequence[str]) -> MessageKey:
        return MessageKey(Place("smtp", "2026-11", 1), b"k" * 32)

    async def record(self, events: Sequence[Event], key: MessageKey | None) -> Receipt:
        fresh = [event for event in events if event.id not in self.ids]
        lines = [{"id": event.id, "type": event.type, "msg": event.msg} for event in fresh]
        try:
            self.file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError:
            os._exit(LOG_FAILED)  # as the keeper: what a failed sync left on the disk is known only to a new start
        self.ids.update(event.id for event in fresh)
        self.events += lines
        return Receipt(0, len(self.ids))

    async def told(self, event_ids: Collection[str], since: int) -> tuple[frozenset[str], int]:
        return frozenset(event_ids) & self.ids, len(self.events)


def content(message_id: str) -> bytes:
    """What the message of that id holds; big enough that a kill can land inside a write."""
    return b"Subject: " + message_id.encode() + b"\r\n\r\n" + hashlib.sha512(message_id.encode()).digest() * 3000


async def open_all(folder: Path) -> tuple[Custody, FileRecorder, Owner]:
    store = await SqlStore.open(sqlite_engine(folder / "state.db"), load_key(folder / "keys" / "store.key"))
    recorder, owner = FileRecorder(folder / "log"), Owner(folder / "owners", ids())
    custody = Custody(store, FolderBlobs(folder / "custody"), recorder, clock=now, ids=ids, owner=owner.name)
    return custody, recorder, owner


async def heal(custody: Custody, recorder: FileRecorder, owner: Owner) -> None:
    """What the queue process does at its start; nothing is young here."""
    later = Custody(
        custody.store, custody.blobs, recorder, clock=lambda: now() + timedelta(hours=1), ids=ids, owner=owner.name
    )
    dead = lambda row: owner.dead(row, now())  # noqa: E731
    await later.recover(dead)
    await Sweeper(later, recorder, dead).sweep()


async def one(custody: Custody, number: int) -> None:
    """Take one; every second one is held, then rejected or not; the others are sent as far as the store is concerned."""
    message_id = ids()
    held = number % 2 == 0
    shares = (share(decision(reason()) if held else DELIVER),)
    key = await custody._recorder.message_key([])
    taken = await custody.take(envelope(message_id), content(message_id), shares, decided(message_id, ids()), key)
    print("taken", message_id, flush=True)
    (row,) = taken.deliveries
    if held and number % 4 == 0:
        await custody.change(row, Action(Verb.REJECT))
        print("ended", message_id, flush=True)
    if not held:
        (row,) = await custody.change(row, custody.attempt_action())
        (row,) = await custody.change(row, Action(Verb.DOT))
        print("dot", message_id, flush=True)
        await custody.change(row, Action(Verb.ANSWER, answers=(Answer(Verb.DELIVERED, "250 ok"),)))
        print("ended", message_id, flush=True)


async def work(folder: Path) -> None:
    custody, recorder, owner = await open_all(folder)
    await heal(custody, recorder, owner)
    print("ready", flush=True)
    number = 0
    while True:
        await asyncio.gather(*(one(custody, number + n) for n in range(AT_ONCE)))
        number += AT_ONCE


async def work_little(folder: Path) -> int:
    """One message after the other, for faults to be put into each system call; trouble with the store is the sender's 451."""
    # strace counts calls by thread: in one thread they have one order.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    custody, recorder, owner = await open_all(folder)
    await heal(custody, recorder, owner)
    for number in range(FEW):
        try:
            await one(custody, number)
        except (StoreUnavailable, Busy) as error:
            print("trouble", type(error).__name__, flush=True)
    await custody.store.close()
    return 0


async def look(folder: Path) -> dict[str, str]:
    """Heal, then say what is there: message id -> state, after reading every byte of it."""
    custody, recorder, owner = await open_all(folder)
    await heal(custody, recorder, owner)
    states: dict[str, str] = {}
    cursor = ""
    while True:
        page = await custody.store.page(Filter(), cursor, 500)
        for row in page.deliveries:
            assert await custody.raw(row.message_id) == content(row.message_id), "altered"
            assert row.message_id not in states, "twice"
            assert row.intent is None, "half done"
            assert row.state not in (State.PENDING, State.SENDING, State.CLOSING), row.state
            states[row.message_id] = row.state.value
        cursor = page.next
        if not cursor:
            break
    assert sorted(name.partition("-")[0] for name in await custody.blobs.names()) == sorted(states), (
        "blobs and rows differ"
    )
    await custody.store.close()
    owner.close()
    recorder.file.close()
    return states


if __name__ == "__main__":
    try:
        if "--little" in sys.argv:
            sys.exit(asyncio.run(work_little(Path(sys.argv[1]))))
        asyncio.run(work(Path(sys.argv[1])))
    except Busy as error:
        sys.exit(f"busy {error}")
