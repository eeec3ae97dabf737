"""Where commits are made: on the loop while the disk is quick, in the thread while it is slow."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from audit.journal import JournalFull
from audit.keystore import KeyStore
from audit.log import Entry, Log, Recovered
from gateway.recording.keeping import QUICK_S, Keeper, Surroundings
from tests.fakes.keeper import NOW, PATIENCE_S


@dataclass
class Disk:
    """A log that only counts; each commit takes the next of ``takes`` seconds on its own clock, and tells which thread made it."""

    directory: Path
    takes: Iterator[float]
    origin: str = "gw.test/audit"
    size: int = 0
    published: int = 0
    seconds: float = 0.0
    full: bool = False
    recovered: Recovered = field(default_factory=lambda: Recovered(0, 0))
    where: list[str] = field(default_factory=list)

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """A commit."""
        self.where.append(threading.current_thread().name)
        if self.full:
            raise JournalFull("full")
        self.seconds += next(self.takes)
        first, self.size = self.size, self.size + len(entries)
        return list(range(first, self.size))

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        """None."""
        return iter(())

    def room(self) -> bool:
        """Always."""
        return not self.full

    def publish(self) -> None:
        """Nothing to do."""

    def prepare(self) -> None:
        """Nothing to do."""


def keeper_on(disk: Disk) -> Keeper:
    around = Surroundings(lambda: NOW, lambda: disk.seconds, os.urandom, lambda: None)
    return Keeper(cast("Log", disk), cast("KeyStore", None), "gw.test", around, logging.getLogger("test"))


async def test_a_quick_disk_is_written_from_the_loop_and_a_slow_one_from_the_thread(tmp_path: Path) -> None:
    disk = Disk(tmp_path, iter([QUICK_S / 2, QUICK_S * 2, QUICK_S / 2, 0.0, 0.0]))
    keeper = keeper_on(disk)
    loop = threading.current_thread().name
    keeper.start()  # nothing is known of the disk yet: the first commit is made in the thread
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await keeper.record_own([keeper.event("audit.recovered", "ok", {})])
        await keeper.stop()
    assert disk.where == ["commit", loop, "commit", loop]
    assert disk.size == 5


async def test_no_room_is_told_from_the_loop_as_well(tmp_path: Path) -> None:
    disk = Disk(tmp_path, iter([0.0, 0.0, 0.0]))
    keeper = keeper_on(disk)
    keeper.start()
    async with asyncio.timeout(PATIENCE_S):
        await keeper.record_own([keeper.event("audit.recovered", "ok", {})])
        disk.full = True
        told: list[object] = []
        keeper.submit_own([keeper.event("audit.recovered", "ok", {})], told.append)
        while not told:
            await asyncio.sleep(0)
        assert told == [None]
        assert not keeper.room
        disk.full = False
        await keeper.stop()
