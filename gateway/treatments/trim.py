"""What is taken off a message before any treatment, whether it leaves in its session or from custody, and what is judged for it."""

from collections.abc import Collection
from dataclasses import replace

from gateway.treatments import banner
from policies.facts import domain_of
from scanners.authentication.results import strip_forged
from scanners.message import Direction, Envelope, Message
from scanners.mime import parse


def read(envelope: Envelope, raw: bytes, local: Collection[str]) -> tuple[Message, bytes]:
    """The message to judge, and the bytes that are to leave; on the way in these are still as they came (``trimmed``).

    On the way out it is judged without our banners: taking one off joins what stood before and behind it, so that words which nobody
    saw in what was accepted would stand in what leaves. ``Message.raw`` is what was accepted all the same.
    """
    message = parse(envelope, raw)
    if envelope.direction is Direction.INBOUND or not _leaves_with_banner(message, local):
        return message, raw
    kept = banner.off_replies(raw)
    if kept == raw:
        return message, raw
    return replace(parse(envelope, kept), raw=raw, header_length=message.header_length), kept


def _leaves_with_banner(message: Message, local: Collection[str]) -> bool:
    """Read already, so no encoding need be undone to know it of nearly all mail."""
    return any(banner.SIGN in part.text for part in message.parts if part.text) and any(
        domain_of(person.address) not in local for person in message.envelope.recipients
    )


def trimmed(envelope: Envelope, raw: bytes, header_length: int, authserv_id: str, local: Collection[str]) -> bytes:
    """On the way in without results fields that claim to be ours (RFC 8601 5), on the way out of the company without our own banners.

    The same object where nothing was taken off. ``header_length`` is up to and including the blank line.
    """
    if envelope.direction is Direction.INBOUND:
        kept = strip_forged(raw, header_length, authserv_id)
        return kept[0] if len(kept) == 1 else b"".join(kept)
    return read(envelope, raw, local)[1] if banner.may_be_in(raw) else raw


def trimming(direction: Direction) -> str:
    """What an outcome's event calls it when bytes were taken off."""
    return "forged-results" if direction is Direction.INBOUND else "unbanner"
