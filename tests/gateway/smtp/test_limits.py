"""Counting per client, octets in flight, and remembered answers."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp import answered as answers
from gateway.smtp import limits
from gateway.smtp.answered import Answered
from gateway.smtp.limits import Budget, ClientLimits, Reservation, client_key
from gateway.smtp.reply import Reply
from scanners.message import Direction, Envelope, Recipient
from tests.fakes.receiving import NOW, Clock

ENVELOPE = Envelope(
    "M",
    "S",
    "in",
    Direction.INBOUND,
    NOW,
    "198.18.0.7",
    "198.18.0.7",
    "h",
    "",
    "",
    "a@s.example",
    (Recipient("b@corp.test"),),
)
DONE = Reply(250, "2.0.0", "done")


def test_one_host_one_key() -> None:
    assert client_key("198.18.0.7") == "198.18.0.7"
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1") != client_key("2001:db8:0:1::1")


def test_connections_and_the_unlimited() -> None:
    clients = ClientLimits(2, 0, Clock())
    assert [clients.connect("a"), clients.connect("a"), clients.connect("a"), clients.connect("b")] == [
        True,
        True,
        False,
        True,
    ]
    clients.disconnect("a")
    assert clients.connect("a")
    clients.disconnect("never seen")
    free = ClientLimits(0, 0, Clock())
    assert all(free.connect("a") and free.message("a") for _ in range(1000))


def test_messages_a_minute_refill() -> None:
    clock = Clock()
    clients = ClientLimits(0, 6, clock)
    assert sum(clients.message("a") for _ in range(10)) == 6
    clock.seconds += 21
    assert sum(clients.message("a") for _ in range(10)) == 2
    clock.seconds += 3600
    assert sum(clients.message("a") for _ in range(10)) == 6
    assert clients.message("b")


def test_failed_logins_are_forgotten_slowly() -> None:
    clock = Clock()
    clients = ClientLimits(0, 0, clock)
    assert clients.may_authenticate("a")
    for _ in range(limits.MAX_AUTH_FAILURES):
        clients.authentication_failed("a")
    assert not clients.may_authenticate("a")
    assert clients.may_authenticate("b")
    clock.seconds += limits.AUTH_WINDOW_S / 10
    assert clients.may_authenticate("a")


def test_clients_remembered_are_bounded_and_connected_ones_kept() -> None:
    clients = ClientLimits(1, 1, Clock())
    assert clients.connect("stays")
    for number in range(limits.MAX_CLIENTS + 100):
        clients.message(f"c{number}")
    assert len(clients._clients) <= limits.MAX_CLIENTS + 1
    assert not clients.connect("stays")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3_000_000)), max_size=60))
def test_a_budget_is_never_overdrawn_and_always_returned(grows: list[tuple[int, int]]) -> None:
    budget = Budget(4_000_000)
    held = [Reservation(budget) for _ in range(5)]
    for index, octets in grows:
        before = held[index].held
        assert held[index].grow(octets) == (held[index].held >= octets)
        assert held[index].held >= before
        assert budget.used == sum(each.held for each in held) <= budget.total
    for each in held:
        each.close()
        each.close()
    assert budget.used == 0


def test_the_same_message_gets_its_answer_for_a_day() -> None:
    clock = Clock()
    kept = Answered(clock)
    assert kept.find(ENVELOPE, b"text") is None
    kept.keep(ENVELOPE, b"text", DONE)
    again = dataclasses.replace(ENVELOPE, id="M2", session="S2")
    found = kept.find(again, b"text")
    assert found is not None
    assert (found.reply, found.message_id) == (DONE, "M")
    assert kept.find(again, b"other") is None
    for change in ({"sender": ""}, {"client": None}, {"user": "zhang"}, {"recipients": (Recipient("c@corp.test"),)}):
        assert kept.find(dataclasses.replace(ENVELOPE, **change), b"text") is None  # type: ignore[arg-type]
    clock.seconds += answers.KEPT_S + 1
    assert kept.find(again, b"text") is None
    assert len(kept) == 0


def test_transient_answers_are_not_kept_and_the_rest_is_bounded() -> None:
    kept = Answered(Clock())
    kept.keep(ENVELOPE, b"text", Reply(451, "4.3.0", "later"))
    assert len(kept) == 0
    for number in range(answers.MAX_ANSWERS + 5):
        kept.keep(ENVELOPE, b"%d" % number, DONE)
    assert len(kept) == answers.MAX_ANSWERS
    assert kept.find(ENVELOPE, b"0") is None
    assert kept.find(ENVELOPE, b"10") is not None
