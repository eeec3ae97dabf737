"""DMARC aggregate data, collected from the first day: rows are counted in memory and written in batches, off the hot path.

A lost batch (a crash, a full disk) makes a report count a little less; nothing about a message depends on it. Sources are addresses of
machines that may be a person's: they are stored encrypted, always alike for one address, so that rows can be added up unread.
"""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Boolean, Column, Connection, Engine, Integer, MetaData, String, Table, delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from scanners.authentication.aggregate import AggregateRow

MAX_PENDING = 10_000
"""Distinct rows held in memory; when full, new ones are dropped and counted, so that a flood can't eat the worker."""
MAX_ROWS = 1_000_000
"""Rows in the table, about 300 MB; a flood of sources must not fill the disk. Above, the oldest day goes."""
KEEP_DAYS = 400
"""A year of reports; the addresses in them are personal data and go afterwards."""

PURPOSE = b"dmarc source"
"""What a ciphertext is for (associated data)."""

METADATA = MetaData()
ROW = Table(
    "dmarc_aggregate",
    METADATA,
    Column("day", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("record", String, primary_key=True),
    Column("header_from", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("disposition", String, primary_key=True),
    Column("override", String, primary_key=True),
    Column("spf_aligned", Boolean, primary_key=True),
    Column("dkim_aligned", Boolean, primary_key=True),
    Column("spf", String, primary_key=True),
    Column("dkim", String, primary_key=True),
    Column("count", Integer, nullable=False),
)
KEY = tuple(column.name for column in ROW.primary_key.columns)


def oldest_day(now: datetime) -> str:
    """The first day that is still kept (KEEP_DAYS)."""
    return (now - timedelta(days=KEEP_DAYS)).strftime("%Y-%m-%d")


class AggregateUnavailable(Exception):
    """The table can't be read or written; the text says why. Counting goes on in memory."""


class Aggregates:
    """Counts rows; ``add`` costs a dictionary entry. Call ``flush`` from time to time and at the end.

    One per process, any number of processes. ``key`` has 32 bytes; without it no source can be read again.
    """

    def __init__(self, engine: Engine, key: bytes, max_pending: int = MAX_PENDING, max_rows: int = MAX_ROWS) -> None:
        self._cipher = AESSIV(key)
        self._engine, self._max_pending, self._max_rows = engine, max_pending, max_rows
        self._pending: Counter[AggregateRow] = Counter()
        self._thread = ThreadPoolExecutor(1, "dmarc")
        self.dropped = 0
        """Rows that found no room, for a metric."""

    def add(self, row: AggregateRow) -> None:
        """Count one message."""
        if row in self._pending or len(self._pending) < self._max_pending:
            self._pending[row] += 1
        else:
            self.dropped += 1

    async def flush(self) -> int:
        """Write what was counted; returns the number of rows. Raises AggregateUnavailable, and then keeps what was counted.

        A crash before the commit loses this batch, after it nothing: both leave whole rows.
        """
        batch, self._pending = self._pending, Counter()
        if not batch:
            return 0
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        except SQLAlchemyError as error:
            for row, count in batch.items():
                if row in self._pending or len(self._pending) < self._max_pending:
                    self._pending[row] += count
                else:
                    self.dropped += count
            raise AggregateUnavailable(f"DMARC data can't be written 无法写入 DMARC 汇总: {error}") from None
        return len(batch)

    async def rows(self, day: str, domain: str = "") -> list[tuple[AggregateRow, int]]:
        """Rows of a day (``YYYY-MM-DD``), of one policy domain if given, with their counts. Raises AggregateUnavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, day, domain)
        except SQLAlchemyError as error:
            raise AggregateUnavailable(f"DMARC data can't be read 无法读取 DMARC 汇总: {error}") from None

    async def prune(self, before_day: str) -> int:
        """Remove the days before that one (see KEEP_DAYS); returns how many rows went. Raises AggregateUnavailable."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._prune, before_day)
        except SQLAlchemyError as error:
            raise AggregateUnavailable(f"DMARC data can't be pruned 无法清理 DMARC 汇总: {error}") from None

    async def close(self) -> None:
        """Write what is left and give the connection back. Raises AggregateUnavailable after closing all the same."""
        try:
            await self.flush()
        finally:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
            self._thread.shutdown()

    def _write(self, batch: Counter[AggregateRow]) -> None:
        values = [
            dict(zip((*KEY, "count"), (*astuple(self._sealed(row)), count), strict=True))
            for row, count in batch.items()
        ]
        statement = insert(ROW)
        added = statement.on_conflict_do_update(
            index_elements=list(KEY), set_={"count": ROW.c.count + statement.excluded.count}
        )
        with self._engine.begin() as connection:
            connection.execute(CreateTable(ROW, if_not_exists=True))
            connection.execute(added, values)
            self._bound(connection)

    def _bound(self, connection: Connection) -> None:
        """Let the oldest day go while there are too many rows. The row numbers' maximum is the count, cheaply and near enough."""
        newest = connection.exec_driver_sql("SELECT max(rowid) - min(rowid) FROM dmarc_aggregate").scalar() or 0
        if newest > self._max_rows:
            oldest = select(ROW.c.day).order_by(ROW.c.day).limit(1).scalar_subquery()
            connection.execute(delete(ROW).where(ROW.c.day == oldest))

    def _read(self, day: str, domain: str) -> list[tuple[AggregateRow, int]]:
        wanted = select(ROW).where(ROW.c.day == day)
        if domain:
            wanted = wanted.where(ROW.c.domain == domain)
        with self._engine.begin() as connection:
            connection.execute(CreateTable(ROW, if_not_exists=True))
            return [(self._opened(AggregateRow(*found[:-1])), found[-1]) for found in connection.execute(wanted)]

    def _sealed(self, row: AggregateRow) -> AggregateRow:
        return replace(row, source=self._cipher.encrypt(row.source.encode(), [PURPOSE]).hex())

    def _opened(self, row: AggregateRow) -> AggregateRow:
        try:
            return replace(row, source=self._cipher.decrypt(bytes.fromhex(row.source), [PURPOSE]).decode())
        except (InvalidTag, ValueError):
            raise AggregateUnavailable("DMARC data was written under another key DMARC 汇总的密钥不符") from None

    def _prune(self, before_day: str) -> int:
        with self._engine.begin() as connection:
            connection.execute(CreateTable(ROW, if_not_exists=True))
            return connection.execute(delete(ROW).where(ROW.c.day < before_day)).rowcount
