"""The way of one message, top to bottom. Read this file first.

parse -> scan -> decide -> the log knows -> refuse, relay in the session, or custody -> the log knows what became of it -> reply.
Nothing here decides (policies do) and nothing here looks at content (scanners do).
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Protocol

from audit.event import Event, derived_id
from gateway import events, stamp
from gateway.config import Config, Route
from gateway.context.dmarc_aggregate import Aggregates
from gateway.custody.custody import Custody, CustodyUnavailable, Taken
from gateway.judging.judge import Judge, Judged, judge
from gateway.plan import Keep, Plan, Refuse, Relay, monitored, plan
from gateway.process import metrics
from gateway.recording.recorder import MessageKey, Recorder, RecorderFull, RecorderUnavailable
from gateway.relay import UNREACHED, Late, answer, bounceable, outcome_kind, worst
from gateway.routes import Routes
from gateway.smtp.carrier import Carrier
from gateway.smtp.commands import Outgoing
from gateway.smtp.nexthop import NextHop
from gateway.smtp.reply import Reply
from gateway.smtp.terms import reply_budget_s
from gateway.treatments import trim
from gateway.treatments.sign import Signer, signer_for
from gateway.treatments.table import KINDS, Unmet, apply, unmet_joined
from policies.decision import Disposition, Treatment
from policies.facts import Context
from scanners.authentication import results
from scanners.authentication.aggregate import aggregate_row
from scanners.base import FAILED
from scanners.message import Direction, Envelope, Message, Recipient

THREAD_ABOVE = 256 * 1024
"""Bytes from which reading is done in a thread, so that small mail beside it does not wait: text of this size is read in 5 ms, an
attachment in 0.2."""
SCAN_SHARE = 0.25
"""Of the reply budget, at most, for reading and scanning."""
LOG_RETRY_S = 0.2
"""Between offers of an outcome to a log that does not answer."""
DMARC_WORDS = {Disposition.DELIVER: "none", Disposition.REJECT: "reject"}
"""What a DMARC report calls a disposition; everything held is ``quarantine``."""


@dataclass(frozen=True)
class Parts:
    """What a pipeline works with; made once by the worker, replaced by fakes in tests."""

    config: Config
    judge: Judge
    recorder: Recorder
    pool: Carrier
    custody: Custody
    routes: Routes
    hops: "Hops"
    gather: "Gather"
    attempt_soon: Callable[[Taken], None]
    clock: Callable[[], float]
    now: Callable[[], datetime]
    ids: Callable[[], str]
    log: logging.Logger
    signer: Signer | None = None
    aggregates: Aggregates | None = None


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
        self.local = frozenset(parts.config.gateway.local_domains)
        self._bytes_of = cache(metrics.BYTES.labels)
        self._messages_of = cache(metrics.MESSAGES.labels)
        self._matches_of = cache(metrics.RULE_MATCHES.labels)
        self._hops_of = cache(metrics.NEXT_HOP.labels)
        self.trusted = tuple(ipaddress.ip_network(each, strict=False) for each in parts.config.gateway.trusted_hops)

    async def receive(self, envelope: Envelope, raw: bytes) -> Reply:
        """Judge one message and do what was decided. Never raises for what mail, log or next hop may do."""
        began = self.parts.clock()
        direction = envelope.direction.value
        self._bytes_of(direction).inc(len(raw))
        try:
            reply, outcome = await self._receive(envelope, raw, began)
        except RecorderFull:
            # Nothing has moved, and nothing new is taken: what room there is belongs to the outcomes of what is under way.
            metrics.LOG_UNAVAILABLE.inc()
            reply, outcome = Reply(452, "4.3.1", f"no room left for messages, try later [{envelope.id}]"), "unrecorded"
        except (RecorderUnavailable, CustodyUnavailable) as error:
            # Nothing has moved: the decision was not durable, so no byte left (law 2).
            metrics.LOG_UNAVAILABLE.inc()
            self.parts.log.error("not durable", extra={"fields": {"msg": envelope.id, "error": type(error).__name__}})
            reply, outcome = (
                Reply(451, "4.3.0", f"cannot be recorded now, try again later [{envelope.id}]"),
                "unrecorded",
            )
        self._messages_of(direction, outcome).inc()
        return reply

    async def _receive(self, envelope: Envelope, raw: bytes, began: float) -> tuple[Reply, str]:
        parts = self.parts
        budget = reply_budget_s(parts.config.limits, envelope.direction)
        key = await parts.recorder.message_key(addresses(envelope))
        message, data = await self._read(envelope, raw)
        envelope = message.envelope
        if stamp.loops(message.headers, parts.config.gateway.hostname):
            reply = Reply(554, "5.4.6", f"mail loop: too many Received fields [{envelope.id}]")
            rules = parts.judge.ruleset.version
            ended = events.ended(parts.ids(), parts.now(), message, parts.judge.version, rules, "loop", reply)
            await parts.recorder.record([ended], key)
            return reply, "loop"
        read_ms = (parts.clock() - began) * 1000
        contexts = await parts.gather(message, parts.judge.ruleset.needs)
        judged = await judge(parts.judge, message, contexts, budget * SCAN_SHARE, parts.clock)
        monitor = parts.config.gateway.mode == "monitor"
        decisions = tuple(
            (person, monitored(decision) if monitor else decision) for person, decision in judged.decisions
        )
        chosen = plan(decisions, parts.routes, lambda share: unmet_joined(share, message.raw), quick)
        steps = [
            ("read", 0.0, read_ms, ""),
            *((s.name, read_ms + s.began_ms, s.took_ms, s.note) for s in judged.scanned.steps),
        ]
        decided = events.decided(parts.ids(), parts.now(), judged, chosen, steps)
        metrics.SCAN_SECONDS.observe(parts.clock() - began)
        self._count(message, judged, chosen)
        match chosen:
            case Refuse(reply=reply):
                await parts.recorder.record([decided], key)
                return Reply(reply.code, reply.enhanced, f"{reply.text} [{envelope.id}]"), "refused"
            case Relay():
                return await self._relay(message, data, chosen, judged, decided, key, began + budget)
            case Keep():
                return await self._keep(message, chosen, judged, decided, key)

    def _count(self, message: Message, judged: Judged, chosen: Plan) -> None:
        """Rules that matched, scanners that failed, and what a DMARC report will say of this message."""
        for rule in judged.words:
            self._matches_of(rule).inc()
        for finding in judged.scanned.findings:
            if finding.code == FAILED.code:
                metrics.SCANNER_FAILURES.labels(finding.about).inc()
        aggregates, authentication = self.parts.aggregates, judged.scanned.authentication
        if aggregates is None or authentication is None or message.envelope.direction is not Direction.INBOUND:
            return
        decision = chosen.share.decision if isinstance(chosen, Relay) else chosen.decision
        done = DMARC_WORDS.get(decision.disposition, "quarantine")
        row = aggregate_row(authentication, message.envelope.client, message.envelope.received_at, done)
        if row is not None:
            aggregates.add(row)

    async def _read(self, envelope: Envelope, raw: bytes) -> tuple[Message, bytes]:
        """Parse, off the loop if the message is large, and find the client that a trusted hop did not name; with the bytes to go on."""
        if len(raw) <= THREAD_ABOVE:
            message, data = trim.read(envelope, raw, self.local)
        else:
            message, data = await asyncio.to_thread(trim.read, envelope, raw, self.local)
        if envelope.client is None:
            client = stamp.client_behind(message.headers, self.trusted)
            message = replace(message, envelope=replace(envelope, client=client))
        return message, data

    # -- relay in the session

    async def _relay(
        self,
        message: Message,
        data: bytes,
        chosen: Relay,
        judged: Judged,
        decided: Event,
        key: MessageKey,
        deadline: float,
    ) -> tuple[Reply, str]:
        """Carry the message while its client waits; the next hop's answer is ours (law 1)."""
        parts, share, envelope = self.parts, chosen.share, message.envelope
        head = self._head(message, judged)
        if envelope.direction is Direction.INBOUND:
            authserv_id = parts.config.gateway.authserv_id
            data = trim.trimmed(envelope, data, message.header_length, authserv_id, self.local)
        treated = apply(
            data,
            share.decision.treatments,
            share.route,
            message_id=envelope.id,
            at=parts.now(),
            signer=signer_for(envelope, parts.signer),
        )
        if isinstance(
            treated, Unmet
        ):  # planned in the session only because nothing stands in the way: this is ours to mend
            raise AssertionError(treated.kind)
        pieces = treated.pieces
        trimmed = (trim.trimming(envelope.direction),) if data != message.raw else ()
        await parts.recorder.record([decided], key)  # a crash after this leaves an open intent: outcome_unknown in 60 s
        provable = bounceable(envelope, judged.scanned.findings, self.local)
        late = Late(parts.custody, message, share, decided, head, bounceable=provable)
        outgoing = Outgoing(
            envelope.sender,
            share.recipients,
            envelope.smtputf8,
            envelope.body == "8BITMIME",
            envelope.ret,
            envelope.envid,
        )
        hop = parts.hops(share.route)
        sent = await parts.pool.send(hop, outgoing, [head, *pieces], deadline=deadline, before_dot=late.before_dot)
        kind = outcome_kind(sent)
        self._hops_of(kind).inc()
        done = events.outcome(
            decided,
            derived_id(decided.id, "outcome"),
            parts.now(),
            kind,
            sent.final or worst(sent),
            sent.remote,
            sent.tls,
            b"".join((head, *pieces[:-1])),
            trimmed + treated.done,
        )
        if kind == "deferred" and sent.phase in UNREACHED and parts.config.gateway.next_hop_down == "custody":
            taken = await parts.custody.take_deferred(envelope, message.raw, share, decided, head, bounceable=provable)
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

    # -- custody

    async def _keep(
        self, message: Message, chosen: Keep, judged: Judged, decided: Event, key: MessageKey
    ) -> tuple[Reply, str]:
        """Durable with us, then 250 whatever the first attempts say."""
        envelope = message.envelope
        head = self._head(message, judged)
        provable = bounceable(envelope, judged.scanned.findings, self.local)
        taken = await self.parts.custody.take(
            envelope, message.raw, chosen.shares, decided, key, head, bounceable=provable
        )
        self.parts.attempt_soon(taken)
        held = chosen.decision.reasons
        said = f"{decided.outcome} by {held[0].rule}" if held else "accepted for delivery"
        return Reply(250, "2.0.0", f"{said}, id {envelope.id}"), decided.outcome


def addresses(envelope: Envelope) -> list[str]:
    """Everyone a sealed field of this message may be about."""
    people = [envelope.sender, envelope.user, *(recipient.address for recipient in envelope.recipients)]
    return [person for person in dict.fromkeys(people) if person]


def quick(treatment: Treatment) -> bool:
    """Whether it may be done while the client waits."""
    kind = KINDS.get(treatment.kind)
    return kind is not None and kind.in_session
