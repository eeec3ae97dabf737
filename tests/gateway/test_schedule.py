"""The retry grammar, and when a message is due."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import DEFAULT, LONGEST_PAUSE, STEPS, Schedule, ScheduleError, parse

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

pauses = st.lists(
    st.timedeltas(timedelta(seconds=1), LONGEST_PAUSE).map(lambda t: timedelta(seconds=int(t.total_seconds()))),
    min_size=1,
)
schedules = pauses.map(tuple).map(Schedule)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("1m, 5m*2, 1h*3", [1, 5, 5, 60, 60, 60]),
        ("1m", [1]),
        ("30s", [0.5]),
        (" 1M ,5 m * 2 ", [1, 5, 5]),
        ("1d×2", [1440, 1440]),
        ("5m x2", [5, 5]),
        ("60s*2, 1m", [1, 1, 1]),
    ],
)
def test_grammar(text: str, minutes: list[float]) -> None:
    assert [pause / MINUTE for pause in parse(text).pauses] == minutes


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "''"),
        ("1m,", "''"),
        ("1m 5m", "'1m 5m'"),
        ("5", "'5'"),
        ("5y", "'5y'"),
        ("-5m", "'-5m'"),
        ("1.5h", "'1.5h'"),
        ("0m", "'0m'"),
        ("5m*0", "'5m*0'"),
        ("5m*", "'5m*'"),
        ("8d", "'8d'"),
        ("99999999999m", "'99999999999m'"),
        ("1m, 5q", "item 2"),
        ("1m*9999", str(STEPS)),
        ("1m*600, 2m*600", str(STEPS)),
        ("1m," * 2000, "1000"),
        ("１m", "'１m'"),
    ],
)
def test_what_is_no_schedule_is_named(text: str, names: str) -> None:
    with pytest.raises(ScheduleError) as error:
        parse(text)
    assert names in str(error.value)
    assert "重试" in str(error.value)


@given(schedules)
def test_written_and_read_again(schedule: Schedule) -> None:
    assert parse(str(schedule)) == schedule


@given(st.text(max_size=60))
def test_never_anything_but_a_schedule_or_its_error(text: str) -> None:
    try:
        schedule = parse(text)
    except ScheduleError:
        return
    assert schedule.pauses


def test_default_lasts_about_five_days() -> None:
    assert timedelta(days=4.5) < parse(DEFAULT).lifetime < timedelta(days=5.5)


class TestNextDue:
    SCHEDULE = parse("1m, 5m*2, 1h")

    def test_one_after_the_other(self) -> None:
        now, waits = START, []
        for attempts in range(1, 10):
            due = self.SCHEDULE.next_due(attempts, START, now)
            if due is None:
                break
            waits.append((due - now) / MINUTE)
            now = due
        assert waits == [1, 5, 5, 60]

    def test_expired_when_the_pauses_are_used_up_or_the_lifetime_is_over(self) -> None:
        assert self.SCHEDULE.next_due(5, START, START) is None
        assert self.SCHEDULE.next_due(1, START, START + self.SCHEDULE.lifetime) is None

    def test_never_beyond_the_lifetime(self) -> None:
        late = START + self.SCHEDULE.lifetime - MINUTE
        assert self.SCHEDULE.next_due(4, START, late) == START + self.SCHEDULE.lifetime

    def test_attempts_count_from_one(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            self.SCHEDULE.next_due(0, START, START)

    @given(schedules, st.integers(1, 50), st.timedeltas(timedelta(0), timedelta(days=400)))
    def test_later_than_now_and_within_the_lifetime(self, schedule: Schedule, attempts: int, gone: timedelta) -> None:
        now = START + gone
        due = schedule.next_due(attempts, START, now)
        if due is None:
            assert attempts > len(schedule.pauses) or gone >= schedule.lifetime
        else:
            assert now < due <= START + schedule.lifetime
            assert due - now <= schedule.pauses[attempts - 1]

    @given(schedules)
    def test_it_ends(self, schedule: Schedule) -> None:
        now, attempts = START, 1
        while (due := schedule.next_due(attempts, START, now)) is not None:
            now, attempts = due, attempts + 1
        assert attempts <= len(schedule.pauses) + 1
        assert now == START + schedule.lifetime


def test_a_schedule_may_be_ended_earlier() -> None:
    cut = parse("1m, 1h*3").ending(timedelta(minutes=90))
    assert str(cut) == "1m, 1h, 29m"
    assert cut.lifetime == timedelta(minutes=90)
    assert parse("1m, 1h").ending(timedelta(days=9)) == parse("1m, 1h")
