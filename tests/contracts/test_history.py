"""What every History promises, for each that there is."""

import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gateway.context.history import ASKED, KEEP_DAYS, KEY_BYTES, SLOW_S, History, HistoryUnavailable, SqlHistory
from gateway.store.database import sqlite_engine
from tests.fakes.history import FakeHistory

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = b"k" * KEY_BYTES
ROWS = 5


@pytest.fixture(params=["sqlite", "sqlite in a worker", "fake"])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    if request.param == "fake":
        yield FakeHistory(ROWS)
        return
    clock = time.monotonic if request.param != "sqlite" else None
    made = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY, ROWS, clock)
    yield made
    await made.close()


async def test_nobody_is_known_at_first(history: History) -> None:
    assert await history.known(["x@far.test"]) == frozenset()
    assert await history.known([]) == frozenset()


async def test_known_after_we_wrote(history: History) -> None:
    await history.wrote(["x@far.test", "y@far.test"], NOW)
    assert await history.known(["x@far.test", "z@far.test"]) == {"x@far.test"}


async def test_spelling_does_not_matter(history: History) -> None:
    await history.wrote(["X@Far.test"], NOW)
    assert await history.known(["x@FAR.TEST"]) == {"x@FAR.TEST"}


async def test_the_same_again_and_twice_in_one_mail(history: History) -> None:
    for _ in range(3):
        await history.wrote(["x@far.test", "X@far.test"], NOW)
    assert await history.forget(["x@far.test"]) == 1


async def test_forgotten(history: History) -> None:
    await history.wrote(["x@far.test", "y@far.test"], NOW)
    assert await history.forget(["x@far.test", "z@far.test"]) == 1
    assert await history.known(["x@far.test", "y@far.test"]) == {"y@far.test"}
    await history.wrote(["x@far.test"], NOW)
    assert await history.known(["x@far.test"]) == {"x@far.test"}


async def test_old_entries_go_and_renewed_ones_stay(history: History) -> None:
    await history.wrote(["old@far.test", "renewed@far.test"], NOW)
    await history.wrote(["renewed@far.test"], NOW + timedelta(days=10))
    assert await history.prune(NOW + timedelta(days=KEEP_DAYS)) == 0
    assert await history.prune(NOW + timedelta(days=KEEP_DAYS + 1)) == 1
    assert await history.known(["old@far.test", "renewed@far.test"]) == {"renewed@far.test"}


async def test_the_longest_unused_go_first(history: History) -> None:
    for day in range(ROWS + 2):
        await history.wrote([f"{day}@far.test"], NOW + timedelta(days=day))
    assert await history.prune(NOW + timedelta(days=ROWS)) == 2
    everybody = [f"{day}@far.test" for day in range(ROWS + 2)]
    assert await history.known(everybody) == set(everybody[2:])


class TestSql:
    """What only the real one has: files, keys, processes."""

    async def test_survives_and_is_shared(self, tmp_path: Path) -> None:
        path = tmp_path / "history.db"
        first = await SqlHistory.open(sqlite_engine(path), KEY)
        second = await SqlHistory.open(sqlite_engine(path), KEY)
        await first.wrote(["x@far.test"], NOW)
        await second.wrote(["x@far.test"], NOW)
        assert await second.known(["x@far.test"]) == {"x@far.test"}
        await first.close()
        await second.close()

    async def test_no_address_on_disk_and_nothing_without_the_key(self, tmp_path: Path) -> None:
        made = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY)
        await made.wrote(["planted.address@far.test"], NOW)
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"planted" not in stored
        assert b"far.test" not in stored
        await made.close()
        other = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), b"o" * KEY_BYTES)
        assert await other.known(["planted.address@far.test"]) == frozenset()
        await other.close()

    async def test_bound_is_looked_at_by_itself(self, tmp_path: Path) -> None:
        made = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY, rows=10)
        for start in range(0, 1100, 100):
            await made.wrote([f"{number}@far.test" for number in range(start, start + 100)], NOW)
        known = [
            await made.known([f"{number}@far.test" for number in range(start, start + 100)])
            for start in range(0, 1100, 100)
        ]
        assert sum(map(len, known)) == 10 + 100
        await made.close()

    async def test_broken_database_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "history.db").write_bytes(b"this is no database, " * 500)
        with pytest.raises(HistoryUnavailable, match="history unavailable"):
            await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY)

    async def test_after_a_slow_look_the_thread_is_asked(self, tmp_path: Path) -> None:
        times = iter(
            [0.0, SLOW_S * 2, SLOW_S * 2, SLOW_S * 3]
        )  # the first look takes long; the second asks only for the time
        made = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY, clock=lambda: next(times))
        await made.wrote(["x@far.test"], NOW)
        for _ in range(2):
            assert await made.known(["x@far.test"]) == {"x@far.test"}
        assert list(times) == []
        await made.close()

    async def test_a_writer_at_work_holds_up_no_question(self, tmp_path: Path) -> None:
        path = tmp_path / "history.db"
        made = await SqlHistory.open(sqlite_engine(path), KEY, clock=time.monotonic)
        await made.wrote(["x@far.test"], NOW)
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await made.known(["x@far.test"]) == {"x@far.test"}, "a reader waits for no writer"
        other.execute("ROLLBACK")
        other.close()
        await made.close()

    async def test_bounds_of_a_question(self, tmp_path: Path) -> None:
        made = await SqlHistory.open(sqlite_engine(tmp_path / "history.db"), KEY)
        with pytest.raises(ValueError):
            await made.known(["x@far.test"] * (ASKED + 1))
        await made.close()

    def test_key_length(self) -> None:
        with pytest.raises(ValueError):
            SqlHistory(create_engine("sqlite://"), b"short")
