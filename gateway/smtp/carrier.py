"""What hands a message over to a next hop, and what became of it: the pool is one, whoever watches the pool is another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import BeforeDot, Phase, RecipientReply
from gateway.smtp.nexthop import NextHop
from gateway.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message. Each recipient has the reply that decides about it.

    ``final`` is the answer to the end of data (LMTP: the last), ``None`` when there was none. ``phase`` says how far it came: WAIT, no
    free connection in time or the breaker is open; the outcome is unknown if the dot was sent and not answered. ``tls`` is
    ``"TLSv1.3 CIPHER [verified]"`` or ``""``. ``dsn``: the next hop took the sender's wishes about notices (RFC 3461), so a success
    notice is its business.
    """

    recipients: tuple[RecipientReply, ...]
    final: Reply | None
    tls: str
    remote: str
    phase: Phase
    dsn: bool = False

    @property
    def unknown(self) -> bool:
        """At least one recipient may or may not have got it. Never send those again by yourself."""
        return any(recipient.unknown for recipient in self.recipients)


class Carrier(Protocol):
    """gateway.smtp.pool.Pool, or what stands in front of it."""

    async def send(
        self,
        hop: NextHop,
        mail: Outgoing,
        data: Sequence[bytes],
        *,
        deadline: float,
        before_dot: BeforeDot | None = None,
    ) -> Sent:
        """Never raises for what a network does. ``deadline`` is on the carrier's clock, monotonic seconds."""
        ...
