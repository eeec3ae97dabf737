"""How deliveries are shown on a terminal: masked addresses, both languages, what happens by itself and what to do next."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from gateway.custody.delivery import HELD, Delivery, State
from gateway.custody.picture import MEANINGS
from gateway.custody.waivers import unanswered
from gateway.store.protocol import Held
from gateway.treatments.addressing import redirects
from gateway.treatments.table import KINDS
from policies.decision import CONFLICT, Reason

STATE_WIDTH, WHEN_WIDTH, RULE_WIDTH = 17, 22, 28
LABEL_WIDTH = 20


def mask(address: str) -> str:
    """``z***@corp.test``: enough to recognise, not enough to write to."""
    if not address:
        return "<>"
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{safe(domain)}"


def safe(text: str) -> str:
    """Without anything that a terminal would act on."""
    return "".join(character if character.isprintable() else "?" for character in text)


def padded(text: str, width: int) -> str:
    """Filled with blanks to so many columns; Han characters take two."""
    return text + " " * (width - sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text))


def heading() -> str:
    """The line above a list."""
    columns = ("id 邮件编号", 26), ("state 状态", STATE_WIDTH), ("due 到期", WHEN_WIDTH), ("rule 规则", RULE_WIDTH)
    return "  ".join([*(padded(*column) for column in columns), "from -> to 发件人 -> 收件人"])


def row(delivery: Delivery, held: Held | None) -> str:
    """One line of a list."""
    sender = mask(held.envelope.sender) if held else "?"
    people = mask(delivery.addresses[0]) + (f" +{len(delivery.addresses) - 1}" if len(delivery.addresses) > 1 else "")
    reason = next(iter(_open(delivery)), None) or next(iter(delivery.decision.reasons), None)
    rule = reason.rule if reason else "-"
    words = padded(delivery.state, STATE_WIDTH), padded(when(delivery.due), WHEN_WIDTH), padded(rule, RULE_WIDTH)
    return "  ".join([delivery.message_id, *words, f"{sender} -> {people}"])


def when(at: datetime) -> str:
    """Local time to the minute, with its zone."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M %z")


def page(delivery: Delivery, held: Held, evidence: Sequence[str] = ()) -> list[str]:
    """All that may be shown of one delivery: what it is, why it is here, what was seen, what happens by itself, what to do."""
    zh, en = MEANINGS[delivery.state]
    lines = [
        _line("message 邮件", delivery.message_id),
        _line("state 状态", f"{delivery.state}  {zh} / {en}"),
        _line("from 发件人", mask(held.envelope.sender)),
        *(
            _line("to 收件人", f"{mask(each.address)}  {safe(_masked(each.reply, delivery))}".rstrip())
            for each in delivery.recipients
        ),
        _line("taken 接收", f"{when(delivery.created_at)}   {delivery.size} bytes 字节"),
    ]
    reasons = delivery.decision.reasons
    if reasons:
        lines += ["", "why 为何"]
    for number, reason in enumerate(reasons, 1):
        lines += _reason(number, reason, delivery)
    if evidence:
        lines += ["", "seen 所见", *(f"     {safe(line)}" for line in evidence)]
    if delivery.decision.treatments:
        kinds = sorted({each.kind for each in delivery.decision.treatments})
        names = [f"{kind} {KINDS[kind].title.zh}" if kind in KINDS else kind for kind in kinds]
        lines += ["", _line("treatments 处理", ", ".join(names))]
    if len(wanted := redirects(delivery.decision)) > 1:
        lines.append(_line("choice 可选改投", ", ".join(map(safe, wanted)) + "   (--redirect ADDRESS)"))
    lines += ["", *(_line("otherwise 若无人处理", f"{text}") for text in [_otherwise(delivery, held)] if text)]
    lines.append(_line("next 下一步", _next(delivery)))
    details = f"delivery {delivery.id}, next hop {safe(delivery.next_hop)}, attempts 尝试 {delivery.attempts}"
    return [*lines, _line("details 细节", details), _line("", f"sha256 {delivery.content}")]


def _line(label: str, text: str) -> str:
    return f"{padded(label, LABEL_WIDTH)} {text}".rstrip()


def _reason(number: int, reason: Reason, delivery: Delivery) -> list[str]:
    waiver = next((w for w in delivery.waivers if (w.rule, w.version) == (reason.rule, reason.version)), None)
    who = ", ".join(reason.approvers) or "any approver 任一审批人"
    if reason in _open(delivery):
        state = f"open 待答复; may answer 可审批: {who}" if reason.waivable else "nobody may release 任何人不得放行"
    elif waiver is not None:
        choice = f", {safe(waiver.choice)}" if waiver.choice else ""
        state = f"answered 已答复: {safe(waiver.by)}, {when(waiver.at)}{choice}"
    else:
        state = "holds nothing 不因此扣留"
    part = f", part 部分 {safe(reason.part)}" if reason.part else ""
    hint = "   sealgate held release ... --redirect ADDRESS" if reason.rule == CONFLICT and waiver is None else ""
    return [
        f"  {number}. {safe(reason.title.zh)} / {safe(reason.title.en)}",
        f"     {reason.rule}  {reason.disposition.name.lower()}{part}",
        f"     {state}{hint}",
    ]


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


def _otherwise(delivery: Delivery, held: Held) -> str:
    """What happens if nobody does anything, and when."""
    at = when(delivery.due)
    if delivery.state is State.DELAYED:
        return f"{at}: judged again, and sent if nothing new is found 到时重新裁决，无新问题即发出"
    if delivery.state in HELD:
        ours = held.envelope.direction.value != "inbound"
        told = "; a sender of ours is told 并告知发件人" if ours else ""
        return f"{at}: expires unsent and is destroyed 逾期不发出，内容销毁{told}"
    if delivery.state is State.UNDELIVERABLE:
        return f"{at}: destroyed 内容销毁"
    if delivery.state is State.OUTCOME_UNKNOWN:
        return "it stays until somebody says whether it arrived 一直保留，直到有人确认是否送达"
    if delivery.state is State.QUEUED:
        return f"{at}: the next attempt 下一次投递"
    return ""


def _next(delivery: Delivery) -> str:
    if delivery.state in HELD:
        return f"sealgate held release {delivery.message_id} --operator NAME   (or 或 held reject)"
    if delivery.state is State.OUTCOME_UNKNOWN:
        return f"sealgate queue confirm {delivery.id} (it arrived 已送达) or 或 queue retry {delivery.id} (send again 重发)"
    return f"sealgate trace {delivery.message_id}"
