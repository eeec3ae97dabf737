"""ZIP, read the way attackers and all programs read it: by the central directory, and by what lies between the entries it names.

Own reader, since the standard one believes headers: here sizes are what the streams give, within the budget (APPNOTE 6.3.10).
"""

import bz2
import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from scanners.attachments import names as charsets
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import AMBIGUOUS, DECRYPTED, ENCRYPTED, UNREADABLE
from scanners.attachments.filetype import ZIP_TYPES, extension
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.attachments.zipcrypto import decrypt_aes, decrypt_classic

_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_END = struct.Struct("<4sHHHHIIH")
MAX_LISTED = 20_000
"""Directory entries parsed; more is a bomb (the budget allows 2 000 to be opened)."""
_TAIL = 66_000
"""The end record lies within 65 557 bytes of the end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as a directory or its local header describes it. ``start`` is the local header's place, ``data`` that of its bytes."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    start: int
    data: int
    extra: bytes
    time: int

    @property
    def encrypted(self) -> bool:
        """Bit 0 of the general purpose flags."""
        return bool(self.flags & 1)


@dataclass(frozen=True, slots=True)
class Directory:
    """All members: those the central directory names, then ones only found between them; ``doubts`` are the contradictions met."""

    entries: tuple[Entry, ...]
    doubts: tuple[str, ...]
    remarks: tuple[bytes, ...] = ()
    """Comments of the archive and of its members: programs show them beside the names."""


def directory(data: bytes) -> Directory:
    """Both readings of the archive."""
    doubts: list[str] = []
    end, shift = _find_end(data, doubts)
    remarks: list[bytes] = [_remark(data)]
    entries = list(_central(data, end, shift, doubts, remarks)) if end is not None else []
    if end is None:
        doubts.append("no central directory")
    spans = sorted((entry.start, entry.data + entry.packed) for entry in entries)
    hidden: list[Entry] = []
    position = 0
    for start, stop in [*spans, (len(data), len(data))]:
        if start > position:
            hidden.extend(_between(data, position, start))
        elif start < position and start < len(data):
            doubts.append("entries overlap")
        position = max(position, stop)
    if hidden and end is not None:
        doubts.append("members missing from the central directory")
    return Directory((*entries, *hidden)[:MAX_LISTED], tuple(dict.fromkeys(doubts)), tuple(filter(None, remarks)))


def _remark(data: bytes) -> bytes:
    """The archive's own comment, at its very end."""
    at = data.rfind(b"PK\x05\x06", max(0, len(data) - _TAIL))
    return data[at + _END.size : at + _END.size + int.from_bytes(data[at + 20 : at + 22], "little")] if at >= 0 else b""


def _find_end(data: bytes, doubts: list[str]) -> tuple[tuple[int, int, int] | None, int]:
    """The last end record whose directory is where it says, as (offset, size, count); and how far junk in front shifts all."""
    position = len(data)
    for tries in range(16):
        position = data.rfind(b"PK\x05\x06", max(0, len(data) - _TAIL) if tries == 0 else 0, position)
        if position < 0:
            return None, 0
        if position + _END.size > len(data):
            continue
        _, _, _, _, count, size, offset, _ = _END.unpack_from(data, position)
        if offset == 0xFFFFFFFF or count == 0xFFFF:
            size, offset, count = _zip64(data, position, size, offset, count)
        if data[offset : offset + 4] == b"PK\x01\x02" and offset + size <= position:
            return (offset, size, count), 0
        actual = position - size
        if actual >= 0 and (data[actual : actual + 4] == b"PK\x01\x02" or size == 0):
            if size:
                doubts.append("bytes in front of the archive")
            return (actual, size, count), max(0, actual - offset)
    return None, 0


def _zip64(data: bytes, position: int, size: int, offset: int, count: int) -> tuple[int, int, int]:
    place = data.rfind(b"PK\x06\x06", max(0, position - 200), position)
    if place < 0 or place + 56 > len(data):
        return size, offset, count
    count, size, offset = struct.unpack_from("<QQQ", data, place + 32)
    return size, offset, count


