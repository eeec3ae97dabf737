"""A rule may name exactly the treatments that the gateway can do."""

from gateway.treatments.table import KINDS
from policies.decision import TREATMENTS


def test_what_rules_may_name_is_what_the_gateway_does() -> None:
    assert {kind.name for kind in TREATMENTS} == set(KINDS)
