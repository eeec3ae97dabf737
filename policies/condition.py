"""Conditions: leaves and groups with three values (Kleene), compiled to closures when a ruleset loads.

``True`` it holds, ``False`` it doesn't, ``None`` the fact is unknown. At the top of a rule an unknown counts as a match in ``when`` and
as no match in ``unless`` (law 4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from policies.codes import covers
from policies.decision import Title
from policies.facts import Common, Facts, Value
from policies.vocabulary import FACTS, Kind
from scanners.finding import Finding
from scanners.message import Direction

Test = Callable[[Facts], bool | None]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One question. ``words`` is the question in plain words; ``fact`` or ``code`` is the name it asks for; ``seen`` shows the answer.

    ``directions`` is the set of directions it allows where it is a question about the direction, else ``None``.
    """

    test: Test
    words: Title
    fact: str = ""
    code: str = ""
    seen: Callable[[Facts], str] | None = None
    directions: frozenset[str] | None = None
    lists: frozenset[str] = frozenset()
    entries: int | None = None
    """How many entries the list it asks has; ``None`` when it asks no list."""
    check: Callable[[Value], bool] | None = None
    """What it asks of its fact's value: so a value that the log kept can be asked too (replay)."""
    asks: frozenset[str] = frozenset()
    """What it asks of a finding beyond its code and count: ``score``, ``about``, ``place``, ``nested``."""


class Mode(Enum):
    """How a group joins its members."""

    ALL = "all"
    ANY = "any"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Group:
    """Several conditions joined."""

    mode: Mode
    members: tuple["Condition", ...]
    test: Test


Condition = Leaf | Group


def group(mode: Mode, members: Sequence[Condition]) -> Condition:
    """Join conditions; a single one under ``all`` or ``any`` is itself."""
    if len(members) == 1 and mode is not Mode.NONE:
        return members[0]
    tests = tuple(member.test for member in members)
    joined = {Mode.ALL: _all, Mode.ANY: _any, Mode.NONE: _none}[mode](tests)
    return Group(mode, tuple(members), joined)


def _all(tests: tuple[Test, ...]) -> Test:
    def test(facts: Facts) -> bool | None:
        result: bool | None = True
        for one in tests:
            value = one(facts)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return test


def _any(tests: tuple[Test, ...]) -> Test:
    def test(facts: Facts) -> bool | None:
        result: bool | None = False
        for one in tests:
            value = one(facts)
            if value:
                return True
            if value is None:
                result = None
        return result

    return test


def _none(tests: tuple[Test, ...]) -> Test:
    some = _any(tests)

    def test(facts: Facts) -> bool | None:
        value = some(facts)
        return None if value is None else not value

    return test


# What a rule needs before it can match: the prefilter ------------------------------------------------------------------


def required_codes(condition: Condition) -> frozenset[str] | None:
    """Codes of which one must be there for the condition to be anything but False; ``None`` when no such set is known."""
    if isinstance(condition, Leaf):
        return frozenset((condition.code,)) if condition.code else None
    found = [required_codes(member) for member in condition.members]
    if condition.mode is Mode.ALL:
        known = [codes for codes in found if codes is not None]
        return min(known, key=lambda codes: (sum(code.endswith("*") for code in codes), len(codes)), default=None)
    if condition.mode is Mode.ANY and all(codes is not None for codes in found):
        return frozenset().union(*(codes for codes in found if codes is not None))
    return None


ALL_DIRECTIONS = frozenset(direction.value for direction in Direction)


def possible_directions(condition: Condition) -> frozenset[str]:
    """Directions in which the condition can be anything but False. The direction is never unknown."""
    if isinstance(condition, Leaf):
        return ALL_DIRECTIONS if condition.directions is None else condition.directions
    found = [possible_directions(member) for member in condition.members]
    if condition.mode is Mode.ALL:
        return ALL_DIRECTIONS.intersection(*found)
    if condition.mode is Mode.ANY:
        return frozenset().union(*found)
    return ALL_DIRECTIONS


def leaves(condition: Condition) -> tuple[Leaf, ...]:
    """Every leaf, left to right."""
    if isinstance(condition, Leaf):
        return (condition,)
    return tuple(leaf for member in condition.members for leaf in leaves(member))


# Leaves ---------------------------------------------------------------------------------------------------------------


def fact_leaf(
    name: str, check: Callable[[Value], bool], zh: str, en: str, directions: frozenset[str] | None = None
) -> Leaf:
    """A question about a fact: unknown stays unknown."""
    fact = FACTS[name]
    read = fact.read

    def test(facts: Facts) -> bool | None:
        value = read(facts)
        return None if value is None else check(value)

    words = Title(f"{fact.title.zh}{zh}", f"{fact.title.en} {en}")
    return Leaf(test, words, fact=name, seen=lambda facts: show(read(facts)), directions=directions, check=check)


def yes_no_leaf(name: str, wanted: bool) -> Leaf:
    """A yes/no fact; the common case, without a call more than needed."""
    fact = FACTS[name]
    read = fact.read

    def test(facts: Facts) -> bool | None:
        value = read(facts)
        return None if value is None else value is wanted

    words = Title(f"{fact.title.zh}：{'是' if wanted else '否'}", f"{fact.title.en}: {'yes' if wanted else 'no'}")
    return Leaf(test, words, fact=name, seen=lambda facts: show(read(facts)), check=lambda value: value is wanted)


