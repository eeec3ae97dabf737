"""Whom the company has written to: what makes a first contact. Holds tokens under a key, never an address, and is bounded.

A lost entry is harmless: the next mail of that party counts as a first contact once more.
"""

import asyncio
import contextlib
import hashlib
import hmac
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from policies.facts import fold_address

T = TypeVar("T")

KEEP_DAYS = 730
"""A party nobody wrote to for two years is new again."""
ROWS = 1_000_000
"""Correspondents remembered, about 50 MB; the longest unused go first."""
PRUNE_EVERY = 1000
"""Entries added by one process between two looks at the bounds."""
TODAY = 50_000
"""Tokens remembered as noted today, so that most mail writes nothing."""
ASKED = 500
"""Addresses in one question."""
KEY_BYTES = 32
"""Of the secret under which tokens are made."""
TOKEN_BYTES = 16
"""Of a token: among a million, two alike by chance once in 10^26."""

SLOW_S = 0.01
"""A look on the loop that took longer met a cold disk (or a machine with no CPU to spare, where it does no harm)."""
AFTER_SLOW_S = 1.0
"""So long the next looks are made in the thread: at worst a hundredth of the time is waited on the loop."""

METADATA = MetaData()
CORRESPONDENT = Table(
    "correspondent",
    METADATA,
    Column("token", LargeBinary(TOKEN_BYTES), primary_key=True),
    Column("day", Integer, nullable=False),  # last written to, days since 1970
)
BY_DAY = Index("correspondent_by_day", CORRESPONDENT.c.day)


class HistoryUnavailable(Exception):
    """The history can't be read or written now: first contact is then unknown. The text says what to do."""


class History(Protocol):
    """Known correspondents. Every verb raises HistoryUnavailable; addresses are compared folded, as policies do."""

    async def known(self, addresses: Sequence[str]) -> frozenset[str]:
        """Those of the addresses that the company has written to, as they were given."""
        ...

    async def wrote(self, addresses: Sequence[str], at: datetime) -> None:
        """Mail of ours has left for these."""
        ...

    async def forget(self, addresses: Sequence[str]) -> int:
        """Erase them (a person's request); returns how many were there."""
        ...

    async def prune(self, at: datetime) -> int:
        """Apply the bounds; returns how many entries went."""
        ...


