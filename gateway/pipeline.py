"""The way of one message, top to bottom. Read this file first.

parse -> scan -> decide -> the log knows -> refuse, relay in the session, or custody -> the log knows what became of it -> reply.
Nothing here decides (policies do) and nothing here looks at content (scanners do).
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from audit.event import Event, derived_id
from gateway import events, metrics, stamp
from gateway.config import Config, Route
from gateway.custody import Custody, CustodyUnavailable, Taken
from gateway.judge import Judge, Judged, judge
from gateway.plan import Keep, Refuse, Relay, Share, monitored, plan
from gateway.recorder import MessageKey, Recorder, RecorderUnavailable
from gateway.routes import Routes
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import Phase, RecipientReply
from gateway.smtp.nexthop import NextHop
from gateway.smtp.pool import Pool, Sent
from gateway.smtp.reply import Reply
from policies.facts import Context
from scanners.authentication import results
from scanners.message import Direction, Envelope, Message, Recipient
from scanners.mime import parse

THREAD_ABOVE = 64 * 1024
"""Bytes from which reading is done in a thread, so that small mail beside it does not wait."""
SUBMISSION_BUDGET_S = 50.0
"""People wait at a mail program (architecture section 4)."""
SCAN_SHARE = 0.25
"""Of the reply budget, at most, for reading and scanning."""
LOG_RETRY_S = 0.2
"""Between offers of an outcome to a log that does not answer."""


@dataclass(frozen=True)
class Parts:
    """What a pipeline works with; made once by the worker, replaced by fakes in tests."""

    config: Config
    judge: Judge
    recorder: Recorder
    pool: Pool
    custody: Custody
    routes: Routes
    hops: "Hops"
    gather: "Gather"
    attempt_soon: Callable[[Taken], None]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    ids: Callable[[], str]
    log: logging.Logger


class Hops(Protocol):
    """Route to next hop, parsed once."""

    def __call__(self, route: Route) -> NextHop: ...


class Gather(Protocol):
    """What a rule may know beyond the mail (gateway.context)."""

    async def __call__(self, message: Message, needs: frozenset[str]) -> tuple[tuple[Recipient, Context], ...]: ...


class Pipeline:
    """The receiver behind every listener."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.trusted = tuple(ipaddress.ip_network(each, strict=False) for each in parts.config.gateway.trusted_hops)

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """Judge one message and do what was decided. Never raises for what mail, log or next hop may do."""
        began = self.parts.clock()
        direction = envelope.direction.value
        metrics.BYTES.labels(direction).inc(len(raw))
        try:
            reply, outcome = await self._receive(envelope, raw, began)
        except (RecorderUnavailable, CustodyUnavailable) as error:
            # Nothing has moved: the decision was not durable, so no byte left (law 2).
            metrics.LOG_UNAVAILABLE.inc()
            self.parts.log.error("not durable", extra={"fields": {"msg": envelope.id, "error": type(error).__name__}})
            reply, outcome = (
                Reply(451, "4.3.0", f"cannot be recorded now, try again later [{envelope.id}]"),
                "unrecorded",
            )
        metrics.MESSAGES.labels(direction, outcome).inc()
        return reply

    async def _receive(self, envelope: Envelope, raw: bytes, began: float) -> tuple[Reply, str]:
        parts = self.parts
        budget = parts.config.limits.reply_budget_s
        if envelope.direction is Direction.SUBMISSION:
            budget = min(budget, SUBMISSION_BUDGET_S)
        key = await parts.recorder.message_key(addresses(envelope))
        message = await self._read(envelope, raw)
        envelope = message.envelope
        if stamp.loops(message.headers, parts.config.gateway.hostname):
            return Reply(554, "5.4.6", f"mail loop: too many Received fields [{envelope.id}]"), "loop"
        read_ms = (parts.clock() - began) * 1000
        contexts = await parts.gather(message, parts.judge.ruleset.needs)
        judged = await judge(parts.judge, message, contexts, budget * SCAN_SHARE, parts.clock)
        monitor = parts.config.gateway.mode == "monitor"
        decisions = tuple(
            (person, monitored(decision) if monitor else decision) for person, decision in judged.decisions
        )
        chosen = plan(decisions, parts.routes)
        steps = [
            ("read", 0.0, read_ms, ""),
            *((s.name, read_ms + s.began_ms, s.took_ms, s.note) for s in judged.scanned.steps),
        ]
        decided = events.decided(parts.ids(), parts.now(), judged, chosen, steps)
        metrics.SCAN_SECONDS.observe(parts.clock() - began)
        match chosen:
            case Refuse(reply=reply):
                await parts.recorder.record([decided], key)
                return Reply(reply.code, reply.enhanced, f"{reply.text} [{envelope.id}]"), "refused"
            case Relay():
                return await self._relay(message, chosen, judged, decided, key, began + budget)
            case Keep():
                return await self._keep(message, chosen, judged, decided, key)

    async def _read(self, envelope: Envelope, raw: bytes) -> Message:
        """Parse, off the loop if the message is large, and find the client that a trusted hop did not name."""
        message = parse(envelope, raw) if len(raw) <= THREAD_ABOVE else await asyncio.to_thread(parse, envelope, raw)
        if envelope.client is None:
            client = stamp.client_behind(message.headers, self.trusted)
            message = replace(message, envelope=replace(envelope, client=client))
        return message

    # -- relay in the session

    async def _relay(
        self, message: Message, chosen: Relay, judged: Judged, decided: Event, key: MessageKey, deadline: float
    ) -> tuple[Reply, str]:
        """Carry the message while its client waits; the next hop's answer is ours (law 1)."""
        parts, share, envelope = self.parts, chosen.share, message.envelope
        head, chunks = self._head(message, judged), self._bytes(message)
        tags = b"".join(tag_field(treatment.value) for treatment in sorted(share.decision.treatments))
        await parts.recorder.record([decided], key)  # a crash after this leaves an open intent: outcome_unknown in 60 s
        late = Late(parts.custody, message, share, decided, head)
        outgoing = Outgoing(
            envelope.sender,
            share.recipients,
            envelope.smtputf8,
            envelope.body == "8BITMIME",
            envelope.ret,
            envelope.envid,
        )
        hop = parts.hops(share.route)
        sent = await parts.pool.send(
            hop, outgoing, [head, tags, *chunks], deadline=deadline, before_dot=late.before_dot
        )
        kind = outcome_kind(sent)
        metrics.NEXT_HOP.labels(kind).inc()
        done = events.outcome(
            decided,
            derived_id(decided.id, "outcome"),
            parts.now(),
            kind,
            sent.final or worst(sent),
            sent.remote,
            sent.tls,
            head + tags,
        )
        if kind == "deferred" and sent.phase in UNREACHED and parts.config.gateway.next_hop_down == "custody":
            taken = await parts.custody.take_deferred(envelope, message.raw, share, decided, head)
            await parts.custody.settle(taken, [done], key)
            return Reply(250, "2.0.0", f"accepted, the next hop is down, id {envelope.id}"), "kept"
        if not await late.finish([done], key, delivered=kind == "relayed"):
            await self._offer(done, key, deadline)
        return answer(sent, envelope.id), kind

    async def _offer(self, event: Event, key: MessageKey, deadline: float) -> None:
        """Offer an outcome to the log until the reply budget ends; the log drops ids it has (law 2).

        After that the client is told what the next hop said all the same: 451 would surely make a duplicate.
        """
        while True:
            try:
                await self.parts.recorder.record([event], key)
                return
            except RecorderUnavailable:
                if self.parts.clock() >= deadline:
                    self.parts.log.error(
                        "outcome not recorded", extra={"fields": {"msg": event.msg, "outcome": event.outcome}}
                    )
                    return
                await asyncio.sleep(LOG_RETRY_S)

    def _head(self, message: Message, judged: Judged) -> bytes:
        """The trace fields we put in front, newest first."""
        gateway, envelope = self.parts.config.gateway, message.envelope
        received = stamp.received(envelope, gateway.hostname, self.parts.now())
        if envelope.direction is not Direction.INBOUND or judged.scanned.authentication is None:
            return received
        return results.authentication_results(judged.scanned.authentication, gateway.authserv_id) + received

    def _bytes(self, message: Message) -> list[bytes]:
        """The bytes as they came, less results fields that claim to be ours (RFC 8601 5)."""
        if message.envelope.direction is not Direction.INBOUND:
            return [message.raw]
        return list(results.strip_forged(message.raw, message.header_length, self.parts.config.gateway.authserv_id))

    # -- custody

    async def _keep(
        self, message: Message, chosen: Keep, judged: Judged, decided: Event, key: MessageKey
    ) -> tuple[Reply, str]:
        """Durable with us, then 250 whatever the first attempts say."""
        envelope = message.envelope
        head = self._head(message, judged)
        taken = await self.parts.custody.take(envelope, message.raw, chosen.shares, decided, key, head)
        self.parts.attempt_soon(taken)
        held = chosen.decision.reasons
        said = f"{decided.outcome} by {held[0].rule}" if held else "accepted for delivery"
        return Reply(250, "2.0.0", f"{said}, id {envelope.id}"), decided.outcome


