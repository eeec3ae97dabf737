"""Judging again what was judged before: the same reading, scanning and deciding as at reception, on the bytes as accepted."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from gateway.custody.release import Rejudge, Rejudged
from gateway.judging.judge import Judge, judge
from gateway.plan import monitored
from gateway.treatments import trim
from policies.facts import Context
from scanners.message import Envelope, Message, Recipient

BUDGET_S = 60.0
"""For one message; nobody waits in a session for it."""

Gather = Callable[[Message, frozenset[str]], Awaitable[Sequence[tuple[Recipient, Context]]]]


def rejudger(
    with_: Judge, gather: Gather, clock: Callable[[], float], local: Collection[str], *, monitor: bool
) -> Rejudge:
    """``clock`` is monotonic seconds; ``local`` are our domains."""

    async def rejudge(envelope: Envelope, raw: bytes) -> Rejudged:
        message, _ = await asyncio.to_thread(trim.read, envelope, raw, local)
        contexts = await gather(message, with_.ruleset.needs)
        judged = await judge(with_, message, contexts, BUDGET_S, clock)
        decisions = tuple((who, monitored(what) if monitor else what) for who, what in judged.decisions)
        return Rejudged(decisions, judged.version)

    return rejudge
