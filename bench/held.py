"""A hundred thousand held deliveries: list, look up, expire and release, within stated bounds.

    python -m bench.held [--count 100000] [--folder DIR]

Real SQLite and a real folder; the log is in memory, since its own bench is elsewhere. Prints a line per figure and exits 1 when a bound is
missed. Times are wall clock; blobs are written for the messages that are released (the rest are rows: a blob costs the same each).
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine

from audit.event import new_id
from gateway.commands.held import SHOWN
from gateway.config import Operator, Route
from gateway.custody.custody import MAX_BATCH, Custody
from gateway.custody.delivery import Action, Delivery, State, Verb
from gateway.custody.queue import EXPIRING
from gateway.custody.release import Rejudged, Released, Releaser
from gateway.routes import Routes
from gateway.store.blobs import FolderBlobs
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.protocol import Filter, Held
from gateway.store.sealing import StoreKey
from tests.fakes.recorder import FakeRecorder
from tests.gateway.samples import RAW, counting_ids, decision, delivery, envelope, reason

T = TypeVar("T")
APPROVE = decision(reason())
BATCH = 1000
RELEASES = 200
BOUNDS_MS = {
    "list first page": 50.0,
    "list page at the end": 50.0,
    "look up by address": 50.0,
    "list by rule": 50.0,
    "a look of the queue": 20.0,
    "counts": 100.0,
    "release one": 30.0,
}
EXPIRE_PER_S = 400.0


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def report(name: str, value: float, unit: str, bound: float, *, at_least: bool = False) -> bool:
    good = value >= bound if at_least else value <= bound
    print(
        f"{'ok  ' if good else 'MISS'} {name:<28} {value:>10.1f} {unit:<6} bound {'>=' if at_least else '<='} {bound:g}"
    )
    return good


def pragma(engine: Engine, level: str) -> None:
    connection = engine.raw_connection()
    connection.cursor().execute(f"PRAGMA synchronous={level}")
    connection.close()


async def timed(work: Awaitable[T], times: list[float]) -> T:
    began = time.perf_counter()
    result = await work
    times.append((time.perf_counter() - began) * 1000)
    return result


async def fill(custody: Custody, count: int, clock: Clock, blobs: int) -> None:
    """``count`` messages of one held delivery each; the last ``blobs`` with content."""
    ids = counting_ids()
    for start in range(0, count, BATCH):
        for n in range(start, min(start + BATCH, count)):
            message_id = ids()
            row: Delivery = delivery(APPROVE, (f"buyer{n}@acme.example",))
            box, wrapped = custody.store.new_box(message_id)
            if n >= count - blobs:
                await custody.blobs.put(message_id, box.seal_blob(RAW))
            row = Delivery(
                ids(), message_id, row.next_hop, APPROVE, row.recipients, clock.at, clock.at + timedelta(days=30), row.content,
                row.decided, size=len(RAW), state=State.AWAITING_APPROVAL, version=2,
            )  # fmt: skip
            held = Held(
                envelope(message_id, f"sender{n % 300}@corp.test", (f"buyer{n}@acme.example",)), message_id, len(RAW)
            )
            await custody.store.insert(held, (row,), wrapped)


async def bench(folder: Path, count: int) -> bool:
    clock, recorder = Clock(), FakeRecorder()
    engine = sqlite_engine(folder / "state.db")
    store = await SqlStore.open(engine, StoreKey(b"k" * 32))
    pragma(engine, "OFF")  # only while filling: what is measured is measured durable
    numbers = counting_ids(10**9)
    custody = Custody(store, FolderBlobs(folder / "custody"), recorder, clock=clock, ids=numbers, owner="bench")
    began = time.perf_counter()
    await fill(custody, count, clock, RELEASES)
    pragma(engine, "FULL")
    took = time.perf_counter() - began
    print(
        f"     filled {count} in {took:.1f} s, {count / took:.0f}/s; {(folder / 'state.db').stat().st_size / 1e6:.0f} MB"
    )
    good = await _reads(store, count, clock.at)
    good &= await _releases(custody, store)
    good &= await _expiry(custody, store, clock)
    print(f"     memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    await store.close()
    return good


async def _look(store: SqlStore, now: datetime) -> None:
    """What the queue process asks twice a second, and finds nothing."""
    for states in ({State.QUEUED}, {State.DELAYED}, EXPIRING):
        assert not await store.due(states, now, MAX_BATCH)


async def _reads(store: SqlStore, count: int, now: datetime) -> bool:
    wanted = Filter(states=SHOWN)
    by_rule: list[float] = []
    looks: list[float] = []
    first: list[float] = []
    last: list[float] = []
    by_address: list[float] = []
    counted: list[float] = []
    for n in range(9):
        await timed(store.page(wanted, "", 50), first)
        await timed(store.page(wanted, new_id(1795312800000, (200).to_bytes(10, "big")), 50), last)
        found = await timed(store.page(Filter(address=f"buyer{n * 97 % count}@acme.example")), by_address)
        assert len(found.deliveries) == 1
        await timed(store.page(replace(wanted, rule=APPROVE.reasons[0].rule)), by_rule)
        await timed(_look(store, now), looks)
        await timed(store.counts(), counted)
    good = True
    for name, times in (
        ("list first page", first), ("list page at the end", last), ("look up by address", by_address),
        ("list by rule", by_rule), ("a look of the queue", looks), ("counts", counted),
    ):  # fmt: skip
        good &= report(name, sorted(times)[len(times) // 2], "ms", BOUNDS_MS[name])
    return good


async def _releases(custody: Custody, store: SqlStore) -> bool:
    async def rejudge(of: object, raw: bytes) -> Rejudged:
        return Rejudged(((envelope().recipients[0], APPROVE),), "judge-1")

    releaser = Releaser(custody, rejudge, Routes.of([Route("*", "smtp://127.0.0.1:2600")]), "judge-1")
    times: list[float] = []
    for row in (await store.page(Filter(states=frozenset({State.AWAITING_APPROVAL})), "", RELEASES)).deliveries:
        done = await timed(releaser.release(row, Operator("wang", "wang@corp.test")), times)
        assert isinstance(done, Released)
    return report("release one", sorted(times)[len(times) // 2], "ms", BOUNDS_MS["release one"])


async def _expiry(custody: Custody, store: SqlStore, clock: Clock) -> bool:
    clock.at += timedelta(days=31)
    expired = 0
    began = time.perf_counter()
    while due := await store.due({State.AWAITING_APPROVAL}, clock.at, MAX_BATCH):
        await custody.change_all([(row, Action(Verb.EXPIRE)) for row in due])
        expired += len(due)
    took = time.perf_counter() - began
    assert State.AWAITING_APPROVAL not in await store.counts()
    print(f"     expired {expired} in {took:.1f} s")
    return report("expire", expired / took, "/s", EXPIRE_PER_S, at_least=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        return 0 if asyncio.run(bench(Path(folder), arguments.count)) else 1


if __name__ == "__main__":
    sys.exit(main())
