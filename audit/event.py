"""What the log remembers: an Event, and its one byte form.

The byte form is JSON on one line in a fixed order of keys. It is made once, by whoever records the event; after that only the bytes
count: they are hashed, stored and shown as they are, and never written again from parsed fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeAlias

import msgspec
from msgspec import Struct

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MAX_LINE = 32 * 1024
"""Bytes of one event. An entry bundle gives a length 16 bits; half of that leaves room for formats to come."""
SPLIT_ABOVE = 24 * 1024
"""Bytes from which an event goes on in ``message.part`` events of the same frame."""
MAX_PARTS = 64
"""Continuations of one event: 1.5 MB of findings about one mail is more than anybody reads."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
ENVELOPE = frozenset(
    {"v", "id", "type", "time", "node", "tenant", "session", "msg", "dir", "actor"}
    | {"outcome", "reason", "commits", "prev", "refs", "k", "sealed"}
)
"""Keys that public fields may not take."""
_encode = msgspec.json.Encoder().encode


class EventTooLarge(ValueError):
    """The event does not fit, even in continuations."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: a role (``system``, ``operator``, ``auditor``) and an internal id, never an address."""

    role: str
    id: str


class Secret(Struct, frozen=True):
    """Personal text of one sealed slot. ``subject_address`` is the person it is about: erasing that person closes the slot."""

    text: str
    subject_address: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``public`` never holds personal data and is stored in clear beside the envelope's own keys. ``sealed`` is encrypted slot by slot.
    ``commits`` are contents of which only a keyed hash is logged. ``prev`` is the id of the event answered, ``refs`` other events.
    """

    id: str
    type: str
    at: datetime
    actor: Actor
    outcome: str
    reason: str = ""
    msg: str = ""
    session: str = ""
    dir: str = ""
    public: Mapping[str, JSON] = field(default_factory=dict)
    sealed: Mapping[str, Secret] = field(default_factory=dict)
    commits: Mapping[str, bytes] = field(default_factory=dict)
    prev: str = ""
    refs: tuple[str, ...] = ()


class Place(Struct, frozen=True):
    """Where a message's key stands in the key trees: retention class, month (``2026-11``) and leaf."""

    retention: str
    month: str
    leaf: int


def new_id(now_ms: int, randomness: bytes) -> str:
    """A ULID: 48 bits of Unix milliseconds and 80 of randomness, 26 characters that sort by time."""
    if not 0 <= now_ms < 1 << 48 or len(randomness) != 10:
        raise ValueError("a ULID takes 48 bits of milliseconds and 10 random bytes")
    number = now_ms << 80 | int.from_bytes(randomness, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def id_time_ms(identifier: str) -> int:
    """Unix milliseconds of a ULID. Raises ValueError if it is none."""
    if len(identifier) != 26:
        raise ValueError("a ULID has 26 characters")
    number = 0
    for character in identifier[:10]:
        number = number << 5 | _CROCKFORD.index(character)
    return number


def derived_id(identifier: str, purpose: str) -> str:
    """An id that always follows from another one, so that whoever repeats the deed repeats the id and the log drops it."""
    digest = sha256(f"{identifier}\0{purpose}".encode()).digest()
    return new_id(id_time_ms(identifier), digest[:10])


def timestamp(at: datetime) -> str:
    """RFC 3339 with milliseconds in UTC. Raises ValueError for a time without zone."""
    if at.tzinfo is None:
        raise ValueError("an event's time needs a zone")
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def line(
    event: Event,
    node: str,
    place: Place | None = None,
    sealed: Mapping[str, Sequence[str]] | None = None,
    commits: Mapping[str, str] | None = None,
    tenant: str = "default",
) -> bytes:
    """The one byte form of ``event``; ``sealed`` and ``commits`` are the slots and keyed hashes already made (audit.sealing).

    Raises ValueError if a public key collides with the envelope, EventTooLarge above MAX_LINE.
    """
    public = event.public
    if not ENVELOPE.isdisjoint(public):
        raise ValueError(f"public fields may not be named {sorted(ENVELOPE.intersection(public))}")
    record: dict[str, object] = {
        "v": 1,
        "id": event.id,
        "type": event.type,
        "time": timestamp(event.at),
        "node": node,
        "tenant": tenant,
        "session": event.session,
        "msg": event.msg,
        "dir": event.dir,
        "actor": {"role": event.actor.role, "id": event.actor.id},
        "outcome": event.outcome,
        "reason": event.reason,
    }
    record.update(public)
    if commits:
        record["commits"] = commits
    record["prev"] = event.prev
    record["refs"] = event.refs
    if place is not None:
        record["k"] = (place.retention, place.month, place.leaf)
    if sealed:
        record["sealed"] = sealed
    try:
        data = _encode(record)
    except (
        UnicodeEncodeError
    ):  # half a surrogate pair from somebody's mail; escaped, so that every reader gets valid UTF-8
        data = _encode(_escaped(record))
    if len(data) > MAX_LINE:
        raise EventTooLarge(f"{event.type}: {len(data)} bytes, at most {MAX_LINE}")
    return data


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_escaped(item) for item in value]
    return value
