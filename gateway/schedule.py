"""When to try again: a retry schedule such as ``1m, 5m*2, 1h*3`` read once, and pure arithmetic on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import re2

STEPS = 1000
"""Attempts in one schedule, repetitions counted; five days at one a minute would be a mistake, not a schedule."""
LONGEST_PAUSE = timedelta(days=7)
"""Between two attempts."""
TEXT_CHARS = 1000
"""Of a schedule as written."""
DELAY_NOTICE = timedelta(hours=4)
"""When a sender is told that mail is late, unless configured otherwise."""
DEFAULT = "1m, 5m*2, 15m*2, 30m*2, 1h*4, 2h*3, 4h*28"
"""Soon at first (greylisting), then patient: about five days (RFC 5321 4.5.4.1)."""

_ITEM = re2.compile(r"(\d{1,6})\s*(s|m|h|d)\s*(?:[*x×]\s*(\d{1,4}))?")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class ScheduleError(ValueError):
    """A schedule can't be read. The text, Chinese and English, names the item and shows how it is written."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``pauses[n]`` is the wait after attempt n+1 failed; when they are used up, the message has expired."""

    pauses: tuple[timedelta, ...]

    @property
    def lifetime(self) -> timedelta:
        """From the first attempt to the last one planned."""
        return sum(self.pauses, timedelta())

    def next_due(self, attempts: int, first_at: datetime, now: datetime) -> datetime | None:
        """When to try again after ``attempts`` (at least 1) have failed; ``None``: expired, nothing more is tried.

        Counts from ``now``, so that a gateway that was down doesn't catch up all at once; nothing is due later than the lifetime after
        ``first_at``. Raises ValueError for attempts < 1.
        """
        if attempts < 1:
            raise ValueError("attempts counts those made: at least 1")
        end = first_at + self.lifetime
        if attempts > len(self.pauses) or now >= end:
            return None
        return min(now + self.pauses[attempts - 1], end)

    def ending(self, after: timedelta) -> "Schedule":
        """The same, but given up ``after`` the first attempt: the last pause is cut short, those beyond it are dropped."""
        pauses: list[timedelta] = []
        left = after
        for pause in self.pauses:
            if left <= timedelta():
                break
            pauses.append(min(pause, left))
            left -= pause
        return Schedule(tuple(pauses))

    def __str__(self) -> str:
        """In the grammar again, runs joined: ``1m, 5m*2``."""
        runs: list[tuple[timedelta, int]] = []
        for pause in self.pauses:
            if runs and runs[-1][0] == pause:
                runs[-1] = (pause, runs[-1][1] + 1)
            else:
                runs.append((pause, 1))
        return ", ".join(_written(pause) + (f"*{count}" if count > 1 else "") for pause, count in runs)


@dataclass(frozen=True, slots=True)
class RetryStrategy:
    """What is done while the next hop says not now (RFC 5321 4.5.4): ``schedule``, and after ``delay_notice`` the sender is told once
    that the mail is late; None: never."""

    schedule: Schedule
    delay_notice: timedelta | None = DELAY_NOTICE

    def is_late(self, waited: timedelta) -> bool:
        """Whether the sender is to be told."""
        return self.delay_notice is not None and waited >= self.delay_notice


def parse(text: str) -> Schedule:
    """Read a schedule: items ``<number><s|m|h|d>[*times]`` between commas. Raises ScheduleError."""
    if len(text) > TEXT_CHARS:
        raise ScheduleError(
            f"重试计划过长，最多 {TEXT_CHARS} 个字符 / retry schedule is longer than {TEXT_CHARS} characters"
        )
    pauses: list[timedelta] = []
    for number, item in enumerate(text.split(","), start=1):
        pauses += _item(item.strip(), number)
        if len(pauses) > STEPS:
            raise ScheduleError(f"重试次数过多，最多 {STEPS} 次 / more than {STEPS} attempts in the retry schedule")
    return Schedule(tuple(pauses))


def _item(item: str, number: int) -> list[timedelta]:
    where = f"重试计划第 {number} 项 {item!r} / item {number} of the retry schedule {item!r}"
    match = _ITEM.fullmatch(item.lower())
    if match is None:
        raise ScheduleError(f"{where}: 应写作 / is written like 30s, 5m, 5m*2, 1h*3, 1d")
    amount, unit, times = match.groups()
    pause = int(amount) * _UNITS[unit]
    count = int(times) if times else 1
    if not pause or pause > LONGEST_PAUSE:
        raise ScheduleError(f"{where}: 间隔应大于 0 且不超过 7 天 / a pause is more than 0 and at most 7 days")
    if not count:
        raise ScheduleError(f"{where}: 次数至少为 1 / is repeated at least once")
    return [pause] * count


def _written(pause: timedelta) -> str:
    for unit in ("d", "h", "m"):
        if not pause % _UNITS[unit]:
            return f"{pause // _UNITS[unit]}{unit}"
    return f"{pause // _UNITS['s']}s"
