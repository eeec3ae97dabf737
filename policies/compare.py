"""Two sets of rules side by side: what was added, taken away or changed in meaning. Pure."""

from dataclasses import dataclass

from policies.decision import Title
from policies.rule import Rule, Ruleset, outline


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``sign`` is ``+``, ``-`` or ``~``; ``lines`` say what in plain words, both languages."""

    sign: str
    name: str
    lines: tuple[Title, ...]


def compare(old: Ruleset, new: Ruleset) -> tuple[Change, ...]:
    """Every difference, by rule name; then those of the lists."""
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    changes: list[Change] = []
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            changes.append(Change("+", name, tuple(words(other))))
        elif other is None and one is not None:
            changes.append(Change("-", name, tuple(words(one))))
        elif one is not None and other is not None and (one.source, one.mode) != (other.source, other.mode):
            changes.append(Change("~", name, tuple(_difference(one, other))))
        elif one is not None and other is not None and one.version != other.version:
            changes.append(Change("~", name, (Title("它所用的词库或名单变了", "its dictionaries or lists changed"),)))
    gone, came = set(old.lists) - set(new.lists), set(new.lists) - set(old.lists)
    for sign, entries in (("-", gone), ("+", came)):
        for entry in sorted(entries, key=lambda entry: entry.source()):
            party = " ".join(filter(None, (entry.sender, entry.recipient, entry.signer)))
            text = f"{party}  {entry.proof}  {entry.expires or ''}  {entry.reason}"
            changes.append(Change(sign, f"list.{entry.name}", (Title(text, ""),)))
    return tuple(changes)


def words(rule: Rule) -> list[Title]:
    """A rule in plain words, line by line."""
    lines = [rule.title, Title("当", "when")]
    lines += [_indented(depth + 1, one) for depth, one in outline(rule.when)]
    if rule.unless is not None:
        lines.append(Title("除非", "unless"))
        lines += [_indented(depth + 1, one) for depth, one in outline(rule.unless)]
    return [*lines, *consequence(rule)]


def consequence(rule: Rule) -> list[Title]:
    """What a matching rule leads to, in plain words."""
    reason, said = rule.reason, rule.then
    name = said.disposition.name.lower()
    zh, en = {
        "deliver": ("照常投递", "deliver"),
        "delay": (f"延迟 {reason.delay_s} 秒后再判一次发出", f"wait {reason.delay_s} s, judge again, then send"),
        "approve": ("扣下，等待审批", "hold for approval"),
        "quarantine": ("隔离", "quarantine"),
        "reject": (f"拒收（{reason.enhanced}）", f"refuse ({reason.enhanced})"),
    }[name]
    lines = [Title(f"则 {zh}", f"then {en}")]
    for treatment in sorted(said.treatments):
        shown = treatment.kind + (f":{treatment.value}" if treatment.value else "")
        lines.append(Title(f"  处理 {shown}", f"  treatment {shown}"))
    if reason.approvers:
        who = ", ".join(reason.approvers)
        lines.append(Title(f"  审批人 {who}", f"  approvers {who}"))
    if not reason.waivable:
        lines.append(Title("  任何人不得放行", "  nobody may release it"))
    if not reason.keep_content:
        lines.append(Title("  不留存内容", "  its content is not kept"))
    if rule.mode.value == "monitor":
        lines.append(Title("  目前只记录，不执行", "  for now only logged, not acted on"))
    return lines


def _difference(one: Rule, other: Rule) -> list[Title]:
    before, after = words(one), words(other)
    return [Title(f"- {line.zh}", f"- {line.en}") for line in before if line not in after] + [
        Title(f"+ {line.zh}", f"+ {line.en}") for line in after if line not in before
    ]


def _indented(depth: int, title: Title) -> Title:
    return Title("  " * depth + title.zh, "  " * depth + title.en)
