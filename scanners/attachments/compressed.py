"""Single-stream compression (gzip, bzip2, xz) and tar."""

import bz2
import io
import lzma
import tarfile
import zlib

from scanners.attachments.budget import LimitReached
from scanners.attachments.reading import Reading, UnreadableContent
from scanners.attachments.zips import pump

MAX_STREAMS = 64
"""Concatenated gzip members: parallel compressors write one per megabyte."""


def read_gzip(data: bytes, reading: Reading) -> None:
    """All concatenated streams as one member (RFC 1952)."""
    out: list[bytes] = []
    rest = data
    for _ in range(MAX_STREAMS):
        machine = zlib.decompressobj(31)
        try:
            out.append(pump(machine, rest, reading))
        except UnreadableContent:
            if not out:
                raise
            break
        rest = machine.unused_data
        if not rest.startswith(b"\x1f\x8b"):
            break
    reading.member(_gzip_name(data) or _inner_name(reading.name, (".gz", ".tgz")), b"".join(out), "")


def _gzip_name(data: bytes) -> str:
    from scanners.attachments import names

    if len(data) < 12 or not data[3] & 8 or data[3] & 4:
        return ""
    return names.decode(data[10 : data.find(b"\0", 10, 400)])


def _inner_name(name: str, endings: tuple[str, ...]) -> str:
    lowered = name.lower()
    for ending in endings:
        if lowered.endswith(ending):
            stem = name[: -len(ending)]
            return f"{stem}.tar" if ending.startswith(".t") else stem
    return f"{name}.out" if name else "content"


def read_bzip2(data: bytes, reading: Reading) -> None:
    """One member."""
    reading.member(_inner_name(reading.name, (".bz2", ".tbz2", ".tbz")), pump(bz2.BZ2Decompressor(), data, reading), "")


def read_xz(data: bytes, reading: Reading) -> None:
    """One member; the dictionary may take 64 MB."""
    machine = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=100_000_000)
    reading.member(_inner_name(reading.name, (".xz", ".txz", ".lzma")), pump(machine, data, reading), "")


def read_tar(data: bytes, reading: Reading) -> None:
    """Regular members; links and devices are names only."""
    listed: list[str] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                name = _tar_name(member.name)
                listed.append(name)
                if not member.isreg():
                    reading.budget.entry()
                    continue
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
