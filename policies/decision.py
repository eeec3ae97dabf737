"""What a policy may say. A decision is a join: adding a rule never weakens the result (law 4)."""

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum


class Disposition(IntEnum):
    """What happens to the mail, from mild to strict; the stricter wins a join."""

    DELIVER = 0
    DELAY = 1
    APPROVE = 2
    QUARANTINE = 3
    REJECT = 4


@dataclass(frozen=True, slots=True)
class Title:
    """A line for people, in both languages."""

    zh: str
    en: str


DISPOSITIONS: dict[Disposition, Title] = {
    Disposition.DELIVER: Title("投递（可带处理，如加密、加标记）", "Deliver, with treatments if any are named"),
    Disposition.DELAY: Title(
        "延迟投递：过了 delay 所写的时间再判一次后发出", "Wait for the time in delay, then judge again and send"
    ),
    Disposition.APPROVE: Title("等待审批：有权的人放行或拒绝", "Wait until someone entitled releases or rejects it"),
    Disposition.QUARANTINE: Title("隔离：只有管理员可以放行", "Quarantine: only an operator may release it"),
    Disposition.REJECT: Title(
        "拒收：在 SMTP 会话里答 5xx，不留内容", "Refuse with 5xx inside the SMTP session; no content is kept"
    ),
}
"""What each disposition means, for the reference page."""


@dataclass(frozen=True, slots=True, order=True)
class Treatment:
    """Something done to a message before it leaves: ``kind`` from the table in gateway.treatments, ``value`` its parameter.

    Kinds stand in ``TREATMENTS``. Built-in and user rules name them as ``"encrypt"`` or ``"tag:X-Sealgate-Flag=money"``.
    """

    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class TreatmentKind:
    """One row of the treatment table: what a rule may name, and whether a value must or may follow the colon.

    ``value`` is ``"none"``, ``"optional"`` or ``"required"``; ``values`` closes the choice where it isn't empty. ``in_session`` says
    whether mail so treated may still be relayed inside the client's session.
    """

    name: str
    value: str
    title: Title
    values: tuple[str, ...] = ()
    in_session: bool = True


ENCRYPT_ORDER = ("", "tls", "zip", "pdf", "portal", "openpgp", "smime")
"""From any way at all to the strictest: a join of two keeps the later one."""

TREATMENTS: tuple[TreatmentKind, ...] = (
    TreatmentKind(
        "tag",
        "required",
        Title("加一个邮件头：tag:X-名称=内容", "Adds a header field: tag:X-Name=text"),
    ),
    TreatmentKind(
        "banner",
        "optional",
        Title("正文顶部加提示：banner:文字", "Puts a warning at the top of the body: banner:words"),
        in_session=False,
    ),
    TreatmentKind(
        "unbanner",
        "none",
        Title("外发时拿掉我们加的提示", "Takes our own warnings off again on the way out"),
        in_session=False,
    ),
    TreatmentKind(
        "strip",
        "optional",
        Title(
            "拿掉触发规则的附件，换成双语说明；原件留存",
            "Replaces the offending attachment by a bilingual note; the original is kept",
        ),
        in_session=False,
    ),
    TreatmentKind(
        "disarm",
        "optional",
        Title(
            "重写 HTML，只留文字与版式：去掉脚本、表单、框架、事件、刷新；disarm:images 连远程图片也去掉；原件留存",
            "Writes HTML anew with text and layout only: no scripts, forms, frames, events, refreshes; disarm:images takes remote "
            "pictures too; the original is kept",
        ),
        ("images",),
        in_session=False,
    ),
    TreatmentKind(
        "redirect",
        "required",
        Title("改投：redirect:地址", "Sends it to another address: redirect:address"),
        in_session=False,
    ),
    TreatmentKind("copy", "required", Title("抄送一份：copy:地址", "Sends a copy: copy:address"), in_session=False),
    TreatmentKind(
        "encrypt",
        "optional",
        Title(
            "加密后才外发；没有可用的办法就扣下，绝不明文外发",
            "Leaves encrypted only; with no way to encrypt it is held, never in the clear",
        ),
        ENCRYPT_ORDER[1:],
    ),
    TreatmentKind(
        "notify-sender",
        "none",
        Title("邮件被扣下时告知本单位发件人", "Tells a sender of ours that the mail is held"),
        in_session=False,
    ),
    TreatmentKind(
        "notify-recipient",
        "none",
        Title(
            "邮件被扣下时告知本单位收件人：谁发来、为何、如何索取；不引用内容",
            "Tells recipients of ours that mail for them is held: from whom, why and how to ask; never quotes it",
        ),
        in_session=False,
    ),
)
"""Every treatment a rule may name."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One matching rule, as an event cites it.

    ``version`` is the hash of the rule with the dictionaries it names: a waiver (law 7) names both. ``waivable`` is False where no
    person may release (malware). ``approvers`` are groups or addresses entitled to answer, empty: any operator with the role.
    ``delay_s`` is the waiting time of a DELAY. ``enhanced`` is the status code of a REJECT (RFC 3463, RFC 7372).
    ``keep_content`` is False where the law forbids storing what was sent (state secrets): then no blob is written for anyone.
    """

    rule: str
    version: str
    disposition: Disposition
    title: Title
    enhanced: str = "5.7.1"
    waivable: bool = True
    approvers: tuple[str, ...] = ()
    delay_s: int = 0
    part: str | None = None
    keep_content: bool = True


