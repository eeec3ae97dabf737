"""Which way a recipient's mail goes on: the most exact [[route]] wins. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config import Route
from policies.facts import fold_domain


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of a configuration, looked up by domain; ``*`` stands for every other domain."""

    by_domain: dict[str, Route]

    @classmethod
    def of(cls, routes: Sequence[Route]) -> "Routes":
        """The first route named for a domain holds."""
        table: dict[str, Route] = {}
        for route in routes:
            table.setdefault(fold_domain(route.recipients), route)
        return cls(table)

    def find(self, address: str) -> Route | None:
        """The route of an address, or None: such a recipient is refused."""
        domain = fold_domain(address.rpartition("@")[2])
        return self.by_domain.get(domain) or self.by_domain.get("*")
