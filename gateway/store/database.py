"""The store on SQLAlchemy Core. One thread owns the connection, each verb is one transaction in it, and none is open across an await.

A crash inside a verb leaves the database as before it (SQLite: WAL with synchronous=FULL, so a commit that returned is on the disk).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Insert,
    Row,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import Select

from gateway.custody.delivery import Delivery, State
from gateway.custody.waivers import holding
from gateway.store import statements as sql
from gateway.store.errors import StoreDamaged, StoreUnavailable
from gateway.store.migrations import migrate
from gateway.store.protocol import MAX_PAGE, Change, Filter, Held, Page, Proofs
from gateway.store.sealing import MessageBox, StoreKey, private_directory
from gateway.store.tables import ADDRESS, DELIVERY, MESSAGE, META, OPERATOR

T = TypeVar("T")

BUSY_MS = 5000
"""How long a writer waits for another process's transaction: some thousand times what one takes."""
CONNECT_S = 10
"""For a server to take a connection."""
SMALL, MIDDLE = 64 << 10, 1 << 20
STEP_BACK_MS = 60_000
"""By how much a larger class of mail steps back: a minute each, so that it is passed by, but never starved."""

_delivery_out, _delivery_in = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Delivery)
_held_out, _held_in = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Held)
_ACTIVE = frozenset({State.PENDING, State.SENDING, State.CLOSING})


def sqlite_engine(path: Path) -> Engine:
    """SQLite as custody needs it: durable at every commit, writers queue up, deleted content is overwritten."""
    private_directory(path.parent)
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("sealgate_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def postgresql_engine(url: str | URL, secrets: Mapping[str, str] | None = None) -> Engine:
    """PostgreSQL as custody needs it: durable at every commit; one connection, as one thread works; a lost one is made anew.

    ``secrets`` go to the driver and stand nowhere else. Writers take row locks where SQLite has its one writer's lock (statements.LOCK,
    FOR UPDATE); reads see one moment (REPEATABLE READ).
    """
    settings = f"-c synchronous_commit=on -c lock_timeout={BUSY_MS} -c timezone=UTC"
    return create_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_S, "options": settings, **(secrets or {})},
    )


class _Taken(Exception):
    """The id was there before; leaves the transaction undone."""


