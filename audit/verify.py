"""Verifies a log, or an exported copy of one: ``python3 -m audit.verify FOLDER``. Standard library only, one pass, lists all that is wrong.

It shares no code with the writer but the tree and the note: it reads the journal's frames by itself, so that a fault of the writer
is not repeated here.
"""

import argparse
import json
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from audit.merkle import HASH_SIZE, TILE_WIDTH, Frontier, leaf_hash, tile_number, tile_path, tree_hash, widths
from audit.notes import Checkpoint, NoteError, Verifier, bundle_entries, open_checkpoint, parse_vkey

MAX_LISTED = 1000
"""Mismatches printed; the rest is counted."""
REMEMBERED_IDS = 1 << 20
"""Event ids looked back at for repetitions: 200 MB at most, and sixteen times what the writer looks back."""
_SEGMENT = struct.Struct(">8sQ32s")
_FRAME = struct.Struct(">4sIQII")


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found: events in tiles and in all (journal included), tiles compared, and all mismatches."""

    origin: str
    published: int
    size: int
    tiles: int
    mismatches: tuple[str, ...]


class _Check:
    """One pass over one log."""

    def __init__(self, directory: Path, trusted: str, progress: Callable[[int, int], None]) -> None:
        self.progress = progress
        self.directory = directory
        self.wrong: list[str] = []
        self.tiles = 0
        self.frontier = Frontier()
        self.leaves: list[bytes] = []
        self.edges: list[list[bytes]] = []
        self.published: Checkpoint | None = None
        self.verifier: Verifier | None = None
        self.origin = ""
        self.trusted = trusted
        self.ids: dict[bytes, None] = {}
        self.known: set[str] = set()

    def say(self, text: str) -> None:
        self.wrong.append(text)

    def run(self) -> Verified:
        self._identify()
        if self.verifier is not None:
            self._checkpoint(self.verifier)
        if self.published is not None:
            self._tiles(self.published)
        self._strangers()
        published = self.published.size if self.published else 0
        if self.verifier is not None:
            self._journal(published, self.verifier)
        return Verified(self.origin, published, self.frontier.size, self.tiles, tuple(self.wrong))

    def _identify(self) -> None:
        try:
            identity = json.loads((self.directory / "log.json").read_bytes())
            self.origin, stored = str(identity["origin"]), str(identity["vkey"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.say(f"log.json: cannot be read ({type(error).__name__})")
            stored = self.trusted
        if self.trusted and self.trusted != stored:
            self.say("log.json: its key is not the one that was given as trusted")
        try:
            self.verifier = parse_vkey(self.trusted or stored)
        except NoteError as error:
            self.say(f"verifier key: {error}")

    def _checkpoint(self, verifier: Verifier) -> None:
        try:
            note = (self.directory / "checkpoint").read_bytes()
        except FileNotFoundError:
            if (self.directory / "tile").exists():
                self.say("checkpoint: missing")
            return
        except OSError as error:
            self.say(f"checkpoint: {error.strerror}")
            return
        self.origin = self.origin or verifier.name
        try:
            self.published = open_checkpoint(note, verifier, self.origin)
        except NoteError as error:
            self.say(f"checkpoint: {error}")

    # -- tiles

    def _tiles(self, head: Checkpoint) -> None:
        for number in range(-(-head.size // TILE_WIDTH)):
            self._bundle(number, min(TILE_WIDTH, head.size - number * TILE_WIDTH))
            self.progress(self.frontier.size, head.size)
        for level, (full, partial) in enumerate(widths(head.size)):
            if level and partial:
                self._hashes(level, full, self.edges[level] if level < len(self.edges) else [])
        if self.frontier.root() != head.root:
            self.say(f"the events do not give the root of checkpoint {head.size}")

    def _bundle(self, number: int, width: int) -> None:
        first = number * TILE_WIDTH
        entries: list[bytes | None] = [None] * width
        for path in self._versions("entries", number, width):
            self._compare_bundle(path, first, entries)
        listed = self._listed(number, width)
        leaves = []
        for offset in range(width):
            entry = entries[offset]
            stored = listed[offset]
            leaf = leaf_hash(entry) if entry is not None else None
            if leaf is None:
                self.say(f"event {first + offset} is missing from bundle {tile_number(number)}")
            elif stored is not None and leaf != stored:
                self.say(f"event {first + offset} does not match tile 0/{tile_number(number)}")
            if entry is not None:
                self._event(first + offset, entry)
            leaves.append(leaf or stored or bytes(HASH_SIZE))
        for leaf in leaves:
            self.frontier.append(leaf)
        if width == TILE_WIDTH:
            self._up(1, number, tree_hash(leaves))

    def _compare_bundle(self, path: str, first: int, entries: list[bytes | None]) -> None:
        data = (self.directory / path).read_bytes()
        try:
            found = bundle_entries(data)
        except NoteError as error:
            self.say(f"{path}: {error}")
            found = _readable(data)
        expected = self._expected(path)
        if len(found) != expected:
            self.say(f"{path}: {len(found)} events instead of {expected}")
        for offset, entry in enumerate(found[: len(entries)]):
            if entries[offset] is None:
                entries[offset] = entry
            elif entries[offset] != entry:
                self.say(f"event {first + offset} differs between {path} and the wider bundle")

    def _listed(self, number: int, width: int) -> list[bytes | None]:
        """The level-0 hashes as stored, the widest file's first; narrower ones must agree."""
        result: list[bytes | None] = [None] * width
        for path in self._versions(0, number, width):
            data = (self.directory / path).read_bytes()
            expected = self._expected(path)
            self.tiles += 1
            if len(data) != expected * HASH_SIZE:
                self.say(f"{path}: {len(data)} bytes instead of {expected * HASH_SIZE}")
            for offset in range(min(width, expected, len(data) // HASH_SIZE)):
                item = data[offset * HASH_SIZE : (offset + 1) * HASH_SIZE]
                if result[offset] is None:
                    result[offset] = item
                elif result[offset] != item:
                    self.say(f"hash {offset} of {path} differs from the wider tile")
        return result

    def _versions(self, level: int | str, number: int, width: int) -> Iterator[str]:
        """The files of one tile: the one that must be there, then any narrower or wider ones."""
        full, exact = tile_path(level, number), tile_path(level, number, width)
        found = [path for path in dict.fromkeys((full, exact)) if (self.directory / path).is_file()]
        if not found:
            self.say(f"{exact}: missing")
        folder = self.directory / f"{full}.p"
        if folder.is_dir():
            partial = [f"{full}.p/{item.name}" for item in folder.iterdir() if _is_width(item.name)]
            found += sorted(set(partial) - set(found), key=lambda path: -self._expected(path))
        self.known.update(found)
        yield from found

    @staticmethod
    def _expected(path: str) -> int:
        folder, _, name = path.rpartition("/")
        return int(name) if folder.endswith(".p") else TILE_WIDTH

    def _up(self, level: int, number: int, item: bytes) -> None:
        """A tile below is complete: its hash belongs into the level above."""
        while level >= len(self.edges):
            self.edges.append([])
        edge = self.edges[level]
        edge.append(item)
        if len(edge) == TILE_WIDTH:
            self._hashes(level, number // TILE_WIDTH, edge)
            self.edges[level] = []
            self._up(level + 1, number // TILE_WIDTH, tree_hash(edge))

    def _hashes(self, level: int, number: int, hashes: list[bytes]) -> None:
        for path in self._versions(level, number, len(hashes)):
            data = (self.directory / path).read_bytes()
            self.tiles += 1
            expected = self._expected(path)
            if len(data) != expected * HASH_SIZE:
                self.say(f"{path}: {len(data)} bytes instead of {expected * HASH_SIZE}")
            for offset, item in enumerate(hashes[:expected]):
                if data[offset * HASH_SIZE : (offset + 1) * HASH_SIZE] != item:
                    self.say(f"hash {offset} of tile {level}/{tile_number(number)} does not match the tiles below")

    def _event(self, index: int, entry: bytes) -> None:
        try:
            identifier = json.loads(entry)["id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self.say(f"event {index} is not an event")
            return
        mark = sha256(str(identifier).encode("utf-8", "backslashreplace")).digest()[:12]
        if mark in self.ids:
            self.say(f"event {index} repeats the id {identifier}")
        self.ids[mark] = None
        if len(self.ids) > REMEMBERED_IDS:
            del self.ids[next(iter(self.ids))]

    def _strangers(self) -> None:
        """Files among the tiles that the checkpoint promises nothing about: tiles beyond it are allowed, if they can be tiles."""
        for path in sorted((self.directory / "tile").rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if name in self.known or name.endswith(".tmp") or not path.is_file() or self._beyond(name):
                continue
            self.say(f"{name}: no file that belongs to this log")

    def _beyond(self, name: str) -> bool:
        fields = name.split("/")
        partial = fields[-2].endswith(".p")
        digits = "".join(part.removeprefix("x").removesuffix(".p") for part in fields[2 : -1 if partial else None])
        if not digits.isdigit() or self.published is None:
            return False
        level = 0 if fields[1] == "entries" else int(fields[1]) if fields[1].isdigit() and len(fields[1]) < 3 else 64
        width = int(fields[-1]) if partial and _is_width(fields[-1]) else TILE_WIDTH
        return (int(digits) * TILE_WIDTH + width) << 8 * level > self.published.size

    # -- the journal's tail

    def _journal(self, published: int, verifier: Verifier) -> None:
        paths = sorted((self.directory / "journal").glob("*.aj"))
        chain, size = b"", -1
        note, end = b"", published
        for path in paths:
            data = path.read_bytes()
            magic, first, start = _SEGMENT.unpack_from(data) if len(data) >= _SEGMENT.size else (b"", 0, b"")
            if magic != b"AJSEG1\0\0":
                self.say(f"journal/{path.name}: not a journal segment")
                return
            if size >= 0 and (first != size or start != chain):
                self.say(f"journal/{path.name}: does not follow the segment before it")
            if size < 0 and first > published:
                self.say(f"journal/{path.name}: begins at {first}, but only {published} events are published")
            chain, size, at = start, first, _SEGMENT.size
            while (found := _frame(data, at, chain)) is not None:
                first, count, body, note, chain, at = found
                if first != size:
                    self.say(f"journal/{path.name}: the commit at byte {at} begins at {first} instead of {size}")
                size = first + count
                if size > published:
                    self._frame_entries(first, count, body, note)
                end = max(end, size)
            if data.count(0, at) != len(data) - at:
                self.say(
                    f"journal/{path.name}: what stands at byte {at} is not a commit (damage, or one cut short by a crash)"
                )
        if size >= 0 and size < published:
            self.say(f"rolled back: {published} events are published, the journal ends at {size}")
        if note and size >= published:
            self._last(note, size, verifier)

    def _frame_entries(self, first: int, count: int, body: bytes, note: bytes) -> None:
        try:
            entries = bundle_entries(body)
        except NoteError as error:
            self.say(f"journal: the commit at {first}: {error}")
            entries = _readable(body)
        if len(entries) != count or first != self.frontier.size:
            self.say(f"journal: the commit at {first} holds {len(entries)} events instead of {count}")
        for offset, entry in enumerate(entries):
            self._event(first + offset, entry)
            self.frontier.append(leaf_hash(entry))
        head = Checkpoint(self.origin, first + count, self.frontier.root())
        if not note.startswith(head.text().encode()):
            self.say(f"journal: events {first} to {first + count - 1} do not give the root they were signed under")

    def _last(self, note: bytes, size: int, verifier: Verifier) -> None:
        """One signature covers all before it, since it stands over the root."""
        try:
            head = open_checkpoint(note, verifier, self.origin)
        except NoteError as error:
            self.say(f"journal: the last commit's checkpoint: {error}")
            return
        if (head.size, head.root) != (size, self.frontier.root()) and size == self.frontier.size:
            self.say(f"journal: the last commit's checkpoint is not over these {size} events")


def _readable(data: bytes) -> list[bytes]:
    """The entries before the one that does not fit."""
    entries, at = [], 0
    while at + 2 <= len(data):
        length = data[at] << 8 | data[at + 1]
        if length == 0 or at + 2 + length > len(data):
            break
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return entries


def _is_width(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 3 and 0 < int(name) < TILE_WIDTH


def _frame(data: bytes, at: int, chain: bytes) -> tuple[int, int, bytes, bytes, bytes, int] | None:
    if at + _FRAME.size > len(data):
        return None
    magic, body, first, count, note = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    end = start + body + note
    if magic != b"AJ01" or end + 32 > len(data) or sha256(chain + data[at:end]).digest() != data[end : end + 32]:
        return None
    return first, count, data[start : start + body], data[start + body : end], data[end : end + 32], end + 32


def verify(
    directory: Path, vkey: str = "", progress: Callable[[int, int], None] = lambda done, total: None
) -> Verified:
    """Check everything; ``vkey`` is the log's key as known from elsewhere (else the folder's own word is taken for it).

    ``progress`` is called every few hundred events with how many are done and how many there are.
    """
    check = _Check(directory, vkey, progress)
    try:
        return check.run()
    except OSError as error:
        check.say(f"{error.filename}: {error.strerror}; the rest was not verified 其余未校验")
        published = check.published.size if check.published else 0
        return Verified(check.origin, published, check.frontier.size, check.tiles, tuple(check.wrong))


def report(found: Verified) -> str:
    """What was found, in lines for people."""
    lines = list(found.mismatches[:MAX_LISTED])
    if len(found.mismatches) > MAX_LISTED:
        lines.append(f"... and {len(found.mismatches) - MAX_LISTED} more")
    tail = found.size - found.published
    events = f"{found.size} events" + (f" ({tail} of them still in the journal)" if tail > 0 else "")
    if found.mismatches:
        lines.append(f"{found.origin}: {events}: {len(found.mismatches)} mismatches, the log is NOT whole 日志不完整")
    else:
        lines.append(f"{found.origin}: {events}, checkpoint {found.published}, every tile and root agree 日志完整")
    return "\n".join(lines)


def main() -> int:
    """Exit 0: whole; 1: something does not match."""
    parser = argparse.ArgumentParser(description="Verify a Sealgate audit log 校验审计日志")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vkey", default="", help="the log's verifier key, known from elsewhere 可信公钥")
    arguments = parser.parse_args()
    found = verify(arguments.folder, arguments.vkey)
    sys.stdout.write(report(found) + "\n")
    return 1 if found.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
