"""Runs the mails beside the rules: a rule whose examples don't come out as written refuses to load.

The scan is given by the gateway (the real scanners, without network); here stand only the mails, the authentication they claim, and the
comparison.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from policies.decision import Disposition
from policies.facts import Context, build, domain_of
from policies.load import digest
from policies.problem import Problem
from policies.rule import Rule, Ruleset, matches, trace
from policies.sample import Example, Sample
from policies.sample_mail import compose
from policies.sample_text import way
from scanners.finding import Finding, Severity
from scanners.message import Direction, Envelope, Message, Recipient

LOCAL_DOMAINS = frozenset(("corp.test",))
"""Who we are in examples."""
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""When an example that doesn't say is sent: a Friday, in working hours."""

Scan = Callable[[Envelope, bytes], Awaitable[tuple[Message, Sequence[Finding]]]]
"""Parses and scans as the gateway would; authentication findings are replaced by what the example says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running examples brought. ``passed`` are keys (see ``key``) to be remembered, so that the same pair isn't run again."""

    problems: tuple[Problem, ...]
    passed: frozenset[str]
    ran: int


def key(rule: Rule, scanners_version: str) -> str:
    """Names a rule with its examples and the scanners they ran through: a cache of passed examples is keyed by it."""
    return digest("\n".join((rule.version, scanners_version, repr([(one.mail, one.expect) for one in rule.examples]))))


async def run(
    ruleset: Ruleset, scan: Scan, scanners_version: str = "", known: frozenset[str] = frozenset(), *, required: int = 0
) -> Outcome:
    """Run every example of every rule whose key isn't ``known``. ``required`` is the least number of examples each rule must have."""
    problems: list[Problem] = []
    passed: set[str] = set()
    ran = 0
    for rule in ruleset.rules:
        if len(rule.examples) < required:
            zh, en = (
                f"规则 “{rule.name}” 至少要有 {required} 个例子",
                f'rule "{rule.name}" needs at least {required} examples',
            )
            problems.append(Problem(rule.file, rule.line, 1, zh, en))
        name = key(rule, scanners_version)
        if name in known:
            passed.add(name)
            continue
        before = len(problems)
        for example in rule.examples:
            ran += 1
            problem = await check(rule, example, scan)
            if problem is not None:
                problems.append(problem)
        if len(problems) == before:
            passed.add(name)
    return Outcome(tuple(problems), frozenset(passed), ran)


async def check(rule: Rule, example: Example, scan: Scan) -> Problem | None:
    """Send one example through the scanners and compare what this rule says of it with ``expect``."""
    sample = example.mail
    envelope, raw = compose(sample, Direction(way(sample, LOCAL_DOMAINS)), NOON)
    message, found = await scan(envelope, raw)
    findings = (*_without_authentication(found), *claimed(sample))
    facts = build(message, findings, context(sample), Recipient(sample.to))
    if agrees(rule, matches(rule, facts), example.expect):
        return None
    title = f" “{example.title}”" if example.title else ""
    missed = [line for line in trace(rule, facts).when if line.state.value == "-" and line.seen]
    zh_why = "；".join(f"未满足：{line.words.zh}（{line.seen or '-'}）" for line in missed[:3])
    en_why = "; ".join(f"missed: {line.words.en} ({line.seen or '-'})" for line in missed[:3])
    said = "match" if matches(rule, facts) else "no-match"
    codes = ", ".join(sorted({finding.code for finding in findings})[:12]) or "-"
    return Problem(
        rule.file,
        example.line,
        1,
        f"规则 “{rule.name}” 的例子{title}应为 {example.expect}，结果是 {said}；{zh_why or '无一条未满足'}；扫描所得：{codes}",
        f'example{title} of rule "{rule.name}" should give {example.expect} but gave {said}; {en_why or "nothing missed"}; found: {codes}',
    )


def agrees(rule: Rule, matched: bool, expect: str) -> bool:
    """Whether what the rule says is what the example expects. A rule in monitor mode is judged by what it would do."""
    if expect == "no-match" or not matched:
        return matched == (expect != "no-match")
    if expect == "match":
        return True
    if expect.upper() in Disposition.__members__:
        return rule.then.disposition is Disposition[expect.upper()]
    return any(treatment.kind == expect for treatment in rule.then.treatments)


def context(sample: Sample) -> Context:
    """What the gateway would know beside an example's mail."""
    return Context(
        local_domains=LOCAL_DOMAINS,
        sender_groups=frozenset(sample.sender_groups),
        recipient_groups=frozenset(sample.recipient_groups),
        first_contact=None if sample.known is None else not sample.known,
        country=sample.country,
        now=sample.now or NOON,
    )


_AUTH = ("auth.spf.", "auth.dkim.", "auth.dmarc.", "auth.arc.")


def _without_authentication(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(one for one in findings if not one.code.startswith(_AUTH))


def claimed(sample: Sample) -> tuple[Finding, ...]:
    """The findings an example states: its authentication, and those that stand in for scanners that can't run here."""
    found: list[Finding] = []
    author = domain_of(sample.author.rpartition("<")[2].rstrip(">") or sample.sender)
    for name, value in sample.auth:
        if name == "policy":
            found.append(_stated(f"auth.dmarc.policy_{value}", author))
        elif name == "dkim" and value not in ("pass", "fail", "none", "temperror", "permerror"):
            found.append(_stated("auth.dkim.pass", value))
        elif name == "arc_sealer":
            found.append(_stated("auth.arc.trusted", value))
        elif name == "from":
            found.append(_stated("auth.from.ambiguous", ""))
        else:
            found.append(_stated(f"auth.{name}.{value}", domain_of(sample.sender) if name == "spf" else author))
    for word in sample.findings:
        code, _, about = word.partition("=")
        found.append(_stated(code, about))
    return tuple(found)


def _stated(code: str, about: str) -> Finding:
    return Finding(code, Severity.INFO, "stated by the example", about=about)
