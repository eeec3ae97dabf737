"""The tiles on disk (C2SP tlog-tiles): reading them, and writing them each second behind the journal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from audit.files import sync_directory, write_durable
from audit.journal import encode_bundle
from audit.merkle import EMPTY_ROOT, HASH_SIZE, TILE_WIDTH, leaf_hash, split, tile_path, tree_hash, widths
from audit.notes import NoteError, bundle_entries

PUBLISHED = 0o444
CHECKPOINT = "checkpoint"


class TileError(Exception):
    """A tile is missing, of the wrong length, or not what it must be."""


@dataclass(frozen=True, slots=True)
class TileReader:
    """The published part of a log: everything below ``size``."""

    directory: Path
    size: int

    def hashes(self, level: int, number: int) -> list[bytes]:
        """The hashes of one tile, as wide as it is at ``size``. Raises TileError."""
        width = min(TILE_WIDTH, (self.size >> 8 * level) - number * TILE_WIDTH)
        data = self._read(level, number, width)
        if len(data) < width * HASH_SIZE:
            raise TileError(f"{tile_path(level, number, width)}: cut short")
        return [data[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE)]

    def entries(self, number: int) -> Sequence[bytes]:
        """The entries of one bundle, as many as it has at ``size``. Raises TileError."""
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        try:
            entries = bundle_entries(self._read("entries", number, width))
        except NoteError as error:
            raise TileError(f"{tile_path('entries', number, width)}: {error}") from error
        if len(entries) < width:
            raise TileError(f"{tile_path('entries', number, width)}: {len(entries)} entries instead of {width}")
        return entries[:width]

    def _read(self, level: int | str, number: int, width: int) -> bytes:
        if width < 1:
            raise TileError(f"{tile_path(level, number)}: beyond the log's {self.size} entries")
        for path in (tile_path(level, number, width), tile_path(level, number)):
            try:
                return (self.directory / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise TileError(f"{path}: {error.strerror}") from error
        raise TileError(f"{tile_path(level, number, width)}: missing")

    def hash_of(self, low: int, high: int) -> bytes:
        """The tree hash of entries ``low`` to ``high``, from as few tiles as it takes. Raises TileError."""
        width = high - low
        if width & (width - 1) or low % width:
            middle = low + split(width)
            return tree_hash([self.hash_of(low, middle), self.hash_of(middle, high)])
        level = (width.bit_length() - 1) // 8
        count = width >> 8 * level
        number, offset = divmod(low >> 8 * level, TILE_WIDTH)
        return tree_hash(self.hashes(level, number)[offset : offset + count])

    def root(self) -> bytes:
        """The tree hash of all of it. Raises TileError."""
        return self.hash_of(0, self.size) if self.size else EMPTY_ROOT


class TileWriter:
    """Adds entries to the tiles. One thread; the files are derived from the journal and can always be made again."""

    def __init__(self, directory: Path, size: int) -> None:
        """``size`` is what is published; the right edge is read back and checked by the caller (Log.open)."""
        self._directory = directory
        self.size = size
        reader = TileReader(directory, size)
        self._edges: list[list[bytes]] = [
            reader.hashes(level, full) if partial else [] for level, (full, partial) in enumerate(widths(size))
        ]
        self._entries: list[bytes] = list(reader.entries(size // TILE_WIDTH)) if size % TILE_WIDTH else []
        if [leaf_hash(entry) for entry in self._entries] != (self._edges[0] if self._edges else []):
            raise TileError(f"{tile_path('entries', size // TILE_WIDTH, size % TILE_WIDTH)}: does not match its tile")
        self._touched: set[Path] = set()
        self._stale: set[Path] = set()

    def extend(self, entries: Sequence[bytes]) -> None:
        """Take entries in; full bundles and tiles are written. Raises OSError, TileError."""
        for entry in entries:
            self._entries.append(entry)
            self.size += 1
            if len(self._entries) == TILE_WIDTH:
                self._write("entries", self.size // TILE_WIDTH - 1, encode_bundle(self._entries), TILE_WIDTH)
                self._entries = []
            self._push(0, leaf_hash(entry))

    def _push(self, level: int, item: bytes) -> None:
        while True:
            if level == len(self._edges):
                self._edges.append([])
            edge = self._edges[level]
            edge.append(item)
            if len(edge) < TILE_WIDTH:
                return
            self._write(level, (self.size >> 8 * (level + 1)) - 1, b"".join(edge), TILE_WIDTH)
            item = tree_hash(edge)
            self._edges[level] = []
            level += 1

    def finish(self, checkpoint: bytes) -> None:
        """Write the edge's partial tiles, then the checkpoint that promises them. Raises OSError, TileError.

        A crash before the checkpoint leaves tiles that nobody was promised: they are made again, byte for byte the same.
        """
        for level, edge in enumerate(self._edges):
            if edge:
                self._write(level, self.size >> 8 * (level + 1), b"".join(edge), len(edge))
        if self._entries:
            self._write("entries", self.size // TILE_WIDTH, encode_bundle(self._entries), len(self._entries))
        for directory in self._touched:
            sync_directory(directory)
        self._touched.clear()
        # A crash before this rename leaves the older head, whose tiles all still exist.
        write_durable(self._directory / CHECKPOINT, checkpoint, PUBLISHED)
        for directory in self._stale:
            # A crash here leaves partial tiles beside the full one: allowed, and harmless.
            rmtree(directory, ignore_errors=True)
        self._stale.clear()

    def _write(self, level: int | str, number: int, data: bytes, width: int) -> None:
        path = self._directory / tile_path(level, number, width)
        try:
            if path.read_bytes() != data:
                raise TileError(f"{tile_path(level, number, width)}: is there already, with other contents")
            return
        except (FileNotFoundError, NotADirectoryError):
            pass
        self._make(path.parent)
        write_durable(path, data, PUBLISHED, sync_parent=False)
        self._touched.add(path.parent)
        if width == TILE_WIDTH:
            self._stale.add(path.with_name(path.name + ".p"))

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            self._make(directory.parent)
            directory.mkdir(mode=0o750)
            self._touched.add(directory.parent)
