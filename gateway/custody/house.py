"""Who writes the mail that is our own (bounces, notices), and how such mail is known again."""

from dataclasses import dataclass

from gateway.config import HOUSE_LISTENER
from policies.facts import domain_of
from scanners.message import Envelope


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
