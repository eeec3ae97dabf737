"""``when`` and ``unless`` from TOML: each condition checked against the known facts, findings and lists, then compiled."""

from collections.abc import Mapping
from dataclasses import dataclass

from policies.codes import Catalogue, covers
from policies.comparison import Comparison, compare
from policies.condition import (
    OPERATORS,
    Condition,
    Leaf,
    Mode,
    Wanted,
    fact_leaf,
    finding_leaf,
    group,
    header_leaf,
    yes_no_leaf,
)
from policies.decision import Title
from policies.lists import Entry, tester
from policies.patterns import PatternError, searcher
from policies.table import Table, meant
from policies.vocabulary import FACTS, Fact, Kind

MAX_NESTING = 8
"""Groups inside groups: nobody reads deeper."""
MAX_MEMBERS = 200
"""Conditions of one group; longer enumerations belong into a list file."""
MODES = ("all", "any", "none")
PLACES = ("body", "attachment", "nested", "header")


@dataclass(frozen=True, slots=True)
class Words:
    """Every name a condition may use. ``lists`` holds each list's entries; a rule's name is a list too, empty at first."""

    catalogue: Catalogue
    lists: Mapping[str, tuple[Entry, ...]]


def condition(table: Table, key: str, words: Words, *, exception: bool = False, depth: int = 0) -> Condition | None:
    """Read the condition under ``key``: a group, a single condition or the short form in quotes. ``None`` after a problem."""
    value = table.data.get(key)
    if isinstance(value, str):
        return _short(table, key, (), value, words, exception)
    inner = table.table(key)
    if inner is None:
        return None
    return _table(inner, words, exception, depth)


def _table(table: Table, words: Words, exception: bool, depth: int) -> Condition | None:
    if not any(mode in table.data for mode in MODES):
        return _leaf(table, words, exception)
    table.allow(MODES)
    groups = [_group(table, mode, words, exception, depth) for mode in MODES if mode in table.data]
    if any(one is None for one in groups):
        return None
    return group(Mode.ALL, [one for one in groups if one is not None])


def _group(table: Table, mode: str, words: Words, exception: bool, depth: int) -> Condition | None:
    value = table.data[mode]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_MEMBERS:
        table.problem(
            f"“{mode}” 应是 1 到 {MAX_MEMBERS} 个条件的列表",
            f'"{mode}" must be a list of 1 to {MAX_MEMBERS} conditions',
            mode,
        )
        return None
    if depth >= MAX_NESTING:
        table.problem(f"条件嵌套超过 {MAX_NESTING} 层", f"conditions are nested more than {MAX_NESTING} deep", mode)
        return None
    members: list[Condition] = []
    for number, one in enumerate(value):
        found: Condition | None
        if isinstance(one, str):
            found = _short(table, mode, (number,), one, words, exception)
        elif isinstance(one, dict):
            inner = Table(table.document, (*table.path, mode, number), one, table.report)
            found = _table(inner, words, exception, depth + 1)
        else:
            table.problem("条件应是 { … } 或带引号的名字", "a condition is { ... } or a name in quotes", mode, number)
            found = None
        if found is not None:
            members.append(found)
    return group(Mode(mode), members) if len(members) == len(value) else None


def _short(table: Table, key: str, at: tuple[int, ...], word: str, words: Words, exception: bool) -> Leaf | None:
    """``"list.partners"``, ``"recipient.outside"`` or ``"malware.clamav"``: a list, a yes/no fact that is true, a finding."""
    if word.startswith("list."):
        return _list(table, (key, *at), word, words, exception)
    if word in FACTS:
        if FACTS[word].kind is Kind.YESNO:
            return yes_no_leaf(word, True)
        table.problem(
            f'“{word}” 不是是非题，须写成 {{ fact = "{word}", … }}',
            f'"{word}" is no yes/no fact; write {{ fact = "{word}", ... }}',
            key,
            *at,
        )
        return None
    if words.catalogue.knows(word):
        return finding_leaf(Wanted(word), _finding_words(Wanted(word), words))
    yes_no = frozenset(name for name, fact in FACTS.items() if fact.kind is Kind.YESNO)
    zh, en = meant(word, words.catalogue.exact | yes_no | {f"list.{name}" for name in words.lists})
    table.problem(f"不认识的条件 “{word}”{zh}", f'unknown condition "{word}"{en}', key, *at)
    return None


