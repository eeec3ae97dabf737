"""What lies behind the end of a picture, a document or an archive: viewers stop at the end, and unpackers begin behind it.

Phones write data of their own there, so that bytes of no known kind are passed over.
"""

import struct

from scanners.attachments import filetype
from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import AMBIGUOUS
from scanners.attachments.reading import Note, Reading

MAX_BLOCKS = 1_000_000
"""Blocks of a picture that are walked, a quarter of a second: an animation of minutes has a tenth."""
SHORTEST = 16
"""Bytes behind the end that can hold anything."""
_ZIPPED = frozenset((*filetype.ZIP_TYPES.values(), "application/java-archive", "application/vnd.oasis.opendocument"))
_QUIET = (*filetype.OPAQUE, filetype.UNKNOWN)


def behind(data: bytes, media_type: str) -> bytes:
    """The bytes after the end of what ``data`` says it is; ``b""`` when there are none, or the end is not known."""
    end = 0
    if media_type == "image/png":
        end = data.rfind(b"IEND\xaeB`\x82")
        end = _png(data) if end >= 0 and len(data) - end > SHORTEST else 0
    elif media_type == "image/jpeg":
        end = _jpeg(data)
    elif media_type == "image/gif":
        end = _gif(data)
    elif media_type in ("image/webp", "audio/wav", "video/x-msvideo"):
        end = 8 + struct.unpack_from("<I", data, 4)[0]
    elif media_type == "image/bmp":
        end = struct.unpack_from("<I", data, 2)[0]
    elif media_type == "application/zip" or media_type in _ZIPPED:
        at = data.rfind(b"PK\x05\x06")
        end = at + 22 + int.from_bytes(data[at + 20 : at + 22], "little") if at >= 0 else 0
    elif media_type == "application/pdf":
        end = data.rfind(b"%%EOF") + 5
    return data[end:] if 10 < end <= len(data) - SHORTEST else b""


def look(data: bytes, media_type: str, reading: Reading) -> str:
    """Open what lies there, if it is of a kind that anybody could use; returns its media type, or ``""``."""
    try:
        tail = behind(data, media_type).lstrip(b"\0\r\n ")
    except LimitReached as limit:
        reading.limited(limit.which, limit.bound)
        return ""
    if len(tail) < SHORTEST:
        return ""
    kind = filetype.detect(tail)
    if kind.media_type.startswith(_QUIET):
        return ""
    reading.note(Note(AMBIGUOUS, f"{kind.media_type} behind the end of {media_type}", about=media_type))
    reading.member("behind", tail, "")
    return kind.media_type


def _png(data: bytes) -> int:
    """Behind the first IEND."""
    place = 8
    for _ in range(MAX_BLOCKS):
        if place + 12 > len(data):
            return 0
        length = int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] == b"IEND":
            return place + 12 + length
        place += 12 + length
    raise LimitReached("pieces", MAX_BLOCKS)


def _jpeg(data: bytes) -> int:
    """Behind the end mark, which cannot stand within the pixels; segments before them may hold a smaller picture."""
    place = 2
    for _ in range(MAX_BLOCKS):
        if data[place : place + 1] != b"\xff" or place + 4 > len(data):
            return 0
        mark = data[place + 1]
        if mark == 0xDA:
            break
        if mark == 0xD9:
            return place + 2
        place += 1 if mark == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    else:
        raise LimitReached("pieces", MAX_BLOCKS)
    end = data.find(b"\xff\xd9", place)
    return end + 2 if end >= 0 else 0


def _gif(data: bytes) -> int:
    """Behind the trailer."""
    if len(data) < 13:
        return 0
    blocks = 0
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    for _ in range(MAX_BLOCKS):
        mark = data[place : place + 1]
        if mark == b";":
            return place + 1
        if mark == b",":
            flags = data[place + 9] if place + 9 < len(data) else 0
            place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif mark == b"!":
            place += 2
        else:
            return 0
        while place < len(data) and data[place]:
            place += 1 + data[place]
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise LimitReached("pieces", MAX_BLOCKS)
        place += 1
    raise LimitReached("pieces", MAX_BLOCKS)
