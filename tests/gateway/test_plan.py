"""Refuse, relay or keep: the table of "one answer, one owner"."""

import pytest

from gateway.config import Route
from gateway.plan import Keep, Plan, Refuse, Relay, monitored, plan
from gateway.routes import Routes
from policies.decision import DELIVER, Decision, Disposition, Reason, Title, Treatment
from scanners.message import Recipient

A, B, OUT, L = (Recipient(each) for each in ("a@corp.test", "b@corp.test", "x@far.example", "l@lmtp.test"))
ROUTES = Routes.of(
    [
        Route("corp.test", "smtp://127.0.0.1:2600"),
        Route("lmtp.test", "lmtp://127.0.0.1:24"),
        Route("*", "mx:"),
    ]
)


def because(disposition: Disposition, rule: str = "r", enhanced: str = "5.7.1") -> Decision:
    return Decision(disposition, frozenset(), (Reason(rule, "v", disposition, Title("甲", "first"), enhanced),))


REJECT, HOLD = because(Disposition.REJECT, "bad", "5.7.26"), because(Disposition.APPROVE)
TAGGED = Decision(treatments=frozenset({Treatment("tag", "X-A=b")}))
STRIPPED = Decision(treatments=frozenset({Treatment("strip")}))


@pytest.mark.parametrize(
    ("decisions", "kind", "shares"),
    [
        ([(A, DELIVER)], Relay, 1),
        ([(A, DELIVER), (B, DELIVER)], Relay, 1),
        ([(A, TAGGED)], Relay, 1),
        ([(A, STRIPPED)], Keep, 1),
        ([(A, DELIVER), (B, TAGGED)], Keep, 2),
        ([(A, DELIVER), (OUT, DELIVER)], Keep, 2),
        ([(OUT, DELIVER)], Keep, 1),
        ([(L, DELIVER)], Keep, 1),
        ([(A, HOLD)], Keep, 1),
        ([(A, REJECT)], Refuse, 0),
        ([(A, REJECT), (B, REJECT)], Refuse, 0),
        ([(A, REJECT), (B, DELIVER)], Keep, 2),
    ],
)
def test_the_table(decisions: list[tuple[Recipient, Decision]], kind: type[Plan], shares: int) -> None:
    chosen = plan(decisions, ROUTES)
    assert isinstance(chosen, kind)
    if isinstance(chosen, Keep):
        assert len(chosen.shares) == shares
        assert sorted(r.address for share in chosen.shares for r in share.recipients) == sorted(
            r.address for r, _ in decisions
        )


def test_a_refusal_carries_the_rule_and_its_code() -> None:
    chosen = plan([(A, REJECT | HOLD)], ROUTES)
    assert isinstance(chosen, Refuse)
    assert str(chosen.reply) == "550 5.7.26 first (bad)"


def test_a_summary_is_the_strictest_share() -> None:
    chosen = plan([(A, HOLD), (B, DELIVER)], ROUTES)
    assert isinstance(chosen, Keep)
    assert chosen.decision.disposition is Disposition.APPROVE


def test_monitor_delivers_and_says_what_would_have_been() -> None:
    stamped = monitored(REJECT)
    assert stamped.disposition is Disposition.DELIVER
    assert [t.value for t in stamped.treatments] == ["X-Sealgate-Monitor=reject; rules=bad"]
    assert monitored(DELIVER) == DELIVER


def test_the_most_exact_route_wins() -> None:
    assert ROUTES.find("a@CORP.test.") == Route("corp.test", "smtp://127.0.0.1:2600")
    assert ROUTES.find("a@other") == Route("*", "mx:")
    assert Routes.of([]).find("a@b") is None


def test_a_domain_is_one_route_in_either_form() -> None:
    for written in ("例子.测试", "XN--FSQU00A.xn--0zwm56d"):
        routes = Routes.of([Route(written, "smtp://inside:25"), Route("*", "mx:")])
        for address in ("li@例子.测试", "li@xn--fsqu00a.xn--0zwm56d", "李@例子.测试"):
            assert routes.find(address) == Route(written, "smtp://inside:25")


def test_what_may_not_be_stored_is_refused_for_everybody() -> None:
    """One blob serves all recipients, so one such decision refuses the message, and its rule is the one that is named."""
    secret = Reason("secret", "v", Disposition.REJECT, Title("密", "secret"), waivable=False, keep_content=False)
    strict = Decision(Disposition.REJECT, frozenset(), (secret,))
    for others in (DELIVER, HOLD, REJECT):
        chosen = plan([(A, others), (B, strict | others)], ROUTES)
        assert isinstance(chosen, Refuse)
        assert "(secret)" in str(chosen.reply)
    assert isinstance(plan([(A, monitored(strict))], ROUTES), Relay), "monitor mode refuses nothing"