def _leaf(table: Table, words: Words, exception: bool) -> Leaf | None:
    kinds = [key for key in ("fact", "finding", "header", "list") if key in table.data]
    if len(kinds) != 1:
        table.problem(
            "每个条件写 fact、finding、header、list 之一（或 all、any、none）",
            "a condition has exactly one of fact, finding, header, list (or all, any, none)",
        )
        return None
    name = table.text(kinds[0], required=True)
    if not name:
        return None
    if kinds[0] == "fact":
        return _fact(table, name, words, exception)
    if kinds[0] == "finding":
        return _finding(table, name, words)
    if kinds[0] == "header":
        return _header(table, name)
    table.allow(("list",))
    return _list(table, ("list",), f"list.{name}", words, exception)


def _fact(table: Table, name: str, words: Words, exception: bool) -> Leaf | None:
    if name.startswith("list."):
        table.allow(("fact", "is"))
        if table.boolean("is", True) is False:
            table.problem(
                "名单条件只能写 is = true；反面请用 none",
                "a list can only be asked with is = true; use none for the contrary",
                "is",
            )
            return None
        return _list(table, ("fact",), name, words, exception)
    fact = FACTS.get(name)
    if fact is None:
        zh, en = meant(name, frozenset(FACTS))
        if not zh and words.catalogue.knows(name):
            zh, en = f"；它是扫描结果，写 finding = “{name}”", f'; it is a finding: write finding = "{name}"'
        table.problem(f"不认识的事实 “{name}”{zh}", f'unknown fact "{name}"{en}', "fact")
        return None
    operators = OPERATORS[fact.kind]
    table.allow(("fact", *operators))
    found = [operator for operator in operators if operator in table.data]
    if fact.kind is Kind.NUMBER and set(found) == {"min", "max"}:
        found = ["min"]  # both bounds in one condition are one comparison
    if len(found) != 1:
        choice = ", ".join(operators)
        table.problem(
            f"“{name}” 须写一个比较：{choice}", f'"{name}" needs exactly one comparison: {choice}', "fact", key=True
        )
        return None
    if fact.kind is Kind.YESNO:
        return yes_no_leaf(name, table.boolean("is", True))
    comparison = compare(table, fact, found[0])
    return _fact_leaf(fact, comparison) if comparison else None


def _fact_leaf(fact: Fact, comparison: Comparison) -> Leaf:
    directions = None
    if fact.name == "direction":
        directions = frozenset(value for value in fact.values if comparison.check(value))
    return fact_leaf(fact.name, comparison.check, comparison.words.zh, comparison.words.en, directions)


def _list(table: Table, at: tuple[str | int, ...], name: str, words: Words, exception: bool) -> Leaf | None:
    entries = words.lists.get(name.removeprefix("list."))
    if entries is None:
        zh, en = meant(name, frozenset(f"list.{known}" for known in words.lists))
        table.problem(f"没有名单 “{name}”{zh}", f'there is no list "{name}"{en}', *at)
        return None
    if exception and any(not entry.allow for entry in entries):
        table.problem(
            f"“{name}” 是 [[watch]] 名单，其条目不经认证，不能用于 unless；例外请用 [[allow]]",
            f'"{name}" is a [[watch]] list: its entries prove nothing, so it can\'t stand in unless; use [[allow]] for exceptions',
            *at,
        )
        return None
    title = Title(f"在名单 {name.removeprefix('list.')} 里", f"on the list {name.removeprefix('list.')}")
    needs = frozenset((name.removeprefix("list."),))
    return Leaf(tester(entries), title, fact=name, lists=needs, entries=len(entries))


