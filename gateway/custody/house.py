"""Who writes the mail that is our own (bounces, notices), and how such mail is known again."""

import string
from dataclasses import dataclass

from gateway.config import HOUSE_LISTENER
from policies.facts import domain_of
from scanners.message import Envelope
from scanners.mime_reader import Budget, Options, Reader

HEADER_BYTES = 1 << 18
"""Of a header, looked through for a field."""
MAX_ID = 250
"""Characters of a Message-ID that is repeated; RFC 5322 2.1.1 allows lines of 998, and three of our fields may name it."""
_ID_SIGNS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~.@[]:")


@dataclass(frozen=True, slots=True)
class House:
    """Who writes: our name, the postmaster's address and the domains that are ours."""

    hostname: str
    postmaster: str
    local_domains: frozenset[str]

    def is_local(self, address: str) -> bool:
        """Whether the address is in one of our domains."""
        return domain_of(address) in self.local_domains


def written_here(envelope: Envelope) -> bool:
    """Whether the gateway itself wrote it: not judged by content rules, and never answered by a notice."""
    return envelope.listener == HOUSE_LISTENER


def fields(raw: bytes, *names: bytes) -> list[bytes]:
    """The values of every field of these names (small letters) in the message's header, in order."""
    block = Reader(Options(), Budget()).header(raw[:HEADER_BYTES], 0, min(len(raw), HEADER_BYTES), "1")
    return [each.raw for each in block.fields if each.name.lower() in names]


def thread(raw: bytes) -> str:
    """The Message-ID with its brackets, so that what we write stands below that mail; empty unless it can be repeated as it is."""
    found = fields(raw, b"message-id")
    text = found[0].decode("latin-1").strip() if len(found) == 1 else ""
    whole = text.startswith("<") and text.endswith(">") and text.count("@") == 1 and len(text) <= MAX_ID
    return text if whole and set(text[1:-1]) <= _ID_SIGNS else ""
