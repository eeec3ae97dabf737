"""Everything in a message that words and numbers are looked for in, normalised once for all scanners."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from scanners.charset import decode
from scanners.disguises import put_together
from scanners.normalise import Normalised, normalise

if TYPE_CHECKING:
    from scanners.message import Message

_HEADERS = frozenset(("comments", "keywords", "organization", "thread-topic", "reply-to", "from", "to", "cc", "sender"))
_TRACE = frozenset(
    (
        "received",
        "dkim-signature",
        "authentication-results",
        "return-path",
        "subject",
        "content-type",
        "content-disposition",
    )
)
_SEPARATOR = "\n\n"


class Place(Enum):
    """Where a text stands."""

    BODY = "body"
    ATTACHMENT = "attachment"
    SUBJECT = "subject"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Reading:
    """One text. ``part`` is the path of its part (with ``~kind`` for a second reading), ``None`` for headers and file names."""

    part: str | None
    place: Place
    normal: Normalised


def readings(message: "Message") -> tuple[Reading, ...]:
    """Subject, headers people read, file names, bodies, attachments, and every second reading of these."""
    found: list[Reading] = []
    if message.subject:
        found.append(Reading(None, Place.SUBJECT, normalise(message.subject)))
    names = [header.text for header in message.headers if _is_read(header.key, header.text)]
    names += [header.text for header in message.all("subject")[1:]]  # which of several is shown differs
    for part in message.parts:
        if part.filename:
            names.append(part.filename)
            if "%" in part.filename:  # web clients undo it
                names.append(unquote(part.filename, errors="ignore"))
    if names:
        found.append(Reading(None, Place.HEADER, normalise(_SEPARATOR.join(names))))
    doubtful = [decode(header.raw).other for header in message.headers if not header.raw.isascii()]
    if any(doubtful):  # 8-bit without a label: Big5 reads as GB18030 too
        found.append(Reading(None, Place.HEADER, normalise(_SEPARATOR.join(doubtful))))
    bodies = set()
    for part in message.parts:
        if part.is_body:
            bodies.add(part.path)
        if part.text:
            found.append(Reading(part.path, Place.BODY if part.is_body else Place.ATTACHMENT, normalise(part.text)))
    for path, text in message.texts.items():
        if text:
            place = Place.BODY if path.partition("~")[0] in bodies else Place.ATTACHMENT
            found.append(Reading(path, place, normalise(text)))
    if message.envelope.direction.value != "inbound":  # whoever takes words apart does so to get them out
        for one in tuple(found):
            joined = put_together(one.normal.data)
            if joined:
                found.append(Reading(f"{one.part}~joined" if one.part else None, one.place, normalise(joined)))
    return tuple(found)


def _is_read(key: str, text: str) -> bool:
    """Headers a client shows, and any other that holds more than ASCII."""
    return key in _HEADERS or (key not in _TRACE and not text.isascii())
