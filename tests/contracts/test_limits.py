"""What every table of client limits promises, for each that there is; and what only the shared one does."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.smtp import limits, shared_limits
from gateway.smtp.limits import ClientLimits, Clients
from gateway.smtp.shared_limits import SharedClientLimits, create
from tests.fakes.receiving import Clock

Make = Callable[[int, int, int], Clients]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["own", "shared"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Make]:
    if request.param == "own":
        yield lambda connections, messages, refusals: ClientLimits(connections, messages, clock, refusals)
        return
    create(tmp_path / "limits", b"s" * 16)
    made: list[SharedClientLimits] = []

    def one(connections: int, messages: int, refusals: int) -> Clients:
        made.append(SharedClientLimits(tmp_path / "limits", connections, messages, clock, refusals))
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_connections(make: Make) -> None:
    clients = make(2, 0, 0)
    assert [clients.connect(key) for key in "aaab"] == [True, True, False, True]
    clients.disconnect("a")
    assert clients.connect("a")
    clients.disconnect("never seen")
    assert not clients.connect("a")


def test_zero_is_no_limit(make: Make) -> None:
    clients = make(0, 0, 0)
    for _ in range(300):
        assert clients.connect("a")
        assert clients.message("a")
        clients.refused("a")


def test_messages_a_minute_refill(make: Make, clock: Clock) -> None:
    clients = make(0, 6, 0)
    assert sum(clients.message("a") for _ in range(10)) == 6
    clock.seconds += 21
    assert sum(clients.message("a") for _ in range(10)) == 2
    clock.seconds += 3600
    assert sum(clients.message("a") for _ in range(10)) == 6
    assert clients.message("b")


def test_failed_logins_are_forgotten_slowly(make: Make, clock: Clock) -> None:
    clients = make(0, 0, 0)
    assert clients.may_authenticate("a")
    for _ in range(limits.MAX_AUTH_FAILURES):
        clients.authentication_failed("a")
    assert not clients.may_authenticate("a")
    assert clients.may_authenticate("b")
    clock.seconds += limits.AUTH_WINDOW_S / 10
    assert clients.may_authenticate("a")


def test_one_refused_too_often_has_to_wait(make: Make, clock: Clock) -> None:
    clients = make(0, 0, 5)
    for _ in range(5):
        assert clients.connect("a")
        clients.refused("a")
    assert not clients.connect("a")
    assert clients.connect("b")
    clock.seconds += limits.REFUSAL_WINDOW_S / 4
    assert clients.connect("a")


class TestShared:
    """Over workers."""

    def table(
        self, tmp_path: Path, clock: Callable[[], float], connections: int = 2, messages: int = 0
    ) -> SharedClientLimits:
        return SharedClientLimits(tmp_path / "limits", connections, messages, clock)

    def test_no_address_stands_in_the_file(self, tmp_path: Path) -> None:
        create(tmp_path / "limits", b"s" * 16)
        table = self.table(tmp_path, Clock())
        assert table.connect("198.18.0.7")
        assert b"198.18" not in (tmp_path / "limits").read_bytes()
        assert (tmp_path / "limits").stat().st_size == shared_limits.SIZE
        table.close()

    def test_processes_count_together_and_the_dead_do_not_count(self, tmp_path: Path) -> None:
        create(tmp_path / "limits", b"s" * 16)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        other = context.Process(target=_worker, args=(tmp_path / "limits", there), daemon=True)
        other.start()
        assert here.recv() == [True, True, 3]
        mine = SharedClientLimits(tmp_path / "limits", 2, 4, _still)
        assert mine.column == 1
        assert not mine.connect("a")
        assert mine.message("a")
        assert not mine.message("a"), "three of four were the other's"
        assert mine.connect("b")
        os.kill(other.pid or 0, 9)
        other.join()
        assert mine.connect("a")
        mine.close()

    def test_many_at_once_lose_nothing(self, tmp_path: Path) -> None:
        create(tmp_path / "limits", b"s" * 16)
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            allowed = pool.map(_many, [tmp_path / "limits"] * 2)
        assert sum(allowed) == 1000

    def test_crowded_buckets_keep_the_connected(self, tmp_path: Path) -> None:
        create(tmp_path / "limits", b"s" * 16)
        clock = Clock()
        table = self.table(tmp_path, clock, connections=1, messages=1)
        assert table.connect("stays")
        bucket = table.hash("stays") % shared_limits.BUCKETS
        crowd = (f"c{number}" for number in range(10**7))
        same = [
            key
            for key, _ in zip(
                (k for k in crowd if table.hash(k) % shared_limits.BUCKETS == bucket), range(20), strict=False
            )
        ]
        for key in same:
            clock.seconds += 1
            assert table.message(key)
        assert not table.connect("stays")
        assert not table.message(same[-1]), "the latest is still known"
        table.close()

    def test_columns_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        create(tmp_path / "limits", b"s" * 16)
        monkeypatch.setattr(SharedClientLimits, "_lock_column", lambda self, column: False)
        with pytest.raises(shared_limits.TableFull, match="workers"):
            self.table(tmp_path, Clock())


def _still() -> float:
    """A clock that does not move: nothing is given back while processes start."""
    return 1.0


def _worker(path: Path, pipe: object) -> None:
    table = SharedClientLimits(path, 2, 4, _still)
    pipe.send([table.connect("a"), table.connect("a"), sum(table.message("a") for _ in range(3))])  # type: ignore[attr-defined]
    pipe.recv()  # type: ignore[attr-defined]


def _many(path: Path) -> int:
    table = SharedClientLimits(path, 0, 1000, _still)
    return sum(table.message("a") for _ in range(2000))
