"""What SQLite does for each statement of the store: none may read a table from end to end, however much mail is held."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import event

from gateway.custody.delivery import State
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.protocol import Change, Filter, Held, Proofs
from gateway.store.sealing import StoreKey
from tests.gateway.samples import START, decision, delivery, envelope, reason

MAY_SCAN = {"SCAN CONSTANT ROW", "SCAN (subquery-1)", "SCAN (subquery-2)"}
"""Lists of values in the statement itself."""
COUNTING = "SCAN delivery USING COVERING INDEX"
"""To count all is to look at all, but not at a row."""
ALL = frozenset(State)
HELD = frozenset({State.AWAITING_APPROVAL, State.QUARANTINED, State.DELAYED})


async def use(store: SqlStore) -> None:
    """Every verb, with every filter that commands and processes use."""
    row, message = delivery(decision(reason())), envelope()
    _, wrapped = store.new_box(message.id)
    await store.insert(Held(message, "blob", 1), (row,), wrapped)
    for states in (frozenset[State](), HELD, frozenset({State.QUEUED})):
        for wanted in (
            Filter(states),
            Filter(states, rule="r"),
            Filter(states, next_hop="h"),
            Filter(states, address="a@x.test"),
            Filter(states, message_id="m"),
        ):
            await store.page(wanted)
            await store.page(wanted, after="x")
    for states in (HELD, frozenset({State.QUEUED})):
        await store.due(states, START, 10)
        await store.due(states, START, 10, ["h"])
        await store.next_due(states)
    await store.unfinished(10)
    await store.unfinished(10, "x")
    await store.counts()
    await store.box(message.id)
    await store.held(message.id)
    await store.keyed([message.id, "m"])
    changed = replace(row, version=2)
    await store.save([Change(row, (changed,)), Change(row, (changed,))])
    await store.forgettable(START, 10)
    await store.forget([message.id, "m"], START)
    await store.purge(START, 10)
    await store.set_applied_to(1)
    await store.set_applied_to(2)
    await store.applied_to()
    await store.swap_proofs("wang", Proofs(), Proofs(1))
    await store.swap_proofs("wang", Proofs(1), Proofs(2))


async def test_no_statement_reads_a_whole_table(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "state.db")
    store = await SqlStore.open(engine, StoreKey(b"k" * 32))
    statements: dict[str, object] = {}

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, _cursor, text, parameters, _context, many) -> None:  # type: ignore[no-untyped-def]
        if text.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
            statements.setdefault(text, parameters[0] if many else parameters)

    await use(store)
    event.remove(engine, "before_cursor_execute", note)
    assert len(statements) > 30
    reading, bad = 0, []
    with engine.connect() as connection:
        for text, parameters in statements.items():
            for step in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, parameters):
                reading += "SEARCH" in step[3]
                counts = "count(*)" in text and step[3].startswith(COUNTING)
                if "SCAN" in step[3] and step[3] not in MAY_SCAN and not counts:
                    bad.append((step[3], text))
                if "TEMP B-TREE" in step[3] and "address" not in text and "message_id = " not in text:
                    bad.append((step[3], text))
    await store.close()
    assert reading > 30
    assert not bad, bad
