"""The comparisons a condition may make with a fact's value."""

from collections.abc import Callable
from dataclasses import dataclass

from policies.decision import Title
from policies.facts import Value, fold_address, fold_domain
from policies.patterns import PatternError, searcher
from policies.table import Table, meant
from policies.vocabulary import Fact, Kind

UNITS = {"KB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "B": 1}
MAX_WORDS = 5_000
"""Values of one ``in`` or ``has_any``; more belongs into a list file."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A check on a known value, and its words."""

    check: Callable[[Value], bool]
    words: Title


def compare(table: Table, fact: Fact, operator: str) -> Comparison | None:
    """Compile the comparison that the table writes under ``operator``; ``None`` after a problem."""
    if fact.kind is Kind.NUMBER:
        return _number(table, fact, operator)
    if operator == "empty":
        wanted = table.boolean("empty", True)
        return Comparison(
            lambda value: (not value) is wanted,
            Title("为空" if wanted else "不为空", "is empty" if wanted else "is not empty"),
        )
    if operator == "matches":
        return _pattern(table)
    if operator == "contains":
        return _contains(table)
    texts = table.strings(operator, single=True)
    if not _usable(table, operator, texts):
        return None
    known = frozenset(_fold(table, fact, operator, text) for text in texts)
    shown = ", ".join(sorted(known)[:8]) + (" …" if len(known) > 8 else "")
    if fact.kind is Kind.WORDS:
        return Comparison(
            lambda value: isinstance(value, frozenset) and not known.isdisjoint(value),
            Title(f"含 {shown}", f"include {shown}"),
        )
    if operator == "under":
        tails = tuple("." + word for word in known)
        return Comparison(
            lambda value: isinstance(value, str) and (value in known or value.endswith(tails)),
            Title(f"是 {shown} 或其子域", f"is {shown} or below"),
        )
    plain = fact.kind is Kind.DOMAIN or fact.name.endswith(".address")
    if plain or fact.values:
        return Comparison(lambda value: value in known, Title(f"是 {shown}", f"is {shown}"))
    return Comparison(
        lambda value: isinstance(value, str) and value.lower() in known, Title(f"是 {shown}", f"is {shown}")
    )


def _usable(table: Table, operator: str, texts: tuple[str, ...]) -> bool:
    if operator in ("is", "has") and len(texts) != 1:
        table.problem(
            f"“{operator}” 后写一个值；多个值用 in 或 has_any",
            f'"{operator}" takes one value; use in or has_any for several',
            operator,
        )
        return False
    if not 0 < len(texts) <= MAX_WORDS:
        table.problem(
            f"“{operator}” 应有 1 到 {MAX_WORDS} 个值", f'"{operator}" must have 1 to {MAX_WORDS} values', operator
        )
        return False
    return True


def _fold(table: Table, fact: Fact, operator: str, text: str) -> str:
    """The one spelling in which the fact is compared; a value that can never be met is a mistake."""
    if fact.values and text not in fact.values:
        zh, en = meant(text, frozenset(fact.values))
        table.problem(f"“{fact.name}” 不会是 “{text}”{zh}", f'"{fact.name}" is never "{text}"{en}', operator)
    if fact.name.endswith(".country") and not (len(text) == 2 and text.isascii() and text.isalpha()):
        table.problem(
            f"国家写两个字母的代码，如 de、jp，不是 “{text}”",
            f'a country is two letters such as de or jp, not "{text}"',
            operator,
        )
    if fact.kind is Kind.DOMAIN:
        if "@" in text:
            table.problem(f"“{text}” 应是域名，不含 @", f'"{text}" must be a domain, without @', operator)
        return fold_domain(text.lstrip("."))
    if fact.name.endswith(".address") and "@" in text:
        return fold_address(text)
    return text if fact.name.endswith(".groups") else text.lower()


def _contains(table: Table) -> Comparison | None:
    text = table.text("contains", required=True)
    if not text:
        return None
    wanted = text.casefold()
    return Comparison(
        lambda value: isinstance(value, str) and wanted in value.casefold(), Title(f"含 “{text}”", f'contains "{text}"')
    )


def _pattern(table: Table) -> Comparison | None:
    text = table.text("matches", required=True)
    if not text:
        return None
    try:
        search = searcher(text)
    except PatternError as error:
        table.problem(f"正则表达式有误：{error}", f"bad pattern: {error}", "matches")
        return None

    def check(value: Value) -> bool:
        if isinstance(value, frozenset):
            return any(search(word) for word in value)
        return isinstance(value, str) and search(value)

    return Comparison(check, Title(f"匹配 {text}", f"matches {text}"))


def _number(table: Table, fact: Fact, operator: str) -> Comparison | None:
    if operator == "between":
        return _between(table, fact)
    if operator in ("min", "max"):
        low = _amount(table, "min", table.data["min"], fact.top) if table.has("min") else None
        high = _amount(table, "max", table.data["max"], fact.top) if table.has("max") else None
        if (table.has("min") and low is None) or (table.has("max") and high is None):
            return None
        if low is not None and high is not None and low > high:
            table.problem(
                f"至少 {low} 又至多 {high}，永不成立", f"at least {low} and at most {high} is never met", "min"
            )
            return None
        words = Title(
            (f"至少 {low}" if low is not None else "") + (f" 至多 {high}" if high is not None else ""),
            " and ".join([f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)),
        )
        return Comparison(
            lambda value: isinstance(value, int) and (low is None or value >= low) and (high is None or value <= high),
            words,
        )
    raw = table.data[operator]
    numbers = [_amount(table, operator, one, fact.top) for one in (raw if isinstance(raw, list) else [raw])]
    if not numbers or any(number is None for number in numbers):
        return None
    known = frozenset(number for number in numbers if number is not None)
    shown = ", ".join(map(str, sorted(known)))
    return Comparison(lambda value: value in known, Title(f"是 {shown}", f"is {shown}"))


def _between(table: Table, fact: Fact) -> Comparison | None:
    """``between = [22, 6]``: both ends belong to it; when the first is larger it goes round, where the fact does."""
    raw = table.data["between"]
    ends = [_amount(table, "between", one, fact.top) for one in raw] if isinstance(raw, list) and len(raw) == 2 else []
    if len(ends) != 2:
        table.problem("between 应是两个数，如 [9, 17]", "between must be two numbers such as [9, 17]", "between")
        return None
    first, last = ends
    if first is None or last is None:
        return None
    if first > last and fact.top is None:
        table.problem(
            f"between = [{first}, {last}] 永不成立：先写小的",
            f"between = [{first}, {last}] is never met: the smaller one first",
            "between",
        )
        return None
    words = Title(f"在 {first} 到 {last} 之间", f"is from {first} to {last}")
    if first <= last:
        return Comparison(lambda value: isinstance(value, int) and first <= value <= last, words)
    return Comparison(lambda value: isinstance(value, int) and (value >= first or value <= last), words)


def _amount(table: Table, key: str, value: object, top: int | None) -> int | None:
    """A whole number up to ``top``, or a size such as "10MB" where there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= (10**12 if top is None else top):
        return value
    if top is not None:
        table.problem(f"“{key}” 应是 0 到 {top} 的整数", f'"{key}" must be a whole number from 0 to {top}', key)
        return None
    if isinstance(value, str):
        text = value.strip().upper()
        digits = text.rstrip("BKMGI ")
        unit = text[len(digits) :].strip()
        if digits.isascii() and digits.isdigit() and len(digits) <= 12 and unit in UNITS:
            return int(digits) * UNITS[unit]
    table.problem(
        f"“{key}” 应是整数，大小可写 “10MB”", f'"{key}" must be a whole number; a size may be written "10MB"', key
    )
    return None
