"""Bounds per client and per worker: connections, messages a minute, failed logins, octets in flight. No clock of its own."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.config import Limits

MAX_CLIENTS = 65_536
"""Clients remembered at once; the one longest unseen without a connection is forgotten first. About 20 MB when full."""
WINDOW_S = 60.0
"""messages_per_minute is counted by a bucket that refills over this long."""
AUTH_WINDOW_S = 600.0
MAX_AUTH_FAILURES = 20
"""Failed logins per client network in ten minutes: a person mistypes a few, a guesser is stopped at 120 an hour."""
REFUSAL_WINDOW_S = 600.0
"""refusals_per_client is counted over this long."""
DEFAULT_RESERVE = 262_144
"""Octets reserved for a message that announces no SIZE: above nine tenths of mail; the rest grows as it arrives."""
RESERVE_STEP = 1_000_000
"""A message that outgrows its reservation asks for this much more at a time."""


@dataclass(slots=True)
class _Client:
    connections: int = 0
    tokens: float = 0.0
    refilled_at: float = 0.0
    failures: float = 0.0
    failed_at: float = 0.0
    refusals: float = 0.0
    refused_at: float = 0.0


def client_key(address: str) -> str:
    """One host for counting: an IPv4 address, or the /64 of an IPv6 address, since a host commonly owns a whole one."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


class Clients(Protocol):
    """What each client network has used lately. Every implementation runs tests/contracts/test_limits.py."""

    def connect(self, key: str) -> bool:
        """One more connection of this client; False when it has too many, or was refused too often (then it isn't counted)."""
        ...

    def disconnect(self, key: str) -> None:
        """A connection that ``connect`` allowed has ended."""
        ...

    def message(self, key: str) -> bool:
        """One more message; False when the client's minute is used up."""
        ...

    def may_authenticate(self, key: str) -> bool:
        """False when this client failed too often of late."""
        ...

    def authentication_failed(self, key: str) -> None:
        """Count a failed login."""
        ...

    def refused(self, key: str) -> None:
        """Count a refusal."""
        ...


class ClientLimits:
    """Clients in the memory of one process: for tests and a worker run alone. ``clock`` is monotonic seconds; 0 means no limit."""

    def __init__(
        self,
        connections_per_client: int,
        messages_per_minute: int,
        clock: Callable[[], float],
        refusals_per_client: int = 0,
    ) -> None:
        self._connections = connections_per_client
        self._per_window = refusals_per_client
        self._per_minute = messages_per_minute
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def connect(self, key: str) -> bool:
        """One more connection of this client; False when it has too many (then it isn't counted)."""
        client = self._client(key)
        if self._connections and client.connections >= self._connections:
            return False
        if self._per_window and self._refusals(client) >= self._per_window:
            return False
        client.connections += 1
        return True

    def disconnect(self, key: str) -> None:
        """A connection that ``connect`` allowed has ended."""
        client = self._clients.get(key)
        if client is not None and client.connections:
            client.connections -= 1

    def message(self, key: str) -> bool:
        """One more message; False when the client's minute is used up."""
        if not self._per_minute:
            return True
        client = self._client(key)
        now = self._clock()
        if client.refilled_at == 0.0:
            client.tokens = float(self._per_minute)
        else:
            client.tokens += (now - client.refilled_at) * self._per_minute / WINDOW_S
        client.tokens = min(client.tokens, float(self._per_minute))
        client.refilled_at = now or 1e-9
        if client.tokens < 1.0:
            return False
        client.tokens -= 1.0
        return True

    def may_authenticate(self, key: str) -> bool:
        """False when this client failed too often of late."""
        client = self._clients.get(key)
        return client is None or self._failures(client) < MAX_AUTH_FAILURES

    def authentication_failed(self, key: str) -> None:
        """Count a failed login."""
        client = self._client(key)
        client.failures = self._failures(client) + 1
        client.failed_at = self._clock()

    def refused(self, key: str) -> None:
        """Count a refusal."""
        client = self._client(key)
        client.refusals = self._refusals(client) + 1
        client.refused_at = self._clock()

    def _refusals(self, client: _Client) -> float:
        return max(0.0, client.refusals - (self._clock() - client.refused_at) * self._per_window / REFUSAL_WINDOW_S)

    def _failures(self, client: _Client) -> float:
        return max(0.0, client.failures - (self._clock() - client.failed_at) * MAX_AUTH_FAILURES / AUTH_WINDOW_S)

    def _client(self, key: str) -> _Client:
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = _Client()
            self._evict()
        else:
            self._clients.move_to_end(key)
        return client

    def _evict(self) -> None:
        """Forget the longest unseen without a connection; connected ones are few (the worker's own cap)."""
        excess = len(self._clients) - MAX_CLIENTS
        while excess > 0:
            key, client = self._clients.popitem(last=False)
            if client.connections:
                self._clients[key] = client
            excess -= 1


class Budget:
    """Octets of DATA this worker may hold in memory at once."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0

    def reserve(self, octets: int) -> bool:
        """Take that many, or none and False."""
        if self.used + octets > self.total:
            return False
        self.used += octets
        return True

    def release(self, octets: int) -> None:
        """Give back what was reserved."""
        self.used -= octets
        assert self.used >= 0, "released more than was reserved"


class Reservation:
    """One message's share of a Budget. ``close()`` gives it back and may be called again."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    def grow(self, octets: int) -> bool:
        """Hold at least ``octets``; False, and nothing changes, when the budget has none left."""
        if octets <= self.held:
            return True
        wanted = octets - self.held
        if self.held:
            wanted = max(wanted, min(RESERVE_STEP, self._budget.total - self._budget.used))
        if not self._budget.reserve(wanted):
            return False
        self.held += wanted
        return True

    def close(self) -> None:
        """Give everything back."""
        self._budget.release(self.held)
        self.held = 0


@dataclass(slots=True)
class WorkerLimits:
    """What all listeners of one worker share. ``connections`` is the most at once, ``open`` how many there are."""

    connections: int
    clients: Clients
    budget: Budget
    open: int = field(default=0)

    @classmethod
    def of(cls, limits: Limits, clock: Callable[[], float], clients: Clients | None = None) -> "WorkerLimits":
        """Compile the configuration. ``clock`` is monotonic seconds; ``clients`` the node's table, else this process counts alone."""
        return cls(
            limits.connections,
            clients
            or ClientLimits(
                limits.connections_per_client, limits.messages_per_minute, clock, limits.refusals_per_client
            ),
            Budget(limits.inflight_mb * 1_000_000),
        )
