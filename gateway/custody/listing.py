"""How deliveries are shown on a terminal: masked addresses, both languages, what happens by itself and what to do next."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime

from audit.event import JSON
from gateway.custody.delivery import HELD, Delivery, State
from gateway.custody.picture import MEANINGS
from gateway.custody.waivers import unanswered
from gateway.store.protocol import Held
from gateway.terminal import safe as safe
from gateway.treatments.addressing import redirects
from gateway.treatments.table import KINDS, is_unmet
from policies.decision import CONFLICT, Reason

STATE_WIDTH, WHEN_WIDTH, RULE_WIDTH, DELIVERY_WIDTH, PEOPLE_WIDTH = 17, 22, 28, 30, 36
LABEL_WIDTH = 20


def mask(address: str) -> str:
    """``z***@corp.test``: enough to recognise, not enough to write to."""
    if not address:
        return "<>"
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{safe(domain)}"


def padded(text: str, width: int) -> str:
    """Filled with blanks to so many columns; Han characters take two."""
    return text + " " * (width - columns_of(text))


def columns_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


NARROWEST = 40
"""Columns below which nothing is wrapped: a terminal that says less says nonsense."""


def wrapped(lines: Sequence[str], width: int) -> list[str]:
    """For a terminal of ``width`` columns: continued below where the text began. Broken at blanks and between Han characters."""
    return [piece for line in lines for piece in _wrapped(line, width)] if width >= NARROWEST else list(lines)


def _wrapped(line: str, width: int) -> list[str]:
    indent = len(line) - len(line.lstrip()) + 2 if line.startswith(" ") else 2
    indent = min(indent, width // 2)  # so that every piece takes something of the line
    pieces: list[str] = []
    while columns_of(line) > width:
        at = used = 0
        best = 0
        for at, letter in enumerate(line):
            wide = unicodedata.east_asian_width(letter) in "WF"
            if at > indent and (letter == " " or wide) and used <= width:
                best = at
            used += columns_of(letter)
            if used > width:
                break
        best = best or at  # a word longer than the line is cut
        pieces.append(line[:best].rstrip())
        line = " " * indent + line[best:].lstrip()
    return [*pieces, line]


def columns(*, delivery_ids: bool = False) -> tuple[tuple[str, int], ...]:
    """Titles and widths of a list, but for the last column."""
    first = (("delivery 投递编号", DELIVERY_WIDTH),) if delivery_ids else ()
    rest = (("id 邮件编号", 26), ("state 状态", STATE_WIDTH), ("due 到期", WHEN_WIDTH), ("rule 规则", RULE_WIDTH))
    return (*first, *rest)


def width(*, delivery_ids: bool = False) -> int:
    """Columns of a terminal that a list wants."""
    return sum(each + 2 for _, each in columns(delivery_ids=delivery_ids)) + PEOPLE_WIDTH


def heading(*, delivery_ids: bool = False) -> str:
    """The line above a list."""
    return "  ".join([*(padded(*each) for each in columns(delivery_ids=delivery_ids)), "from -> to 发件人 -> 收件人"])


def row(delivery: Delivery, held: Held | None, *, delivery_ids: bool = False) -> str:
    """One line of a list; its columns stand where the heading's do."""
    words = [
        delivery.message_id,
        delivery.state.value,
        when(delivery.due),
        first_rule(delivery),
        people(delivery, held),
    ]
    if delivery_ids:
        words.insert(0, delivery.id)
    wide = [each for _, each in columns(delivery_ids=delivery_ids)]
    return "  ".join([*(padded(word, each) for word, each in zip(words[:-1], wide, strict=True)), words[-1]])


def stacked(delivery: Delivery, held: Held | None) -> list[str]:
    """The same for a narrow terminal, one below the other."""
    return [
        f"{delivery.message_id}  {delivery.state}",
        f"  {first_rule(delivery)}",
        f"  due 到期 {when(delivery.due)}",
        f"  {people(delivery, held)}",
    ]


def people(delivery: Delivery, held: Held | None) -> str:
    """From whom to whom, masked."""
    sender = mask(held.envelope.sender) if held else "?"
    more = f" +{len(delivery.addresses) - 1}" if len(delivery.addresses) > 1 else ""
    return f"{sender} -> {mask(delivery.addresses[0])}{more}"


def first_rule(delivery: Delivery) -> str:
    """The first open reason, else the first of all."""
    reason = next(iter(_open(delivery)), None) or next(iter(delivery.decision.reasons), None)
    return reason.rule if reason else "-"


def record(delivery: Delivery, held: Held | None) -> dict[str, JSON]:
    """The same for scripts: addresses masked, times in UTC, codes as they are."""
    waiting = _open(delivery)
    return {
        "delivery": delivery.id,
        "message": delivery.message_id,
        "state": delivery.state.value,
        "due": delivery.due.isoformat(),
        "taken": delivery.created_at.isoformat(),
        "from": mask(held.envelope.sender) if held else "",
        "to": [mask(address) for address in delivery.addresses],
        "size": delivery.size,
        "attempts": delivery.attempts,
        "next_hop": delivery.next_hop,
        "sha256": delivery.content,
        "treatments": sorted({each.kind for each in delivery.decision.treatments}),
        "reasons": [
            {
                "rule": reason.rule,
                "disposition": reason.disposition.name.lower(),
                "title_zh": reason.title.zh,
                "title_en": reason.title.en,
                "open": reason in waiting,
                "waivable": reason.waivable,
                "approvers": list(reason.approvers),
            }
            for reason in delivery.decision.reasons
        ],
    }


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
    todo: list[str] = []
    if reason in _open(delivery):
        state, todo = f"open 待答复; {who_may(reason)}", remedy(reason, delivery)
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
        *(f"     {line}" for line in todo),
    ]


def who_may(reason: Reason) -> str:
    """Who can answer, or that nobody can."""
    if reason.waivable:
        return f"may answer 可审批: {', '.join(map(safe, reason.approvers)) or 'any approver 任一审批人'}"
    if is_unmet(reason):
        return "nobody can waive this; it ends when the treatment can be done 无人可豁免，待条件具备后即可放行"
    return "nobody may release 任何人不得放行"


def remedy(reason: Reason, delivery: Delivery) -> list[str]:
    """What an operator can do about a treatment that can't be done; nothing where a person's answer is all it takes."""
    if not is_unmet(reason):
        return []
    again = f"reload, then 重新加载后再次执行: sealgate held release {delivery.message_id} --operator NAME"
    no = f"or say no 或拒绝: sealgate held reject {delivery.message_id} --operator NAME --comment TEXT"
    if reason.rule == "treatment.encrypt":
        to = safe(delivery.next_hop)
        return [
            f'to do 处理: in the [[route]] with to = "{to}" write tls = "verified" (the next hop needs a certificate that',
            f'  its name proves; own CA: ca_file) 在 to = "{to}" 的 [[route]] 中设 tls = "verified"；sealgate doctor 会检查',
            f"  {again}",
            f"  {no}",
        ]
    return [
        "to do 处理: mend or remove the treatment in the rule; sealgate policy check 修正或删去规则中的该处理",
        f"  {again}",
        f"  {no}",
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
