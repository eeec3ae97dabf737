"""How deliveries are shown on a terminal: masked addresses, both languages, and what to do next."""

from collections.abc import Sequence
from datetime import datetime

from gateway.delivery import HELD, Delivery, State
from gateway.picture import MEANINGS
from gateway.store.protocol import Held
from gateway.waivers import unanswered
from policies.decision import Reason


def mask(address: str) -> str:
    """``z***@corp.test``: enough to recognise, not enough to write to."""
    if not address:
        return "<>"
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{safe(domain)}"


def safe(text: str) -> str:
    """Without anything that a terminal would act on."""
    return "".join(character if character.isprintable() else "?" for character in text)


def row(delivery: Delivery, held: Held | None) -> str:
    """One line of a list."""
    sender = mask(held.envelope.sender) if held else "?"
    people = mask(delivery.addresses[0]) + (f" +{len(delivery.addresses) - 1}" if len(delivery.addresses) > 1 else "")
    reason = next(iter(_open(delivery)), None) or next(iter(delivery.decision.reasons), None)
    rule = reason.rule if reason else "-"
    return f"{delivery.message_id}  {delivery.state:<17}  {when(delivery.due)}  {rule:<28}  {sender} -> {people}"


def when(at: datetime) -> str:
    """Local time to the minute, with its zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %z")


def page(delivery: Delivery, held: Held) -> list[str]:
    """All that may be shown of one delivery."""
    zh, en = MEANINGS[delivery.state]
    lines = [
        f"message 邮件   {delivery.message_id}",
        f"delivery 投递  {delivery.id}",
        f"state 状态     {delivery.state}  {zh} / {en}",
        f"from 发件人    {mask(held.envelope.sender)}",
        *(
            f"to 收件人      {mask(each.address)}  {safe(_masked(each.reply, delivery))}".rstrip()
            for each in delivery.recipients
        ),
        f"size 大小      {delivery.size} bytes",
        f"taken 接收     {when(delivery.created_at)}",
        f"due 到期       {when(delivery.due)}",
        f"next hop 下一跳 {safe(delivery.next_hop)}   attempts 尝试 {delivery.attempts}",
        f"sha256         {delivery.content}",
    ]
    if delivery.decision.treatments:
        lines.append("treatments 处理 " + ", ".join(sorted(t.kind for t in delivery.decision.treatments)))
    open_reasons = _open(delivery)
    for reason in delivery.decision.reasons:
        state = "open 待答复" if reason in open_reasons else "answered 已答复"
        who = ", ".join(reason.approvers) or "approver"
        may = f"who may 可审批: {who}" if reason.waivable else "nobody may release 不可放行"
        lines.append(
            f"reason 原因    {reason.rule}@{reason.version}  {reason.disposition.name.lower()}  {state}; {may}"
        )
        lines.append(f"               {safe(reason.title.zh)} / {safe(reason.title.en)}")
    lines += [f"waived 已放行  {w.rule}@{w.version} by {w.by}, {when(w.at)}" for w in delivery.waivers]
    return [*lines, _next(delivery)]


def counts(found: dict[State, int]) -> str:
    """One line: how many in each state."""
    return "  ".join(f"{state} {found[state]}" for state in State if found.get(state)) or "nothing 无"


def _open(delivery: Delivery) -> Sequence[Reason]:
    return unanswered(delivery.decision, delivery.waivers, delivery.content, delivery.addresses)


def _masked(reply: str, delivery: Delivery) -> str:
    """A reply often repeats the address."""
    for address in delivery.addresses:
        reply = reply.replace(address, mask(address))
    return reply[:200]


def _next(delivery: Delivery) -> str:
    if delivery.state in HELD:
        return f"next 下一步: sealgate held release {delivery.message_id} --operator NAME   (or 或 held reject)"
    if delivery.state is State.OUTCOME_UNKNOWN:
        return f"next 下一步: sealgate queue confirm {delivery.id} (it arrived 已送达) or 或 queue retry {delivery.id} (send again 重发)"
    return f"next 下一步: sealgate trace {delivery.message_id}"