def header_leaf(name: str, check: Callable[[str], bool] | None, zh: str, en: str) -> Leaf:
    """A question about a header field: any field of that name may answer it; without ``check``, that there is one."""
    key = name.lower()

    def values(facts: Facts) -> list[str] | None:
        headers = facts.common.headers
        return None if headers is None else [header.text for header in headers if header.key == key]

    def test(facts: Facts) -> bool | None:
        found = values(facts)
        if found is None:
            return None
        return bool(found) if check is None else any(check(text) for text in found)

    return Leaf(
        test,
        Title(f"信头 {name}{zh}", f"header {name} {en}"),
        fact=f"header.{name}",
        seen=lambda facts: show(frozenset(values(facts) or ())),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a finding condition asks for. ``where`` is body, attachment, nested, header or ``""``; ``about`` any of these words.

    ``without`` are codes that a pattern covers and that don't count.
    """

    code: str
    min_count: int = 1
    min_score: int = 0
    where: str = ""
    about: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


def finding_leaf(wanted: Wanted, words: Title) -> Leaf:
    """A question about findings. Never unknown: a scanner that failed says so by ``scanner.failed``, which rules can name."""
    plain = wanted == Wanted(wanted.code) and not wanted.code.endswith("*")

    def simple(facts: Facts) -> bool:
        return wanted.code in facts.common.by_code

    def test(facts: Facts) -> bool:
        found = _select(facts.common, wanted)
        if not found:
            return False
        bodies = facts.common.bodies
        if wanted.min_count > 1 and total(found, bodies, lambda finding: finding.count) < wanted.min_count:
            return False
        return not wanted.min_score or total(found, bodies, lambda finding: finding.score) >= wanted.min_score

    def seen(facts: Facts) -> str:
        found = _select(facts.common, wanted)
        shown = [f"{one.code} ×{one.count}" + (f" in {one.part}" if one.part else "") for one in found[:5]]
        return ", ".join(shown) or "-"

    place = "nested" if wanted.where == "nested" else "place" if wanted.where else ""
    asks = frozenset({"score" if wanted.min_score else "", "about" if wanted.about else "", place} - {""})
    return Leaf(simple if plain else test, words, code=wanted.code, seen=seen, asks=asks)


def _select(common: Common, wanted: Wanted) -> list[Finding]:
    by_code = common.by_code
    if wanted.code.endswith("*"):
        found = [one for code, several in by_code.items() if covers(wanted.code, code) for one in several]
    else:
        found = list(by_code.get(wanted.code, ()))
    if wanted.without:
        found = [one for one in found if one.code not in wanted.without]
    if wanted.about:
        found = [one for one in found if one.about.lower() in wanted.about]
    if wanted.where:
        found = [one for one in found if wanted.where in places(one, common)]
    return found


def places(finding: Finding, common: Common) -> tuple[str, ...]:
    """Where a finding stands, in the words a rule uses for ``part``."""
    if finding.part is None or finding.part in ("header", "headers", "subject"):
        return ("header",)
    if finding.part in common.bodies:
        return ("body",)
    return ("attachment", "nested") if "!" in finding.part else ("attachment",)


def total(found: Sequence[Finding], kinds: Mapping[str, str], weigh: Callable[[Finding], int]) -> int:
    """Sum over parts and codes; the plain and the HTML version of a body say the same twice, so only the larger of the two counts."""
    by_place: dict[tuple[str, str], int] = {}
    for finding in found:
        place = (finding.code, finding.part or "")
        by_place[place] = max(by_place.get(place, 0), weigh(finding))
    versions: dict[tuple[str, str], int] = {}
    elsewhere = 0
    for (code, part), weight in by_place.items():
        if part in kinds:
            versions[code, kinds[part]] = versions.get((code, kinds[part]), 0) + weight
        else:
            elsewhere += weight
    best: dict[str, int] = {}
    for (code, _), weight in versions.items():
        best[code] = max(best.get(code, 0), weight)
    return elsewhere + sum(best.values())


def show(value: Value) -> str:
    """A fact's value as a person reads it; unknown is said to be so."""
    if value is None:
        return "未知 unknown"
    if isinstance(value, bool):
        return "是 yes" if value else "否 no"
    if isinstance(value, frozenset):
        words = sorted(map(_one_line, value))
        return ", ".join(words[:8]) + (" …" if len(words) > 8 else "") if words else "-"
    return _one_line(str(value)) if value != "" else "-"


def _one_line(text: str) -> str:
    """Without what would begin a line of its own, or move a terminal's cursor: a subject may hold anything."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


OPERATORS: dict[Kind, tuple[str, ...]] = {
    Kind.TEXT: ("is", "in", "contains", "matches"),
    Kind.DOMAIN: ("is", "in", "under", "contains", "matches"),
    Kind.YESNO: ("is",),
    Kind.NUMBER: ("is", "in", "min", "max", "between"),
    Kind.WORDS: ("has", "has_any", "matches", "empty"),
}
"""Which comparisons each kind of fact has."""
