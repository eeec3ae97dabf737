"""What a rule may know beyond the mail, fetched only as far as the rules name it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.config import Config
from gateway.context.correspondents import Correspondents
from gateway.context.geography import Geography
from policies.facts import Context, fold_address
from policies.mailbox import from_addresses
from scanners.message import Direction, Message, Recipient


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Groups, clock, our own domains, places and correspondents; ``now`` gives local time."""

    local_domains: frozenset[str]
    groups: Mapping[str, frozenset[str]]
    now: Callable[[], datetime]
    country: Callable[[str], str | None] = Geography().country
    correspondents: Correspondents | None = None

    @classmethod
    def of(
        cls, config: Config, now: Callable[[], datetime], correspondents: Correspondents | None = None
    ) -> "Gatherer":
        """Groups turned round: address -> its groups."""
        turned: dict[str, set[str]] = {}
        for name, people in config.groups:
            for person in people:
                turned.setdefault(fold_address(person), set()).add(name)
        groups = {person: frozenset(names) for person, names in turned.items()}
        country = Geography(dict(config.countries)).country
        return cls(frozenset(config.gateway.local_domains), groups, now, country, correspondents)

    async def __call__(self, message: Message, needs: frozenset[str]) -> tuple[tuple[Recipient, Context], ...]:
        """One context per recipient, in their order."""
        envelope = message.envelope
        sender = self._groups(envelope.user or envelope.sender)
        at = self.now()
        first = await self._first_contacts(message) if "first_contact" in needs else {}
        return tuple(
            (
                recipient,
                Context(
                    local_domains=self.local_domains,
                    sender_groups=sender,
                    recipient_groups=self._groups(recipient.address),
                    first_contact=first.get(recipient.address),
                    country=self.country(recipient.address.rpartition("@")[2]) if "country" in needs else None,
                    now=at,
                ),
            )
            for recipient in envelope.recipients
        )

    async def _first_contacts(self, message: Message) -> Mapping[str, bool | None]:
        """Recipient -> whether the company never wrote to the outside party of this mail.

        The party is the recipient of what leaves and the author of what comes in: From is whom a reader would answer. No one author
        (none, or several): unknown.
        """
        if self.correspondents is None:
            return {}
        recipients = message.envelope.recipients
        if message.envelope.direction is not Direction.INBOUND:
            found = await self.correspondents.known([each.address for each in recipients])
            return {each.address: _not(found.get(fold_address(each.address))) for each in recipients}
        fields = message.all("from")
        authors = from_addresses(fields[0].raw) if len(fields) == 1 else ()
        if len(authors) != 1:
            return {}
        (known,) = (await self.correspondents.known(authors)).values()
        return dict.fromkeys((each.address for each in recipients), _not(known))

    def _groups(self, address: str) -> frozenset[str]:
        return self.groups.get(fold_address(address), frozenset()) if address else frozenset()


def _not(known: bool | None) -> bool | None:
    return None if known is None else not known
