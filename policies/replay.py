"""Judges the kept facts of past mail by another set of rules. Pure.

The log keeps the findings of a mail (code, part, count, score) and the facts that name nobody (policies.vocabulary.KEPT), not its text or
addresses: where a rule asks for more, the answer is "only a rescan could tell", never a guess.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policies.condition import Condition, Leaf, Mode
from policies.decision import Disposition
from policies.facts import Common, Context, Facts, Value, index_findings
from policies.rule import Mode as RuleMode
from policies.rule import Rule, Ruleset
from scanners.finding import Finding


@dataclass(frozen=True, slots=True)
class Kept:
    """What the log says of one past mail. ``more`` is True when it lists only the first findings of many."""

    id: str
    direction: str
    listener: str
    tls: str
    size: int
    recipients: int
    findings: tuple[Finding, ...]
    more: bool
    matched: frozenset[str]
    policy_version: str
    disposition: Disposition
    at: datetime | None = None
    """Local time at which it was judged."""
    bodies: Mapping[str, str] | None = None
    """Which parts are bodies, by their media type; ``None``: an event that kept neither this nor scores."""
    treatments: frozenset[str] = frozenset()
    """Kinds of the treatments that were asked for."""
    people: tuple[Mapping[str, Value], ...] = ({},)
    """The kept facts, one table for each recipient or set of recipients alike."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How one mail would fare otherwise. ``unsure`` maps a rule to the facts that only a rescan could give."""

    id: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    unsure: tuple[tuple[str, tuple[str, ...]], ...]
    before: Disposition
    after: Disposition
    treated_before: tuple[str, ...] = ()
    treated_after: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether anything surely changes; else only a rescan could tell."""
        return bool(self.gained or self.lost) or self.before != self.after or self.treated_before != self.treated_after


def compare_kept(current: Ruleset, draft: Ruleset, kept: Kept) -> Difference | None:
    """What the draft would change for one mail; ``None``: nothing.

    A rule that both sets have in the same version did then what the log says it did, if the log's policy is the current one.
    """
    facts = facts_of(kept)
    was = {rule.name: rule for rule in current.rules}
    trusted = kept.policy_version == current.version
    gained: list[str] = []
    lost: list[str] = [name for name in sorted(kept.matched) if draft.find(name) is None]
    unsure: list[tuple[str, tuple[str, ...]]] = []
    after = Disposition.DELIVER
    kinds: set[str] = set()
    for rule in draft.rules:
        before = rule.name in kept.matched
        same = trusted and rule.name in was and was[rule.name].version == rule.version
        now = before if same else holds(rule, facts, kept)
        if now is None:
            unsure.append((rule.name, _asked(rule, facts, kept)))
            now = before
        if now and rule.mode is RuleMode.ENFORCE:
            after = max(after, rule.then.disposition)
            kinds |= _kinds(rule)
        if now and not before:
            gained.append(rule.name)
        elif before and not now:
            lost.append(rule.name)
    mine = [was[name] for name in kept.matched if name in was and was[name].mode is RuleMode.ENFORCE]
    asked = frozenset(kind for rule in mine for kind in _kinds(rule)) if trusted else kept.treatments
    if kinds and kept.disposition > max((rule.then.disposition for rule in mine), default=Disposition.DELIVER):
        # Held beyond what its rules say: a treatment could not be done (no way to encrypt, say). Whether it can be now, only a try tells.
        after = max(after, kept.disposition if asked & kinds else after)
    found = Difference(
        kept.id,
        tuple(gained),
        tuple(lost),
        tuple(unsure),
        kept.disposition,
        after,
        tuple(sorted(asked)),
        tuple(sorted(kinds)),
    )
    return found if found.certain or unsure else None


def _kinds(rule: Rule) -> set[str]:
    return {treatment.kind for treatment in rule.then.treatments}


def facts_of(kept: Kept) -> Facts:
    """Facts in which all that the log doesn't keep is unknown."""
    common = Common(
        direction=kept.direction,
        listener=kept.listener,
        user=None,
        tls=kept.tls,
        client=None,
        size=kept.size,
        sender=None,
        sender_domain=None,
        from_address=None,
        from_domain=None,
        subject=None,
        recipients=kept.recipients,
        headers=None,
        names=None,
        types=None,
        attachments=None,
        by_code=index_findings(kept.findings),
        bodies=kept.bodies or {},
    )
    return Facts(common, None, None, Context(now=kept.at))


