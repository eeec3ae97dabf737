"""The journal in front of the tiles: segments of signed frames, each durable before anyone is told (audit-log 3.1 to 3.3).

A segment is ``"AJSEG1\\0\\0" || u64 first index || 32 bytes chain so far``, then frames
``"AJ01" || u32 body || u64 first index || u32 count || u32 checkpoint || body || signed checkpoint || SHA-256(chain || frame)``,
big-endian, then zeros up to its fixed size. The body is in entry-bundle encoding.
"""

import errno
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from audit.files import TEMPORARY, sync_directory

SEGMENT_MAGIC = b"AJSEG1\0\0"
FRAME_MAGIC = b"AJ01"
SEGMENT_HEADER = struct.Struct(">8sQ32s")
FRAME_HEADER = struct.Struct(">4sIQII")
CHAIN = 32
SEGMENT_BYTES = 16 * 1024 * 1024
MAX_FRAME_ENTRIES = 4096
"""Entries of one commit: beyond it the wait for the disk no longer shrinks per event."""
MAX_FRAME_BODY = 4 * 1024 * 1024
"""Bytes of one commit, well inside one segment."""
MAX_CHECKPOINT = 4096
"""Bytes of a signed checkpoint in a frame; ours are about 200."""
SECTOR = 512
"""What a disk writes whole or not at all."""
SPARE = "spare"
"""The next segment, already on disk, so that outcomes can still be written when the disk is full."""


class JournalDamaged(Exception):
    """Something stands in the journal that no crash can explain."""


class JournalFull(Exception):
    """No room for another segment; nothing was written."""


