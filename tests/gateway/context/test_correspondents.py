"""What a worker remembers of the history, and what it writes down; and that rules see it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway import config as configuration
from gateway.context import correspondents as module
from gateway.context.correspondents import KNOWN_S, MAX_NOTED, UNKNOWN_S, Correspondents
from gateway.context.gather import Gatherer
from gateway.context.history import HistoryUnavailable
from gateway.custody.noting import Noting
from gateway.smtp.carrier import Sent
from gateway.smtp.commands import Outgoing
from gateway.smtp.dialogue import Phase, RecipientReply
from gateway.smtp.nexthop import NextHop, Scheme, TlsPolicy
from gateway.smtp.reply import Reply
from scanners.message import Direction, Envelope, Message, Recipient
from scanners.mime import parse
from tests.fakes.history import FakeHistory
from tests.fakes.receiving import Clock

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
NEEDS = frozenset({"first_contact", "country"})
CONFIG = configuration.Config(configuration.Gateway("gw.test", ("corp.test",)), countries=(("acme.example", "DE"),))


class Counting(FakeHistory):
    """Counts questions; fails when told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.broken = False

    async def known(self, addresses: Sequence[str]) -> frozenset[str]:
        self.asked += 1
        if self.broken:
            raise HistoryUnavailable("the fake was told to fail")
        return await super().known(addresses)

    async def wrote(self, addresses: Sequence[str], at: datetime) -> None:
        if self.broken:
            raise HistoryUnavailable("the fake was told to fail")
        await super().wrote(addresses, at)


def made(history: FakeHistory, clock: Clock) -> Correspondents:
    return Correspondents(history, ["corp.test"], clock, lambda: NOW, logging.getLogger("tests.correspondents"))


def mail(author: bytes, direction: Direction, *to: str) -> Message:
    envelope = Envelope(
        "M", "S", "in", direction, NOW, "198.18.0.7", "198.18.0.7", "h", "", "", "bounce+1@acme.example",
        tuple(map(Recipient, to)),
    )  # fmt: skip
    return parse(envelope, author + b"Subject: x\r\n\r\nbody\r\n")


async def first(gather: Gatherer, message: Message) -> list[bool | None]:
    return [context.first_contact for _, context in await gather(message, NEEDS)]


async def test_who_was_written_to_is_no_first_contact_and_their_answer_is_not_either() -> None:
    history, clock = Counting(), Clock()
    known = made(history, clock)
    gather = Gatherer.of(CONFIG, lambda: NOW, known)
    out = mail(b"From: li@corp.test\r\n", Direction.OUTBOUND, "Buyer@Acme.example")
    back = mail(b"From: Buyer <buyer@acme.example>\r\n", Direction.INBOUND, "li@corp.test", "wang@corp.test")
    assert await first(gather, out) == [True]
    assert await first(gather, back) == [True, True]
    known.note(["Buyer@Acme.example", "li@corp.test"])
    assert await first(gather, back) == [False, False]
    await known.flush()
    assert set(history.last) == {"buyer@acme.example"}
    assert await first(Gatherer.of(CONFIG, lambda: NOW, made(history, clock)), out) == [False]


async def test_no_author_or_several_is_unknown() -> None:
    gather = Gatherer.of(CONFIG, lambda: NOW, made(Counting(), Clock()))
    for head in (b"", b"From: a@x.example, b@y.example\r\n", b"From: a@x.example\r\nFrom: b@y.example\r\n"):
        assert await first(gather, mail(head, Direction.INBOUND, "li@corp.test")) == [None]


async def test_a_broken_history_makes_it_unknown_and_loses_nothing_noted() -> None:
    history, clock = Counting(), Clock()
    known = made(history, clock)
    history.broken = True
    gather = Gatherer.of(CONFIG, lambda: NOW, known)
    assert await first(gather, mail(b"From: a@x.example\r\n", Direction.INBOUND, "li@corp.test")) == [None]
    known.note(["a@x.example"])
    with pytest.raises(HistoryUnavailable):
        await known.flush()
    history.broken = False
    await known.flush()
    assert set(history.last) == {"a@x.example"}


async def test_asked_once_and_again_when_it_may_have_changed() -> None:
    history, clock = Counting(), Clock()
    known = made(history, clock)
    for _ in range(3):
        assert await known.known(["a@x.example"]) == {"a@x.example": False}
    assert history.asked == 1
    await history.wrote(["a@x.example"], NOW)
    clock.seconds += UNKNOWN_S + 1
    assert await known.known(["a@x.example"]) == {"a@x.example": True}
    await history.forget(["a@x.example"])
    clock.seconds += KNOWN_S + 1
    assert await known.known(["a@x.example"]) == {"a@x.example": False}


async def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    history = Counting()
    known = made(history, Clock())
    known.note(f"{number}@x.example" for number in range(MAX_NOTED + 5))
    await known.flush()
    assert len(history.last) == MAX_NOTED
    assert len(known._answers) == 10


async def test_nothing_is_asked_that_no_rule_names() -> None:
    history = Counting()
    gather = Gatherer.of(CONFIG, lambda: NOW, made(history, Clock()))
    ((_, context),) = await gather(mail(b"From: a@x.example\r\n", Direction.INBOUND, "li@corp.test"), frozenset())
    assert (history.asked, context.first_contact, context.country) == (0, None, None)


async def test_country_by_name_and_as_stated() -> None:
    gather = Gatherer.of(CONFIG, lambda: NOW)
    found = await gather(mail(b"", Direction.OUTBOUND, "a@x.fr", "b@mail.acme.example", "c@x.com"), NEEDS)
    assert [context.country for _, context in found] == ["FR", "DE", None]


class Taking:
    """A carrier whose next hop refuses recipients that begin with no."""

    async def send(self, hop: NextHop, mail: Outgoing, data: Sequence[bytes], **_: object) -> Sent:
        said = tuple(
            RecipientReply(each.address, Reply(550 if each.address.startswith("no") else 250, "", ""))
            for each in mail.recipients
        )
        return Sent(said, Reply(250, "2.0.0", "ok"), "", "", Phase.DOT)


async def test_whom_mail_has_reached_is_noted_but_not_by_notices() -> None:
    history = Counting()
    known = made(history, Clock())
    carrier = Noting(Taking(), known)
    hop = NextHop(Scheme.SMTP, "127.0.0.1", 25, TlsPolicy.OPPORTUNISTIC)
    people = (Recipient("a@x.example"), Recipient("nobody@x.example"), Recipient("li@corp.test"))
    outgoing = Outgoing("li@corp.test", people, False, False, "", "")
    await carrier.send(hop, replace(outgoing, sender=""), [b""], deadline=0)
    await known.flush()
    assert history.last == {}
    await carrier.send(hop, outgoing, [b""], deadline=0)
    await known.flush()
    assert set(history.last) == {"a@x.example"}
