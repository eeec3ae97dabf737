"""What a rule may know beyond the mail, fetched only as far as the rules name it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.config import Config
from policies.facts import Context, fold_address
from scanners.message import Message, Recipient


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Groups, clock and our own domains; ``now`` gives local time."""

    local_domains: frozenset[str]
    groups: Mapping[str, frozenset[str]]
    now: Callable[[], datetime]
    country: Callable[[str], str | None] = lambda domain: None

    @classmethod
    def of(cls, config: Config, now: Callable[[], datetime]) -> "Gatherer":
        """Groups turned round: address -> its groups."""
        turned: dict[str, set[str]] = {}
        for name, people in config.groups:
            for person in people:
                turned.setdefault(fold_address(person), set()).add(name)
        groups = {person: frozenset(names) for person, names in turned.items()}
        return cls(frozenset(config.gateway.local_domains), groups, now)

    async def __call__(self, message: Message, needs: frozenset[str]) -> tuple[tuple[Recipient, Context], ...]:
        """One context per recipient, in their order."""
        envelope = message.envelope
        sender = self._groups(envelope.user or envelope.sender)
        at = self.now()
        return tuple(
            (
                recipient,
                Context(
                    local_domains=self.local_domains,
                    sender_groups=sender,
                    recipient_groups=self._groups(recipient.address),
                    country=self.country(recipient.address.rpartition("@")[2]) if "country" in needs else None,
                    now=at,
                ),
            )
            for recipient in envelope.recipients
        )

    def _groups(self, address: str) -> frozenset[str]:
        return self.groups.get(fold_address(address), frozenset()) if address else frozenset()
