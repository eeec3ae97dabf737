"""Holds per 1000: how much ordinary trade mail the built-in rules would stop.

    python -m bench.holds        prints the figure and each hold with its rules

The corpus is tests/corpus/trade, judged by the real scanners and decoders; a mail counts as held when it isn't simply delivered, or
when a treatment (encrypt) would hold it.
"""

import asyncio
import time
from dataclasses import dataclass

from gateway.config import Config, Gateway
from gateway.judging.oneshot import judge_here
from policies.decision import Decision, Disposition
from policies.examples import NOON
from policies.facts import Context, build
from policies.rule import decide
from scanners.base import scan
from scanners.finding import Finding, Severity
from scanners.message import Direction, Envelope, Recipient
from scanners.mime import parse
from tests.corpus.trade.generate import COUNT, HOME, OWN_ACCOUNT, Mail, corpus

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """One mail of the corpus that would not simply go."""

    mail: str
    disposition: str
    rules: tuple[str, ...]


async def held(config: Config) -> list[Hold]:
    """Judge the whole corpus and list what would be held."""
    found: list[Hold] = []
    async with judge_here(config, None) as made:
        for mail in corpus():
            envelope = _envelope(mail)
            scanned = await scan(parse(envelope, mail.raw), made.scanners, made.opener, DEADLINE_S, time.monotonic)
            findings = (*scanned.findings, *_authenticated(mail))
            context = Context(frozenset((HOME,)), frozenset(), frozenset(), False, None, NOON)
            facts = build(scanned.message, findings, context, envelope.recipients[0])
            decision = decide(made.ruleset, facts).decision
            if stopped(decision):
                rules = tuple(reason.rule for reason in decision.reasons)
                found.append(Hold(mail.name, decision.disposition.name.lower(), rules))
    return found


def stopped(decision: Decision) -> bool:
    """Whether the mail waits: held or refused, or to be encrypted when no way to encrypt is set up."""
    return decision.disposition > Disposition.DELIVER or any(one.kind == "encrypt" for one in decision.treatments)


def per_thousand(holds: list[Hold]) -> float:
    """Holds per 1000 mails."""
    return 1000 * len(holds) / COUNT


def _envelope(mail: Mail) -> Envelope:
    return Envelope(
        id="trade",
        session="trade",
        listener="bench",
        direction=Direction(mail.direction),
        received_at=NOON,
        client=None,
        hop="127.0.0.1",
        helo="client.example",
        tls="TLSv1.3",
        user="",
        sender=mail.sender,
        recipients=(Recipient(mail.recipient),),
    )


def _authenticated(mail: Mail) -> tuple[Finding, ...]:
    """Correspondents of the corpus pass DMARC; what fails it is another bench's business."""
    if mail.direction != "inbound":
        return ()
    return (Finding("auth.dmarc.pass", Severity.INFO, "stated", about=mail.sender.rpartition("@")[2]),)


def main() -> None:
    """Print the figure and each hold."""
    config = Config(
        Gateway(hostname="gw.corp.test", local_domains=(HOME,)), own_accounts=("".join(OWN_ACCOUNT.split()),)
    )
    holds = asyncio.run(held(config))
    print(f"holds per 1000: {per_thousand(holds):.0f}   ({len(holds)} of {COUNT} mails)")
    for hold in holds:
        print(f"  {hold.mail}: {hold.disposition} by {', '.join(hold.rules)}")


if __name__ == "__main__":
    main()
