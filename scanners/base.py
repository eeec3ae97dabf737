"""The Scanner protocol, and scan(): every scanner isolated, bounded in time, and loud when it fails (law 5)."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Struct

from scanners.finding import Code, Evidence, Finding, Severity
from scanners.message import Message

if TYPE_CHECKING:
    from scanners.authentication.results import Authentication

_T = TypeVar("_T")

FAILED = Code(
    "scanner.failed",
    Severity.HIGH,
    "扫描器未能完成（故障、超时或返回无效结果）",
    "A scanner crashed, timed out or returned rubbish",
)
CODES = (FAILED,)


class Stage(Enum):
    """What a scanner needs before it can start."""

    BYTES = "bytes"
    """The message as parsed; runs while attachments are still being opened."""
    OPENED = "opened"
    """Every part with its text, members of containers included."""


class Result(Struct, frozen=True):
    """What one scanner saw. Only the authentication scanner fills ``authentication``."""

    findings: tuple[Finding, ...] = ()
    authentication: "Authentication | None" = None


class Step(Struct, frozen=True):
    """One line of a trace: when a step began and how long it took, in ms since the scan began."""

    name: str
    began_ms: float
    took_ms: float
    note: str = ""


class Scanner(Protocol):
    """One way of looking at a message. Instances are frozen and shared by all messages of a worker."""

    @property
    def name(self) -> str:
        """Stable word, used in traces, metrics and ``scanner.failed``."""
        ...

    @property
    def codes(self) -> tuple[Code, ...]:
        """Every code it may report."""
        ...

    @property
    def stage(self) -> Stage:
        """When it may start."""
        ...

    async def scan(self, message: Message) -> Result:
        """Look, and say what was seen. May raise: that becomes ``scanner.failed``."""
        ...


class Opener(Protocol):
    """Opens attachments: returns the message with members, texts and defects added."""

    async def open(self, message: Message) -> Message:
        """May raise: that becomes ``scanner.failed`` about ``attachments``."""
        ...


class Scanned(Struct, frozen=True):
    """The message as opened, all findings in a stable order, and what took how long."""

    message: Message
    findings: tuple[Finding, ...]
    authentication: "Authentication | None"
    steps: tuple[Step, ...]


def failed(name: str, why: str) -> Finding:
    """The finding for a scanner that could not do its work; ``why`` names a class of error, never content."""
    return Finding(FAILED.code, FAILED.severity, f"{name}: {why}", evidence=Evidence(), about=name)


async def scan(
    message: Message, scanners: Sequence[Scanner], opener: Opener | None, deadline_s: float, clock: Callable[[], float]
) -> Scanned:
    """Run every scanner once and collect what they say; never raises for a scanner's fault.

    ``deadline_s`` bounds the whole scan. A scanner that has not answered by then is a ``scanner.failed``.
    """
    began = clock()
    end = began + deadline_s
    steps: list[Step] = []

    async def run(scanner: Scanner, subject: Message) -> Result:
        start = clock()
        try:
            result = await within(scanner.scan(subject), end - start)
            _check(result)
        except TimeoutError:
            result = Result((failed(scanner.name, "timeout"),))
        except asyncio.CancelledError as error:
            if _wanted():
                raise
            result = Result((failed(scanner.name, type(error).__name__),))  # a task of its own was cancelled, not we
        except Exception as error:  # a scanner's fault is a finding, whatever it is (law 5)
            result = Result((failed(scanner.name, type(error).__name__),))
        steps.append(Step(scanner.name, (start - began) * 1000, (clock() - start) * 1000))
        return result

    early = [scanner for scanner in scanners if scanner.stage is Stage.BYTES]
    late = [scanner for scanner in scanners if scanner.stage is Stage.OPENED]
    opened = message
    trouble: tuple[Finding, ...] = ()
    tasks = [asyncio.ensure_future(run(scanner, message)) for scanner in early]
    try:
        if opener is not None:
            start = clock()
            opened, trouble = await _open(opener, message, end - start)
            if opened is not message or trouble:
                steps.append(Step("open", (start - began) * 1000, (clock() - start) * 1000))
        results = [await run(scanner, opened) for scanner in late]
        results[:0] = [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
    findings = [*opened.defects, *trouble]
    for result in results:
        findings.extend(result.findings)
    authentication = next((result.authentication for result in results if result.authentication), None)
    return Scanned(opened, tuple(findings), authentication, tuple(sorted(steps, key=lambda step: step.began_ms)))


async def _open(opener: Opener, message: Message, budget_s: float) -> tuple[Message, tuple[Finding, ...]]:
    try:
        opened = await within(opener.open(message), budget_s)
        if not isinstance(opened, Message):
            raise TypeError("not a Message")
    except TimeoutError:
        return message, (failed("attachments", "timeout"),)
    except asyncio.CancelledError as error:
        if _wanted():
            raise
        return message, (failed("attachments", type(error).__name__),)
    except Exception as error:  # as above: not opened is not clean
        return message, (failed("attachments", type(error).__name__),)
    return opened, ()


def _check(result: object) -> None:
    """Raise TypeError for an answer that is none: what policies and the log cannot take is a scanner's fault as well."""
    if not isinstance(result, Result) or not isinstance(result.findings, tuple):
        raise TypeError("not a Result")
    if not all(isinstance(finding, Finding) for finding in result.findings):
        raise TypeError("not a Finding")


def _wanted() -> bool:
    """Whether somebody cancelled the task that runs now (the gateway stops, the session is gone)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def within(work: Coroutine[Any, Any, _T], limit_s: float) -> _T:
    """What ``work`` returns; TimeoutError once it has waited past ``limit_s`` seconds.

    Most scanners never wait: those are done in one step, and a timer (8 us each) is only set up for the others.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    async with asyncio.timeout(max(0.001, limit_s)):
        return await _Rest(work, waits_for)


class _Rest(Generic[_T]):
    """A coroutine that has made its first step, as an awaitable: first what it already waits for, then all the rest."""

    def __init__(self, work: Coroutine[Any, Any, _T], waits_for: object) -> None:
        self._work, self._waits_for = work, waits_for

    def __await__(self) -> Generator[Any, Any, _T]:
        step: Any = self._waits_for
        try:
            while True:
                try:
                    value = yield step
                except GeneratorExit:
                    self._work.close()
                    raise
                except BaseException as error:  # cancelled, or what was waited for failed: the work's to know
                    step = self._work.throw(error)
                else:
                    step = self._work.send(value)
        except StopIteration as done:
            result: _T = done.value
            return result
