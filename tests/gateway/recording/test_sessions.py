"""What happens before and beside messages stands in the log: counted, bounded, sealed."""

import itertools
import logging
from datetime import UTC, datetime, timedelta

import pytest

from audit.event import Event
from gateway.recording import sessions
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.sessions import MAX_NETWORKS, SessionLog
from gateway.smtp.answered import Answer
from gateway.smtp.reply import Reply
from tests.fakes.recorder import FakeRecorder
from tests.gateway.smtp.test_limits import ENVELOPE

NO = Reply(550, "5.7.1", "no")


class House:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 2, 10, 31, tzinfo=UTC)
        self.recorder = FakeRecorder()
        numbers = itertools.count()
        self.log = SessionLog(
            self.recorder, lambda: self.at, lambda: f"01KAMZ{next(numbers):020d}", logging.getLogger("tests.sessions")
        )

    def events(self, kind: str) -> list[Event]:
        return self.recorder.of_type(kind)


async def test_refusals_are_counted_per_network_code_and_minute() -> None:
    house = House()
    for client in ("198.18.0.7", "198.18.0.7", "2001:db8::1", "2001:db8::2"):
        house.log.refused("inbound", client, NO)
    house.log.refused("inbound", "198.18.0.7", Reply(421, "4.7.0", "busy"))
    await house.log.flush()
    assert house.events("session.refused") == [], "the minute is not over"
    house.at += timedelta(minutes=1)
    house.log.refused("inbound", "198.18.0.7", NO)
    await house.log.flush()
    found = [
        (e.sealed["network"].text, e.public["code"], e.public["count"], e.public["minute"])
        for e in house.recorder.events
    ]
    assert sorted(found) == [
        ("198.18.0.7", 421, 1, "2026-11-22T02:10Z"),
        ("198.18.0.7", 550, 2, "2026-11-22T02:10Z"),
        ("2001:db8::/64", 550, 2, "2026-11-22T02:10Z"),
    ]
    assert "198.18" not in repr([event.public for event in house.recorder.events])
    await house.log.close()
    assert len(house.recorder.events) == 4


async def test_a_flood_of_networks_is_one_more_line() -> None:
    house = House()
    for number in range(MAX_NETWORKS + 500):
        house.log.refused("inbound", f"198.18.{number // 256}.{number % 256}", NO)
    await house.log.close()
    assert len(house.recorder.events) == MAX_NETWORKS + 1
    (rest,) = [event for event in house.recorder.events if not event.sealed]
    assert rest.public["count"] == 500


async def test_a_login_is_sealed_and_there_soon() -> None:
    house = House()
    house.log.login("submission", "S1", "198.18.0.7", "zhang@corp.test")
    await house.log.flush()
    (event,) = house.events("session.login")
    assert (event.session, event.outcome, event.at) == ("S1", "accepted", house.at)
    assert {name: secret.text for name, secret in event.sealed.items()} == {
        "user": "zhang@corp.test",
        "ip": "198.18.0.7",
    }


async def test_a_log_that_does_not_answer_loses_nothing_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.log.refused("inbound", "198.18.0.7", NO)
    house.log.login("submission", "S1", "198.18.0.7", "zhang@corp.test")
    house.at += timedelta(minutes=1)
    house.recorder.failures = 1
    with pytest.raises(RecorderUnavailable):
        await house.log.flush()
    await house.log.flush()
    await house.log.flush()
    assert sorted(event.type for event in house.recorder.events) == ["session.login", "session.refused"]
    monkeypatch.setattr(sessions, "MAX_READY", 3)
    monkeypatch.setattr(sessions, "MAX_LOGINS", 2)
    house.recorder.failures = 1
    for number in range(10):
        house.log.refused("inbound", f"198.18.0.{number}", NO)
        house.log.login("submission", "S1", "198.18.0.7", "zhang@corp.test")
    house.at += timedelta(minutes=1)
    with pytest.raises(RecorderUnavailable):
        await house.log.flush()
    await house.log.flush()
    assert len(house.recorder.events) == 2 + 3 + 2
    assert house.events("session.login")[-1].public.get("count", 8) == 8


async def test_a_replay_is_told_and_never_stops_the_answer() -> None:
    house = House()
    await house.log.duplicate(ENVELOPE, b"text", Answer(Reply(250, "2.0.0", "done"), "FIRST", 0.0))
    (event,) = house.events("message.duplicate")
    assert (event.msg, event.public["first"], event.public["code"]) == ("M", "FIRST", 250)
    assert event.sealed["from"].text == ENVELOPE.sender
    house.recorder.failures = 9
    await house.log.duplicate(ENVELOPE, b"text", Answer(Reply(250, "2.0.0", "done"), "FIRST", 0.0))
