"""The keeper: open intents, unsealing, erasing, and clients that misbehave."""

import asyncio
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from audit.event import derived_id
from audit.log import LogDamaged, LogLocked
from audit.reader import LogView, Stored
from audit.verify import verify
from gateway.recording.intents import Intents, LineHead
from gateway.recording.keeper import main, paths
from gateway.recording.keeper_client import KeeperClient, KeeperUnavailable
from gateway.recording.keeper_protocol import (
    Append,
    Appended,
    Erase,
    EraseDone,
    Head,
    HeadRequest,
    Hello,
    Lines,
    Read,
    Welcome,
)
from tests.audit.events import NOW, decided, outcome
from tests.fakes.keeper import PATIENCE_S, Clock, keeper, recorder, ticks

PEOPLE = ["zhang@corp.test", "buyer@acme.example"]


def log_of(state: Path) -> list[Stored]:
    return list(LogView.open(state / "audit").entries())


async def eventually_of(state: Path, kind: str, clock: Clock) -> list[Stored]:
    """Turns the clock on until the keeper's tick has done it."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := [stored for stored in log_of(state) if stored.text("type") == kind]):
            clock.offset += 61
            await asyncio.sleep(0.05)
    return found


async def test_a_relay_that_nobody_reports_becomes_outcome_unknown_once(tmp_path: Path) -> None:
    clock, first = Clock(), decided(1)
    async with keeper(tmp_path, clock) as socket:
        async with recorder(socket) as log:
            await log.record([first], await log.message_key(PEOPLE))
            clock.offset += 61
            await ticks(clock)
            assert not [s for s in log_of(tmp_path) if s.text("type") == "message.outcome_unknown"], "its worker lives"
        unknown = await eventually_of(tmp_path, "message.outcome_unknown", clock)
        assert unknown[0].text("id") == derived_id(first.id, "outcome_unknown")
        assert (unknown[0].text("msg"), unknown[0].text("prev")) == (first.msg, first.id)
    async with keeper(tmp_path, clock):
        clock.offset += 61
        await ticks(clock)
    assert len([s for s in log_of(tmp_path) if s.text("type") == "message.outcome_unknown"]) == 1


async def test_a_start_finds_open_intents_and_a_worker_may_still_claim_them(tmp_path: Path) -> None:
    clock, one, two = Clock(), decided(1), decided(2)
    async with keeper(tmp_path, clock) as socket, recorder(socket) as log:
        key = await log.message_key(PEOPLE)
        await log.record([one, two], key)
    (tmp_path / "audit" / "intents.json").unlink()
    async with keeper(tmp_path, clock) as socket:
        async with recorder(socket) as log:
            await log.record([outcome(one, 3)], key)
        unknown = await eventually_of(tmp_path, "message.outcome_unknown", clock)
    assert [stored.text("msg") for stored in unknown] == [two.msg]


async def test_a_living_worker_claims_its_relays_after_the_keeper_restarted(tmp_path: Path) -> None:
    clock, first = Clock(), decided(1)
    async with keeper(tmp_path, clock) as socket:
        made = recorder(socket)
        stack_log = await made.__aenter__()
        key = await stack_log.message_key(PEOPLE)
        await stack_log.record([first], key)
    async with keeper(tmp_path, clock):
        await stack_log.message_key([])
        clock.offset += 61
        await ticks(clock)
        await stack_log.record([outcome(first, 2)], key)
        await made.__aexit__(None, None, None)
    assert not [s for s in log_of(tmp_path) if s.text("type") == "message.outcome_unknown"]


def test_intents() -> None:
    intents = Intents({})
    intents.saw(LineHead("e1", "message.decided", "m1", intent="relay"), 1)
    intents.saw(LineHead("e2", "message.decided", "m2", intent="custody"), 1)
    intents.saw(LineHead("e3", "message.decided", "m3", intent="relay"), 2)
    intents.orphan(1, 100.0)
    assert [intent.msg for intent in intents.due(159.9)] == []
    assert [intent.msg for intent in intents.due(160.0)] == ["m1"]
    intents.claim(["m1", "m9"], 5)
    assert list(intents.due(1000.0)) == []
    intents.saw(LineHead("e4", "message.refused", "m1"), 5)
    assert list(intents.open) == ["m3"]


async def open_all(state: Path, socket: Path, **who: str) -> list[dict[str, str | None]]:
    view = LogView.open(state / "audit")
    lines = [stored.line for stored in view.entries() if stored.text("type").startswith("message.")]
    call = {"who": "li", "role": "auditor", "purpose": "complaint 17", "query": "q", **who}
    with KeeperClient(socket) as client:
        return await asyncio.to_thread(lambda: client.opened(view.identity.origin, lines, [], **call))


async def test_opening_is_itself_an_event_recorded_first(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
        records = await open_all(tmp_path, socket)
        assert records[0]["from"] == "zhang@corp.test"
        assert records[0]["subject"] == "合同总价"
        viewed = log_of(tmp_path)[-1]
        assert viewed.text("type") == "audit.view_sealed"
        assert (viewed.text("who"), viewed.text("role")) == ("li", "auditor")
        assert set(viewed.sealed) == {"purpose", "query"}
        assert viewed.place is not None
        assert viewed.place.retention == "admin"
        with pytest.raises(KeeperUnavailable, match="purpose"):
            await open_all(tmp_path, socket, purpose="")
        assert log_of(tmp_path)[-1].line == viewed.line


async def test_masked_needs_no_purpose_and_gives_nothing_away(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
        view = LogView.open(tmp_path / "audit")
        with KeeperClient(socket) as client:
            record = (await asyncio.to_thread(client.masked, view.identity.origin, [view.entry(1).line], []))[0]
    assert record == {
        "from": "z***@corp.test",
        "to0": "b***@acme.example",
        "subject": "***",
        "excerpt": "content.dictionary.company 1  本合同**：***",
    }
    assert "audit.view_sealed" not in [stored.text("type") for stored in log_of(tmp_path)]


def erasure(**fields: object) -> Erase:
    base = Erase(9, "", "smtp", "2026-11", 0, "PIPL art. 47", "DPO request 3", ["li", "wang"])
    return Erase(*[fields.get(name, getattr(base, name)) for name in base.__struct_fields__])  # type: ignore[arg-type]


async def test_erasing_a_message_closes_it_and_the_log_stays_whole(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        keys = [await log.message_key(PEOPLE) for _ in range(2)]
        for number, key in enumerate(keys):
            await log.record([decided(number)], key)
        before = [stored.line for stored in log_of(tmp_path)]
        with KeeperClient(socket) as client:
            with pytest.raises(KeeperUnavailable, match="two approvers"):
                await asyncio.to_thread(client.ask, erasure(approvers=["li", "li"]), EraseDone)
            done = await asyncio.to_thread(client.ask, erasure(leaf=keys[0].place.leaf), EraseDone)
        assert done.count == 1
        assert (await log.message_key([])).place.leaf == 1024, "the live lease over it was retired first"
        records = await open_all(tmp_path, socket)
        assert set(records[0].values()) == {None}
        assert records[1]["from"] == "zhang@corp.test"
        stored = log_of(tmp_path)
        assert [item.line for item in stored[: len(before)]] == before
        event = stored[done.index]
        assert (event.text("type"), event.record["leaf"]) == ("privacy.erase", ["smtp", "2026-11", keys[0].place.leaf])
    assert verify(tmp_path / "audit").mismatches == ()


async def test_erasing_a_person_closes_their_slots_only_and_later_mail_opens(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
        with KeeperClient(socket) as client:
            done = await asyncio.to_thread(client.ask, erasure(address="Zhang@corp.test"), EraseDone)
        assert done.count == 1
        await log.record([decided(2)], await log.message_key(PEOPLE))
        records = await open_all(tmp_path, socket)
        assert [record["from"] for record in records] == [None, "zhang@corp.test"]
        assert [record["to0"] for record in records] == ["buyer@acme.example"] * 2
        event = log_of(tmp_path)[done.index]
        assert b"zhang" not in event.line.lower()
    assert verify(tmp_path / "audit").mismatches == ()


async def test_head_and_read(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
        with KeeperClient(socket) as client:
            head = await asyncio.to_thread(client.ask, HeadRequest(1), Head)
            lines = await asyncio.to_thread(client.ask, Read(2, 0, 100), Lines)
        assert head.size == len(lines.lines) == 2
        assert head.note.startswith(b"gw.test/audit\n2\n")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 4) + b"\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"\x93\x07\x01",
        struct.pack(">I", 2) + b"\x92\x63",
        struct.pack(">I", 6) + b"\x94\x01\x01\xa1\xff\x90",
    ],
)
async def test_garbage_ends_that_connection_only(tmp_path: Path, data: bytes) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        await log.record([decided(1)], await log.message_key(PEOPLE))


async def test_a_malformed_event_is_refused_alone(tmp_path: Path) -> None:
    good = b'{"id":"a","type":"t"}'
    groups = [
        [good],
        [b"{"],
        [b'{"id":"","type":"t"}'],
        [b'{"id":"b","type":"t","x":"' + b"x" * 40_000 + b'"}'],
        [],
        [b'{"id":"\xff","type":"t"}'],
    ]
    async with keeper(tmp_path) as socket:
        with KeeperClient(socket) as client:
            await asyncio.to_thread(client.ask, Hello(1, "t"), Welcome)
            answer = await asyncio.to_thread(client.ask, Append(2, groups), Appended)
    assert answer.firsts == [1, -1, -1, -1, -1, -1]


async def test_one_keeper_only_and_a_socket_for_its_owner(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket:
        assert stat.S_IMODE(os.stat(socket).st_mode) == 0o600
        where = paths(tmp_path)
        assert where.signing.stat().st_mode & 0o077 == 0
        with pytest.raises(LogLocked):
            async with keeper(tmp_path):
                pass


async def test_a_lost_signing_key_is_never_replaced_in_silence(tmp_path: Path) -> None:
    async with keeper(tmp_path):
        pass
    paths(tmp_path).signing.unlink()
    with pytest.raises(FileNotFoundError):
        async with keeper(tmp_path):
            pass


async def test_damage_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
    head = tmp_path / "audit" / "checkpoint"
    head.chmod(0o600)
    head.write_bytes(head.read_bytes().replace(b"gw.test/audit\n", b"gw.test/other\n", 1))
    with pytest.raises(LogDamaged, match="sealgate audit new-shard --reason"):
        async with keeper(tmp_path):
            pass


def test_the_process_says_why_it_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.toml")]) == 2
    assert "refused to start" in capfd.readouterr().err


async def test_months_do_not_mix(tmp_path: Path) -> None:
    clock = Clock()
    async with keeper(tmp_path, clock) as socket, recorder(socket) as log:
        await log.record([decided(1)], await log.message_key(PEOPLE))
        clock.at = NOW.replace(month=12)
        async with recorder(socket) as other:
            event = replace(decided(2), at=clock.at)
            key = await other.message_key(PEOPLE)
            assert key.place.month == "2026-12"
            await other.record([event], key)
        assert [record["from"] for record in await open_all(tmp_path, socket)] == ["zhang@corp.test"] * 2
