"""What is allowed in a set of rules and yet probably not meant: said by `sealgate policy check`, refused by nobody. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from gateway.config import Config, Operator
from gateway.treatments import encrypt
from policies.condition import leaves, possible_directions
from policies.lists import Entry
from policies.problem import nearest
from policies.rule import Mode, Rule, Ruleset
from scanners.message import Direction

SOON_DAYS = 14
"""An exception that ends within two weeks is worth a word."""
APPROVER = "approver"
EVERYBODY = "*"
NO_MATCH = "no-match"
WRITTEN = frozenset(
    [
        "sender.address",
        "sender.domain",
        "sender.groups",
        "sender.outside",
        "from.address",
        "from.domain",
        "from.local",
        "subject",
        "message.reply",
        "message.list",
        "message.automatic",
        "message.signed",
        "message.encrypted",
        "attachment.names",
        "attachment.extensions",
        "attachment.types",
    ]
)
"""Facts that are the sender's own word."""
PROVEN = frozenset(("from.authenticated", "sender.login", "client.address", "listener"))
PROOF = "auth."
"""Findings of authentication."""


def remarks(config: Config, ruleset: Ruleset, now: datetime) -> list[str]:
    """A line for each, in both languages."""
    return [
        *expiring(ruleset.lists, now),
        *unused(ruleset),
        *untried(ruleset),
        *talked_into(ruleset),
        *unanswerable(config, ruleset),
        *unencryptable(config, ruleset),
    ]


def expiring(entries: Sequence[Entry], now: datetime) -> Iterator[str]:
    """Exceptions that have ended or soon will."""
    for entry in entries:
        if entry.expires is None:
            continue
        days = (entry.expires - now.date()).days
        party = entry.sender or entry.recipient or entry.signer
        if days < 0:
            yield f"list.{entry.name} {party}: 已于 {entry.expires} 到期，不再起作用 / ended on {entry.expires}, no longer used"
        elif days <= SOON_DAYS:
            yield f"list.{entry.name} {party}: 将于 {entry.expires} 到期 / ends on {entry.expires}"


def unused(ruleset: Ruleset) -> Iterator[str]:
    """Lists that no rule asks for: an exception with a mistyped name never holds."""
    asked: set[str] = set()
    for rule in ruleset.rules:
        for part in (rule.when, rule.unless):
            if part is not None:
                asked |= {leaf.fact for leaf in leaves(part) if leaf.fact.startswith("list.")}
    names = frozenset(each.removeprefix("list.") for each in asked) | {rule.name for rule in ruleset.rules}
    for name in sorted({entry.name for entry in ruleset.lists} - {each.removeprefix("list.") for each in asked}):
        near = nearest(name, names - {name})
        zh, en = (f"；是不是 “{near}”？", f'; did you mean "{near}"?') if near else ("", "")
        yield f"list.{name}: 没有规则用到此名单{zh} / no rule asks for this list{en}"


def untried(ruleset: Ruleset) -> Iterator[str]:
    """Rules of the operator's own without an example that matches: nobody has seen them work."""
    bare = [
        rule.name
        for rule in ruleset.rules
        if not rule.builtin and all(each.expect == NO_MATCH for each in rule.examples)
    ]
    if bare:
        names = ", ".join(bare)
        yield f"{names}: 没有应匹配的例子，无从知道规则是否有效 / no example that should match: nobody knows whether it works"


def talked_into(ruleset: Ruleset) -> Iterator[str]:
    """Exceptions that rest on nothing but what the sender wrote: whoever wants one writes the same."""
    for rule in ruleset.rules:
        asked = leaves(rule.unless) if rule.unless is not None else ()
        if any(leaf.fact in PROVEN or leaf.code.startswith(PROOF) or leaf.lists for leaf in asked):
            continue
        said = [leaf.fact for leaf in asked if leaf.fact in WRITTEN or leaf.fact.startswith("header.")]
        if possible_directions(rule.when) == {Direction.SUBMISSION}:
            said = [name for name in said if name != "sender.groups"]  # there it is the login's
        if said:
            names = ", ".join(dict.fromkeys(said))
            yield (
                f"{rule.name}: unless 只凭 {names}，发信人可随意写；请加上认证条件，或改用 [[allow]] 名单 / "
                f"unless rests on {names}, which any sender can write: add what authenticates, or use an [[allow]] list"
            )


def unanswerable(config: Config, ruleset: Ruleset) -> Iterator[str]:
    """Rules whose approvers are nobody: what they hold could only expire."""
    people = [each for each in config.operators if APPROVER in each.roles]
    asking = [rule for rule in ruleset.rules if rule.mode is Mode.ENFORCE and approvers_of(rule)]
    if not people:
        if any(rule.mode is Mode.ENFORCE for rule in ruleset.rules):
            yield (
                "没有审批人，被扣留的邮件无人可放行；请执行 sealgate operator add / "
                "no [[operator]] is an approver, so nobody could release held mail: sealgate operator add"
            )
        return
    groups = {f"group:{name}" for name, _ in config.groups} | {
        f"group:{name}" for each in people for name in each.groups
    }
    for rule in asking:
        known = _known(people, config)
        if not set(map(str.lower, approvers_of(rule))) & known:
            yield _nobody(rule, groups | known)


def approvers_of(rule: Rule) -> tuple[str, ...]:
    """Whom the rule names to answer."""
    return tuple(dict.fromkeys(word for reason in rule.then.reasons for word in reason.approvers))


def _known(people: Iterable[Operator], config: Config) -> set[str]:
    """Every way in which a rule could name one of these."""
    found: set[str] = set()
    for each in people:
        found |= {each.name.lower(), each.address.lower(), *(f"group:{name}".lower() for name in each.groups)}
        found |= {
            f"group:{name}".lower()
            for name, members in config.groups
            if each.address.lower() in map(str.lower, members)
        }
    return found - {""}


def _nobody(rule: Rule, known: Iterable[str]) -> str:
    words = ", ".join(approvers_of(rule))
    options = frozenset(known)
    first = approvers_of(rule)[0].lower()
    near = f"group:{first}" if f"group:{first}" in options else nearest(first, options - {first})
    zh, en = (f"；是不是 “{near}”？", f'; did you mean "{near}"?') if near else ("", "")
    return (
        f"{rule.name}: 没有审批人属于 {words}{zh} / no approver is {words}, so nobody could release what it holds{en}"
    )


def unencryptable(config: Config, ruleset: Ruleset) -> Iterator[str]:
    """Rules that ask for encryption where a route for strangers keeps no such promise: their mail will be held."""
    asking = [
        rule.name
        for rule in ruleset.rules
        if rule.mode is Mode.ENFORCE and any(each.kind == "encrypt" for each in rule.then.treatments)
    ]
    bare = [each.to for each in config.routes if each.recipients == EVERYBODY and not encrypt.has_way(each)]
    if asking and bare:
        yield (
            f"{', '.join(asking)} 要求加密，而路由 {', '.join(bare)} 未设 tls = “verified”：此类邮件将被扣留 / "
            f'{", ".join(asking)} asks for encryption and the route to {", ".join(bare)} has no tls = "verified": such mail will be held'
        )
