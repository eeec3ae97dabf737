"""The log: append durably, publish behind, prove. One writer; journal first (audit-log 3)."""

import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from audit.files import TEMPORARY, sync_directory, write_durable
from audit.journal import SEGMENT_BYTES, Frame, Journal, JournalDamaged, JournalFull, Segment, replay, segment_paths
from audit.merkle import TILE_WIDTH, Frontier, leaf_hash
from audit.notes import Checkpoint, NoteError, Verifier, bundle_entries, open_checkpoint, parse_vkey
from audit.signer import Signer
from audit.tiles import CHECKPOINT, TileError, TileReader, TileWriter

RESERVE_BYTES = 1 << 30
"""Free bytes under which no new message is taken, so that outcomes of those under way still find room."""
RESERVE_PART = 20
"""On small disks the reserve is this part of the whole."""
RECENT_IDS = 1 << 16
"""Event ids remembered to drop repetitions. Whoever repeats does so within seconds of the log working again, and events only
enter while it works, so that a few seconds' worth is enough; this is 20 s at 3000 events a second."""
MAX_BACKLOG = 1 << 18
"""Events durable but unpublished (a second's worth is normal): beyond it the tiles can't be written, and memory must not grow."""
WAY_OUT = (
    "to go on with a new log and set this one aside: sealgate audit new-shard --reason TEXT"
    "   封存此日志并启用新日志: sealgate audit new-shard --reason 原因"
)


