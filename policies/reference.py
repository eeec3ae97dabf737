"""The reference of everything a rule may name, as Markdown in both languages; docs/reference/facts.md is made from it."""

from collections.abc import Sequence

from policies.condition import OPERATORS
from policies.decision import DISPOSITIONS, TREATMENTS
from policies.lists import PROOFS
from policies.rule import Ruleset
from policies.vocabulary import FACTS, Kind
from scanners.finding import Code

KINDS = {
    Kind.TEXT: "文字 text",
    Kind.DOMAIN: "域名 domain",
    Kind.YESNO: "是非 yes/no",
    Kind.NUMBER: "数 number",
    Kind.WORDS: "词集 set of words",
}
COMPARISONS: dict[str, tuple[str, str]] = {
    "is": ("等于", "equals"),
    "in": ("是其中之一", "is one of a list"),
    "under": ("是该域或其子域", "is the domain or below it"),
    "contains": ("含这段文字（不分大小写）", "contains this text, in any case"),
    "matches": ("匹配正则（RE2，不分大小写）", "matches a pattern (RE2, in any case)"),
    "min": ("至少；与 max 同写即为区间", "at least; together with max a range"),
    "max": ("至多", "at most"),
    "between": (
        "在两数之间（含两端；首大于尾则绕过零点）",
        "from the first to the second number, round midnight when the first is larger",
    ),
    "has": ("含这个词", "includes this word"),
    "has_any": ("含其中任一", "includes one of a list"),
    "empty": ("是否为空", "whether it is empty"),
}


def page(codes: Sequence[Code] = (), rules: Ruleset | None = None) -> str:
    """The page; ``codes`` are those of all scanners, ``rules`` the built-in ones (their lists are named)."""
    parts = [
        "# 规则可用的名字 What a rule may name\n\n由代码生成，请勿手改。 Generated from the code; do not edit.\n",
        _facts(),
        _comparisons(),
        *([_findings(codes)] if codes else []),
        _results(),
        _proofs(),
    ]
    if rules is not None:
        parts.append(_rules(rules))
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _facts() -> str:
    rows = []
    for fact in FACTS.values():
        values = ", ".join(f"`{value}`" for value in fact.values)
        rows.append(
            [f"`{fact.name}`", KINDS[fact.kind], fact.title.zh, fact.title.en + (f" ({values})" if values else "")]
        )
    return "## 事实 Facts\n\n" + _table(["fact", "", "中文", "English"], rows)


def _comparisons() -> str:
    rows = [
        [KINDS[kind], f"`{operator}`", *COMPARISONS[operator]]
        for kind, operators in OPERATORS.items()
        for operator in operators
    ]
    return "## 比较 Comparisons\n\n" + _table(["", "", "中文", "English"], rows)


def _findings(codes: Sequence[Code]) -> str:
    rows = [
        [f"`{code.code}`", code.severity.name.lower(), code.zh, code.en]
        for code in sorted(codes, key=lambda code: code.code)
    ]
    return "## 扫描结果 Findings\n\n" + _table(["finding", "", "中文", "English"], rows)


def _results() -> str:
    dispositions = [[f"`{one.name.lower()}`", title.zh, title.en] for one, title in DISPOSITIONS.items()]
    treatments = []
    for kind in TREATMENTS:
        written = {"none": kind.name, "optional": f"{kind.name}[:…]", "required": f"{kind.name}:…"}[kind.value]
        values = ", ".join(f"`{value}`" for value in kind.values)
        treatments.append([f"`{written}`", kind.title.zh, kind.title.en + (f" ({values})" if values else "")])
    return (
        "## 处置 Dispositions\n\n从轻到重，多条规则取最重。 From mild to strict; of several rules the strictest wins.\n\n"
        + _table(["disposition", "中文", "English"], dispositions)
        + "\n## 处理 Treatments\n\n"
        + _table(["treatment", "中文", "English"], treatments)
    )


def _proofs() -> str:
    rows = [[f"`{name}`", title.zh, title.en] for name, title in PROOFS.items()]
    return "## 例外的认证方式 Proofs of an exception\n\n" + _table(["auth", "中文", "English"], rows)


def _rules(rules: Ruleset) -> str:
    rows = []
    for rule in rules.rules:
        said = rule.then.disposition.name.lower() if rule.mode.value == "enforce" else "monitor"
        treatments = ", ".join(sorted(one.kind for one in rule.then.treatments))
        rows.append([f"`{rule.name}`", said, treatments, rule.title.zh, rule.title.en])
    return (
        "## 内置规则 Built-in rules\n\n每条规则的例外名单与它同名。 Each rule's list of exceptions has its name.\n\n"
        + _table(["rule", "", "", "中文", "English"], rows)
    )
