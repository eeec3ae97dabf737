"""S/MIME and signed files (CMS, RFC 5652): what a signature wraps is opened, what is encrypted is said. DER and BER, by hand.

The content of a signed-data may lie inside the signature (opaque signing): mail programs show it as the mail itself.
"""

import zlib
from collections.abc import Iterator

from scanners.attachments.budget import LimitReached
from scanners.attachments.codes import ENCRYPTED
from scanners.attachments.reading import Note, Reading, UnreadableContent
from scanners.attachments.zips import pump
from scanners.encoded import lenient_base64

MAX_PIECES = 200_000
"""Elements looked at: streaming encoders cut content into pieces of one kilobyte."""
MAX_NESTING = 32
"""Constructed strings within each other; encoders use two."""

_CONTENT = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_SIGNED, _ENVELOPED = _CONTENT + b"\x02", _CONTENT + b"\x03"
_ENCRYPTED = _CONTENT + b"\x06"
_SMIME = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01"
_COMPRESSED, _AUTHENTICATED = _SMIME + b"\x09", _SMIME + b"\x17"
_PEM = (b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----", b"-----BEGIN PKCS #7 SIGNED DATA-----")


def kind_of(data: bytes) -> str:
    """``signed``, ``encrypted``, ``compressed``, or ``""`` for bytes that are no CMS."""
    head = data[:40]
    if head[:1] != b"\x30":
        return ""
    if _SIGNED in head:
        return "signed"
    if any(name in head for name in (_ENVELOPED, _ENCRYPTED, _AUTHENTICATED)):
        return "encrypted"
    return "compressed" if _COMPRESSED in head else ""


def is_armoured(data: bytes) -> bool:
    """PEM around a CMS."""
    return data[:60].lstrip().startswith(_PEM)


def read(data: bytes, reading: Reading) -> None:
    """Open the wrapped content as a member; other DER (certificates, keys) has nothing to read."""
    if is_armoured(data):
        data = lenient_base64(b"".join(line for line in data.split(b"\n") if not line.startswith(b"-----")))
    kind = kind_of(data)
    if kind == "encrypted":
        reading.note(Note(ENCRYPTED, "encrypted S/MIME", about="smime"))
    elif kind:
        content = _content(data, reading)
        if kind == "compressed":
            content = pump(zlib.decompressobj(), content, reading)
        if content:
            reading.budget.unpacked(len(content))
            reading.member(_inner_name(reading.name, content), content, "")


def _inner_name(name: str, content: bytes) -> str:
    """A signed mail is a mail; ``offer.pdf.p7m`` is ``offer.pdf``."""
    if content[:2_000].lower().find(b"content-type:") >= 0:
        return "signed.eml"
    base = name.rpartition(".")[0] if name.lower().endswith((".p7m", ".p7s", ".p7b", ".p7c", ".p7z")) else ""
    return base or "signed"


def _content(data: bytes, reading: Reading) -> bytes:
    """eContent of the encapsulated content: the octet string under ``[0]`` behind the second content type."""
    outer = data.find(b"\x06")
    inner = data.find(b"\x06", _after(data, outer))
    while inner >= 0:  # the algorithms of signers come first; content types lie under these two arcs
        if data.startswith((_CONTENT, _SMIME), inner):
            break
        inner = data.find(b"\x06", inner + 1)
    place = _after(data, inner) if inner >= 0 else len(data)
    if data[place : place + 1] != b"\xa0":
        return b""  # a detached signature
    start, _, _ = _header(data, place)
    return b"".join(_strings(data, start, reading))


def _after(data: bytes, place: int) -> int:
    start, length, _ = _header(data, place)
    return start + length


def _header(data: bytes, place: int) -> tuple[int, int, bool]:
    """Where the value at ``place`` begins, its length, and whether its end is marked instead (X.690 8.1.3.6)."""
    if not 0 <= place < len(data) - 1:
        raise UnreadableContent("cms is cut short")
    first = data[place + 1]
    if first < 0x80:
        return place + 2, first, False
    if first == 0x80:
        return place + 2, 0, True
    size = first & 0x7F
    if size > 8:
        raise UnreadableContent("cms length")
    return place + 2 + size, int.from_bytes(data[place + 2 : place + 2 + size], "big"), False


def _strings(data: bytes, place: int, reading: Reading) -> Iterator[bytes]:
    """The pieces of an octet string, however it is cut."""
    ends: list[int] = []
    for number in range(MAX_PIECES):
        if number & 0xFFF == 0:
            reading.budget.tick()
        while ends and 0 <= ends[-1] <= place:
            ends.pop()
        if number and not ends:
            return
        if place >= len(data) - 1:
            return
        if data[place : place + 2] == b"\0\0":  # the end of one whose length was not said
            place += 2
            if ends:
                ends.pop()
            if not ends:
                return
            continue
        start, length, marked = _header(data, place)
        if data[place] & 0x20:
            if len(ends) >= MAX_NESTING:
                raise LimitReached("depth", MAX_NESTING)
            ends.append(-1 if marked else start + length)
            place = start
        else:
            if data[place] == 0x04:
                yield data[start : start + length]
            place = start + length
            if not ends:
                return
    raise LimitReached("nodes", MAX_PIECES)
