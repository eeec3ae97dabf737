"""Whatever a scanner, the opener or a decoder does, the event says so and the message gets its answer.

Walks the real registry: a scanner added there is covered without a line here.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from scanners import registry
from scanners.attachments import yara
from scanners.attachments.cache import Cache
from scanners.attachments.opener import AttachmentOpener
from scanners.attachments.poison import PoisonMemory
from scanners.attachments.protocol import ACCEPTED
from scanners.base import Opener, Result, Scanner, Stage
from scanners.finding import Code, Finding, Severity
from scanners.message import Message
from scanners.resolver import Resolver
from tests.fakes.resolver import FakeResolver
from tests.gateway.test_pipeline import RAW, House, house  # noqa: F401 - a fixture

PATIENCE_S = 120.0
"""A reply that takes longer hangs."""
WITH_FILE = RAW.replace(b"\r\n\r\nword", b"\r\nContent-Type: application/zip; name=a.zip\r\n\r\nPK\x03\x04")


async def _crash(_: Message) -> Any:
    raise ZeroDivisionError


async def _deep(_: Message) -> Any:
    raise RecursionError


async def _memory(_: Message) -> Any:
    raise MemoryError


async def _hang(_: Message) -> Any:
    await asyncio.Event().wait()


async def _cancelled(_: Message) -> Any:
    raise asyncio.CancelledError


def _says(answer: object) -> Callable[[Message], Awaitable[Any]]:
    async def say(_: Message) -> Any:
        return answer

    return say


FAULTS: Mapping[str, Callable[[Message], Awaitable[Any]]] = {
    "crash": _crash, "recursion": _deep, "memory": _memory, "hang": _hang, "own task cancelled": _cancelled,
    "None": _says(None), "text": _says("clean"), "findings of text": _says(Result(("x",))),  # type: ignore[arg-type]
    "findings of None": _says(Result(None)), "half a finding": _says(Result((Finding("a", Severity.LOW, ""), None))),  # type: ignore[arg-type]
}  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """A scanner of the registry, as far as anyone can see, that does what it is told."""

    name: str
    codes: tuple[Code, ...]
    stage: Stage
    scan: Callable[[Message], Awaitable[Any]]


@dataclass(frozen=True)
class BrokenOpener:
    """The same for the opener."""

    open: Callable[[Message], Awaitable[Any]]


@functools.cache
def real() -> tuple[Scanner, ...]:
    """All that is configurable is on; nothing listens at the ClamAV address, which only its own scan would ask."""
    resolver: Resolver = FakeResolver({}, warm=True)  # type: ignore[assignment]
    settings = registry.Settings(("corp.test",), clamav_address="127.0.0.1:1", clamav_timeout_s=1.0)
    return registry.scanners(settings, registry.dictionaries_of(), resolver)


NAMES = [scanner.name for scanner in real()]


def judged_by(
    house: House,  # noqa: F811
    scanners: tuple[Scanner, ...],
    opener: Opener | None = None,
    budget_s: float = 2.0,
) -> None:
    parts = house.pipeline.parts
    limits = replace(parts.config.limits, reply_budget_s=budget_s)  # a quarter of it is for scanning
    judge = replace(parts.judge, scanners=scanners, opener=opener)
    house.pipeline.parts = replace(parts, judge=judge, config=replace(parts.config, limits=limits))


async def findings(house: House, raw: bytes = RAW) -> list[tuple[str, str]]:  # noqa: F811
    """What the event of the decision says; the mail has its answer by then."""
    async with asyncio.timeout(PATIENCE_S):
        code, _ = await house.receive(raw)
    assert code == 250
    assert house.recorder.events[0].type == "message.decided"
    found: Any = house.recorder.events[0].public["findings"]
    return [(each["code"], each.get("about", "")) for each in found]


def test_the_registry_has_every_scanner() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 6


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_scanner_that_fails_is_in_the_event_and_the_others_looked(house: House, name: str, fault: str) -> None:  # noqa: F811
    others = [scanner for scanner in real() if scanner.name not in (name, "clamav")]
    broken = next(scanner for scanner in real() if scanner.name == name)
    chosen = Broken(name, broken.codes, broken.stage, FAULTS[fault])
    judged_by(house, (chosen, *others))
    body = "合同总价 110101190001010014".encode()
    found = await findings(house, RAW.replace(b"Subject", b"Content-Type: text/plain; charset=utf-8\r\nSubject") + body)
    assert [about for code, about in found if code == "scanner.failed"] == [name]
    said = {code for code, _ in found}
    wanted = {"dictionaries": "content.dictionary.company", "identifiers": "content.identifier.cn_id18"}
    assert {code for scanner, code in wanted.items() if any(other.name == scanner for other in others)} <= said


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_opener_that_fails_is_in_the_event(house: House, fault: str) -> None:  # noqa: F811
    judged_by(house, (), BrokenOpener(FAULTS[fault]))
    if not fault.startswith(("findings", "half")):  # these are about Results
        assert ("scanner.failed", "attachments") in await findings(house, WITH_FILE)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "/nowhere/clamd.sock"])
async def test_no_clamd_is_in_the_event(house: House, address: str) -> None:  # noqa: F811
    settings = registry.Settings(clamav_address=address, clamav_timeout_s=1.0)
    judged_by(house, registry.scanners(settings, registry.dictionaries_of(), None))
    assert ("scanner.failed", "clamav") in await findings(house)


@pytest.mark.parametrize("fault", ["dies", "hangs", "rubbish", "refuses"])
async def test_a_decoder_that_fails_is_in_the_event(house: House, tmp_path: Path, fault: str) -> None:  # noqa: F811
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        if fault != "refuses":
            writer.write(ACCEPTED)
        if fault == "rubbish":
            writer.write(b"\0\0\0\x04abcd")
        if fault == "hangs":
            await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "decoder.sock")
    limit_s = 0.4 if fault == "hangs" else PATIENCE_S
    opener = AttachmentOpener(
        tmp_path / "decoder.sock", yara.compile_rules().version, Cache(0), PoisonMemory({}), limit_s
    )
    judged_by(house, (), opener, 5 * limit_s)
    try:
        codes = {code for code, _ in await findings(house, WITH_FILE)}
    finally:
        over.set()
        server.close()
    wanted = {"refuses": {"scanner.failed"}, "hangs": {"content.crashes", "content.limit.time"}}
    assert codes & wanted.get(fault, {"content.crashes"})
