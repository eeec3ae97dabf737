"""A History in memory, held to the same contract as the real one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.context.history import KEEP_DAYS
from policies.facts import fold_address


class FakeHistory:
    def __init__(self, rows: int = 1000) -> None:
        self.rows = rows
        self.last: dict[str, datetime] = {}

    async def known(self, addresses: Sequence[str]) -> frozenset[str]:
        return frozenset(address for address in addresses if fold_address(address) in self.last)

    async def wrote(self, addresses: Sequence[str], at: datetime) -> None:
        self.last.update({fold_address(address): at for address in addresses})

    async def forget(self, addresses: Sequence[str]) -> int:
        return sum(self.last.pop(address, None) is not None for address in {fold_address(each) for each in addresses})

    async def prune(self, at: datetime) -> int:
        before = len(self.last)
        young = [
            (day, address)
            for address, day in self.last.items()
            if day.date() >= (at - timedelta(days=KEEP_DAYS)).date()
        ]
        kept = sorted(young, reverse=True)[: self.rows]
        self.last = {address: day for day, address in kept}
        return before - len(self.last)
