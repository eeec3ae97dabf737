"""What is taken off a message before any treatment, whether it leaves in its session or from custody."""

from collections.abc import Collection

from gateway.treatments.banner import off_replies
from policies.facts import domain_of
from scanners.authentication.results import strip_forged
from scanners.message import Direction, Envelope


def trimmed(envelope: Envelope, raw: bytes, header_length: int, authserv_id: str, local: Collection[str]) -> bytes:
    """On the way in without results fields that claim to be ours (RFC 8601 5), on the way out of the company without our own banners.

    The same object where nothing was taken off. ``header_length`` is up to and including the blank line.
    """
    if envelope.direction is Direction.INBOUND:
        kept = strip_forged(raw, header_length, authserv_id)
        return kept[0] if len(kept) == 1 else b"".join(kept)
    leaves = any(domain_of(person.address) not in local for person in envelope.recipients)
    return off_replies(raw) if leaves else raw


def trimming(direction: Direction) -> str:
    """What an outcome's event calls it when bytes were taken off."""
    return "forged-results" if direction is Direction.INBOUND else "unbanner"