class SqlStore:
    """gateway.store.protocol.Store on an Engine; make it by ``await SqlStore.open(...)``."""

    def __init__(self, engine: Engine, key: StoreKey) -> None:
        self._engine, self._key = engine, key
        self._reading = engine.execution_options(sealgate_reading=True)
        if engine.dialect.name == "postgresql":
            self._reading = self._reading.execution_options(isolation_level="REPEATABLE READ")
        self._thread = ThreadPoolExecutor(1, "store")
        self._closed = False

    @classmethod
    async def open(cls, engine: Engine, key: StoreKey) -> "SqlStore":
        """Connects, and brings the schema forward. Raises StoreUnavailable with what to do."""
        store = cls(engine, key)
        try:
            await store._write(lambda connection: migrate(connection, key.check))
        except StoreUnavailable:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
            self._thread.shutdown()

    def new_box(self, message_id: str) -> tuple[MessageBox, bytes]:
        return self._key.new_message_key(message_id)

    async def insert(self, held: Held, deliveries: Sequence[Delivery], wrapped: bytes) -> bool:
        box = self._key.unwrap(held.envelope.id, wrapped)
        rows = [self._row(box, delivery) for delivery in deliveries]
        tokens = self._tokens(held.envelope.sender, deliveries)
        message = {
            "id": held.envelope.id,
            "wrapped": wrapped,
            "sealed": box.seal("message", _held_out.encode(held)),
            "blob": held.blob,
            "created_ms": _ms(held.envelope.received_at),
        }

        def work(connection: Connection) -> bool:
            if connection.execute(sql.MESSAGE_THERE, {"message": held.envelope.id}).first():
                return False
            _insert_new(connection, sql.INSERT_MESSAGE, message)
            connection.execute(sql.INSERT_DELIVERY, rows)
            connection.execute(sql.INSERT_ADDRESS, tokens)
            return True

        try:
            return await self._write(work)
        except _Taken:
            return False

    async def save(self, changes: Sequence[Change]) -> tuple[bool, ...]:
        def work(connection: Connection) -> tuple[bool, ...]:
            if len(changes) > 1:  # in one order for everybody, so that no two wait for each other
                connection.execute(sql.LOCK, {"ids": sorted(change.before.id for change in changes)}).all()
            boxes = self._boxes(connection, {change.before.message_id for change in changes})
            return tuple(self._save_one(connection, change, boxes.get(change.before.message_id)) for change in changes)

        return await self._write(work)

    def _save_one(self, connection: Connection, change: Change, box: MessageBox | None) -> bool:
        before, first = change.before, change.after[0]
        if first.id != before.id or first.version <= before.version:
            raise ValueError("the first of the new deliveries keeps the id and has a later version")
        if box is None:
            return False
        row = self._row(box, first)
        values = {name: row[name] for name in sql.CHANGING}
        if connection.execute(sql.SWAP, {**values, "old_id": before.id, "old_version": before.version}).rowcount != 1:
            return False
        if len(change.after) > 1:
            sender = self._open_held(box, connection, before.message_id).envelope.sender
            connection.execute(sql.INSERT_DELIVERY, [self._row(box, part) for part in change.after[1:]])
            connection.execute(sql.FORGET_ADDRESSES_OF, {"delivery": before.id})
            connection.execute(sql.INSERT_ADDRESS, self._tokens(sender, change.after))
        return True

    def _boxes(self, connection: Connection, message_ids: Collection[str]) -> dict[str, MessageBox]:
        query = connection.execute(sql.KEYS, {"ids": sorted(message_ids)})
        return {name: self._key.unwrap(name, wrapped) for name, wrapped in query}

    async def delivery(self, delivery_id: str) -> Delivery | None:
        found = await self._select(sql.ROW, {"delivery": delivery_id})
        return found[0] if found else None

    async def page(self, wanted: Filter, after: str = "", limit: int = 50) -> Page:
        limit = max(1, min(limit, MAX_PAGE))
        query = self._filtered(sql.ROWS, wanted).order_by(DELIVERY.c.id.desc()).limit(limit + 1)
        if after:
            query = query.where(DELIVERY.c.id < after)
        if wanted.message_id or wanted.address:  # few rows, found by an index of their own
            states = DELIVERY.c.state.in_(sorted(wanted.states or State))
            found = await self._select(query.where(states))
        else:
            found = await self._merged(query.where(sql.IN_STATE), wanted.states or State, {}, limit + 1, newest=True)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")

    def _filtered(self, query: "Select[Any]", wanted: Filter) -> "Select[Any]":
        columns = ((DELIVERY.c.message_id, wanted.message_id), (DELIVERY.c.next_hop, wanted.next_hop))
        for column, value in (*columns, (DELIVERY.c.rule, wanted.rule)):
            if value:
                query = query.where(column == value)
        if wanted.address:
            token = self._key.token(wanted.address)
            query = query.where(DELIVERY.c.id.in_(select(ADDRESS.c.delivery_id).where(ADDRESS.c.token == token)))
        return query

    async def due(
        self, states: Collection[State], now: datetime, limit: int, but_hops: Collection[str] = ()
    ) -> tuple[Delivery, ...]:
        limit = min(limit, MAX_PAGE)
        # Whatever is due ranks at most two steps behind now, so the index by rank is read no further.
        values = {
            "now_ms": _ms(now),
            "rank_ms": _ms(now) + 2 * STEP_BACK_MS,
            "but_hops": sorted(but_hops),
            "at_most": limit,
        }
        return await self._merged(sql.DUE, states, values, limit, newest=False)

    async def _merged(
        self, query: "Select[Any]", states: Iterable[State], values: Mapping[str, object], limit: int, *, newest: bool
    ) -> tuple[Delivery, ...]:
        """One query for each state (statements.IN_STATE), in one moment; the first ``limit`` of all, newest first or by rank."""

        def work(connection: Connection) -> tuple[Delivery, ...]:
            rows = [row for state in states for row in connection.execute(query, {**values, "state": state.value})]
            rows.sort(key=lambda row: row.id if newest else (row.rank_ms, row.id), reverse=newest)
            return tuple(self._opened(row) for row in rows[:limit] if row.wrapped is not None)

        return await self._read(work)

    async def next_due(self, states: Collection[State]) -> datetime | None:
        def work(connection: Connection) -> list[int]:
            found = (connection.scalar(sql.NEXT_DUE, {"state": state.value}) for state in states)
            return [due for due in found if due is not None]

        return min(map(_time, await self._read(work)), default=None)

    async def unfinished(self, limit: int, after: str = "") -> tuple[Delivery, ...]:
        query = sql.ROWS.where((DELIVERY.c.unfinished == 1) & (DELIVERY.c.id > after))
        return await self._select(query.order_by(DELIVERY.c.id).limit(min(limit, MAX_PAGE)))

    async def counts(self) -> dict[State, int]:
        query = select(DELIVERY.c.state, func.count()).group_by(DELIVERY.c.state)
        return await self._read(lambda c: {State(state): number for state, number in c.execute(query)})

    async def held(self, message_id: str) -> Held | None:
        def work(connection: Connection) -> Held | None:
            box = self._box(connection, message_id)
            return self._open_held(box, connection, message_id) if box else None

        return await self._read(work)

    async def box(self, message_id: str) -> MessageBox | None:
        return await self._read(lambda connection: self._box(connection, message_id))

    async def keyed(self, message_ids: Collection[str]) -> frozenset[str]:
        query = select(MESSAGE.c.blob).where(MESSAGE.c.id.in_(sorted(message_ids)) & MESSAGE.c.wrapped.is_not(None))
        return frozenset(await self._read(lambda connection: tuple(connection.scalars(query))))

    async def forget(self, message_ids: Collection[str], now: datetime) -> frozenset[str]:
        def work(connection: Connection) -> frozenset[str]:
            at = {"ids": sorted(message_ids), "now_ms": _ms(now)}
            gone = set(message_ids) - set(connection.scalars(sql.STILL_WANTED, at))
            mine = {"ids": sorted(gone)}
            blobs = frozenset(connection.scalars(sql.BLOBS, mine))
            untold = gone - set(connection.scalars(sql.TOLD_OF, mine))  # its id may come again
            connection.execute(sql.DELETE_ADDRESSES, mine)
            connection.execute(sql.DELETE_DELIVERIES, mine)
            connection.execute(sql.DESTROY_KEYS, mine)
            if untold:
                connection.execute(sql.DELETE_MESSAGES, {"ids": sorted(untold)})
            return blobs

        return await self._write(work)

    async def purge(self, before: datetime, limit: int) -> int:
        def work(connection: Connection) -> int:
            return connection.execute(sql.PURGE, {"before_ms": _ms(before), "at_most": limit}).rowcount

        return await self._write(work)

    async def forgettable(self, now: datetime, limit: int) -> tuple[str, ...]:
        alive = select(DELIVERY.c.id).where((DELIVERY.c.message_id == MESSAGE.c.id) & sql.WANTED)
        query = select(MESSAGE.c.id).where(MESSAGE.c.id.in_(sql.ENDED) & ~alive.exists()).limit(limit)
        return await self._read(lambda connection: tuple(connection.scalars(query, {"now_ms": _ms(now)})))

    async def identity(self) -> str:
        """What tells this database from every other; it goes with a copy of it."""
        query = select(META.c.value).where(META.c.name == "id")
        return str(await self._read(lambda connection: connection.scalar(query)))

    async def applied_to(self) -> int:
        query = select(META.c.value).where(META.c.name == "applied_to")
        return int(await self._read(lambda connection: connection.scalar(query)) or 0)

    async def set_applied_to(self, index: int) -> None:
        def work(connection: Connection) -> None:
            mine = META.c.name == "applied_to"
            value = connection.scalar(select(META.c.value).where(mine).with_for_update())
            if value is None:
                connection.execute(insert(META), {"name": "applied_to", "value": str(index)})
            elif int(value) < index:
                connection.execute(update(META).where(mine).values(value=str(index)))

        await self._write(work)

    async def proofs(self, name: str) -> Proofs:
        row = await self._read(lambda c: c.execute(select(OPERATOR).where(OPERATOR.c.name == name)).first())
        return _proofs(row)

    async def swap_proofs(self, name: str, before: Proofs, after: Proofs) -> bool:
        values = {
            "last_step": after.last_step,
            "failures": after.failures,
            "locked_ms": _ms(after.locked_until) if after.locked_until else None,
        }

        def work(connection: Connection) -> bool:
            row = connection.execute(select(OPERATOR).where(OPERATOR.c.name == name).with_for_update()).first()
            if _proofs(row) != before:
                return False
            if row is None:
                _insert_new(connection, insert(OPERATOR), {"name": name, **values})
            else:
                connection.execute(update(OPERATOR).where(OPERATOR.c.name == name).values(values))
            return True

        try:
            return await self._write(work)
        except _Taken:
            return False

    def _box(self, connection: Connection, message_id: str) -> MessageBox | None:
        wrapped = connection.scalar(sql.WRAPPED, {"message": message_id})
        return None if wrapped is None else self._key.unwrap(message_id, wrapped)

    def _open_held(self, box: MessageBox, connection: Connection, message_id: str) -> Held:
        sealed = connection.scalar(sql.SEALED, {"message": message_id})
        if sealed is None:
            raise StoreDamaged("a message has a key but no envelope")
        return _held_in.decode(box.open("message", sealed))

    def _row(self, box: MessageBox, delivery: Delivery) -> dict[str, object]:
        reasons = holding(delivery.decision) or delivery.decision.reasons
        late = STEP_BACK_MS * ((delivery.size > SMALL) + (delivery.size > MIDDLE))
        return {
            "id": delivery.id,
            "message_id": delivery.message_id,
            "state": delivery.state.value,
            "version": delivery.version,
            "due_ms": _ms(delivery.due),
            "rank_ms": _ms(delivery.due) + late,
            "next_hop": delivery.next_hop,
            "rule": reasons[0].rule[:100] if reasons else "",
            "unfinished": int(delivery.state in _ACTIVE or delivery.intent is not None),
            "sealed": box.seal(_place(delivery.id, delivery.version), _delivery_out.encode(delivery)),
        }

    def _tokens(self, sender: str, deliveries: Sequence[Delivery]) -> list[dict[str, object]]:
        return [
            {"token": token, "delivery_id": delivery.id}
            for delivery in deliveries
            for token in sorted({self._key.token(address) for address in (sender, *delivery.addresses)})
        ]

    async def _select(self, query: "Select[Any]", values: Mapping[str, object] | None = None) -> tuple[Delivery, ...]:
        def work(connection: Connection) -> tuple[Delivery, ...]:
            return tuple(self._opened(row) for row in connection.execute(query, values) if row.wrapped is not None)

        return await self._read(work)

    def _opened(self, row: Row[Any]) -> Delivery:
        box = self._key.unwrap(row.message_id, row.wrapped)
        delivery = _delivery_in.decode(box.open(_place(row.id, row.version), row.sealed))
        if delivery.state.value != row.state:
            raise StoreDamaged("a delivery's state in clear is not the sealed one")
        return delivery

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(work, reading=True)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(work, reading=False)

    async def _run(self, work: Callable[[Connection], T], *, reading: bool) -> T:
        def transaction() -> T:
            with (self._reading if reading else self._engine).begin() as connection:
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except IntegrityError as error:
            raise StoreUnavailable("a row with that id is already there") from error
        except SQLAlchemyError as error:
            raise StoreUnavailable(f"{type(error).__name__}: {getattr(error, 'orig', None) or 'no detail'}") from error


def _insert_new(connection: Connection, statement: Insert, values: Mapping[str, object]) -> None:
    """Insert a row that somebody else may be inserting at the same moment. Raises _Taken."""
    try:
        connection.execute(statement, values)
    except IntegrityError as error:
        raise _Taken from error


def _place(delivery_id: str, version: int) -> str:
    return f"delivery\0{delivery_id}\0{version}"


def _proofs(row: Row[Any] | None) -> Proofs:
    if row is None:
        return Proofs()
    return Proofs(row.last_step, row.failures, None if row.locked_ms is None else _time(row.locked_ms))


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