CONFLICT = "conflict"
"""The rule name of the reason that redirects disagree; no rule of a file may be called so."""

_CONFLICT_TITLE = Title(
    "几条规则要改投不同的地址，须由人决定", "Rules redirect to different addresses; someone has to decide"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do for one recipient.

    ``a | b`` is the strictest of both with all reasons, in a stable order, and the joined treatments: the stricter ``encrypt``; every
    ``tag``, ``banner``, ``copy``; redirects that differ are at least APPROVE with reason ``conflict``, and both are kept
    in ``treatments`` so that whoever answers sees them. The join is commutative, associative, idempotent and monotone on anything
    that came out of a join.
    """

    disposition: Disposition = Disposition.DELIVER
    treatments: frozenset[Treatment] = frozenset()
    reasons: tuple[Reason, ...] = field(default=())

    def __or__(self, other: "Decision") -> "Decision":
        treatments = _strictest(self.treatments | other.treatments)
        disposition = max(self.disposition, other.disposition)
        reasons = {reason for reason in (*self.reasons, *other.reasons) if reason.rule != CONFLICT}
        conflict = _conflict(treatments)
        if conflict is not None:
            reasons.add(conflict)
            disposition = max(disposition, conflict.disposition)
        return Decision(
            disposition,
            treatments,
            tuple(
                sorted(
                    reasons,
                    key=lambda reason: (
                        -reason.disposition,
                        reason.rule,
                        reason.version,
                        reason.part or "",
                        repr(reason),
                    ),
                )
            ),
        )


def _strictest(treatments: frozenset[Treatment]) -> frozenset[Treatment]:
    """Keep one ``encrypt``: the last in ENCRYPT_ORDER. A way we don't know counts as stricter than all we know."""
    ways = [treatment for treatment in treatments if treatment.kind == "encrypt"]
    if len(ways) < 2:
        return treatments
    best = max(ways, key=lambda way: (ENCRYPT_ORDER.index(way.value) if way.value in ENCRYPT_ORDER else 99, way.value))
    return frozenset(treatment for treatment in treatments if treatment.kind != "encrypt" or treatment == best)


def _conflict(treatments: frozenset[Treatment]) -> Reason | None:
    """The reason that stands for redirects that differ: a function of the treatments alone, so that the join stays associative."""
    targets = sorted(treatment.value for treatment in treatments if treatment.kind == "redirect")
    if len(targets) < 2:
        return None
    version = "sha256:" + hashlib.sha256("\n".join(targets).encode()).hexdigest()[:32]
    return Reason(CONFLICT, version, Disposition.APPROVE, _CONFLICT_TITLE)


DELIVER = Decision()