class JournalFailed(Exception):
    """A write or an fsync failed: what is on disk is unknown, and only a new process may look (never retry an fsync)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One commit: where its entries start, how many, their bytes, the signed head that covers them, the chain after it."""

    first: int
    count: int
    body: bytes
    checkpoint: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """One journal file, read: its frames, and the offset after the last good one."""

    path: Path
    first: int
    chain: bytes
    frames: tuple[Frame, ...]
    end: int
    data: bytes


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entry-bundle encoding: big-endian uint16 length and bytes each."""
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])


def segment_paths(directory: Path) -> list[Path]:
    """The segments in order."""
    return sorted(path for path in directory.glob("*.aj") if path.stem.isdigit())


def read_segment(path: Path) -> Segment:
    """Frames as far as they are good. Raises JournalDamaged when the header is not one."""
    data = path.read_bytes()
    if len(data) < SEGMENT_HEADER.size:
        raise JournalDamaged(f"{path.name}: cut short")
    magic, first, chain = SEGMENT_HEADER.unpack_from(data)
    if magic != SEGMENT_MAGIC or path.stem != f"{first:020d}":
        raise JournalDamaged(f"{path.name}: its header is not that of a segment")
    frames, at, size, running = [], SEGMENT_HEADER.size, first, chain
    while (frame := _frame(data, at, size, running)) is not None:
        frames.append(frame)
        at += FRAME_HEADER.size + len(frame.body) + len(frame.checkpoint) + CHAIN
        size, running = size + frame.count, frame.chain
    return Segment(path, first, chain, tuple(frames), at, data)


def _frame(data: bytes, at: int, size: int, chain: bytes) -> Frame | None:
    if at + FRAME_HEADER.size > len(data):
        return None
    magic, body, first, count, note = FRAME_HEADER.unpack_from(data, at)
    if magic != FRAME_MAGIC or first != size or not _plausible(body, count, note):
        return None
    start = at + FRAME_HEADER.size
    end = start + body + note
    if end + CHAIN > len(data):
        return None
    if sha256(chain + data[at:end]).digest() != data[end : end + CHAIN]:
        return None
    return Frame(first, count, data[start : start + body], data[start + body : end], data[end : end + CHAIN])


def _plausible(body: int, count: int, note: int) -> bool:
    return 0 < count <= MAX_FRAME_ENTRIES and 0 < body <= MAX_FRAME_BODY and 0 < note <= MAX_CHECKPOINT


def replay(directory: Path, segment_bytes: int = SEGMENT_BYTES) -> Iterator[Segment]:
    """All segments in order, each joined to the one before. Raises JournalDamaged for anything but a torn last frame."""
    paths = segment_paths(directory)
    size: int | None = None
    chain = b""
    for number, path in enumerate(paths):
        segment = read_segment(path)
        if len(segment.data) != segment_bytes:
            raise JournalDamaged(f"{path.name}: {len(segment.data)} bytes instead of {segment_bytes}")
        if size is not None and (segment.first != size or segment.chain != chain):
            raise JournalDamaged(f"{path.name}: does not follow the segment before it")
        last = number == len(paths) - 1
        if not _zeros(segment.data, segment.end) and not (last and _torn(segment)):
            raise JournalDamaged(
                f"{path.name}: what stands at byte {segment.end} is not a frame, and no crash explains it"
            )
        size = segment.first + sum(frame.count for frame in segment.frames)
        chain = segment.frames[-1].chain if segment.frames else segment.chain
        yield segment


def _zeros(data: bytes, start: int, end: int | None = None) -> bool:
    end = len(data) if end is None else min(end, len(data))
    return data.count(0, start, end) == end - start


def _torn(segment: Segment) -> bool:
    """Whether a write cut short by a crash explains what stands after the last good frame.

    Segments are zeros before they are written, and sectors are written whole or not at all: a torn frame lacks at least one
    sector, which is still all zeros, and what it has is right. Anything else is damage to a frame that may have been
    acknowledged. Nothing may follow a torn frame, since frames are written one after the other's fsync.
    """
    data, at = segment.data, segment.end
    size = segment.first + sum(frame.count for frame in segment.frames)
    if _frame_follows(data, at + 1, size):
        return False
    if _missing(data, at, at + FRAME_HEADER.size):
        return True
    magic, body, first, count, note = FRAME_HEADER.unpack_from(data, at)
    end = at + FRAME_HEADER.size + body + note + CHAIN
    if magic != FRAME_MAGIC or first != size or not _plausible(body, count, note) or end > len(data):
        return False
    start = at + FRAME_HEADER.size
    return _zeros(data, end) and _lacks_sector(data, at, end) and _lengths_agree(data, start, body, count, note)


def _frame_follows(data: bytes, at: int, size: int) -> bool:
    while (at := data.find(FRAME_MAGIC, at)) >= 0:
        if at + FRAME_HEADER.size <= len(data):
            _, body, first, count, note = FRAME_HEADER.unpack_from(data, at)
            if first > size and first < size + (1 << 32) and _plausible(body, count, note):
                return True
        at += 1
    return False


def _missing(data: bytes, start: int, end: int) -> bool:
    """Whether a sector that holds some of these bytes of a new frame was never written."""
    sector = start - start % SECTOR
    while sector < end:
        if _zeros(data, max(start, sector), sector + SECTOR):
            return True
        sector += SECTOR
    return False


def _lacks_sector(data: bytes, start: int, end: int) -> bool:
    """As ``_missing`` for a whole frame; a piece shorter than 16 bytes may be zeros by chance and proves nothing."""
    sector = start - start % SECTOR
    while sector < end:
        low, high = max(start, sector), min(end, sector + SECTOR)
        if high - low >= 16 and _zeros(data, low, high):
            return True
        sector += SECTOR
    return False


def _lengths_agree(data: bytes, start: int, body: int, count: int, note: int) -> bool:
    """Whether the header's lengths fit what is there, as far as it is there: a flipped length must not look like a torn write."""
    at = start
    for _ in range(count):
        if at + 2 > start + body:
            return False
        length = data[at] << 8 | data[at + 1]
        if length == 0:
            return _missing(data, at, at + 2)
        if _missing(data, at, at + 2 + length):
            return True
        at += 2 + length
    if at != start + body:
        return False
    blank = data.find(b"\n\n", at, at + MAX_CHECKPOINT)
    last = data.find(b"\n", blank + 2, at + MAX_CHECKPOINT) if blank >= 0 else -1
    return last < 0 or last + 1 - at == note


