"""A pool of next hops in memory: answers as told, and remembers what was handed over."""

from collections.abc import Sequence

from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import BeforeDot, Phase, RecipientReply
from gateway.smtp.nexthop import NextHop
from gateway.smtp.reply import Reply

OK = Reply(250, "2.0.0", "ok")


class FakeCarrier:
    """``say[address]`` is the reply for a recipient (default 250); ``UNKNOWN`` means the final dot got no answer."""

    UNKNOWN = Reply(451, "4.4.2", "no answer to the final dot")

    def __init__(self) -> None:
        self.say: dict[str, Reply] = {}
        self.taken: list[tuple[NextHop, Outgoing, bytes]] = []
        self.asked: list[tuple[str, ...]] = []
        self.dsn = True
        self.on_dot = None

    async def send(
        self,
        hop: NextHop,
        mail: Outgoing,
        data: Sequence[bytes],
        *,
        deadline: float,
        before_dot: BeforeDot | None = None,
    ) -> Sent:
        people = [person.address for person in mail.recipients]
        self.asked.append(tuple(people))
        replies = [self.say.get(address, OK) for address in people]
        willing = [reply.positive or reply is self.UNKNOWN for reply in replies]
        asked = tuple(RecipientReply(a, OK if w else r) for a, r, w in zip(people, replies, willing, strict=True))
        if not any(willing):
            return Sent(asked, None, "", "fake.test[127.0.0.1]:25", Phase.RCPT, self.dsn)
        if before_dot is not None and not await before_dot(asked):
            return Sent(asked, None, "", "fake.test[127.0.0.1]:25", Phase.DATA, self.dsn)
        if self.on_dot is not None:
            await self.on_dot()
        self.taken.append((hop, mail, b"".join(data)))
        final = tuple(RecipientReply(a, r, r is self.UNKNOWN) for a, r in zip(people, replies, strict=True))
        return Sent(final, OK, "", "fake.test[127.0.0.1]:25", Phase.AFTER_DOT, self.dsn)
