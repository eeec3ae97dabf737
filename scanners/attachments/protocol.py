"""What a worker and a decoder say to each other: one job per connection, every field bounded on both sides.

Worker: a frame (4 bytes length, big-endian, then msgpack) with the memfd holding all bytes as SCM_RIGHTS on its first byte.
Decoder: ``ACCEPTED`` at once, then one frame with the Answer, then it closes. An end of file instead means that it died.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

ACCEPTED = b"\x06"
"""Sent when a decoder has taken the job: a wait before it is queueing, after it decoding."""
MAX_PARTS = 1_000
"""Parts in one job; a message never has more leaves (the MIME reader's bound)."""
MAX_FOUND = 4_000
"""Parts in one answer: the job's own and at most ``budget.MAX_ENTRIES`` members."""
MAX_FINDINGS = 4_000
"""Findings in one answer; ``Inspection`` stops collecting before that."""
MAX_JOB = 2_000_000
"""Bytes of a job's frame: names, types and password candidates, never content."""
MAX_ANSWER = 80_000_000
"""Bytes of an answer's frame: ``budget.MAX_TEXT`` characters at up to 4 bytes, and names."""

Path = Annotated[str, Meta(max_length=8_192)]
Name = Annotated[str, Meta(max_length=1_024)]
Word = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=16_000_000)]
Amount = Annotated[int, Meta(ge=0)]


class JobPart(msgspec.Struct, frozen=True, array_like=True):
    """One attachment: where its bytes lie in the memfd and what the mail says about it."""

    path: Path
    declared: Name
    filename: Name
    offset: Amount
    length: Amount
    sha256: Annotated[str, Meta(max_length=64)] = ""
    """Hex, as the worker has it already; empty when it has not."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """All attachments of one message. ``time_ms``: decoding stops with a finding then; a second later the decoder dies."""

    parts: Annotated[tuple[JobPart, ...], Meta(max_length=MAX_PARTS)]
    words: Annotated[tuple[Word, ...], Meta(max_length=128)]
    time_ms: Amount


class FoundPart(msgspec.Struct, frozen=True, array_like=True):
    """A part as the decoder saw it: a part of the job (same path) or a member of one (``path!member``)."""

    path: Path
    media_type: Name
    filename: Name
    size: Amount
    sha256: Annotated[str, Meta(max_length=64)]
    text: Text | None
    other: Text = ""
    """A second reading of the same bytes, where the charset is in doubt."""


class FoundFinding(msgspec.Struct, frozen=True, array_like=True):
    """A Finding on the wire; ``offset`` -1 means none."""

    code: Word
    severity: Annotated[int, Meta(ge=0, le=4)]
    summary: Name
    path: Path
    about: Name
    count: Amount
    offset: int
    length: Amount


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What was found; ``version`` is that of the YARA rules it was found with."""

    version: Word
    parts: Annotated[tuple[FoundPart, ...], Meta(max_length=MAX_FOUND)]
    findings: Annotated[tuple[FoundFinding, ...], Meta(max_length=MAX_FINDINGS)]


def frame(message: Job | Answer) -> bytes:
    """The message with its length in front."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(4, "big") + body


def clip(text: str, length: int = 1_024) -> str:
    """Shorten to what a field may hold, and make it encodable (a lone surrogate has no UTF-8)."""
    if len(text) > length:
        text = text[: length - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")