class Journal:
    """The writing side. One process, one thread; whoever owns the log's lock."""

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._descriptor = -1
        self._at = 0
        self._failed = False
        self._spare = threading.Lock()
        self.chain = b""

    def create(self, first: int, chain: bytes) -> None:
        """Start with an empty segment. Raises JournalFull, JournalFailed."""
        self.chain = chain
        self._roll(first)

    def resume(self, segment: Segment) -> None:
        """Go on after the last good frame of the last segment, wiping a torn one."""
        self._descriptor = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        self._at = segment.end
        self.chain = segment.frames[-1].chain if segment.frames else segment.chain
        if not _zeros(segment.data, segment.end):
            last = len(segment.data.rstrip(b"\0"))
            # A crash here leaves the torn frame, or a part of it that is still torn: wiped again at the next start.
            self._write(b"\0" * (last - segment.end), segment.end)

    def append(self, first: int, entries: Sequence[bytes], checkpoint: bytes) -> None:
        """Write one frame and wait until it is on the disk: the commit point.

        Raises JournalFull (nothing was written) or JournalFailed (the process must end).
        """
        body = encode_bundle(entries)
        frame = FRAME_HEADER.pack(FRAME_MAGIC, len(body), first, len(entries), len(checkpoint)) + body + checkpoint
        if self._at + len(frame) + CHAIN > self._segment_bytes:
            self._roll(first)
        chain = sha256(self.chain + frame).digest()
        # A crash during this write leaves a torn frame that nobody was told of; after it, the events are in the log.
        self._write(frame + chain, self._at)
        self._at += len(frame) + CHAIN
        self.chain = chain

    def _write(self, data: bytes, at: int) -> None:
        if self._failed:
            raise JournalFailed("the journal failed before")
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, at)
                view, at = view[written:], at + written
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failed = True
            raise JournalFailed(f"journal: {os.strerror(error.errno or 0)}") from error

    def _roll(self, first: int) -> None:
        spare = self._directory / SPARE
        try:
            self.prepare_spare()
            descriptor = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise JournalFull(f"journal: no room for another segment: {os.strerror(error.errno or 0)}") from error
        try:
            # A crash up to the rename leaves a spare with an unused header; after it, an empty last segment.
            os.pwrite(descriptor, SEGMENT_HEADER.pack(SEGMENT_MAGIC, first, self.chain), 0)
            os.fsync(descriptor)
            os.rename(spare, self._directory / f"{first:020d}.aj")
            sync_directory(self._directory)
        except OSError as error:
            self._failed = True
            os.close(descriptor)
            raise JournalFailed(f"journal: {os.strerror(error.errno or 0)}") from error
        self.close()
        self._descriptor, self._at = descriptor, SEGMENT_HEADER.size

    def prepare_spare(self) -> None:
        """Have the next segment ready, written with zeros so that later writes need no allocation. Raises OSError.

        May be called from another thread than the one that appends.
        """
        with self._spare:
            self._prepare_spare()

    def _prepare_spare(self) -> None:
        spare = self._directory / SPARE
        if spare.exists():
            if spare.stat().st_size == self._segment_bytes:
                return
            spare.unlink()
        temporary = spare.with_name(SPARE + TEMPORARY)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            left, block = self._segment_bytes, b"\0" * min(self._segment_bytes, 1 << 20)
            while left:
                left -= os.write(descriptor, block[:left])
            os.fsync(descriptor)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        os.rename(temporary, spare)
        sync_directory(self._directory)

    def drop_below(self, size: int) -> None:
        """Unlink segments whose entries all stand in published tiles; never the one being written."""
        paths = segment_paths(self._directory)
        dropped = False
        for path, following in pairwise(paths):
            if int(following.stem) <= size:
                # A crash here leaves a segment that the next start skips and drops.
                path.unlink()
                dropped = True
        if dropped:
            sync_directory(self._directory)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
