"""TNEF (winmail.dat): body and attachments that Outlook packs into one part."""

from typing import Any

from scanners import charset, text
from scanners.attachments import lzfu
from scanners.attachments.reading import Reading, UnreadableContent


def read(data: bytes, reading: Reading) -> None:
    """Bodies as text, attachments as members."""
    try:
        from tnefparse import TNEF
    except ImportError:
        raise UnreadableContent("tnefparse is not installed") from None
    try:
        found: Any = TNEF(data, do_checksum=False)
    except Exception as error:  # the parser raises whatever struct and slicing raise
        raise UnreadableContent(f"tnef: {type(error).__name__}") from None
    for body in (found.body, found.htmlbody, found.rtfbody):
        _body(body, reading)
    for attachment in found.attachments:
        name = attachment.long_filename() or attachment.name or "attachment"
        if isinstance(name, bytes):
            name = charset.decode(name).text
        content = bytes(attachment.data or b"")
        reading.budget.unpacked(len(content))
        reading.member(str(name).rstrip("\0"), content, "")
    if not _whole(data):
        raise UnreadableContent("tnef is damaged")


def _whole(data: bytes) -> bool:
    """True when the attributes fill the file to its end (MS-OXTNEF 2.1.3); the library stops silently where they do not."""
    position = 6
    while position + 9 <= len(data):
        if data[position] not in (1, 2):
            return False
        position += 9 + int.from_bytes(data[position + 5 : position + 9], "little") + 2
    return position <= len(data) and not data[position:].strip(b"\0")


def _body(body: Any, reading: Reading) -> None:
    if not body:
        return
    if isinstance(body, list):
        body = body[0]
    raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
    if raw[8:12] in (b"LZFu", b"MELA"):
        raw = lzfu.decompress(raw, reading)
        reading.budget.unpacked(len(raw))
    if raw.startswith(b"{\\rtf"):
        reading.member("body.rtf", raw, "application/rtf")
        return
    shown = charset.decode(raw).text if isinstance(body, bytes) else str(body)
    reading.say(text.read(shown).visible if "<" in shown else shown)
