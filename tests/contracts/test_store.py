"""What every backend of the store must do; a backend is one line in ``BACKENDS``."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.custody.delivery import Delivery, State
from gateway.store.database import SqlStore, postgresql_engine, sqlite_engine
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.migrations import VERSION
from gateway.store.protocol import Change, Filter, Held, Proofs
from gateway.store.sealing import StoreKey, load_key
from tests.fakes import postgresql
from tests.gateway.samples import START, counting_ids, decision, delivery, envelope, reason

KEY = StoreKey(b"k" * 32)
Opener = Callable[[], Awaitable[SqlStore]]


async def sqlite_backend(folder: Path) -> SqlStore:
    return await SqlStore.open(sqlite_engine(folder / "state.db"), KEY)


async def postgresql_backend(folder: Path) -> SqlStore:
    return await SqlStore.open(postgresql_engine(postgresql.url(folder)), KEY)


BACKENDS = [sqlite_backend, postgresql_backend]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.__name__.removesuffix("_backend"))
async def reopen(request, tmp_path) -> AsyncIterator[Opener]:
    """Opens the same store once more, as another process would."""
    opened: list[SqlStore] = []

    async def reopen() -> SqlStore:
        opened.append(await request.param(tmp_path))
        return opened[-1]

    yield reopen
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen) -> SqlStore:
    return await reopen()


async def keep(store: SqlStore, *rows: Delivery, message_id: str = "01KAMZ3W8Q0000000000000M01") -> bool:
    rows = rows or (delivery(),)
    held = Held(envelope(message_id, recipients=rows[0].addresses), f"{message_id}-blob", 5, b"Received: x\r\n", True)
    _, wrapped = store.new_box(message_id)
    return await store.insert(held, rows, wrapped)


async def test_what_was_inserted_is_read_back_by_another_process(store, reopen):
    row = replace(delivery(decision(reason())), waivers=())
    assert await keep(store, row)
    other = await reopen()
    assert await other.delivery(row.id) == row
    held = await other.held(row.message_id)
    assert held.envelope.sender == "zhang@corp.test"
    assert held.head == b"Received: x\r\n"
    assert await other.delivery("nobody") is None
    assert await other.held("nobody") is None


async def test_an_id_is_taken_once(store):
    assert await keep(store)
    assert not await keep(store, replace(delivery(), id="other"))
    assert await store.delivery("other") is None
    assert await store.keyed(["01KAMZ3W8Q0000000000000M01", "nobody"]) == {"01KAMZ3W8Q0000000000000M01-blob"}


async def test_of_many_swaps_one_wins(store, reopen):
    row = delivery()
    await keep(store, row)
    stores = [store, await reopen(), await reopen()]
    after = [replace(row, version=2, owner=f"o{n}") for n in range(9)]
    done = await asyncio.gather(*(stores[n % 3].save([Change(row, (each,))]) for n, each in enumerate(after)))
    assert sum(ok for (ok,) in done) == 1
    winner = after[[ok for (ok,) in done].index(True)]
    assert await store.delivery(row.id) == winner


async def test_a_split_moves_the_addresses_along(store):
    row = delivery()
    await keep(store, row)
    first = replace(row, version=2, recipients=row.recipients[:1], state=State.QUEUED)
    second = replace(row, id=row.id + ".1a", recipients=row.recipients[1:], state=State.UNDELIVERABLE)
    assert await store.save([Change(row, (first, second))]) == (True,)
    by = {a: [d.id for d in (await store.page(Filter(address=a))).deliveries] for a in ("a@x.test", "B@X.test")}
    assert by == {"a@x.test": [first.id], "B@X.test": [second.id]}
    assert len((await store.page(Filter(address="zhang@corp.test"))).deliveries) == 2


async def test_a_version_never_goes_back(store):
    row = delivery()
    await keep(store, row)
    with pytest.raises(ValueError, match="later version"):
        await store.save([Change(row, (row,))])


async def test_pages_are_newest_first_and_complete(store):
    ids = counting_ids()
    rows = [replace(delivery(decision(reason(f"r{n % 2}"))), id=ids(), state=State.QUARANTINED) for n in range(25)]
    await keep(store, *rows)
    seen, cursor = [], ""
    while True:
        page = await store.page(Filter(states=frozenset({State.QUARANTINED})), cursor, 10)
        seen += [d.id for d in page.deliveries]
        cursor = page.next
        if not cursor:
            break
    assert seen == sorted((row.id for row in rows), reverse=True)
    assert len((await store.page(Filter(rule="r1"), limit=100)).deliveries) == 12
    assert (await store.page(Filter(states=frozenset({State.QUEUED})))).deliveries == ()
    assert await store.counts() == {State.QUARANTINED: 25}


async def test_due_puts_small_mail_first_but_starves_none(store):
    ids = counting_ids()
    shape = [("big", 5_000_000, 0), ("small", 1000, 30), ("later small", 1000, 300), ("middle", 500_000, 0)]
    rows = {
        name: replace(delivery(), id=ids(), state=State.QUEUED, size=size, due=START + timedelta(seconds=seconds))
        for name, size, seconds in shape
    }
    await keep(store, *rows.values())
    names = {row.id: name for name, row in rows.items()}

    async def due(**after: float) -> list[str]:
        found = await store.due({State.QUEUED}, START + timedelta(**after), 10)
        return [names[d.id] for d in found]

    assert await due(minutes=10) == ["small", "middle", "big", "later small"]
    assert await due(seconds=0) == ["middle", "big"]
    assert await store.due({State.QUEUED}, START, 10, but_hops={"smtp://127.0.0.1:2600"}) == ()
    assert await store.next_due({State.QUEUED}) == START
    assert await store.next_due({State.DELAYED}) is None


async def test_unfinished_are_what_a_crash_may_leave(store):
    ids = counting_ids()
    states = (State.PENDING, State.SENDING, State.CLOSING, State.QUEUED, State.SENT)
    rows = [replace(delivery(), id=ids(), state=state) for state in states]
    await keep(store, *rows)
    found = await store.unfinished(10)
    assert [d.state for d in found] == list(states[:3])
    assert [d.state for d in await store.unfinished(10, found[1].id)] == [State.CLOSING]


async def test_forgetting_destroys_only_what_is_finished(store):
    row = replace(delivery(), state=State.QUEUED)
    await keep(store, row)
    assert await store.forget([row.message_id], START) == frozenset()
    done = replace(row, version=2, state=State.SENT)
    await store.save([Change(row, (done,))])
    assert await store.forgettable(START, 10) == (row.message_id,)
    early = START - timedelta(seconds=1)
    assert await store.forgettable(early, 10) == ()
    assert await store.forget([row.message_id], early) == frozenset()
    assert await store.forget([row.message_id, "nobody"], START) == {row.message_id + "-blob"}
    assert await store.forgettable(START, 10) == ()
    assert await store.held(row.message_id) is None
    assert await store.box(row.message_id) is None
    assert await store.keyed([row.message_id]) == frozenset()
    assert await store.delivery(row.id) is None
    assert (await store.page(Filter(address="a@x.test"))).deliveries == ()
    assert not await keep(store, row), "the id stays taken"


async def test_ids_of_destroyed_messages_are_given_up_after_a_while(store):
    row = replace(delivery(), state=State.SENT)
    await keep(store, row)
    later = START + timedelta(days=31)
    assert await store.purge(later, 10) == 0, "what is kept stays, however old"
    await store.forget([row.message_id], START)
    assert await store.purge(START, 10) == 0
    assert await store.purge(later, 10) == 1
    assert await store.purge(later, 10) == 0
    assert await keep(store, row), "its id may come again"


async def test_many_swaps_in_any_order_never_wait_for_each_other(store, reopen):
    ids = counting_ids()
    rows = [replace(delivery(), id=ids(), state=State.QUEUED) for _ in range(20)]
    await keep(store, *rows)
    other = await reopen()
    changes = [Change(row, (replace(row, version=2),)) for row in rows]
    first, second = await asyncio.gather(store.save(changes), other.save(changes[::-1]))
    assert [a + b for a, b in zip(first, second[::-1], strict=True)] == [1] * 20


async def test_of_many_who_insert_the_same_id_one_wins(store, reopen):
    stores = [store, await reopen(), await reopen()]
    done = await asyncio.gather(*(keep(stores[n % 3], replace(delivery(), id=f"d{n}")) for n in range(9)))
    assert sum(done) == 1
    proofs = await asyncio.gather(*(stores[n % 3].swap_proofs("wang", Proofs(), Proofs(n + 1)) for n in range(9)))
    assert sum(proofs) == 1


async def test_applied_to_never_goes_back(store, reopen):
    assert await store.applied_to() == 0
    await store.set_applied_to(7)
    await store.set_applied_to(3)
    assert await (await reopen()).applied_to() == 7


async def test_proofs_are_swapped(store, reopen):
    first, other = Proofs(5, 1, None), await reopen()
    assert await store.proofs("wang") == Proofs()
    assert await store.swap_proofs("wang", Proofs(), first)
    assert not await other.swap_proofs("wang", Proofs(), Proofs(6))
    assert await other.swap_proofs("wang", first, Proofs(6, 0, START))
    assert await store.proofs("wang") == Proofs(6, 0, START)


async def test_no_address_stands_in_clear_on_the_disk(store, tmp_path):
    row = delivery(recipients=("planted-address@x.test",))
    await keep(store, row)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"planted-address" not in file.read_bytes()
            assert b"zhang@corp" not in file.read_bytes()


async def test_a_row_moved_to_another_place_is_noticed(tmp_path):
    store = await sqlite_backend(tmp_path)
    try:
        ids = counting_ids()
        rows = [replace(delivery(), id=ids(), state=State.QUEUED) for _ in range(2)]
        await keep(store, *rows)
        with sqlite3.connect(tmp_path / "state.db") as raw:
            (other,) = raw.execute("SELECT sealed FROM delivery WHERE id = ?", (rows[1].id,)).fetchone()
            raw.execute("UPDATE delivery SET sealed = ? WHERE id = ?", (other, rows[0].id))
        raw.close()
        with pytest.raises(StoreDamaged):
            await store.delivery(rows[0].id)
    finally:
        await store.close()


async def test_a_wrong_key_and_a_newer_schema_are_refused(tmp_path):
    store = await sqlite_backend(tmp_path)
    await store.close()
    with pytest.raises(StoreUnavailable, match="restore it from backup"):
        await SqlStore.open(sqlite_engine(tmp_path / "state.db"), StoreKey(b"x" * 32))
    engine = sqlite_engine(tmp_path / "state.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = '99' WHERE name = 'schema'"))
    engine.dispose()
    with pytest.raises(StoreUnavailable, match="newer Sealgate"):
        await sqlite_backend(tmp_path)


NEW_INDEXES = ("message_by_created", "delivery_by_rank", "delivery_by_rule")
"""Not in the first schema."""


async def test_an_older_schema_is_brought_forward(tmp_path):
    await (await sqlite_backend(tmp_path)).close()
    engine = sqlite_engine(tmp_path / "state.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE meta SET value = '1' WHERE name = 'schema'"))
        for name in NEW_INDEXES:
            connection.execute(text(f"DROP INDEX {name}"))
    engine.dispose()
    await (await sqlite_backend(tmp_path)).close()
    engine = sqlite_engine(tmp_path / "state.db")
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT value FROM meta WHERE name = 'schema'")) == str(VERSION)
        for name in NEW_INDEXES:
            assert connection.scalar(text(f"SELECT count(*) FROM sqlite_master WHERE name = '{name}'")) == 1
    engine.dispose()


async def test_two_processes_starting_at_once_agree_on_the_key(tmp_path):
    path = tmp_path / "keys" / "store.key"
    keys = await asyncio.gather(*(asyncio.to_thread(load_key, path) for _ in range(8)))
    assert len({key.key for key in keys}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(StoreUnavailable, match="chmod 600"):
        load_key(path)


async def test_sqlite_is_set_to_be_durable(tmp_path):
    engine = sqlite_engine(tmp_path / "state.db")
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA secure_delete")) == 1
    engine.dispose()


async def test_an_id_that_nobody_was_told_of_may_come_again(store):
    row = delivery()
    await keep(store, row)
    await store.save([Change(row, (replace(row, version=2, state=State.SWEPT),))])
    assert await store.forget([row.message_id, "nobody"], START) == {row.message_id + "-blob"}
    assert await keep(store, row)