def holds(rule: Rule, facts: Facts, kept: Kept) -> bool | None:
    """Whether the rule surely matched for some recipient, surely for none, or can't be told."""
    values = [_holds_for(rule, _Past(facts, kept, person)) for person in kept.people or ({},)]
    return True if True in values else None if None in values else False


@dataclass(frozen=True, slots=True)
class _Past:
    """One past mail as it was for one recipient."""

    facts: Facts
    kept: Kept
    person: Mapping[str, Value]


def _holds_for(rule: Rule, past: _Past) -> bool | None:
    when = _value(rule.when, past)
    unless = _value(rule.unless, past) if rule.unless is not None else False
    if when is False or unless is True:
        return False
    return None if when is None or unless is None else True


def _value(condition: Condition, past: _Past) -> bool | None:
    if isinstance(condition, Leaf):
        return _leaf(condition, past)
    values = [_value(member, past) for member in condition.members]
    if condition.mode is Mode.ALL:
        return False if False in values else None if None in values else True
    some = True if True in values else None if None in values else False
    if condition.mode is Mode.ANY:
        return some
    return None if some is None else not some


def _leaf(leaf: Leaf, past: _Past) -> bool | None:
    if leaf.entries is not None:
        return None if leaf.entries else False
    if leaf.fact and leaf.check is not None and (known := past.person.get(leaf.fact)) is not None:
        return leaf.check(known)
    value = leaf.test(past.facts)
    if leaf.fact == "direction" and leaf.check is not None and past.kept.direction != "inbound":
        # Without the facts of its recipients the log says only that it went out, not by which kind of listener.
        return value if leaf.check("outbound") == leaf.check("submission") else None
    if leaf.fact == "from.authenticated" and past.kept.more:
        return None  # it is read from findings, and not all of them are listed
    if not leaf.code:
        return value
    if not _present(leaf.code, past.facts.common.by_code):
        return None if past.kept.more else False
    told = {"score", "place"} if past.kept.bodies is not None else set[str]()
    if leaf.code.startswith(KEPT_ABOUT):
        told.add("about")
    if leaf.asks <= told:
        return value if value or not past.kept.more else None
    return True if value and "score" not in leaf.asks else None


KEPT_ABOUT = ("malware.", "scanner.")
"""Codes whose ``about`` the log keeps in clear (gateway.events): names of rules and scanners."""


def _present(code: str, by_code: Mapping[str, tuple[Finding, ...]]) -> bool:
    return code in by_code or (code.endswith("*") and any(found.startswith(code[:-1]) for found in by_code))


def _asked(rule: Rule, facts: Facts, kept: Kept) -> tuple[str, ...]:
    """The names that could not be answered."""
    names: set[str] = set()
    for person in kept.people or ({},):
        for part in (rule.when, rule.unless):
            if part is not None:
                _collect(part, _Past(facts, kept, person), names)
    return tuple(sorted(names))


def _collect(condition: Condition, past: _Past, names: set[str]) -> None:
    if isinstance(condition, Leaf):
        if _leaf(condition, past) is None:
            names.add(condition.fact or condition.code)
        return
    for member in condition.members:
        _collect(member, past, names)


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole replay in numbers."""

    seen: int
    changed: int
    unsure: int
    gained: tuple[tuple[str, int], ...]
    lost: tuple[tuple[str, int], ...]
    held_before: int
    held_after: int


def summary(seen: int, held: int, differences: Sequence[Difference]) -> Summary:
    """Count; ``held`` is how many of all past mails were held or refused."""
    gained: dict[str, int] = {}
    lost: dict[str, int] = {}
    moved = changed = unsure = 0
    for one in differences:
        for name in one.gained:
            gained[name] = gained.get(name, 0) + 1
        for name in one.lost:
            lost[name] = lost.get(name, 0) + 1
        changed += one.certain
        unsure += bool(one.unsure)
        moved += (one.after > Disposition.DELIVER) - (one.before > Disposition.DELIVER)
    return Summary(seen, changed, unsure, _by_count(gained), _by_count(lost), held, held + moved)


def _by_count(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
