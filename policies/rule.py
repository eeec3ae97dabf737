"""Rules and what they decide: ``decide()`` for every mail, ``explain()`` for people. Pure: facts in, a Judgement out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from policies.condition import Condition, Group, Leaf, leaves, possible_directions, required_codes
from policies.decision import DELIVER, Decision, Reason, Title
from policies.facts import Facts
from policies.lists import Entry
from policies.sample import Example


class Mode(Enum):
    """Whether a matching rule acts."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``then`` is its Decision with its one Reason; ``source`` its meaning in one canonical line, from which the version is made.

    ``file`` and ``line`` say where it stands; ``builtin`` that it ships with the gateway.
    """

    name: str
    title: Title
    mode: Mode
    when: Condition
    unless: Condition | None
    then: Decision
    examples: tuple[Example, ...]
    version: str
    source: str
    file: str
    line: int
    builtin: bool

    @property
    def reason(self) -> Reason:
        """Its reason, as an event cites it."""
        return self.then.reasons[0]


@dataclass(frozen=True, slots=True)
class Index:
    """Which rules can match at all, by direction: those to ask always, and those to ask when a code (or a prefix) was found."""

    always: tuple[int, ...]
    by_code: Mapping[str, tuple[int, ...]]
    by_prefix: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules of a judge, sorted by name (their order means nothing). ``needs`` names the Context fields that any rule reads."""

    rules: tuple[Rule, ...] = ()
    lists: tuple[Entry, ...] = ()
    version: str = ""
    needs: frozenset[str] = frozenset()
    index: Mapping[str, Index] = field(default_factory=dict, repr=False)

    def find(self, name: str) -> Rule | None:
        """The rule of that name."""
        return next((rule for rule in self.rules if rule.name == name), None)


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched, and the facts that were unknown and counted as met."""

    rule: str
    version: str
    monitor: bool
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say for one recipient.

    ``decision`` joins the enforced rules, ``monitored`` what the rules in monitor mode would have added, ``matched`` all that matched.
    """

    decision: Decision
    monitored: Decision
    matched: tuple[Match, ...]


NOTHING = Judgement(DELIVER, DELIVER, ())


def index(rules: Sequence[Rule], directions: Sequence[str]) -> dict[str, Index]:
    """Sort rules into what must be asked always and what only when a finding is there."""
    result: dict[str, Index] = {}
    for direction in directions:
        always: list[int] = []
        by_code: dict[str, list[int]] = {}
        for number, rule in enumerate(rules):
            if direction not in possible_directions(rule.when):
                continue
            codes = required_codes(rule.when)
            if codes is None:
                always.append(number)
                continue
            for code in codes:
                by_code.setdefault(code, []).append(number)
        exact = {code: tuple(numbers) for code, numbers in by_code.items() if not code.endswith("*")}
        prefixes = tuple((code[:-1], tuple(numbers)) for code, numbers in by_code.items() if code.endswith("*"))
        result[direction] = Index(tuple(always), exact, prefixes)
    return result


def decide(ruleset: Ruleset, facts: Facts) -> Judgement:
    """Join what every matching rule says (law 4). Cost grows with the rules that can match, not with all."""
    lookup = ruleset.index.get(facts.common.direction)
    if lookup is None:
        return NOTHING
    numbers = set(lookup.always)
    for code in facts.common.by_code:
        numbers.update(lookup.by_code.get(code, ()))
        for prefix, several in lookup.by_prefix:
            if code.startswith(prefix):
                numbers.update(several)
    decision = monitored = DELIVER
    matched: list[Match] = []
    for number in sorted(numbers):
        rule = ruleset.rules[number]
        if not matches(rule, facts):
            continue
        monitor = rule.mode is Mode.MONITOR
        matched.append(Match(rule.name, rule.version, monitor, _unknown(rule.when, facts)))
        said = _with_part(rule, facts)
        if monitor:
            monitored |= said
        else:
            decision |= said
    return Judgement(decision, monitored, tuple(matched)) if matched else NOTHING


def matches(rule: Rule, facts: Facts) -> bool:
    """``when`` holds or can't be ruled out, and ``unless`` surely doesn't hold."""
    return rule.when.test(facts) is not False and (rule.unless is None or rule.unless.test(facts) is not True)


def _unknown(condition: Condition, facts: Facts) -> tuple[str, ...]:
    if condition.test(facts) is not None:
        return ()
    return tuple(sorted({leaf.fact for leaf in leaves(condition) if leaf.test(facts) is None}))


def _with_part(rule: Rule, facts: Facts) -> Decision:
    """The rule's decision, its reason naming the first part that made it match."""
    for leaf in leaves(rule.when):
        if not leaf.code or not leaf.test(facts):
            continue
        for code, findings in facts.common.by_code.items():
            if (code == leaf.code or (leaf.code[-1] == "*" and code.startswith(leaf.code[:-1]))) and findings[0].part:
                return replace(rule.then, reasons=(replace(rule.reason, part=findings[0].part),))
    return rule.then


# For people -----------------------------------------------------------------------------------------------------------


class State(Enum):
    """How one line of a trace came out."""

    MATCHED = "+"
    MISSED = "-"
    UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Line:
    """One question of a rule and its answer; ``depth`` is its indent, ``seen`` what stood in the mail (may be personal)."""

    state: State
    words: Title
    seen: str
    depth: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A rule, whether it matched, and every question it asked. ``excepted``: ``when`` matched, ``unless`` took it back."""

    rule: Rule
    matched: bool
    excepted: bool
    when: tuple[Line, ...]
    unless: tuple[Line, ...]


_GROUP_WORDS = {
    "all": Title("以下全部", "all of"),
    "any": Title("以下任一", "any of"),
    "none": Title("以下皆无", "none of"),
}


def explain(ruleset: Ruleset, facts: Facts) -> tuple[Trace, ...]:
    """Every rule with every question and answer; those that matched first."""
    traces = [trace(rule, facts) for rule in ruleset.rules]
    return tuple(sorted(traces, key=lambda one: (not one.matched, not one.excepted, one.rule.name)))


def trace(rule: Rule, facts: Facts) -> Trace:
    """One rule with every question and answer."""
    held = rule.when.test(facts) is not False
    excepted = held and rule.unless is not None and rule.unless.test(facts) is True
    return Trace(
        rule,
        held and not excepted,
        excepted,
        tuple(_lines(rule.when, facts, 0)),
        tuple(_lines(rule.unless, facts, 0)) if rule.unless else (),
    )


def _lines(condition: Condition, facts: Facts, depth: int) -> list[Line]:
    value = condition.test(facts)
    state = State.UNKNOWN if value is None else State.MATCHED if value else State.MISSED
    if isinstance(condition, Leaf):
        return [Line(state, condition.words, condition.seen(facts) if condition.seen else "", depth)]
    found = [Line(state, _GROUP_WORDS[condition.mode.value], "", depth)]
    for member in condition.members:
        found.extend(_lines(member, facts, depth + 1))
    return found


def outline(condition: Condition, depth: int = 0) -> list[tuple[int, Title]]:
    """A condition in plain words, one line each with its indent."""
    if isinstance(condition, Group):
        found = [(depth, _GROUP_WORDS[condition.mode.value])]
        for member in condition.members:
            found.extend(outline(member, depth + 1))
        return found
    return [(depth, condition.words)]
