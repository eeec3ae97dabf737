"""A custody on real SQLite and a real folder, with a log in memory, as tests of its users want it."""

from collections.abc import Collection
from pathlib import Path

from audit.sealing import MessageKey
from gateway.custody.custody import Custody
from gateway.store.blobs import FolderBlobs
from gateway.store.database import SqlStore, sqlite_engine
from gateway.store.sealing import StoreKey
from tests.fakes.recorder import FakeRecorder
from tests.gateway.samples import Clock, counting_ids

KEY = StoreKey(b"k" * 32)


class FakeLog:
    """What the fake recorder holds, as gateway.custody.sweeper.Told."""

    def __init__(self, recorder: FakeRecorder) -> None:
        self.recorder = recorder
        self.asked: list[int] = []

    async def told(self, event_ids: Collection[str], since: int) -> tuple[frozenset[str], int]:
        self.asked.append(since)
        events = self.recorder.events
        return frozenset(e.id for e in events[since:] if e.id in event_ids), len(events)


class Custodian:
    """``custody`` and what it stands on; ``again()`` is another process on the same state."""

    def __init__(self, folder: Path, store: SqlStore, recorder: FakeRecorder, clock: Clock, ids, owner: str) -> None:
        self.folder, self.store, self.recorder, self.clock, self.ids = folder, store, recorder, clock, ids
        self.blobs = FolderBlobs(folder / "custody")
        self.log = FakeLog(recorder)
        self.custody = Custody(store, self.blobs, recorder, clock=clock, ids=ids, owner=owner)
        self.others: list[SqlStore] = []

    @classmethod
    async def start(cls, folder: Path) -> "Custodian":
        store = await SqlStore.open(sqlite_engine(folder / "state.db"), KEY)
        return cls(folder, store, FakeRecorder(), Clock(), counting_ids(), "first")

    async def again(self, owner: str = "second") -> "Custodian":
        store = await SqlStore.open(sqlite_engine(self.folder / "state.db"), KEY)
        self.others.append(store)
        return Custodian(self.folder, store, self.recorder, self.clock, self.ids, owner)

    async def key(self) -> MessageKey:
        return await self.recorder.message_key(["zhang@corp.test"])

    async def close(self) -> None:
        for store in (self.store, *self.others):
            await store.close()
