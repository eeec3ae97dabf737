"""``encrypt``: mail that must not travel, or rest on the way, in the clear. The first way is TLS to a next hop that proves who it is.

Without such a way the mail is held; there is no weaker form of it.
"""

from gateway.config import Route

VERIFIED = "verified"


def has_way(route: Route) -> bool:
    """Whether this route keeps the promise: TLS with a certificate that is checked."""
    return route.tls == VERIFIED
