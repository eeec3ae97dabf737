"""``then`` from TOML: what a matching rule says, as a Decision with one Reason."""

from dataclasses import dataclass

from policies.decision import TREATMENTS, Disposition, Title, Treatment
from policies.table import Table, meant

MAX_DELAY_S = 7 * 24 * 3600
"""A week: what waits longer is forgotten, and senders' own queues have given up."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_KINDS = {kind.name: kind for kind in TREATMENTS}
KEYS = ("disposition", "treatments", "approvers", "enhanced", "delay", "waivable", "keep_content")


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a rule says, before its version is known."""

    disposition: Disposition
    treatments: frozenset[Treatment]
    approvers: tuple[str, ...]
    enhanced: str
    delay_s: int
    waivable: bool
    keep_content: bool


def sentence(table: Table) -> Sentence:
    """Read ``then``; problems are noted in the table's report."""
    table.allow(KEYS)
    word = table.text("disposition", required=True, choices=[one.name.lower() for one in Disposition])
    disposition = Disposition[word.upper()] if word else Disposition.DELIVER
    treatments = [
        _treatment(table, number, text) for number, text in enumerate(table.strings("treatments", single=True))
    ]
    enhanced = table.text("enhanced") or "5.7.1"
    if not _enhanced(enhanced):
        table.problem(
            f"“{enhanced}” 不是 5.x.x 形式的状态码", f'"{enhanced}" is no status code of the form 5.x.x', "enhanced"
        )
    delay_s = _delay(table) if table.has("delay") else 0
    if word and (disposition is Disposition.DELAY) != table.has("delay"):
        table.problem(
            "delay（等多久）与 disposition = “delay” 须同时写",
            'delay (how long) and disposition = "delay" belong together',
            "disposition",
        )
    approvers = table.strings("approvers", single=True)
    for number, approver in enumerate(approvers):
        if "@" not in approver and not approver.removeprefix("group:"):
            table.problem(
                "审批人写 group:组名 或邮件地址", "an approver is group:NAME or an address", "approvers", number
            )
    if approvers and disposition is not Disposition.APPROVE:
        table.problem("只有 approve 才有审批人", "only approve has approvers", "approvers")
    keep_content = table.boolean("keep_content", True)
    if not keep_content and disposition is not Disposition.REJECT:
        table.problem(
            "keep_content = false 只能与 disposition = “reject” 同用：不留存内容就无法扣留",
            'keep_content = false goes with disposition = "reject" only: what is not stored can\'t be held',
            "keep_content",
        )
    return Sentence(
        disposition,
        frozenset(one for one in treatments if one is not None),
        approvers,
        enhanced,
        delay_s,
        table.boolean("waivable", True),
        keep_content,
    )


def _treatment(table: Table, number: int, text: str) -> Treatment | None:
    name, _, value = text.partition(":")
    kind = _KINDS.get(name)
    if kind is None:
        zh, en = meant(name, frozenset(_KINDS))
        table.problem(f"没有处理 “{name}”{zh}", f'there is no treatment "{name}"{en}', "treatments", number)
        return None
    if kind.value == "required" and not value.strip():
        table.problem(f"“{name}” 须带值：{name}:…", f'"{name}" needs a value: {name}:...', "treatments", number)
    if kind.value == "none" and value:
        table.problem(f"“{name}” 不带值", f'"{name}" takes no value', "treatments", number)
    if kind.values and value and value not in kind.values:
        zh, en = meant(value, frozenset(kind.values))
        table.problem(f"“{name}” 不能是 “{value}”{zh}", f'"{name}" can\'t be "{value}"{en}', "treatments", number)
    if name == "tag" and value and not _field(value):
        table.problem("tag 应写作 tag:X-名称=内容", "a tag is written tag:X-Name=text", "treatments", number)
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        table.problem(
            "值里不能有控制字符或换行", "a value can't hold control characters or line ends", "treatments", number
        )
    if name in ("redirect", "copy") and value.count("@") != 1:
        table.problem(f"“{name}” 的值应是一个邮件地址", f'"{name}" needs one address', "treatments", number)
    return Treatment(name, value)


def _field(value: str) -> bool:
    """``X-Name=text``: only names of our own may be set, so that no rule forges From or Authentication-Results."""
    name, equals, text = value.partition("=")
    return bool(equals and text) and name[:2].upper() == "X-" and name.isascii() and name.replace("-", "").isalnum()


def _enhanced(text: str) -> bool:
    """RFC 3463: class 5 for a refusal."""
    parts = text.split(".")
    return (
        len(parts) == 3
        and parts[0] == "5"
        and all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts)
    )


def _delay(table: Table) -> int:
    text = table.text("delay", required=True)
    digits, unit = text[:-1], text[-1:]
    if digits.isascii() and digits.isdigit() and len(digits) <= 6 and unit in UNITS:
        seconds = int(digits) * UNITS[unit]
        if 0 < seconds <= MAX_DELAY_S:
            return seconds
    table.problem("delay 应如 “10m”、“2h”，最长 7d", 'delay is such as "10m" or "2h", at most 7d', "delay")
    return 0


def title(table: Table) -> Title:
    """``title = { zh = "…", en = "…" }``: both are needed, since either may be all that a reader understands."""
    if isinstance(table.data.get("title"), str):
        table.problem(
            "title 须写两种语言：{ zh = “…”, en = “…” }（半角引号）",
            'title is in both languages: { zh = "...", en = "..." }',
            "title",
        )
        return Title("", "")
    inner = table.table("title", required=True)
    if inner is None:
        return Title("", "")
    inner.allow(("zh", "en"))
    return Title(inner.text("zh", required=True), inner.text("en", required=True))