class LogDamaged(Exception):
    """The log on disk is not one that was left by a crash: refuse to go on, and say what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(f"audit log damaged 审计日志损坏: {what}; {WAY_OUT}")
        self.what = what


class LogLocked(Exception):
    """Another process is writing this log."""


class Identity(msgspec.Struct, frozen=True):
    """log.json: who this log is. Written once."""

    origin: str
    vkey: str
    inception: str
    format: int = 1
    suite: str = "sha256-ed25519-aes256gcm"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event's id and its one byte form."""

    id: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the last start found: events replayed from the journal into the tiles, and bytes of a torn frame wiped."""

    replayed: int
    torn: int


class _Id(msgspec.Struct):
    id: str


_decode_id = msgspec.json.Decoder(_Id).decode


def load_identity(directory: Path) -> Identity:
    """log.json of a log. Raises FileNotFoundError, LogDamaged."""
    try:
        return msgspec.json.decode((directory / "log.json").read_bytes(), type=Identity)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LogDamaged(f"log.json: {error}") from error


def published_head(directory: Path, verifier: Verifier, origin: str) -> tuple[Checkpoint, bytes] | None:
    """The published checkpoint and its note; None before the first. Raises NoteError, OSError."""
    try:
        note = (directory / CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    return open_checkpoint(note, verifier, origin), note


class Log:
    """``append`` from one thread and ``publish`` from one other; reading from any."""

    def __init__(self, directory: Path, signer: Signer, segment_bytes: int, reserve_bytes: int) -> None:
        """Use Log.open."""
        self.directory = directory
        self.origin = signer.verifier.name
        self.recovered = Recovered(0, 0)
        self._signer = signer
        self._reserve_bytes = reserve_bytes
        self._segment_bytes = segment_bytes
        self._journal = Journal(directory / "journal", segment_bytes)
        self._writer: TileWriter | None = None
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._frontier = Frontier()
        self._note = b""
        self._tail: deque[bytes] = deque()
        self._published = 0
        self._recent: dict[str, int] = {}
        self._directory_fd = -1

    @classmethod
    def open(
        cls,
        directory: Path,
        signer: Signer,
        inception: str,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> "Log":
        """Take the log over, and repair what a crash left. Raises LogLocked, LogDamaged, OSError."""
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        log = cls(directory, signer, segment_bytes, reserve_bytes)
        log._directory_fd = lock_directory(directory)
        try:
            log._recover(inception)
        except (JournalDamaged, TileError, NoteError) as error:
            log.close()
            raise LogDamaged(str(error)) from error
        except BaseException:
            log.close()
            raise
        return log

    @property
    def size(self) -> int:
        """Durable events."""
        return self._frontier.size

    @property
    def published(self) -> int:
        """Events in tiles, under the public checkpoint."""
        return self._published

    @property
    def head(self) -> bytes:
        """The signed checkpoint over all durable events; empty before the first."""
        return self._note

    def room(self) -> bool:
        """Whether the disk is above its reserve."""
        status = os.statvfs(self.directory)
        reserve = min(self._reserve_bytes, status.f_blocks * status.f_frsize // RESERVE_PART)
        return status.f_bavail * status.f_frsize >= reserve and len(self._tail) < MAX_BACKLOG

    def append(self, entries: Sequence[Entry]) -> list[int]:
        """The indexes of ``entries``, all durable in one frame; those whose id is known already keep their index.

        Raises JournalFull (nothing was written; the caller may go on), JournalFailed (the process must end).
        """
        if len(self._tail) >= MAX_BACKLOG:
            raise JournalFull("publication is far behind the journal")
        frontier = self._frontier.copy()
        fresh: list[bytes] = []
        indexes: list[int] = []
        added: dict[str, int] = {}
        for entry in entries:
            index = self._recent.get(entry.id, added.get(entry.id))
            if index is None:
                index = added[entry.id] = frontier.size
                fresh.append(entry.line)
                frontier.append(leaf_hash(entry.line))
            indexes.append(index)
        if fresh:
            note = self._signer.checkpoint(Checkpoint(self.origin, frontier.size, frontier.root()))
            self._journal.append(self._frontier.size, fresh, note)
            with self._lock:
                self._tail.extend(fresh)
                self._frontier, self._note = frontier, note
            self._remember(added)
        return indexes

    def _remember(self, added: dict[str, int]) -> None:
        recent = self._recent
        recent.update(added)
        while len(recent) > RECENT_IDS:
            del recent[next(iter(recent))]

    def publish(self) -> bool:
        """Bring tiles and checkpoint up to the last commit; whether there was anything to do. Raises OSError, TileError.

        After an error the next call starts again from what is published; the journal holds everything.
        """
        with self._publishing:
            return self._publish()

    def _publish(self) -> bool:
        with self._lock:
            entries, note, size = list(self._tail), self._note, self._frontier.size
        if not entries:
            return False
        writer = self._writer or TileWriter(self.directory, self._published)
        self._writer = None
        writer.extend(entries)
        writer.finish(note)
        self._writer = writer
        with self._lock:
            for _ in entries:
                self._tail.popleft()
            self._published = size
        # A crash here leaves segments that are published: skipped and dropped at the next start.
        self._journal.drop_below(size)
        return True

    def prepare(self) -> None:
        """Have the next journal segment ready. Raises OSError."""
        self._journal.prepare_spare()

    def entry(self, index: int) -> bytes:
        """One event as stored. Raises IndexError, TileError."""
        with self._lock:
            if not 0 <= index < self._frontier.size:
                raise IndexError(f"no event {index}")
            if index >= self._published:
                return self._tail[index - self._published]
            published = self._published
        return TileReader(self.directory, published).entries(index // TILE_WIDTH)[index % TILE_WIDTH]

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        """All events from ``start`` on, with their index. Raises TileError."""
        with self._lock:
            published, tail = self._published, list(self._tail)
        reader = TileReader(self.directory, published)
        while start < published:
            number, offset = divmod(start, TILE_WIDTH)
            for line in reader.entries(number)[offset:]:
                yield start, line
                start += 1
        for line in tail[start - published :]:
            yield start, line
            start += 1

    def close(self) -> None:
        """Let go of files and lock; nothing is written."""
        self._journal.close()
        if self._directory_fd >= 0:
            os.close(self._directory_fd)
            self._directory_fd = -1

    def _recover(self, inception: str) -> None:
        journal = self.directory / "journal"
        for stale in [*self.directory.glob(f"*{TEMPORARY}"), *journal.glob(f"*{TEMPORARY}")]:
            stale.unlink()
        self._identify(inception)
        head = published_head(self.directory, self._signer.verifier, self.origin)
        if head is not None:
            self._published, self._note = head[0].size, head[1]
            reader = TileReader(self.directory, self._published)
            if reader.root() != head[0].root:
                raise LogDamaged(f"the tiles do not give the root of checkpoint {self._published}")
            self._frontier = Frontier(self._published, _peaks(reader))
            self._writer = TileWriter(self.directory, self._published)
        if segment_paths(journal):
            self._replay(journal)
        elif self._published or (self.directory / "tile").exists():
            raise LogDamaged("the journal is gone")
        else:
            journal.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.directory)
            self._journal.create(0, sha256(str(self._signer.verifier).encode()).digest())
        self._rebuild_recent()

    def _identify(self, inception: str) -> None:
        vkey = str(self._signer.verifier)
        try:
            identity = load_identity(self.directory)
        except FileNotFoundError:
            if (self.directory / "tile").exists() or segment_paths(self.directory / "journal"):
                raise LogDamaged("log.json is gone") from None
            # A crash here leaves no log, or an empty one that knows its name.
            write_durable(
                self.directory / "log.json", msgspec.json.encode(Identity(self.origin, vkey, inception)), 0o444
            )
            return
        if identity.origin != self.origin or parse_vkey(identity.vkey) != self._signer.verifier:
            raise LogDamaged(f"this log is {identity.vkey}, but the signing key in use is {vkey}")

    def _replay(self, journal: Path) -> None:
        last: Segment | None = None
        frame: Frame | None = None
        for segment in replay(journal, self._segment_bytes):
            if last is None and segment.first > self._published:
                raise LogDamaged(f"the journal begins at {segment.first}, the tiles end at {self._published}")
            for frame in segment.frames:
                self._take(frame)
            last = segment
        if last is None:
            raise LogDamaged("the journal is gone")
        end = last.first + sum(item.count for item in last.frames)
        if end < self._published:
            raise LogDamaged(
                f"rolled back: checkpoint {self._published} is published, but the journal ends at {end} 日志被回退"
            )
        if frame is not None:
            open_checkpoint(frame.checkpoint, self._signer.verifier, self.origin)
            self._note = frame.checkpoint
        self._journal.resume(last)
        torn = len(last.data[last.end :].rstrip(b"\0"))
        self.recovered = Recovered(len(self._tail), torn)

    def _take(self, frame: Frame) -> None:
        """One frame: skipped when published, else into the tree; its head must be ours."""
        end = frame.first + frame.count
        if frame.first < self._published < end:
            raise LogDamaged(f"checkpoint {self._published} lies inside a commit")
        if end <= self._published and end != self._published:
            return
        if frame.first >= self._published:
            entries = bundle_entries(frame.body)
            if len(entries) != frame.count:
                raise LogDamaged(f"the commit at {frame.first} holds {len(entries)} events instead of {frame.count}")
            for entry in entries:
                self._frontier.append(leaf_hash(entry))
            self._tail.extend(entries)
        head = Checkpoint(self.origin, end, self._frontier.root())
        if not frame.checkpoint.startswith(head.text().encode() + b"\n"):
            raise LogDamaged(f"the commit at {frame.first} is not under its signed head")

    def _rebuild_recent(self) -> None:
        start = max(0, self.size - RECENT_IDS)
        for index, line in self.entries(start):
            try:
                self._recent[_decode_id(line).id] = index
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogDamaged(f"event {index} is not one: {error}") from error


def lock_directory(directory: Path) -> int:
    """An exclusive lock on the directory itself, so that removing a lock file can't admit a second writer."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise LogLocked(
            f"{directory}: another process writes this log; stop it first 另一进程正在写此日志，请先停止它"
        ) from error
    return descriptor


def _peaks(reader: TileReader) -> list[bytes]:
    peaks, low = [], 0
    for bit in reversed(range(reader.size.bit_length())):
        if reader.size >> bit & 1:
            peaks.append(reader.hash_of(low, low + (1 << bit)))
            low += 1 << bit
    return peaks
