"""Reading a log from its files while somebody else may be writing it: tiles, then the journal behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from audit.event import Place, id_time_ms
from audit.journal import JournalDamaged, read_segment, segment_paths
from audit.log import Identity, LogDamaged, load_identity, published_head
from audit.merkle import (
    EMPTY_ROOT,
    TILE_WIDTH,
    ProofError,
    inclusion_proof,
    leaf_hash,
    split,
    tree_hash,
    verify_inclusion,
)
from audit.notes import Checkpoint, NoteError, bundle_entries, open_checkpoint, parse_vkey
from audit.tiles import TileError, TileReader

ATTEMPTS = 5
"""Times a snapshot is tried while the writer publishes and drops segments under it."""
CLOCK_SLACK = timedelta(minutes=15)
"""How far an event may stand from where its time belongs (audit-log 3.4)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One event of the log: its index, its line as stored, and the line parsed."""

    index: int
    line: bytes
    record: dict[str, Any]

    def text(self, key: str) -> str:
        """A public field that is text, or ``""``."""
        value = self.record.get(key, "")
        return value if isinstance(value, str) else ""

    @property
    def at(self) -> datetime:
        """When it happened. Raises ValueError."""
        return datetime.fromisoformat(self.text("time"))

    @property
    def place(self) -> Place | None:
        """Where its message's key stands."""
        k = self.record.get("k")
        return Place(*k) if isinstance(k, list) and len(k) == 3 else None

    @property
    def sealed(self) -> dict[str, list[str]]:
        """Slots as stored."""
        value = self.record.get("sealed")
        return value if isinstance(value, dict) else {}


def parse(index: int, line: bytes) -> Stored:
    """Raises LogDamaged."""
    try:
        return Stored(index, line, msgspec.json.decode(line, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LogDamaged(f"event {index} is not one: {error}") from error


@dataclass(frozen=True, slots=True)
class LogView:
    """A log as it stands: ``published`` events in tiles under a public checkpoint, ``tail`` in the journal under its last head."""

    directory: Path
    identity: Identity
    published: int
    tail: tuple[bytes, ...]
    head: Checkpoint

    @classmethod
    def open(cls, directory: Path) -> "LogView":
        """Raises FileNotFoundError (no log there), LogDamaged, OSError."""
        identity = load_identity(directory)
        verifier = parse_vkey(identity.vkey)
        for _ in range(ATTEMPTS):
            try:
                found = published_head(directory, verifier, identity.origin)
                published = found[0].size if found else 0
                head = found[0] if found else Checkpoint(identity.origin, 0, EMPTY_ROOT)
                tail = _tail(directory / "journal", published)
                if tail is None:
                    continue
                if tail[0]:
                    head = open_checkpoint(tail[1], verifier, identity.origin)
                return cls(directory, identity, published, tail[0], head)
            except FileNotFoundError:
                continue
            except (NoteError, JournalDamaged) as error:
                raise LogDamaged(str(error)) from error
        raise LogDamaged("the journal begins after the tiles end")

    @property
    def size(self) -> int:
        """Events in all."""
        return self.published + len(self.tail)

    def entries(self, start: int = 0) -> Iterator[Stored]:
        """All events from ``start`` on. Raises LogDamaged."""
        for index, line in self.lines(start):
            yield parse(index, line)

    def lines(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Index and line of all events from ``start`` on. Raises LogDamaged."""
        reader = TileReader(self.directory, self.published)
        while start < self.published:
            number, offset = divmod(start, TILE_WIDTH)
            try:
                bundle = reader.entries(number)
            except TileError as error:
                raise LogDamaged(str(error)) from error
            for line in bundle[offset:]:
                yield start, line
                start += 1
        for line in self.tail[start - self.published :]:
            yield start, line
            start += 1

    def backwards(self) -> Iterator[Stored]:
        """All events, the newest first. Raises LogDamaged."""
        for index in range(self.size - 1, self.published - 1, -1):
            yield parse(index, self.tail[index - self.published])
        reader = TileReader(self.directory, self.published)
        for number in range((self.published - 1) // TILE_WIDTH, -1, -1):
            try:
                bundle = reader.entries(number)
            except TileError as error:
                raise LogDamaged(str(error)) from error
            for offset in range(len(bundle) - 1, -1, -1):
                yield parse(number * TILE_WIDTH + offset, bundle[offset])

    def entry(self, index: int) -> Stored:
        """One event. Raises IndexError, LogDamaged."""
        if not 0 <= index < self.size:
            raise IndexError(f"no event {index}, the log has {self.size}")
        return next(self.entries(index))

    def first_since(self, at: datetime) -> int:
        """Index of a bundle's first event such that nothing later than ``at`` stands before it, as far as clocks ran straight."""
        low, high = 0, self.published // TILE_WIDTH
        while low < high:
            middle = (low + high + 1) // 2
            if middle * TILE_WIDTH < self.published and self.entry(middle * TILE_WIDTH).at < at:
                low = middle
            else:
                high = middle - 1
        return low * TILE_WIDTH

    def hash_of(self, low: int, high: int) -> bytes:
        """Tree hash of a range, from tiles and tail. Raises TileError."""
        if high <= self.published:
            return TileReader(self.directory, self.published).hash_of(low, high)
        if high - low == 1:
            return leaf_hash(self.tail[low - self.published])
        middle = low + split(high - low)
        return tree_hash([self.hash_of(low, middle), self.hash_of(middle, high)])

    def prove(self, index: int) -> Checkpoint:
        """Prove that event ``index`` stands in the log's signed head, and give that head. Raises LogDamaged."""
        try:
            proof = inclusion_proof(index, self.head.size, self.hash_of)
            verify_inclusion(index, self.head.size, leaf_hash(self.entry(index).line), proof, self.head.root)
        except (ProofError, TileError, ValueError) as error:
            raise LogDamaged(f"event {index}: {error}") from error
        return self.head


def _tail(journal: Path, published: int) -> tuple[tuple[bytes, ...], bytes] | None:
    """Entries after ``published`` and the last head; None if the journal has moved on meanwhile."""
    entries: list[bytes] = []
    note = b""
    for number, path in enumerate(segment_paths(journal)):
        segment = read_segment(path)
        if number == 0 and segment.first > published:
            return None
        for frame in segment.frames:
            if frame.first >= published:
                entries.extend(bundle_entries(frame.body))
                note = frame.checkpoint
    return tuple(entries), note


def collect(view: LogView, identifier: str) -> list[Stored]:
    """All events of one message, in order; an event's id stands for its message. Raises LogDamaged."""
    found = list(_naming(view, identifier))
    for one in found:
        message = one.text("msg")
        if message and message != identifier:  # it is an event's id; asked once, since a forged log may go in a circle
            return [each for each in _naming(view, message) if each.text("msg") == message]
    return [each for each in found if each.text("msg")]


def _naming(view: LogView, identifier: str) -> Iterator[Stored]:
    """Events whose id or message it is."""
    if not identifier.isascii() or not identifier.isalnum():
        return
    mark = identifier.encode()
    for index, line in view.lines(_start(view, identifier)):
        if mark in line:
            stored = parse(index, line)
            if identifier in (stored.text("msg"), stored.text("id")):
                yield stored


def _start(view: LogView, identifier: str) -> int:
    try:
        at = datetime.fromtimestamp(id_time_ms(identifier) / 1000, UTC)
        return view.first_since(at - CLOCK_SLACK)
    except (ValueError, OverflowError, OSError):
        return 0
