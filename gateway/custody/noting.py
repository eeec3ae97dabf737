"""A carrier that notes whom mail of ours has reached: what makes a first contact (gateway.context.correspondents)."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.context.correspondents import Correspondents
from gateway.smtp.carrier import Carrier, Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import BeforeDot
from gateway.smtp.nexthop import NextHop


@dataclass(frozen=True, slots=True)
class Noting:
    """Sends by ``carrier``. Notices (null sender) make nobody a correspondent; nor does mail for our own people."""

    carrier: Carrier
    correspondents: Correspondents

    async def send(
        self,
        hop: NextHop,
        mail: Outgoing,
        data: Sequence[bytes],
        *,
        deadline: float,
        before_dot: BeforeDot | None = None,
    ) -> Sent:
        """As Carrier."""
        sent = await self.carrier.send(hop, mail, data, deadline=deadline, before_dot=before_dot)
        if mail.sender and sent.final is not None and sent.final.positive:
            self.correspondents.note(each.address for each in sent.recipients if each.reply.positive)
        return sent
