"""Mail inside mail: .eml files and messages in archives, read by the same reader as the outer one."""

from datetime import UTC, datetime

from scanners import mime
from scanners.attachments.reading import Note, Reading
from scanners.finding import Code
from scanners.message import Direction, Envelope

_ENVELOPE = Envelope("", "", "", Direction.INBOUND, datetime(1970, 1, 1, tzinfo=UTC), None, "", "", "", "", "", ())
"""The inner mail never travelled here; its reader looks at bytes only."""
MAX_DEFECTS = 50
"""Of one inner mail, reported with its own path."""


def read(data: bytes, reading: Reading) -> None:
    """Headers and bodies as text, other parts as members."""
    if data.startswith(b"From ") and b"\nFrom " in data:
        _mailbox(data, reading)
        return
    inner = mime.parse(_ENVELOPE, data)
    reading.say("\n".join(f"{header.name}: {header.text}" for header in inner.headers))
    for defect in inner.defects[:MAX_DEFECTS]:
        if defect.code.startswith("content."):
            reading.note(Note(Code(defect.code, defect.severity, "", ""), defect.summary, defect.about))
    if len(inner.defects) > MAX_DEFECTS:
        reading.limited("findings", MAX_DEFECTS)
    for text in inner.texts.values():
        reading.say(text)
    for part in inner.parts:
        if part.text is not None:
            reading.say(part.text)
        if part.content and not part.is_body:
            reading.budget.unpacked(len(part.content))
            reading.member(part.filename or f"part-{part.path}", part.content, part.labelled)


def _mailbox(data: bytes, reading: Reading) -> None:
    """A file of messages one behind the other, each after a line ``From sender date`` (RFC 4155)."""
    start, number = 0, 0
    while start >= 0:
        following = data.find(b"\nFrom ", start + 1)
        piece = data[start : following if following >= 0 else len(data)]
        number += 1
        reading.budget.unpacked(len(piece))
        reading.member(f"message-{number}.eml", piece.lstrip(b"\r\n").partition(b"\n")[2], "message/rfc822")
        start = following
