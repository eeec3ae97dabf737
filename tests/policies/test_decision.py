"""The join of decisions: commutative, associative, idempotent, monotone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.decision import CONFLICT, DELIVER, ENCRYPT_ORDER, Decision, Disposition, Reason, Title, Treatment

TREATMENT = st.builds(
    Treatment, st.sampled_from(["tag", "banner", "copy"]), st.sampled_from(["X-A=1", "X-B=2"])
) | st.one_of(
    st.builds(Treatment, st.just("encrypt"), st.sampled_from(ENCRYPT_ORDER)),
    st.builds(Treatment, st.just("redirect"), st.sampled_from(["a@x.example", "b@x.example", "c@x.example"])),
)
REASON = st.builds(
    Reason,
    st.sampled_from("abc"),
    st.sampled_from(["1", "2"]),
    st.sampled_from(Disposition),
    st.just(Title("题", "t")),
    part=st.sampled_from([None, "1"]),
)
ONE = st.builds(
    lambda disposition, treatments, reasons: DELIVER | Decision(disposition, frozenset(treatments), tuple(reasons)),
    st.sampled_from(Disposition),
    st.lists(TREATMENT, max_size=4),
    st.lists(REASON, max_size=3),
)


@given(ONE, ONE)
def test_commutative(a: Decision, b: Decision) -> None:
    assert a | b == b | a


@given(ONE, ONE, ONE)
def test_associative(a: Decision, b: Decision, c: Decision) -> None:
    assert (a | b) | c == a | (b | c)


@given(ONE)
def test_idempotent_and_deliver_is_neutral(a: Decision) -> None:
    assert a | a == a
    assert a | DELIVER == a


def _encryption(decision: Decision) -> int:
    return max((ENCRYPT_ORDER.index(one.value) for one in decision.treatments if one.kind == "encrypt"), default=-1)


@given(ONE, ONE)
def test_monotone(a: Decision, b: Decision) -> None:
    joined = a | b
    assert joined.disposition >= max(a.disposition, b.disposition)
    assert _encryption(joined) == max(_encryption(a), _encryption(b))
    assert {one for one in a.treatments if one.kind != "encrypt"} <= joined.treatments
    assert {one for one in a.reasons if one.rule != CONFLICT} <= set(joined.reasons)


def said(*treatments: Treatment) -> Decision:
    return DELIVER | Decision(treatments=frozenset(treatments))


def test_redirects_that_differ_wait_for_someone() -> None:
    joined = said(Treatment("redirect", "a@x.example")) | said(Treatment("redirect", "b@x.example"))
    assert joined.disposition is Disposition.APPROVE
    assert [reason.rule for reason in joined.reasons] == [CONFLICT]
    same = said(Treatment("redirect", "a@x.example")) | said(Treatment("redirect", "a@x.example"))
    assert same.disposition is Disposition.DELIVER


@pytest.mark.parametrize(("a", "b", "kept"), [("", "tls", "tls"), ("portal", "pdf", "portal"), ("smime", "", "smime")])
def test_the_stricter_encryption_stays(a: str, b: str, kept: str) -> None:
    joined = said(Treatment("encrypt", a)) | said(Treatment("encrypt", b))
    assert joined.treatments == {Treatment("encrypt", kept)}
