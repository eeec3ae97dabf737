"""The breaker as a table, and as a machine that hypothesis drives."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.breaker import FAILURES, FIRST_PAUSE_S, LONGEST_PAUSE_S, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(now)
        breaker.failed(now)
    return breaker


def test_fewer_failures_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    assert breaker.allows(0.0)
    assert not breaker.is_open


def test_a_success_between_starts_the_count_again() -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.allows(0.0)


def test_open_then_one_probe() -> None:
    breaker = opened()
    assert not breaker.allows(FIRST_PAUSE_S - 0.1)
    assert breaker.allows(FIRST_PAUSE_S)
    assert not breaker.allows(FIRST_PAUSE_S), "the probe is under way"
    breaker.succeeded()
    assert breaker.allows(FIRST_PAUSE_S)
    assert breaker.allows(FIRST_PAUSE_S)


def test_a_probe_that_says_nothing_lets_another_try() -> None:
    breaker = opened()
    assert breaker.allows(FIRST_PAUSE_S)
    breaker.gave_up()
    assert breaker.allows(FIRST_PAUSE_S)


def test_pause_doubles_up_to_its_bound() -> None:
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(8):
        pauses.append(breaker.pause_s)
        now = breaker.until
        assert breaker.allows(now)
        breaker.failed(now)
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]


def test_attempts_from_before_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    for _ in range(20):
        breaker.failed(1.0)
    assert breaker.until == FIRST_PAUSE_S


@given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "gave_up"]), st.floats(0, 400)), max_size=60))
def test_it_always_lets_somebody_try_within_the_longest_pause(story: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for outcome, pause in story:
        now += pause
        if not breaker.allows(now):
            assert now < breaker.until
            continue
        if outcome == "ok":
            breaker.succeeded()
            assert not breaker.is_open
        elif outcome == "fail":
            breaker.failed(now)
        else:
            breaker.gave_up()
    assert breaker.until <= now + LONGEST_PAUSE_S
    assert breaker.allows(now + LONGEST_PAUSE_S)
