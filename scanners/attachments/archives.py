"""Archives of other programs (7z, rar, cab, iso, lha, xar, ar, zstd streams) through libarchive, where it is installed."""

from collections.abc import Iterator
from typing import Any

from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import DECRYPTED, ENCRYPTED
from scanners.attachments.reading import Note, Reading, UnreadableContent

_ENCRYPTED_WORDS = ("encrypt", "passphrase", "password", "Incorrect")
MAX_TRIES = 24
"""Passwords tried on one archive: 7z derives its key with 2^19 rounds of SHA-256."""


class _Locked(Exception):
    """The archive, or a member, wants a password."""


def read(data: bytes, reading: Reading) -> None:
    """Open every member."""
    _all(data, reading, "all")


def read_stream(data: bytes, reading: Reading) -> None:
    """A compressed stream without an archive in it."""
    _all(data, reading, "raw")


def _all(data: bytes, reading: Reading, layout: str) -> None:
    try:
        import libarchive
    except (ImportError, OSError):
        raise UnreadableContent("libarchive is not installed") from None
    for number, word in enumerate((None, *reading.words[:MAX_TRIES])):
        try:
            for name, content in _members(libarchive, data, reading, layout, word):
                if number and word is not None:
                    reading.note(Note(DECRYPTED, "opened with a password from the mail", about=layout))
                    number = 0
                reading.member(name, content, "")
            return
        except _Locked:
            reading.budget.tick()
    reading.note(Note(ENCRYPTED, "encrypted archive", about=layout))


def _members(
    libarchive: Any, data: bytes, reading: Reading, layout: str, word: str | None
) -> Iterator[tuple[str, bytes]]:
    try:
        with libarchive.memory_reader(data, format_name=layout, passphrase=word) as archive:
            for entry in archive:
                name = _name(entry, reading, layout)
                content = _content(entry, len(data), reading)
                if layout != "raw" and not entry.isreg and not content:
                    reading.budget.entry()  # a folder or link; what says so and has content is unpacked by some programs
                    continue
                yield name, content
    except libarchive.exception.ArchiveError as error:
        text = str(error)
        if any(word in text for word in _ENCRYPTED_WORDS):
            raise _Locked from None
        raise UnreadableContent("archive is broken or of an unsupported kind") from None


def _name(entry: Any, reading: Reading, layout: str) -> str:
    if layout == "raw":
        return reading.name.rpartition(".")[0] or "content"
    try:
        return str(entry.pathname or "member")
    except UnicodeError:
        return "member"


def _content(entry: Any, packed: int, reading: Reading) -> bytes:
    room = reading.budget.room()
    total = 0
    blocks: list[bytes] = []
    for block in entry.get_blocks():
        reading.budget.tick()
        total += len(block)
        if total > room:
            reading.budget.unpacked(total)
            raise LimitReached("size", room)
        reading.budget.check_ratio(packed, total)
        blocks.append(bytes(block))
    reading.budget.unpacked(total)
    return b"".join(blocks)
