"""Who may send to whom on one listener. No open relay by construction: every way to an accepted recipient is a line in here."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config, Listener, Route
from gateway.smtp.addresses import AddressError, Mailbox, domain_key
from gateway.smtp.reply import Reply
from scanners.message import Direction

ROLES = ("postmaster", "abuse")
"""Always accepted at a local domain (RFC 5321 4.5.1, RFC 2142), whatever the list of recipients says."""
INBOUND_ROUTING = frozenset("@%!|/")
OUTBOUND_ROUTING = frozenset("@%!")
"""Characters by which an older server behind us would read a second destination out of the local part (``user%other@ours``)."""
OPTION = "-"
"""What a recipient can't begin with: a delivery program behind us would take it for an option of its own."""

NOT_CLIENT = Reply(550, "5.7.1", "relaying denied: this address may not send here")
NO_NAMED_CLIENT = Reply(550, "5.7.1", "relaying denied: the hop named no client")
NOT_LOCAL = Reply(550, "5.7.1", "relaying denied: not a domain of ours")
NO_ROUTE = Reply(550, "5.1.2", "no route to that domain")
ROUTING = Reply(553, "5.1.3", "routing characters in the local part are refused")
UNKNOWN = Reply(550, "5.1.1", "no such recipient here")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Networks:
    """A set of networks; ``address in networks``. None is in no network. Raises ValueError for a malformed one."""

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in texts)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, str) or not self._networks:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one listener, compiled. ``known``: domain -> its recipients in lower case, where a list was given."""

    direction: Direction
    local: frozenset[str]
    first_local: str
    routed: frozenset[str]
    routes_all: bool
    known: tuple[tuple[str, frozenset[str]], ...]
    clients: Networks
    trusted: Networks
    names_clients: bool

    @classmethod
    def of(cls, config: Config, listener: Listener) -> "Access":
        """Compile. Reads the recipient lists; raises OSError for one that can't be read, ValueError for a malformed name or network."""
        routed = frozenset(domain_key(route.recipients) for route in config.routes if route.recipients != "*")
        direction = Direction(listener.direction)
        return cls(
            direction=direction,
            local=frozenset(domain_key(domain) for domain in config.gateway.local_domains),
            first_local=config.gateway.local_domains[0] if config.gateway.local_domains else "",
            routed=routed,
            routes_all=any(route.recipients == "*" for route in config.routes),
            known=tuple(_known(route) for route in config.routes if route.recipients_list is not None),
            clients=Networks(listener.clients),
            trusted=Networks(config.gateway.trusted_hops),
            names_clients=direction is Direction.INBOUND or listener.proxy_protocol or listener.xclient,
        )

    def own_client(self, peer: str) -> str | None:
        """The client when nobody names one: the peer, but None behind a trusted hop, which speaks for others."""
        return None if self.names_clients and peer in self.trusted else peer

    def sender(self, client: str | None) -> Reply | None:
        """Why this client may not start a message, or None. (AUTH on submission is asked for before.)"""
        if self.direction is not Direction.OUTBOUND or client in self.clients:
            return None
        return NOT_CLIENT if client is not None else NO_NAMED_CLIENT

    def recipient(self, box: Mailbox) -> Mailbox | Reply:
        """The recipient to deliver to, or why it is refused."""
        if not box.domain:
            box = Mailbox(box.local, self.first_local, domain_key(self.first_local))
        inbound = self.direction is Direction.INBOUND
        if inbound and box.key not in self.local:
            return NOT_LOCAL
        if box.key not in self.routed and (not self.routes_all or box.key.startswith("[")):
            return NO_ROUTE
        if not (INBOUND_ROUTING if inbound else OUTBOUND_ROUTING).isdisjoint(box.local) or box.local.startswith(OPTION):
            return ROUTING
        return box if self._is_known(box) else UNKNOWN

    def _is_known(self, box: Mailbox) -> bool:
        local = box.local.lower()
        if local in ROLES and box.key in self.local:
            return True
        for domain, addresses in self.known:
            if domain in (box.key, "*"):
                return f"{local}@{box.key}" in addresses or f"{local.partition('+')[0]}@{box.key}" in addresses
        return True


def _known(route: Route) -> tuple[str, frozenset[str]]:
    assert route.recipients_list is not None
    domain = route.recipients if route.recipients == "*" else domain_key(route.recipients)
    return domain, frozenset(_list(route.recipients_list, domain))


def _list(path: Path, domain: str) -> Iterable[str]:
    """One address a line (or a local part, of the route's domain); ``#`` begins a comment."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        local, at, given = text.rpartition("@")
        try:
            yield f"{local.lower()}@{domain_key(given)}" if at else f"{text.lower()}@{domain}"
        except AddressError as error:
            raise ValueError(f"{path}:{number}: {error}; 请改为一行一个地址 / write one address a line") from error