class SqlHistory:
    """History on an Engine of its own; make it by ``await SqlHistory.open(...)``. One per process, any number of processes.

    With a ``clock`` (monotonic seconds) questions are answered on the loop while the disk is quick: a reader of a write-ahead log
    waits for no writer, and the look costs 15 us where a change of threads costs 130.
    """

    def __init__(self, engine: Engine, key: bytes, rows: int = ROWS, clock: Callable[[], float] | None = None) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of the history has {KEY_BYTES} bytes")
        self._engine, self._key, self._rows, self._clock = engine, key, rows, clock
        self._reader: sqlite3.Connection | None = None
        self._slow_until = 0.0
        self._thread = ThreadPoolExecutor(1, "history")
        self._today: tuple[int, set[bytes]] = (0, set())
        self._added = 0

    @classmethod
    async def open(
        cls, engine: Engine, key: bytes, rows: int = ROWS, clock: Callable[[], float] | None = None
    ) -> "SqlHistory":
        """Connects and makes the table. Raises HistoryUnavailable."""
        history = cls(engine, key, rows, clock)

        def make(connection: Connection) -> None:
            connection.execute(CreateTable(CORRESPONDENT, if_not_exists=True))
            connection.execute(CreateIndex(BY_DAY, if_not_exists=True))

        try:
            await history._run(make)
            history._reader = history._open_reader()
        except HistoryUnavailable:
            await history.close()
            raise
        return history

    def _open_reader(self) -> sqlite3.Connection | None:
        """A second connection, which never waits for a lock; None without a clock or without a file."""
        path = self._engine.url.database
        if self._clock is None or not path or path == ":memory:":
            return None
        try:
            reader = sqlite3.connect(path, timeout=0, isolation_level=None)
            reader.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        return reader

    async def close(self) -> None:
        """Give the connections back."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
        self._thread.shutdown()

    async def known(self, addresses: Sequence[str]) -> frozenset[str]:
        """See History. Raises ValueError for more than ASKED addresses."""
        if len(addresses) > ASKED:
            raise ValueError(f"at most {ASKED} addresses at once")
        tokens = {address: self._token(address) for address in addresses}
        if not tokens:
            return frozenset()
        asked = set(tokens.values())
        found = self._glance(asked)
        if found is None:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look, asked)
        return frozenset(address for address, token in tokens.items() if token in found)

    async def wrote(self, addresses: Sequence[str], at: datetime) -> None:
        """See History. What was noted today already costs nothing. A crash before the commit loses these entries, no more."""
        day = _day(at)
        if self._today[0] != day or len(self._today[1]) > TODAY:
            self._today = (day, set())
        new = {self._token(address) for address in addresses} - self._today[1]
        if not new:
            return
        await self._run(lambda connection: _note(connection, sorted(new), day))
        self._today[1].update(new)
        self._added += len(new)
        if self._added >= PRUNE_EVERY:
            self._added = 0
            await self.prune(at)

    async def forget(self, addresses: Sequence[str]) -> int:
        """See History. Other processes stop taking them for noted tomorrow, so a mail today may not be noted again."""
        tokens = {self._token(address) for address in addresses}
        self._today[1].difference_update(tokens)
        gone = delete(CORRESPONDENT).where(CORRESPONDENT.c.token.in_(tokens))
        return await self._run(lambda connection: int(connection.execute(gone).rowcount))

    async def prune(self, at: datetime) -> int:
        """See History."""
        oldest = _day(at) - KEEP_DAYS
        return await self._run(lambda connection: _prune(connection, oldest, self._rows))

    def _token(self, address: str) -> bytes:
        folded = fold_address(address).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, b"correspondent\0" + folded, hashlib.sha256)[:TOKEN_BYTES]

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """In the history's own thread and one transaction, so that a busy database never stops the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                return work(connection)
        except SQLAlchemyError as error:
            raise _unavailable(error) from error

    def _glance(self, tokens: Collection[bytes]) -> set[bytes] | None:
        """Those that are there, at once; None where only the thread may say: the file is busy, or the disk was slow of late."""
        if self._reader is None or self._clock is None:
            return None
        began = self._clock()
        if began < self._slow_until:
            return None
        try:
            found = _select(self._reader.execute, tokens)
        except sqlite3.Error:  # locked for a moment, or broken: the thread waits, or says what is wrong
            found = None
        if self._clock() - began > SLOW_S:
            self._slow_until = self._clock() + AFTER_SLOW_S
        return found

    def _look(self, tokens: Collection[bytes]) -> set[bytes]:
        """Those that are there. Asked for nearly every mail, so by the driver itself: 13 us instead of 160, and no transaction."""
        try:
            with self._engine.connect() as connection, contextlib.closing(connection.connection.cursor()) as cursor:
                return _select(cursor.execute, tokens)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _unavailable(error) from error


def _select(execute: Callable[..., Any], tokens: Collection[bytes]) -> set[bytes]:
    marks = ",".join("?" * len(tokens))
    found = execute(f"SELECT token FROM correspondent WHERE token IN ({marks})", tuple(tokens))  # noqa: S608  only marks
    return {bytes(token) for (token,) in found.fetchall()}


def _unavailable(error: Exception) -> HistoryUnavailable:
    what = type(error).__name__
    return HistoryUnavailable(
        f"往来记录不可用（{what}）：请检查磁盘空间和文件权限 / history unavailable ({what}): check disk space and file permissions"
    )


def _note(connection: Connection, tokens: Sequence[bytes], day: int) -> None:
    for token in tokens:
        same = CORRESPONDENT.c.token == token
        if connection.execute(update(CORRESPONDENT).where(same).values(day=day)).rowcount == 0:
            connection.execute(insert(CORRESPONDENT).values(token=token, day=day))


def _prune(connection: Connection, oldest: int, rows: int) -> int:
    gone = int(connection.execute(delete(CORRESPONDENT).where(CORRESPONDENT.c.day < oldest)).rowcount)
    excess = (connection.scalar(select(func.count()).select_from(CORRESPONDENT)) or 0) - rows
    if excess > 0:
        first = select(CORRESPONDENT.c.token).order_by(CORRESPONDENT.c.day, CORRESPONDENT.c.token).limit(excess)
        gone += int(connection.execute(delete(CORRESPONDENT).where(CORRESPONDENT.c.token.in_(first))).rowcount)
    return gone


def _day(at: datetime) -> int:
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
