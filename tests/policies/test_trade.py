"""Two hundred ordinary trade mails: the built-in rules hold at most two in a hundred, each one that a manager would want."""

from bench.holds import held
from tests.corpus.trade.generate import COUNT, corpus
from tests.policies.real import CONFIG

WANTED = {
    "holdme": "the buyer gets the total contract value in writing: 合同总价",
}
"""Kinds of mail that may be held, and why a manager wants to see them."""


def test_the_corpus_is_the_same_every_time_and_varied() -> None:
    one = corpus()
    assert one == corpus()
    assert len({mail.raw for mail in one}) == COUNT
    kinds = {mail.name.split("-")[1] for mail in one}
    languages = {mail.name.split("-")[2] for mail in one}
    assert len(kinds) >= 25
    assert languages == {"en", "es", "zh"}
    assert min(sum(mail.direction == way for mail in one) for way in ("inbound", "outbound")) > COUNT // 3


async def test_at_most_two_in_a_hundred_are_held_and_each_is_wanted() -> None:
    holds = await held(CONFIG)
    listed = "\n".join(f"{hold.mail}: {hold.disposition} by {', '.join(hold.rules)}" for hold in holds)
    assert len(holds) <= COUNT * 2 // 100, listed
    assert {hold.mail.split("-")[1] for hold in holds} == set(WANTED), listed
