"""Sealed fields: personal data inside an immutable log, openable only while its keys are alive (audit-log 4).

Every message has a leaf of an erasable key tree, every person in it a leaf of another. A slot's key follows from both, so that
erasing either closes it for ever, while the log's hashes stay as they are.
"""

import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import pybase64
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.event import Event, Place

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

NONCE = bytes(12)
"""Fixed: each slot key encrypts one text, because the event's id is part of what it is derived from."""
NO_SUBJECT = bytes(32)


class SlotError(ValueError):
    """A slot does not open under this key: erased, or not what was sealed."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """One person's key of one month: a leaf of the subject tree, and which leaf."""

    key: bytes = field(repr=False)
    leaf: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """What all events of one message are sealed under: one leaf of a key tree and the keys of the people in it.

    ``subjects`` is by address as ``subject_of`` writes it.
    """

    place: Place
    key: bytes = field(repr=False)
    subjects: Mapping[str, SubjectKey] = field(default_factory=dict, repr=False)


def subject_of(address: str) -> str:
    """The one spelling under which a person's keys are found: NFC, no case, no blanks around."""
    if address.isascii():
        return address.strip().lower()
    plain = address.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair can't travel
    return unicodedata.normalize("NFC", plain.strip().lower())


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def derive(key: bytes, purpose: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) of ``purpose`` under ``key`` of at most 64 bytes; written out, since it takes two thirds of the time."""
    block = key.ljust(64, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + purpose).digest()).digest()


def commit(key: bytes, name: str, content: bytes) -> str:
    """The keyed hash by which a content can later be proven: a plain hash of a short mail could be guessed, and outlive an erasure."""
    digest = derive(key, b"commit\0" + name.encode() + b"\0" + sha256(content).digest())
    return "hmac-sha256:" + pybase64.b64encode_as_string(digest)


def _aad(origin: str, event_id: str, name: str) -> bytes:
    return f"{origin}\0{event_id}\0{name}".encode("utf-8", "backslashreplace")


def _slot_key(key: bytes, subject: bytes, aad: bytes) -> bytes:
    return derive(key + subject, b"slot\0" + aad)


def _hidden_leaf(key: bytes, aad: bytes, leaf: bytes) -> bytes:
    """Which subject leaf a slot needs, readable only with the message's own key; the slot key's commitment vouches for it."""
    pad = derive(key, b"subject\0" + aad)[:8]
    return (int.from_bytes(leaf, "big") ^ int.from_bytes(pad, "big")).to_bytes(8, "big")


def subject_leaf(origin: str, event_id: str, name: str, slot: Sequence[str], key: bytes) -> int | None:
    """The subject leaf a slot needs besides the message's key; None when it needs none. Raises SlotError."""
    if len(slot) < 3:
        return None
    return int.from_bytes(_hidden_leaf(key, _aad(origin, event_id, name), _field(slot, 2, "su:")), "big")


def open_slot(
    origin: str, event_id: str, name: str, slot: Sequence[str], key: bytes, subject: bytes | None
) -> tuple[str, bytes]:
    """The text, and the slot's own key, with which this one slot can be shown to others. Raises SlotError."""
    secret = _slot_key(key, subject or NO_SUBJECT, _aad(origin, event_id, name))
    return open_with(slot, secret), secret


def open_with(slot: Sequence[str], secret: bytes) -> str:
    """The text of a slot under its own key; the commitment is checked, so that no second text can be shown. Raises SlotError."""
    if not hmac.compare_digest(derive(secret, b"commit"), _field(slot, 1, "cm:")):
        raise SlotError("the key is not the one this field was sealed with")
    try:
        return AESGCM(derive(secret, b"enc")).decrypt(NONCE, _field(slot, 0, "ct:"), None).decode()
    except (InvalidTag, UnicodeDecodeError) as error:
        raise SlotError("the field does not open") from error


def _field(slot: Sequence[str], number: int, prefix: str) -> bytes:
    try:
        if slot[number].startswith(prefix):
            return pybase64.b64decode(slot[number][len(prefix) :], validate=True)
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        raise SlotError("malformed sealed field") from error
    raise SlotError("malformed sealed field")


def seal(event: Event, origin: str, key: MessageKey) -> dict[str, tuple[str, ...]]:
    """All sealed slots of an event. Raises KeyError for a person whose key is not in ``key``.

    A slot is ``ct:`` ciphertext, ``cm:`` key commitment and, where it is about a person, ``su:`` the hidden subject leaf. Most slots
    are about nobody, so the two hash states of their common key are made once; the two of a slot's own key serve twice.
    """
    inner, outer = _states(key.key + NO_SUBJECT)
    before = f"{origin}\0{event.id}\0".encode("utf-8", "backslashreplace")
    encode = pybase64.b64encode_as_string
    slots: dict[str, tuple[str, ...]] = {}
    for name, secret in event.sealed.items():
        aad = before + name.encode("utf-8", "backslashreplace")
        subject = key.subjects[subject_of(secret.subject_address)] if secret.subject_address else None
        first, last = _states(key.key + subject.key) if subject else (inner.copy(), outer.copy())
        first.update(b"slot\0" + aad)
        last.update(first.digest())
        own = last.digest().ljust(64, b"\0")
        ipad, opad = own.translate(_INNER), own.translate(_OUTER)
        sealing = AESGCM(sha256(opad + sha256(ipad + b"enc").digest()).digest())
        sealed = "ct:" + encode(sealing.encrypt(NONCE, secret.text.encode("utf-8", "backslashreplace"), None))
        committed = "cm:" + encode(sha256(opad + sha256(ipad + b"commit").digest()).digest())
        if subject is None:
            slots[name] = (sealed, committed)
        else:
            hidden = _hidden_leaf(key.key, aad, subject.leaf.to_bytes(8, "big"))
            slots[name] = (sealed, committed, "su:" + encode(hidden))
    return slots


def _states(key: bytes) -> "tuple[HASH, HASH]":
    """The two hashes of an HMAC under 64 bytes of key, begun."""
    return sha256(key.translate(_INNER)), sha256(key.translate(_OUTER))


def commitments(event: Event, key: MessageKey) -> dict[str, str]:
    """The keyed hashes of an event's contents; equal for equal contents of one message, whatever the event."""
    return {name: commit(key.key, name, content) for name, content in event.commits.items()}
