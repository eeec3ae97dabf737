"""By which way mail leaves custody."""

import pytest

from gateway.config import Route
from gateway.custody.outward import route_of
from gateway.routes import Routes
from policies.decision import Decision, Disposition, Treatment
from tests.gateway.samples import delivery

INSIDE = Route("corp.test", "smtp://inside:25")
ABROAD = Route("*", "smtp://127.0.0.1:2600")
ROUTES = Routes.of([INSIDE, ABROAD])


def saying(*treatments: Treatment) -> Decision:
    return Decision(Disposition.DELIVER, frozenset(treatments))


@pytest.mark.parametrize(
    ("decision", "addresses", "route"),
    [
        (saying(), ("buyer@acme.example",), ABROAD),
        (saying(Treatment("redirect", "audit@corp.test")), ("buyer@acme.example",), INSIDE),
        (saying(Treatment("copy", "audit@corp.test")), ("buyer@acme.example",), ABROAD),
        (saying(Treatment("copy", "audit@corp.test")), ("audit@corp.test",), INSIDE),
        (
            saying(Treatment("redirect", "audit@corp.test"), Treatment("redirect", "boss@corp.test")),
            ("buyer@acme.example",),
            ABROAD,
        ),
    ],
)
def test_what_is_turned_round_does_not_leave_by_the_way_to_the_stranger(
    decision: Decision, addresses: tuple[str, ...], route: Route
) -> None:
    assert route_of(ROUTES, delivery(decision, addresses), decision) == route


def test_a_route_that_is_gone_gives_way_to_the_recipients() -> None:
    planned = delivery(saying(), ("li@corp.test",))
    assert route_of(Routes.of([INSIDE]), planned, planned.decision) == INSIDE
    assert route_of(Routes.of([]), planned, planned.decision) is None
