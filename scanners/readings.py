"""Everything in a message that words and numbers are looked for in, normalised once for all scanners."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import unquote

from msgspec import Struct

from scanners import bidi, disguises, escapes
from scanners.charset import decode
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
_JOINED_BYTES = 64 * 1024
"""Text up to which all readings are looked at for codes at once: asking takes a third of the time of a short text."""


class Place(Enum):
    """Where a text stands."""

    BODY = "body"
    ATTACHMENT = "attachment"
    SUBJECT = "subject"
    HEADER = "header"


class Reading(Struct, frozen=True):
    """One text. ``part`` is the path of its part (with ``~kind`` for a second reading), ``None`` for headers and file names."""

    part: str | None
    place: Place
    normal: Normalised
    more: bool = False
    """A second reading that does not hold all: a bound was met."""


def readings(message: "Message") -> tuple[Reading, ...]:
    """Subject, headers people read, file names, bodies, attachments, and every second reading of these."""
    found: list[Reading] = []
    room = _Room()
    if message.subject:
        found.append(Reading(None, Place.SUBJECT, normalise(message.subject)))
        found += room.turned(None, Place.SUBJECT, message.subject)
    names = [header.text for header in message.headers if _is_read(header.key, header.text)]
    names += [header.text for header in message.all("subject")[1:]]  # which of several is shown differs
    for part in message.parts:
        if part.filename:
            names.append(part.filename)
            if "%" in part.filename:  # web clients undo it
                names.append(unquote(part.filename, errors="ignore"))
    if names:
        found.append(Reading(None, Place.HEADER, normalise(_SEPARATOR.join(names))))
        found += room.turned(None, Place.HEADER, _SEPARATOR.join(names))
    doubtful = [decode(header.raw).other for header in message.headers if not header.raw.isascii()]
    if any(doubtful):  # 8-bit without a label: Big5 reads as GB18030 too
        found.append(Reading(None, Place.HEADER, normalise(_SEPARATOR.join(doubtful))))
    bodies = set()
    for part in message.parts:
        if part.is_body:
            bodies.add(part.path)
        if part.text:
            place = Place.BODY if part.is_body else Place.ATTACHMENT
            found.append(Reading(part.path, place, normalise(part.text)))
            found += room.turned(part.path, place, part.text)
    for path, text in message.texts.items():
        if text:
            place = Place.BODY if path.partition("~")[0] in bodies else Place.ATTACHMENT
            found.append(Reading(path, place, normalise(text)))
            found += room.turned(path, place, text)
    short = sum(len(one.normal.data) for one in found) < _JOINED_BYTES
    if not short or escapes.may_hold(b"\n".join([one.normal.data for one in found])):
        found += [second for one in tuple(found) for second in room.decoded(one)]
    if message.envelope.direction.value != "inbound":  # whoever takes words apart does so to get them out
        found += [second for one in tuple(found) for second in room.joined(one)]
    return tuple(found)


@dataclass(slots=True)
class _Room:
    """What the second readings of one mail may still look at, all its texts together."""

    pieces: int = bidi.MAX_RUNS
    codes: int = escapes.MAX_SEARCHED
    apart: int = disguises.MAX_SEARCHED

    def turned(self, path: str | None, place: Place, text: str) -> Iterator[Reading]:
        """The text as it is displayed, where marks turn its direction."""
        if bidi.is_turned(text):
            seen = bidi.displayed(text, self.pieces)
            self.pieces -= seen.runs
            yield Reading(_named(path, "displayed"), place, normalise(seen.text), seen.more)

    def decoded(self, one: Reading) -> Iterator[Reading]:
        """What stands in it as codes."""
        said = escapes.undone(one.normal.data, self.codes)
        self.codes -= said.searched
        if said.text or said.more:
            yield Reading(_named(one.part, "decoded"), one.place, normalise(said.text), said.more)

    def joined(self, one: Reading) -> Iterator[Reading]:
        """What was taken apart in it."""
        said = disguises.put_together(one.normal.data, self.apart)
        self.apart -= said.searched
        if said.text or said.more:
            yield Reading(_named(one.part, "joined"), one.place, normalise(said.text), said.more)


def _named(path: str | None, kind: str) -> str | None:
    return f"{path}~{kind}" if path else None


def _is_read(key: str, text: str) -> bool:
    """Headers a client shows, and any other that holds more than ASCII."""
    return key in _HEADERS or (key not in _TRACE and not text.isascii())