UNREACHED = frozenset({Phase.WAIT, Phase.CONNECT, Phase.TLS})
"""The next hop was never asked about the message."""


class Late:
    """Recipients that the next hop puts off: they become ours before it gets the final dot, or nothing is delivered at all."""

    def __init__(self, custody: Custody, message: Message, share: Share, decided: Event, head: bytes) -> None:
        self.custody, self.message, self.share, self.decided, self.head = custody, message, share, decided, head
        self.taken: Taken | None = None

    async def before_dot(self, replies: Sequence[RecipientReply]) -> bool:
        """Take custody of whoever got a 4xx; False if that can't be made durable."""
        off = {each.address for each in replies if each.reply.transient}
        people = tuple(person for person in self.share.recipients if person.address in off)
        if people:
            share = replace(self.share, recipients=people)
            try:
                self.taken = await self.custody.take_deferred(
                    self.message.envelope, self.message.raw, share, self.decided, self.head
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


def addresses(envelope: Envelope) -> list[str]:
    """Everyone a sealed field of this message may be about."""
    people = [envelope.sender, envelope.user, *(recipient.address for recipient in envelope.recipients)]
    return [person for person in dict.fromkeys(people) if person]


def tag_field(value: str) -> bytes:
    """A header line from a tag treatment's ``Name=value``; checked when the policy was loaded, kept to one line here."""
    name, _, text = value.partition("=")
    return f"{name}: {text.replace(chr(13), ' ').replace(chr(10), ' ')}\r\n".encode()


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