def _central(
    data: bytes, end: tuple[int, int, int], shift: int, doubts: list[str], remarks: list[bytes]
) -> Iterator[Entry]:
    position = end[0]
    for _ in range(MAX_LISTED):
        if data[position : position + 4] != b"PK\x01\x02" or position + _CENTRAL.size > len(data):
            return
        fields = _CENTRAL.unpack_from(data, position)
        _, _, _, flags, method, time, _, crc, packed, size, names, extras, comments, _, _, _, offset = fields
        after = position + _CENTRAL.size
        raw = data[after : after + names]
        extra = data[after + names : after + names + extras]
        position = after + names + extras + comments
        if comments:
            remarks.append(data[position - comments : position])
        size, packed, offset = _sizes64(extra, size, packed, offset)
        start = offset + shift
        if data[start : start + 4] != b"PK\x03\x04" or start + _LOCAL.size > len(data):
            doubts.append("an entry without its local header")
            continue
        _, _, local_flags, local_method, _, _, local_crc, local_packed, local_size, local_names, local_extras = (
            _LOCAL.unpack_from(data, start)
        )
        body = start + _LOCAL.size + local_names + local_extras
        local_raw = data[start + _LOCAL.size : start + _LOCAL.size + local_names]
        if local_raw != raw and _name(local_raw, local_flags, b"") != _name(raw, flags, extra):
            doubts.append("names differ between directory and entry")
        if local_method != method or (local_flags ^ flags) & 1:
            doubts.append("methods differ between directory and entry")
        if not local_flags & 8 and local_packed not in (packed, 0xFFFFFFFF):
            doubts.append("sizes differ between directory and entry")
        yield Entry(_name(raw, flags, extra), method, flags, crc, packed, size, start, body, extra, time)
        told = not local_flags & 8 and local_packed != 0xFFFFFFFF
        length, local_size = (local_packed, local_size) if told else (packed, size)
        if (local_method, local_flags & 1, length) != (method, flags & 1, packed) or local_raw != raw:
            name = _name(local_raw, local_flags, b"")  # unpackers that stream go by what stands before the data
            crc = local_crc if told else crc
            yield Entry(name, local_method, local_flags, crc, length, local_size, start, body, extra, time)


def _between(data: bytes, start: int, stop: int) -> Iterator[Entry]:
    """Members by their local headers in a stretch that no directory entry covers."""
    position = start
    for _ in range(MAX_LISTED):
        position = data.find(b"PK\x03\x04", position, stop)
        if position < 0 or position + _LOCAL.size > len(data):
            return
        _, _, flags, method, time, _, crc, packed, size, names, extras = _LOCAL.unpack_from(data, position)
        body = position + _LOCAL.size + names + extras
        if method not in (0, 8, 9, 12, 14, 93, 95, 98, 99) or not names or body > stop:
            position += 4
            continue
        raw = data[position + _LOCAL.size : position + _LOCAL.size + names]
        extra = data[position + _LOCAL.size + names : body]
        size, packed, _ = _sizes64(extra, size, packed, 0)
        known = packed if not flags & 8 and body + packed <= stop else stop - body
        yield Entry(_name(raw, flags, extra), method, flags, crc, known, size, position, body, extra, time)
        position = body + (packed if not flags & 8 and body + packed <= stop else 0)


def _sizes64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    field = _extra(extra, 1)
    values = [struct.unpack_from("<Q", field, place)[0] for place in range(0, len(field) - 7, 8)]
    if size == 0xFFFFFFFF and values:
        size = values.pop(0)
    if packed == 0xFFFFFFFF and values:
        packed = values.pop(0)
    if offset == 0xFFFFFFFF and values:
        offset = values.pop(0)
    return size, packed, offset


def _extra(extra: bytes, wanted: int) -> bytes:
    position = 0
    while position + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, position)
        if number == wanted:
            return extra[position + 4 : position + 4 + length]
        position += 4 + length
    return b""


def _name(raw: bytes, flags: int, extra: bytes) -> str:
    """The name by its flag, its Unicode field, or the likeliest charset (Chinese Windows writes GBK without a flag)."""
    if flags & 0x800:
        return raw.decode("utf-8", "replace")
    unicode_path = _extra(extra, 0x7075)
    if len(unicode_path) > 5 and struct.unpack_from("<I", unicode_path, 1)[0] == zlib.crc32(raw):
        return unicode_path[5:].decode("utf-8", "replace")
    if raw.isascii():
        return raw.decode("ascii")
    return charsets.decode(raw)


def read(data: bytes, reading: Reading) -> None:
    """Open every member."""
    found = directory(data)
    if not found.entries and not found.doubts:
        return
    if not found.entries:
        raise UnreadableContent("no entry can be found")
    doubts = [doubt for doubt in found.doubts if doubt != "bytes in front of the archive"]
    if doubts:
        reading.note(Note(AMBIGUOUS, "zip: " + ", ".join(doubts), about="zip"))
    reading.say("\n".join(entry.name for entry in found.entries))
    reading.say("\n".join(charsets.decode(remark) for remark in found.remarks))
    locked = 0
    broken = 0
    for entry in found.entries:
        if entry.name.endswith("/") and not entry.packed:
            continue
        try:
            content = extract(data, entry, reading)
        except Locked:
            locked += 1
            reading.note(Note(ENCRYPTED, "encrypted member of a zip", about="zip"))
            _label_only(entry, reading)
            continue
        except UnreadableContent:
            broken += 1
            _label_only(entry, reading)
            continue
        reading.member(entry.name, content, "")
    if broken:
        raise UnreadableContent(f"{broken} of {len(found.entries)} members cannot be unpacked")


def _label_only(entry: Entry, reading: Reading) -> None:
    """A member that cannot be opened still has a name that says something."""
    from scanners.attachments import filetype
    from scanners.attachments.codes import DANGEROUS, DOUBLE_EXTENSION

    danger = extension(entry.name)
    if danger in filetype.EXECUTABLE:
        reading.note(Note(DANGEROUS, f"dangerous type by name inside: {danger}", about=danger))
    if filetype.disguised(entry.name):
        reading.note(
            Note(DOUBLE_EXTENSION, "a member's name disguises its extension", about=filetype.disguised(entry.name))
        )