def _header(table: Table, name: str) -> Leaf | None:
    table.allow(("header", "contains", "matches", "exists"))
    found = [key for key in ("contains", "matches", "exists") if table.has(key)]
    if len(found) != 1:
        table.problem(
            "header 条件须写 contains、matches、exists 之一",
            "a header condition needs exactly one of contains, matches, exists",
            "header",
        )
        return None
    if found[0] == "exists":
        if not table.boolean("exists", True):
            table.problem(
                "exists 只能是 true；反面请用 none", "exists can only be true; use none for the contrary", "exists"
            )
            return None
        return header_leaf(name, None, "存在", "is there")
    text = table.text(found[0], required=True)
    if not text:
        return None
    if found[0] == "contains":
        wanted = text.casefold()
        return header_leaf(name, lambda value: wanted in value.casefold(), f"含 “{text}”", f'contains "{text}"')
    try:
        return header_leaf(name, searcher(text), f"匹配 {text}", f"matches {text}")
    except PatternError as error:
        table.problem(f"正则表达式有误：{error}", f"bad pattern: {error}", "matches")
        return None


def _finding(table: Table, code: str, words: Words) -> Leaf | None:
    table.allow(("finding", "min_count", "min_score", "part", "about", "except"))
    wanted = Wanted(
        code,
        table.integer("min_count", 1, 1, 1_000_000),
        table.integer("min_score", 0, 0, 1_000_000),
        table.text("part", choices=PLACES),
        frozenset(word.lower() for word in table.strings("about", single=True)),
        frozenset(table.strings("except", single=True)),
    )
    for number, word in enumerate(table.strings("except")):
        if not covers(code, word) or not words.catalogue.knows(word):
            table.problem(f"“{code}” 不包含 “{word}”", f'"{code}" doesn\'t cover "{word}"', "except", number)
    if not words.catalogue.knows(code):
        zh, en = meant(code, words.catalogue.exact)
        guess = words.catalogue.nearest(code)
        if guess:
            zh, en = f"；是不是 “{guess}”？", f'; did you mean "{guess}"?'
        elif code in FACTS:
            zh, en = f"；它是事实，写 fact = “{code}”", f'; it is a fact: write fact = "{code}"'
        table.problem(f"没有扫描器报告 “{code}”{zh}", f'no scanner reports "{code}"{en}', "finding")
        return None
    return finding_leaf(wanted, _finding_words(wanted, words))


def _finding_words(wanted: Wanted, words: Words) -> Title:
    """The finding's own sentence from the catalogue, with what the condition asks beside it."""
    declared = next((code for code in words.catalogue.codes if code.code == wanted.code), None)
    zh, en = (
        (f"{declared.zh}（{wanted.code}）", f"{declared.en} ({wanted.code})")
        if declared
        else (wanted.code, wanted.code)
    )
    if wanted.min_count > 1:
        zh, en = f"{zh}，至少 {wanted.min_count} 处", f"{en}, at least {wanted.min_count}"
    if wanted.min_score:
        zh, en = f"{zh}，得分至少 {wanted.min_score}", f"{en}, score at least {wanted.min_score}"
    if wanted.where:
        places = {"body": "正文", "attachment": "附件", "nested": "压缩包内", "header": "信头"}
        zh, en = f"{zh}，在{places[wanted.where]}", f"{en}, in {wanted.where}"
    if wanted.without:
        others = ", ".join(sorted(wanted.without))
        zh, en = f"{zh}，除去 {others}", f"{en}, except {others}"
    if wanted.about:
        about = ", ".join(sorted(wanted.about))
        zh, en = f"{zh}，关于 {about}", f"{en}, about {about}"
    return Title(zh, en)
