"""Limits per client network in one table for all workers of a node: a mapped file of fixed size under ``run/``.

A client's slot is found by a keyed hash (no address stands in the file). Buckets of slots are locked one at a time by fcntl, for a few
microseconds and never waited for: who finds one locked for long (its holder was stopped in the middle) goes on without the lock, and the
count is off by one. Each worker has a column of its own for connections, held by a lock that ends with the process, so that the
connections of a dead worker don't count.
"""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

from gateway.smtp.limits import AUTH_WINDOW_S, MAX_AUTH_FAILURES, REFUSAL_WINDOW_S, WINDOW_S

COLUMNS = 128
"""Workers that may be there at once: twice the most that a configuration may ask for, since a reload has old and new ones."""
WAYS = 8
"""Slots of a bucket; when all are taken, the one longest unseen without a connection is given away."""
BUCKETS = 2048
"""With WAYS: 16384 client networks at once, some 5 MB."""
TRIES = 200
"""Looks at a locked bucket, about 0.2 ms in all; it is held for a few microseconds."""
SALT_BYTES = 16
_HEAD = 64
_FIELDS = struct.Struct("=Qddddddd")
"""hash of the client, last seen, tokens, refilled at, failed logins, failed at, refusals, refused at."""
_SLOT = _FIELDS.size + 2 * COLUMNS
_BUCKET = WAYS * _SLOT
SIZE = _HEAD + BUCKETS * _BUCKET
_COLUMN_LOCKS = SIZE
"""Bytes beyond the end are locked for the columns: fcntl allows that."""
_COUNTS = struct.Struct(f"={COLUMNS}H")
_NOBODY = bytes(2 * COLUMNS)
MAX_COUNT = 0xFFFF


class TableFull(Exception):
    """More workers than columns; the text says what to do."""


def create(path: Path, salt: bytes) -> None:
    """A new empty table, whole before it has its name. Raises OSError."""
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.truncate(SIZE)
        file.write(salt[:SALT_BYTES])
    os.replace(draft, path)


class SharedClientLimits:
    """gateway.smtp.limits.Clients over the table at ``path``, which ``create`` has made. ``clock`` is the node's monotonic seconds.

    Raises OSError, TableFull. A table that is damaged only counts wrongly.
    """

    def __init__(
        self,
        path: Path,
        connections_per_client: int,
        messages_per_minute: int,
        clock: Callable[[], float],
        refusals_per_client: int = 0,
    ) -> None:
        self._connections, self._per_minute, self._per_window = (
            connections_per_client,
            messages_per_minute,
            refusals_per_client,
        )
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._map = mmap.mmap(self._file, SIZE)
        self._salt = self._map[:SALT_BYTES]
        self._mine: dict[str, int] = {}
        self.column = self._take_column()

    def close(self) -> None:
        """Give the column back."""
        self._clear(self.column)
        self._map.close()
        os.close(self._file)

    # -- gateway.smtp.limits.Clients

    def connect(self, key: str) -> bool:
        """One more connection of this client; False when it has too many (then it isn't counted)."""
        with _Bucket(self, key) as slot:
            counts = slot.counts()
            if (
                self._connections
                and sum(counts) >= self._connections
                and self._alive(slot, counts) >= self._connections
            ):
                return False
            if self._per_window and slot.refusals(self._clock(), self._per_window) >= self._per_window:
                return False
            slot.count(self.column, min(MAX_COUNT, counts[self.column] + 1))
        self._mine[key] = self._mine.get(key, 0) + 1
        return True

    def disconnect(self, key: str) -> None:
        """A connection that ``connect`` allowed has ended."""
        mine = self._mine.get(key, 0)
        if not mine:
            return
        if mine == 1:
            del self._mine[key]
        else:
            self._mine[key] = mine - 1
        with _Bucket(self, key) as slot:
            slot.count(self.column, max(0, slot.own(self.column) - 1))

    def message(self, key: str) -> bool:
        """One more message; False when the client's minute is used up."""
        if not self._per_minute:
            return True
        now = self._clock()
        with _Bucket(self, key) as slot:
            tokens, refilled = slot.get(2), slot.get(3)
            most = float(self._per_minute)
            tokens = most if refilled == 0.0 else min(most, tokens + (now - refilled) * most / WINDOW_S)
            allowed = tokens >= 1.0
            slot.put(2, tokens - 1.0 if allowed else tokens)
            slot.put(3, now or 1e-9)
        return allowed

    def may_authenticate(self, key: str) -> bool:
        """False when this client failed too often of late."""
        with _Bucket(self, key) as slot:
            return slot.failures(self._clock()) < MAX_AUTH_FAILURES

    def authentication_failed(self, key: str) -> None:
        """Count a failed login."""
        now = self._clock()
        with _Bucket(self, key) as slot:
            slot.put(4, slot.failures(now) + 1)
            slot.put(5, now)

    def refused(self, key: str) -> None:
        """Count a refusal."""
        if not self._per_window:
            return
        now = self._clock()
        with _Bucket(self, key) as slot:
            slot.put(6, slot.refusals(now, self._per_window) + 1)
            slot.put(7, now)

    # -- the table

    def hash(self, key: str) -> int:
        """The client's keyed hash; never 0, which is a free slot."""
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big") or 1

    def _take_column(self) -> int:
        for column in range(COLUMNS):
            if self._lock_column(column):
                # Its holder is gone: what it had counted ends here.
                self._clear(column)
                return column
        raise TableFull(f"more than {COLUMNS} workers at once; lower gateway.workers 工作进程过多，请减小 workers")

    def _lock_column(self, column: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _COLUMN_LOCKS + column)
        except OSError:
            return False
        return True

    def _clear(self, column: int) -> None:
        at = _HEAD + _FIELDS.size + 2 * column
        for offset in range(at, SIZE, _SLOT):
            if self._map[offset : offset + 2] != b"\0\0":
                self._map[offset : offset + 2] = b"\0\0"

    def _alive(self, slot: "_Slot", counts: tuple[int, ...]) -> int:
        """The connections that live workers count; those of dead ones are cleared. Only looked at before refusing."""
        alive = sum(counts)
        for column, count in enumerate(counts):
            if count and column != self.column and self._lock_column(column):
                slot.count(column, 0)
                alive -= count
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _COLUMN_LOCKS + column)
        return alive


