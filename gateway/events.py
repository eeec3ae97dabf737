"""What the pipeline tells the log: Events made from what was seen, decided and done. Pure; personal data only in sealed fields."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from audit.event import JSON, Actor, Event, Secret
from gateway.judging.judge import Judged
from gateway.plan import Keep, Plan, Refuse, Relay
from gateway.smtp.reply import Reply
from policies.decision import Decision, Disposition
from policies.facts import Value
from policies.vocabulary import KEPT
from scanners.finding import Finding
from scanners.message import Envelope, Message

GATEWAY = Actor("system", "gateway")
MAX_FINDINGS = 100
"""Findings listed one by one in an event; the rest is counted. A person reads the first few, a policy has seen them all."""
MAX_RECIPIENT_SLOTS = 100
"""As many as one message may have."""
MAX_PART_SLOTS = 24
"""Parts with a sealed slot of their own, so that each can be disclosed alone; more share the last one."""
MAX_TEXT = 400
"""Characters of a header or excerpt in a slot."""
DIRECTIONS = {"inbound": "in", "outbound": "out", "submission": "out"}


OUTCOMES = {
    Disposition.DELIVER: "deliver",
    Disposition.DELAY: "delay",
    Disposition.APPROVE: "hold",
    Disposition.QUARANTINE: "quarantine",
    Disposition.REJECT: "refuse",
}


def decided(
    event_id: str, at: datetime, judged: Judged, plan: Plan, steps: Sequence[tuple[str, float, float, str]]
) -> Event:
    """``message.decided``: durable before a byte leaves (law 2)."""
    message = judged.scanned.message
    envelope = message.envelope
    decision = _joined(plan)
    reason = decision.reasons[0].rule if decision.reasons else ""
    outcome = "relay" if isinstance(plan, Relay) else OUTCOMES[decision.disposition]
    public: dict[str, JSON] = {
        "intent": "relay" if isinstance(plan, Relay) else "custody" if isinstance(plan, Keep) else "refuse",
        "listener": envelope.listener,
        "judge": judged.version,
        "policy": {
            "version": judged.policy_version,
            "disposition": decision.disposition.name.lower(),
            "treatments": sorted(treatment.kind for treatment in decision.treatments),
            "rules": judged.rules,
            "matched": list(judged.words),
        },
        "findings": [_finding(finding) for finding in judged.scanned.findings[:MAX_FINDINGS]],
        "facts": [_facts(values) for values in judged.kept],
        "read": {
            "size": len(message.raw),
            "parts": len(message.parts),
            "recipients": len(envelope.recipients),
            "bodies": {part.path: part.media_type for part in message.parts if part.is_body and "!" not in part.path},
        },
        "steps": [[name, round(began, 2), round(took, 2), note] for name, began, took, note in steps],
        "tls": envelope.tls,
    }
    meant = max(each.disposition for _, each in judged.decisions)
    if meant > decision.disposition:  # monitor mode: what would have happened
        public["would"] = OUTCOMES[meant]
    if isinstance(plan, Refuse):
        public |= {"code": plan.reply.code, "enhanced": plan.reply.enhanced}
    kept = all(reason.keep_content for reason in decision.reasons)
    if not kept:
        public["content"] = "not-kept"
    more = len(judged.scanned.findings) - MAX_FINDINGS
    if more > 0:
        public["findings_more"] = more
    return Event(
        id=event_id,
        type="message.decided",
        at=at,
        actor=GATEWAY,
        outcome=outcome,
        reason=reason,
        msg=envelope.id,
        session=envelope.session,
        dir=DIRECTIONS[envelope.direction.value],
        public=public,
        sealed=_sealed(message, judged.scanned.findings) if kept else _people(message),
        commits={"body": message.raw},
    )


def outcome(
    decided_event: Event,
    event_id: str,
    at: datetime,
    kind: str,
    reply: Reply | None,
    remote: str,
    tls: str,
    head: bytes,
    treated: Sequence[str] = (),
) -> Event:
    """``message.relayed``, ``refused`` or ``deferred``: what the next hop said. ``head`` is what we put in front of the bytes, ``treated``
    names what was done to them."""
    code = reply.code if reply else 0
    public: dict[str, JSON] = {"code": code, "enhanced": reply.enhanced if reply else "", "hop_tls": tls, "hop": remote}
    if treated:
        public["treated"] = list(treated)
    return Event(
        id=event_id,
        type=f"message.{kind}",
        at=at,
        actor=GATEWAY,
        outcome=kind,
        msg=decided_event.msg,
        session=decided_event.session,
        dir=decided_event.dir,
        public=public,
        sealed={"reply": Secret(str(reply)[:MAX_TEXT])} if reply else {},
        commits={"head": head},
        prev=decided_event.id,
    )


def ended(
    event_id: str, at: datetime, message: Message, judge_version: str, policy_version: str, reason: str, reply: Reply
) -> Event:
    """``message.decided`` for what is refused before it is judged: a mail loop."""
    envelope = message.envelope
    return Event(
        id=event_id,
        type="message.decided",
        at=at,
        actor=GATEWAY,
        outcome=OUTCOMES[Disposition.REJECT],
        reason=reason,
        msg=envelope.id,
        session=envelope.session,
        dir=DIRECTIONS[envelope.direction.value],
        public={
            "intent": "refuse",
            "listener": envelope.listener,
            "judge": judge_version,
            "policy": {
                "version": policy_version,
                "disposition": "reject",
                "treatments": [],
                "rules": 0,
                "matched": [],
            },
            "findings": [],
            "read": {"size": len(message.raw), "parts": len(message.parts), "recipients": len(envelope.recipients)},
            "steps": [],
            "tls": envelope.tls,
            "code": reply.code,
            "enhanced": reply.enhanced,
        },
        sealed=_sealed(message, ()),
        commits={"body": message.raw},
    )


def duplicate(event_id: str, at: datetime, envelope: Envelope, raw: bytes, reply: Reply, first: str) -> Event:
    """``message.duplicate``: the message came again and was given the answer that message ``first`` had (RFC 1047)."""
    sealed = {"from": Secret(envelope.sender, envelope.sender), "ip": Secret(envelope.client or "")}
    for index, recipient in enumerate(envelope.recipients[:MAX_RECIPIENT_SLOTS]):
        sealed[f"to{index}"] = Secret(recipient.address, recipient.address)
    return Event(
        id=event_id,
        type="message.duplicate",
        at=at,
        actor=GATEWAY,
        outcome="duplicate",
        msg=envelope.id,
        session=envelope.session,
        dir=DIRECTIONS[envelope.direction.value],
        public={"listener": envelope.listener, "first": first, "code": reply.code, "enhanced": reply.enhanced},
        sealed=sealed,
        commits={"body": raw},
    )


def _joined(plan: Plan) -> Decision:
    if isinstance(plan, Relay):
        return plan.share.decision
    if isinstance(plan, Refuse | Keep):
        return plan.decision
    raise TypeError(plan)


def _facts(values: Sequence[Value]) -> Mapping[str, JSON]:
    """What replay may ask of it later; what was not known is left out."""
    pairs = zip(KEPT, values, strict=True)
    return {name: value for name, value in pairs if value is not None and not isinstance(value, frozenset)}


def _finding(finding: Finding) -> Mapping[str, JSON]:
    """Code, place, count and score. The place is only the number of the part: names of files are sealed."""
    line: dict[str, JSON] = {"code": finding.code, "count": finding.count}
    if finding.part:
        line["part"] = finding.part.partition("!")[0]
    if finding.score:
        line["score"] = finding.score
    if finding.code.startswith(("malware.", "scanner.")):
        line["about"] = finding.about
    return line


def _sealed(message: Message, findings: Sequence[Finding]) -> dict[str, Secret]:
    """The slots of a decided message; each has its own commitment, so each can be disclosed alone."""
    slots = _people(message)
    slots["subject"] = Secret(message.subject[:MAX_TEXT])
    for slot, name in (("hfrom", "from"), ("hto", "to"), ("hdate", "date"), ("msgid", "message-id")):
        text = message.first(name)
        if text:
            slots[slot] = Secret(text[:MAX_TEXT])
    for slot, text in _parts(message).items():
        slots[slot] = Secret(text)
    excerpt = "\n".join(
        f"{finding.code} {finding.part or '-'} {finding.about} {finding.evidence.masked if finding.evidence else ''}".strip()
        for finding in findings[:MAX_FINDINGS]
        if finding.about or (finding.evidence and finding.evidence.masked)
    )
    if excerpt:
        slots["excerpt"] = Secret(excerpt[: 10 * MAX_TEXT])
    return slots


def _people(message: Message) -> dict[str, Secret]:
    """Who and from where: all that is written of a message whose content may not be kept, not even its subject or names of files."""
    envelope = message.envelope
    sender = envelope.sender
    slots = {
        "from": Secret(sender, sender),
        "ip": Secret(envelope.client or ""),
        "hop": Secret(envelope.hop),
        "helo": Secret(envelope.helo[:MAX_TEXT]),
    }
    if envelope.user:
        slots["user"] = Secret(envelope.user, envelope.user)
    for index, recipient in enumerate(envelope.recipients[:MAX_RECIPIENT_SLOTS]):
        slots[f"to{index}"] = Secret(recipient.address, recipient.address)
    return slots


def _parts(message: Message) -> dict[str, str]:
    """Name, type, size and hash of each decoded part, as one line."""
    lines = [
        f"{part.path}\t{part.media_type}\t{part.size or len(part.content)}\t{part.sha256}\t{part.filename[:MAX_TEXT]}"
        for part in message.parts
    ]
    slots = {f"part{index}": line for index, line in enumerate(lines[:MAX_PART_SLOTS])}
    if len(lines) > MAX_PART_SLOTS:
        slots["parts_more"] = "\n".join(lines[MAX_PART_SLOTS:])[: 10 * MAX_TEXT]
    return slots