class Locked(Exception):
    """No candidate opens it."""


def extract(data: bytes, entry: Entry, reading: Reading) -> bytes:
    """The member's bytes, whatever size the headers claim.

    Raises:
        UnreadableContent: method unknown or stream broken at its start.
        LimitReached: a bound of the budget.
        Locked: encrypted, and no candidate fits.
    """
    packed = data[entry.data : entry.data + entry.packed]
    method = entry.method
    if entry.encrypted:
        packed, method = _unlock(packed, entry, reading)
    out = inflate(packed, method, reading)
    if entry.encrypted and zlib.crc32(out) != entry.crc and entry.method != 99:
        raise Locked
    return out


def _unlock(packed: bytes, entry: Entry, reading: Reading) -> tuple[bytes, int]:
    if entry.method == 99:
        field = _extra(entry.extra, 0x9901)
        strength = field[4] if len(field) >= 7 else 0
        opened = decrypt_aes(packed, strength, reading.words)
        method = struct.unpack_from("<H", field, 5)[0] if len(field) >= 7 else 0
    else:
        check = (entry.time >> 8) if entry.flags & 8 else (entry.crc >> 24)
        opened = decrypt_classic(
            packed, check & 0xFF, reading.words, lambda plain: _fits(plain, entry), reading.budget.tick
        )
        method = entry.method
    if opened is None:
        raise Locked
    reading.note(Note(DECRYPTED, "opened with a password from the mail", about="zip"))
    return opened, method


def _fits(plain: bytes, entry: Entry) -> bool:
    """One candidate in 256 passes the check byte; the checksum settles it."""
    if entry.method == 0:
        return zlib.crc32(plain) == entry.crc
    try:
        unpacked = zlib.decompressobj(-15).decompress(plain, 64_000_000)
    except zlib.error:
        return False
    return zlib.crc32(unpacked) == entry.crc


def inflate(packed: bytes, method: int, reading: Reading) -> bytes:
    """Unpack one stream within the budget."""
    if method == 0:
        if len(packed) > reading.budget.room():
            raise LimitReached("bytes", reading.budget.room())
        reading.budget.unpacked(len(packed))
        return packed
    if method == 8:
        return pump(zlib.decompressobj(-15), packed, reading)
    if method == 12:
        return pump(bz2.BZ2Decompressor(), packed, reading)
    if method == 14 and len(packed) > 9:
        try:
            properties = lzma._decode_filter_properties(lzma.FILTER_LZMA1, packed[4:9])  # type: ignore[attr-defined]
        except lzma.LZMAError:
            raise UnreadableContent("lzma header") from None
        return pump(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties]), packed[9:], reading, marked=False)
    raise UnreadableContent(f"compression method {method}")


_STEP = 1_000_000
"""Bytes asked of a decompressor at a time: between steps time and ratio are looked at."""


def pump(machine: object, packed: bytes, reading: Reading, *, marked: bool = True) -> bytes:
    """Run a decompressor to its end or a bound. What came before a broken end is kept and said; nothing at all is UnreadableContent.
    ``marked``: the format says where its stream ends."""
    room = reading.budget.room()
    out: list[bytes] = []
    total = 0
    pending = packed
    while True:
        reading.budget.tick()
        try:
            chunk = machine.decompress(pending, _STEP)  # type: ignore[attr-defined]
        except (zlib.error, OSError, lzma.LZMAError, EOFError):
            if not out:
                raise UnreadableContent("broken stream") from None
            break
        pending = getattr(machine, "unconsumed_tail", b"")
        total += len(chunk)
        out.append(chunk)
        if total > room:
            reading.budget.unpacked(total)
            raise LimitReached("size", room)
        reading.budget.check_ratio(len(packed), total)
        if machine.eof or not chunk:  # type: ignore[attr-defined]
            break
    reading.budget.unpacked(total)
    if marked and not machine.eof:  # type: ignore[attr-defined]
        reading.note(Note(UNREADABLE, "a compressed stream breaks off", about="stream"))
    return b"".join(out)


_CLASSES = {"jar": "application/java-archive", "apk": "application/vnd.android.package-archive"}


def inner_type(data: bytes, name: str) -> str:
    """What a zip is: OOXML or ODF by its members' folders, Java or Android archives, else plain zip. Looks at the directory only."""
    found = directory(data)
    names = {entry.name.replace("\\", "/") for entry in found.entries[:500]}
    lowered = {name.lower() for name in names}
    if "[content_types].xml" in lowered or any(name.startswith("_rels/") for name in lowered):
        for folder, media_type in ZIP_TYPES.items():
            if any(member.startswith(folder) for member in lowered):
                return media_type
    if "content.xml" in lowered and ("mimetype" in lowered or "meta-inf/manifest.xml" in lowered):
        return "application/vnd.oasis.opendocument"
    if "androidmanifest.xml" in lowered:
        return _CLASSES["apk"]
    if "meta-inf/manifest.mf" in lowered and any(member.endswith(".class") for member in lowered):
        return _CLASSES["jar"]
    return "application/zip"
