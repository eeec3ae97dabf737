"""The history as mail in a worker uses it: answers remembered for a while, and what left noted in batches, off the reply path."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from gateway.context.history import ASKED, History, HistoryUnavailable
from policies.facts import fold_address

REMEMBERED = 20_000
"""Addresses whose answer is remembered, about 4 MB: asking the database costs ten times what the rest of gathering does."""
KNOWN_S = 3600.0
"""A correspondent stays one for two years; an hour bounds how long an erased one is still taken for known."""
UNKNOWN_S = 30.0
"""How long another worker's mail to somebody may go unnoticed here."""
MAX_NOTED = 10_000
"""Addresses waiting to be written; above, new ones are dropped: that party counts as a first contact once more."""


class Correspondents:
    """Whom the company has written to. ``clock`` is monotonic seconds, ``now`` the time of day.

    ``ours`` are our own domains: our people are nobody's correspondents.
    """

    def __init__(
        self,
        history: History,
        ours: Iterable[str],
        clock: Callable[[], float],
        now: Callable[[], datetime],
        log: logging.Logger,
    ) -> None:
        self._history, self._ours, self._clock, self._now, self._log = history, frozenset(ours), clock, now, log
        self._answers: OrderedDict[str, tuple[bool, float]] = OrderedDict()
        self._noted: set[str] = set()

    async def known(self, addresses: Sequence[str]) -> dict[str, bool | None]:
        """Each folded address and whether we wrote to it; None where the history can't say now."""
        found: dict[str, bool | None] = {}
        ask = []
        now = self._clock()
        for address in map(fold_address, addresses):
            answer = self._answers.get(address)
            if answer is not None and answer[1] > now:
                found[address] = answer[0]
            else:
                ask.append(address)
        if ask:
            found |= await self._ask(ask[:ASKED], now)
        return found

    async def _ask(self, addresses: Sequence[str], now: float) -> dict[str, bool | None]:
        try:
            known = await self._history.known(addresses)
        except HistoryUnavailable as error:
            # Unknown matches in ``when`` (law 4): a rule about strangers stays on the safe side.
            self._log.error("history", extra={"fields": {"error": str(error)}})
            return dict.fromkeys(addresses)
        for address in addresses:
            self._remember(address, address in known, now)
        return {address: address in known for address in addresses}

    def _remember(self, address: str, known: bool, now: float) -> None:
        self._answers[address] = (known, now + (KNOWN_S if known else UNKNOWN_S))
        self._answers.move_to_end(address)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def note(self, addresses: Iterable[str]) -> None:
        """Mail of ours has left for these; costs a dictionary entry each. Call ``flush`` from time to time and at the end."""
        now = self._clock()
        for address in addresses:
            folded = fold_address(address)
            if folded.rpartition("@")[2] in self._ours:
                continue
            answer = self._answers.get(folded)
            if answer is not None and answer[0] and answer[1] > now and answer[1] - now > KNOWN_S / 2:
                continue  # noted within the last half hour, and the history holds whole days
            if len(self._noted) < MAX_NOTED:
                self._noted.add(folded)
                self._remember(folded, True, now)

    async def flush(self) -> None:
        """Write what was noted. Raises HistoryUnavailable, and then keeps it for the next time."""
        batch, self._noted = self._noted, set()
        if not batch:
            return
        try:
            # A crash before the commit loses this batch: those parties count as first contacts once more.
            await self._history.wrote(sorted(batch), self._now())
        except HistoryUnavailable:
            room = MAX_NOTED - len(self._noted)
            self._noted.update(sorted(batch)[:room])
            raise