class _Slot:
    """One client's slot."""

    __slots__ = ("_at", "_map")

    def __init__(self, table: mmap.mmap, at: int) -> None:
        self._map, self._at = table, at

    def get(self, field: int) -> float:
        """Field by its number in _FIELDS."""
        value: float = struct.unpack_from("=d", self._map, self._at + 8 * field)[0]
        return value

    def put(self, field: int, value: float) -> None:
        """Field by its number in _FIELDS."""
        struct.pack_into("=d", self._map, self._at + 8 * field, value)

    def counts(self) -> tuple[int, ...]:
        """Connections by worker."""
        found: tuple[int, ...] = _COUNTS.unpack_from(self._map, self._at + _FIELDS.size)
        return found

    def own(self, column: int) -> int:
        """One worker's connections."""
        found: int = struct.unpack_from("=H", self._map, self._at + _FIELDS.size + 2 * column)[0]
        return found

    def count(self, column: int, value: int) -> None:
        """Set one worker's connections."""
        struct.pack_into("=H", self._map, self._at + _FIELDS.size + 2 * column, value)

    def failures(self, now: float) -> float:
        """Failed logins, less what time has forgiven."""
        return max(0.0, self.get(4) - max(0.0, now - self.get(5)) * MAX_AUTH_FAILURES / AUTH_WINDOW_S)

    def refusals(self, now: float, per_window: int) -> float:
        """Refusals, less what time has forgiven."""
        return max(0.0, self.get(6) - max(0.0, now - self.get(7)) * per_window / REFUSAL_WINDOW_S)


class _Bucket:
    """The client's slot, with its bucket locked while the block runs."""

    __slots__ = ("_at", "_client", "_locked", "_table")

    def __init__(self, table: SharedClientLimits, key: str) -> None:
        self._table = table
        self._client = table.hash(key)
        self._at = _HEAD + self._client % BUCKETS * _BUCKET
        self._locked = False

    def __enter__(self) -> _Slot:
        file = self._table._file
        for _ in range(TRIES):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._at)
            except OSError:
                continue
            self._locked = True
            break
        return self._find()

    def __exit__(self, *_: object) -> None:
        if self._locked:
            fcntl.lockf(self._table._file, fcntl.LOCK_UN, 1, self._at)

    def _find(self) -> _Slot:
        """The client's slot, or the one that is free or longest unseen."""
        table, now = self._table._map, self._table._clock()
        best, best_seen = self._at, float("inf")
        for at in range(self._at, self._at + _BUCKET, _SLOT):
            client, seen = struct.unpack_from("=Qd", table, at)
            if client == self._client:
                struct.pack_into("=d", table, at + 8, now)
                return _Slot(table, at)
            if client and table[at + _FIELDS.size : at + _SLOT] != _NOBODY:
                seen += 1e15  # connected: given away only when all of the bucket are
            if not client:
                seen = float("-inf")
            if seen < best_seen:
                best, best_seen = at, seen
        table[best : best + _SLOT] = bytes(_SLOT)
        struct.pack_into("=Qd", table, best, self._client, now)
        return _Slot(table, best)
