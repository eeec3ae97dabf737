"""Verdicts are kept exactly as long as the DNS answers behind them, and by everything else that could change them."""

import asyncio
from collections.abc import Mapping

import pytest

from scanners.answers import MAX_USED, Answer, Remembered, Status, Used
from scanners.authentication import dmarc, spf
from scanners.authentication.verdicts import Dkim, Dmarc, Spf, Verdict
from tests.fakes.resolver import FakeResolver

CLIENT = "192.0.2.1"


def zone(record: str) -> dict[str, Mapping[str, list[object]]]:
    return {"a.example": {"TXT": [record]}, "x.b.example": {"A": ["192.0.2.9"]}, "_p.a.example": {"TXT": ["at %{t}"]}}


def judged(
    resolver: FakeResolver, kept: Remembered[Spf], sender: str, client: str = CLIENT, helo: str = "h.example"
) -> Spf:
    return asyncio.run(spf.check(resolver, client, helo, sender, remembered=kept))


def test_a_verdict_ends_with_the_answers_it_was_made_from() -> None:
    kept: Remembered[Spf] = Remembered()
    first = judged(FakeResolver(zone("v=spf1 ip4:192.0.2.1 -all"), warm=True), kept, "u@a.example")
    changed = FakeResolver(zone("v=spf1 -all"), warm=True)
    assert (first.verdict, judged(changed, kept, "u@a.example").verdict) == (Verdict.PASS, Verdict.FAIL)


def test_a_verdict_is_given_again_while_they_stand() -> None:
    kept: Remembered[Spf] = Remembered()
    resolver = FakeResolver(zone("v=spf1 ip4:192.0.2.1 -all"), warm=True)
    assert judged(resolver, kept, "u@a.example") is judged(resolver, kept, "other@a.example", helo="else.example")
    assert judged(resolver, kept, "u@a.example", "192.0.2.2").verdict is Verdict.FAIL
    assert judged(resolver, kept, "", helo="a.example").identity == "helo"


@pytest.mark.parametrize(
    ("record", "first", "second"),
    [
        ("v=spf1 exists:%{l}.b.example -all", ("x@a.example", "h"), ("y@a.example", "h")),
        ("v=spf1 exists:%{h}.b.example -all", ("u@a.example", "x"), ("u@a.example", "y")),
    ],
)
def test_macros_make_local_part_and_helo_count(record: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    kept: Remembered[Spf] = Remembered()
    resolver = FakeResolver(zone(record), warm=True)
    verdicts = [judged(resolver, kept, sender, helo=helo).verdict for sender, helo in (first, second, first)]
    assert verdicts == [Verdict.PASS, Verdict.FAIL, Verdict.PASS]


def test_an_explanation_that_tells_the_time_is_made_each_time() -> None:
    kept: Remembered[Spf] = Remembered()
    resolver = FakeResolver(zone("v=spf1 -all exp=_p.a.example"), warm=True)
    assert judged(resolver, kept, "u@a.example") is not judged(resolver, kept, "u@a.example")


def test_dmarc_is_kept_by_what_passed() -> None:
    kept: Remembered[Dmarc] = Remembered()
    resolver = FakeResolver({"_dmarc.a.example": {"TXT": ["v=DMARC1; p=reject"]}}, warm=True)
    none, passed = Spf(Verdict.NONE), Spf(Verdict.PASS, "a.example")
    signed = Dkim(Verdict.PASS, "a.example")

    def judge(one: Spf, *dkim: Dkim) -> Dmarc:
        return asyncio.run(dmarc.check(resolver, "a.example", one, dkim, remembered=kept))

    assert [judge(*each).verdict for each in ((none,), (passed,), (none, signed), (none,))] == [
        Verdict.FAIL,
        Verdict.PASS,
        Verdict.PASS,
        Verdict.FAIL,
    ]
    assert judge(none) is judge(none)


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    kept: Remembered[int] = Remembered(2)
    resolver = FakeResolver({}, warm=True)
    answer = resolver.peek("n.example", "A")
    assert answer is not None
    used: Used = (("n.example", "A", answer),)
    for number in range(3):
        kept.keep(number, used, number)
    assert [kept.get(number, resolver) for number in range(3)] == [None, 1, 2]
    kept.keep("large", tuple((f"{n}.example", "A", Answer(Status.NODATA)) for n in range(MAX_USED + 1)), 9)
    assert kept.get("large", resolver) is None
