"""What an attempt in the session came to: the word for the event, the answer for the client, and recipients put off."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from audit.event import Event
from gateway.custody.bounce import Origin, proven
from gateway.custody.custody import Custody, CustodyUnavailable, Taken
from gateway.plan import Share
from gateway.recording.recorder import MessageKey
from gateway.smtp.carrier import Sent
from gateway.smtp.dialogue import Phase, RecipientReply
from gateway.smtp.reply import Reply
from policies.facts import domain_of
from scanners.finding import Finding
from scanners.message import Direction, Envelope, Message

UNREACHED = frozenset({Phase.WAIT, Phase.CONNECT, Phase.TLS})
"""The next hop was never asked about the message."""


class Late:
    """Recipients that the next hop puts off or refuses while it takes others: they become ours before it gets the final dot.

    Our queue asks again; whoever is refused then is bounced by the ordinary way, which is crash-proof. If they can't be made durable,
    nothing is delivered at all and the client tries again.
    """

    def __init__(
        self, custody: Custody, message: Message, share: Share, decided: Event, head: bytes, *, bounceable: bool
    ) -> None:
        self.custody, self.message, self.share, self.decided, self.head = custody, message, share, decided, head
        self.bounceable = bounceable
        self.taken: Taken | None = None

    async def before_dot(self, replies: Sequence[RecipientReply]) -> bool:
        """Take custody of whoever was not taken; False if that can't be made durable."""
        off = {each.address for each in replies if not each.reply.positive}
        people = tuple(person for person in self.share.recipients if person.address in off)
        if people:
            share = replace(self.share, recipients=people)
            try:
                self.taken = await self.custody.take_deferred(
                    self.message.envelope,
                    self.message.raw,
                    share,
                    self.decided,
                    self.head,
                    bounceable=self.bounceable,
                )
            except CustodyUnavailable:
                return False
        return True

    async def finish(self, told: Sequence[Event], key: MessageKey, *, delivered: bool) -> bool:
        """Settle what was taken if the client will hear 250, else give it up. True if ``told`` is durable by this."""
        if self.taken is None:
            return False
        if not delivered:
            await self.custody.drop(self.taken)
            return False
        try:
            await self.custody.settle(self.taken, told, key)
        except CustodyUnavailable:
            # The others have it already, so 451 would duplicate; the rows are pending and the sweeper settles them.
            return False
        return True


def worst(sent: Sent) -> Reply | None:
    """Without a final reply: the first recipient's refusal."""
    return next((each.reply for each in sent.recipients if not each.reply.positive), None)


def outcome_kind(sent: Sent) -> str:
    """The word for the event: relayed, refused, deferred or outcome_unknown."""
    if sent.unknown:
        return "outcome_unknown"
    if sent.final is not None:
        return "relayed" if sent.final.positive else "deferred" if sent.final.transient else "refused"
    return "deferred" if any(each.reply.transient for each in sent.recipients) or not sent.recipients else "refused"


def answer(sent: Sent, message_id: str) -> Reply:
    """The next hop's answer as ours; where it gave none, a 451: nothing is acknowledged that nobody acknowledged to us (law 1)."""
    said = sent.final or worst(sent)
    if said is None:
        return Reply(451, "4.4.1", f"no answer from the next hop, try again later [{message_id}]")
    enhanced = said.enhanced or f"{said.code // 100}.0.0"
    return Reply(said.code, enhanced, f"{said.text} [{message_id}]")


def bounceable(envelope: Envelope, findings: Sequence[Finding], local_domains: Collection[str]) -> bool:
    """Whether a notice to the envelope sender hits nobody innocent (gateway.custody.bounce.proven).

    Who comes by a listener that is not inbound is in its ``clients`` or has logged in; nobody else gets as far as a message there.
    """
    domain = domain_of(envelope.sender)
    spf = dmarc = ""
    for finding in findings:
        if finding.code == "auth.spf.pass" and domain_of("@" + finding.about) == domain:
            spf = finding.about
        elif finding.code == "auth.dmarc.pass":
            dmarc = finding.about
    return proven(
        Origin(
            envelope.sender,
            is_client=envelope.direction is not Direction.INBOUND,
            is_local=domain in local_domains,
            spf_pass=spf,
            dmarc_pass=dmarc,
        )
    )
