"""The Judge: one frozen object that says what every message is looked at with and by which rules it is decided.

Built whole when a process starts (gateway.judging.loading); its version is a hash over all that could
change a verdict, and every event cites it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies import facts, rule, vocabulary
from policies.decision import Decision
from policies.facts import Context, Value
from policies.rule import Match, Ruleset
from scanners.base import Opener, Scanned, Scanner, scan
from scanners.message import Message, Recipient

MAX_KEPT = 20
"""Different sets of facts that one event keeps; recipients beyond differ in no way that has been seen in mail."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What every message of a process is judged with."""

    scanners: tuple[Scanner, ...]
    opener: Opener | None
    ruleset: Ruleset
    version: str


@dataclass(frozen=True, slots=True)
class Judged:
    """All that was found and decided about one message."""

    scanned: Scanned
    decisions: tuple[tuple[Recipient, Decision], ...]
    matched: tuple[Match, ...]
    version: str
    policy_version: str
    rules: int
    kept: tuple[tuple[Value, ...], ...] = ()
    """Values of policies.vocabulary.KEPT, each different set once; empty when there are more than MAX_KEPT."""

    @property
    def words(self) -> tuple[str, ...]:
        """The names of the rules that matched, once each."""
        return tuple(dict.fromkeys(match.rule for match in self.matched))


async def judge(
    with_: Judge,
    message: Message,
    contexts: Sequence[tuple[Recipient, Context]],
    deadline_s: float,
    clock: Callable[[], float],
) -> Judged:
    """Scan once, then decide for each recipient. Raises nothing that mail can cause."""
    scanned = await scan(message, with_.scanners, with_.opener, deadline_s, clock)
    decisions: list[tuple[Recipient, Decision]] = []
    matched: dict[tuple[str, str], Match] = {}
    kept: dict[tuple[Value, ...], None] = {}
    for (recipient, _), each in zip(
        contexts, facts.build_each(scanned.message, scanned.findings, contexts), strict=True
    ):
        judgement = rule.decide(with_.ruleset, each)
        kept[vocabulary.kept(each)] = None
        decisions.append((recipient, judgement.decision))
        for match in judgement.matched:
            matched.setdefault((match.rule, match.version), match)
    return Judged(
        scanned,
        tuple(decisions),
        tuple(matched.values()),
        with_.version,
        with_.ruleset.version,
        len(with_.ruleset.rules),
        tuple(kept) if len(kept) <= MAX_KEPT else (),
    )
