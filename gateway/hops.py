"""Routes turned into next hops, once each."""

from gateway.config import Route
from gateway.smtp import nexthop
from gateway.smtp.nexthop import NextHop


class Hops:
    """Routes parsed once; an MX route is turned toward the recipients' domain by custody, never in the session."""

    def __init__(self) -> None:
        self.known: dict[Route, NextHop] = {}

    def __call__(self, route: Route) -> NextHop:
        """The next hop of a route."""
        if route not in self.known:
            self.known[route] = nexthop.parse(
                route.to, tls=route.tls, ca_file=route.ca_file, connections=route.connections
            )
        return self.known[route]
