"""Small helpers for tests that read mail."""

from datetime import UTC, datetime

from scanners import mime
from scanners.message import Direction, Envelope, Message, Recipient

AT = datetime(2026, 11, 22, 2, 10, tzinfo=UTC)


def envelope(direction: Direction = Direction.INBOUND) -> Envelope:
    """An envelope nobody looks at."""
    return Envelope(
        "01M", "01S", "inbound", direction, AT, "198.18.0.7", "127.0.0.1", "client.test", "", "", "a@acme.test", (Recipient("b@corp.test"),)
    )  # fmt: skip


def read(raw: bytes | str, direction: Direction = Direction.INBOUND) -> Message:
    """Parse; text is UTF-8 with CRLF."""
    data = raw if isinstance(raw, bytes) else raw.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    return mime.parse(envelope(direction), data)


def plain(text: str, direction: Direction = Direction.INBOUND) -> Message:
    """A message with this UTF-8 text."""
    return read(b"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode(), direction)


def everything(message: Message) -> str:
    """All text and all decoded bytes of a message, to look for what must have been seen."""
    pieces = [part.text or "" for part in message.parts] + list(message.texts.values())
    pieces += [part.content.decode("latin-1") for part in message.parts]
    return "\n".join(pieces)


def kinds(message: Message, code: str = "mime.ambiguous") -> set[str]:
    """What the findings of that code are about."""
    return {finding.about for finding in message.defects if finding.code == code}
