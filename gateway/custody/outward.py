"""How mail leaves custody: by which carrier and route, and as which bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.config import Route
from gateway.custody.delivery import Delivery
from gateway.routes import Routes
from gateway.smtp.carrier import Carrier
from gateway.smtp.nexthop import NextHop
from gateway.store.protocol import Held
from gateway.treatments.addressing import copies, redirected
from gateway.treatments.sign import Signer, signer_for
from gateway.treatments.table import UNALTERABLE, Treated, Unmet, apply
from gateway.treatments.trim import trimming
from policies.decision import Decision
from scanners.message import Envelope


@dataclass(frozen=True, slots=True)
class Outward:
    """The carrier with its clock (monotonic seconds), routes and their hops, the DKIM key, and ``trim``: incoming results fields that
    claim to be ours go."""

    carrier: Carrier
    clock: Callable[[], float]
    routes: Routes
    hops: Callable[[Route], NextHop]
    signer: Signer | None = None
    trim: Callable[[Envelope, bytes], bytes] = lambda envelope, raw: raw

    def prepared(
        self, held: Held, delivery: Delivery, decision: Decision, route: Route, raw: bytes, at: datetime
    ) -> Treated | Unmet:
        """The bytes to hand over: trimmed, treated as decided unless someone waived it, our trace fields in front. Pure."""
        waived = frozenset(
            waiver.rule.removeprefix("treatment.")
            for waiver in delivery.waivers
            if waiver.version == UNALTERABLE and waiver.rule.startswith("treatment.")
        )
        data = self.trim(held.envelope, raw)
        treated = apply(
            data, decision.treatments, route, message_id=delivery.message_id, at=at, waived=waived,
            signer=signer_for(held.envelope, self.signer),
        )  # fmt: skip
        if isinstance(treated, Unmet):
            return treated
        trimmed = (trimming(held.envelope.direction),) if data != raw else ()
        return Treated((held.head, *treated.pieces), trimmed + treated.done)


def route_of(routes: Routes, delivery: Delivery, decision: Decision) -> Route | None:
    """The route as configured now: the one this delivery was planned for, else what its first recipient would get.

    Where a rule sends it to somebody else, theirs: what is turned round to a colleague must not leave by the way to the stranger.
    """
    instead = redirected(decision, delivery.addresses, delivery.waivers)
    if instead or set(delivery.addresses) <= set(copies(decision)):
        return routes.find(instead or delivery.addresses[0])
    planned = [route for route in routes.by_domain.values() if route.to == delivery.next_hop]
    by_address = routes.find(delivery.addresses[0])
    return by_address if by_address in planned or not planned else planned[0]
