"""Single-stream compression (gzip, bzip2, xz) and tar."""

import bz2
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

from scanners.attachments.budget import MAX_MEMBER, LimitReached
from scanners.attachments.codes import AMBIGUOUS
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.attachments.zips import pump

MAX_STREAMS = 1_000
"""Streams one behind the other: parallel compressors write one per megabyte."""

_LONGEST_NAME = 400
"""Bytes of a name that are kept."""


def read_gzip(data: bytes, reading: Reading) -> None:
    """All concatenated streams as one member (RFC 1952)."""
    told, remarks = _gzip_head(data)
    reading.say("\n".join(remarks))
    name = told or _inner_name(reading.name, (".gz", ".tgz"))
    _streams(data, reading, lambda: zlib.decompressobj(31), b"\x1f\x8b", name)


def _streams(data: bytes, reading: Reading, make: Callable[[], Any], magic: bytes, name: str) -> None:
    """Streams one behind the other are one file to every unpacker; a broken one or a bound stops after what came before."""
    out: list[bytes] = []
    rest, trouble, size = data, None, 0
    for _ in range(MAX_STREAMS):
        machine = make()
        try:
            out.append(pump(machine, rest, reading))
        except UnreadableContent as error:
            trouble = error
            break
        size += len(out[-1])
        if size > MAX_MEMBER:
            raise LimitReached("size", MAX_MEMBER)
        rest = machine.unused_data.lstrip(b"\0")  # tapes are padded
        if not rest.startswith(magic):
            _behind(rest, magic, reading)
            break
    else:
        reading.member(name, b"".join(out), "")
        raise LimitReached("streams", MAX_STREAMS)
    if out:
        reading.member(name, b"".join(out), "")
    if trouble is not None:
        raise trouble


def _behind(rest: bytes, magic: bytes, reading: Reading) -> None:
    """What stands behind the last stream is passed over by unpackers, and found by whoever knows that it is there."""
    again = rest.find(magic)
    if rest:
        reading.note(Note(AMBIGUOUS, "bytes behind the compressed stream", about="stream"))
        reading.member("behind", rest[again:] if again >= 0 else rest, "")


def _gzip_head(data: bytes) -> tuple[str, list[str]]:
    """The name of the first stream, and what stands in its extra field and comment (RFC 1952 2.3)."""
    from scanners.attachments import names

    flags, place, name, remarks = data[3] if len(data) > 12 else 0, 10, "", []
    if flags & 4:
        length = int.from_bytes(data[10:12], "little")
        remarks.append(names.decode(data[12 : 12 + length]))
        place = 12 + length
    for flag in (8, 16):
        if flags & flag:
            end = data.find(b"\0", place)
            end = end if end >= 0 else len(data)
            if flag == 8:
                name = names.decode(data[place : min(end, place + _LONGEST_NAME)])
            else:
                remarks.append(names.decode(data[place:end]))
            place = end + 1
    return name, remarks


def _inner_name(name: str, endings: tuple[str, ...]) -> str:
    lowered = name.lower()
    for ending in endings:
        if lowered.endswith(ending):
            stem = name[: -len(ending)]
            return f"{stem}.tar" if ending.startswith(".t") else stem
    return f"{name}.out" if name else "content"


def read_bzip2(data: bytes, reading: Reading) -> None:
    """All streams as one member: parallel compressors write one per 900 kB."""
    _streams(data, reading, bz2.BZ2Decompressor, b"BZh", _inner_name(reading.name, (".bz2", ".tbz2", ".tbz")))


def read_xz(data: bytes, reading: Reading) -> None:
    """All streams as one member; the dictionary may take 64 MB."""

    def machine() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=100_000_000)

    _streams(data, reading, machine, b"\xfd7zXZ\0", _inner_name(reading.name, (".xz", ".txz", ".lzma")))


def read_tar(data: bytes, reading: Reading) -> None:
    """Regular members, those behind an end mark or a broken header too; links and devices are names only."""
    listed: list[str] = []
    try:
        with tarfile.open(
            fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape", ignore_zeros=True
        ) as archive:
            for member in archive:
                name = _tar_name(member.name)
                listed.append(name)
                if not member.isreg():
                    reading.budget.entry()
                    continue
                reading.budget.tick()
                room = reading.budget.room()
                file = archive.extractfile(member)
                content = file.read(room + 1) if file else b""
                reading.budget.unpacked(len(content))
                if len(content) > room:
                    raise LimitReached("size", room)
                reading.member(name, content, "")
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise UnreadableContent(f"tar: {type(error).__name__}") from None
    finally:
        if listed:
            reading.say("\n".join(listed))


def _tar_name(name: str) -> str:
    from scanners.attachments import names

    try:
        return names.decode(name.encode("utf-8", "surrogateescape"))
    except UnicodeError:
        return name.encode("utf-8", "replace").decode()
