"""Damage to the log's files into its recovery: it opens with every acknowledged line, or refuses with LogDamaged."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from audit import journal
from audit.log import Log, LogDamaged
from tests.audit.events import entry, open_log
from tests.fuzz.target import Target

MEMORY = Path("/dev/shm")
"""Where there is one, the log of an input lies in memory: every commit waits for its disk."""
EDIT = 4
"""Octets of one edit: which file, where (two), what."""


class Recovery:
    """A log of some commits, half of them published, and the files to damage."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sealgate-", dir=MEMORY if MEMORY.is_dir() else None)
        self._source = Path(self._folder.name) / "source"
        log = open_log(self._source)
        for number in range(8):
            log.append([entry(number * 10 + offset, 30 * number) for offset in range(1 + number % 3)])
            if number == 3:
                log.publish()
        self._known = _lines(log)
        log.close()
        self._files = sorted(
            path.relative_to(self._source)
            for path in self._source.rglob("*")
            if path.is_file() and path.name not in ("lock", journal.SPARE)
        )
        self._end = journal.read_segment(journal.segment_paths(self._source / "journal")[0]).end

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.cleanup()

    def run(self, data: bytes) -> None:
        """Edits of four octets: a file, a place in it, and the value put there; the last rest is written at the last place."""
        target = Path(self._folder.name) / "damaged"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self._source, target)
        for at in range(0, min(len(data), 60 * EDIT), EDIT):
            edit = data[at : at + EDIT]
            if len(edit) == EDIT:
                self._damage(target / self._files[edit[0] % len(self._files)], edit[1] << 8 | edit[2], edit[3], data)
        try:
            log = open_log(target)
        except LogDamaged:
            return
        try:
            assert _lines(log)[: len(self._known)] == self._known, "acknowledged lines are gone"
        except LogDamaged:
            return
        finally:
            log.close()

    def _damage(self, path: Path, place: int, value: int, data: bytes) -> None:
        if not path.exists():
            return
        path.chmod(0o600)
        content = bytearray(path.read_bytes())
        kind, at = place >> 14, (place & 0x3FFF) % max(1, min(len(content), self._end + 64))
        if kind == 0 and content:
            content[at] ^= value or 1
        elif kind == 1:
            del content[at : at + 1 + value]
        elif kind == 2:
            content[at : at + value] = bytes(len(content[at : at + value]))
        else:
            content[at : at + len(data)] = data[: len(content) - at]
        path.write_bytes(content)


def _lines(log: Log) -> list[bytes]:
    return [line for _, line in log.entries(0)]


def seeds() -> Iterator[bytes]:
    """No damage, and one of each kind to each file."""
    yield b""
    for file in range(8):
        for kind in (0x00, 0x40, 0x80, 0xC0):
            yield bytes([file, kind, 60, 40])


def target() -> Target:
    """For the runner."""
    recovery = Recovery()
    return Target("journal", recovery.run, seeds, max_bytes=512, close=recovery.close)
