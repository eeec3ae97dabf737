"""The recorder against a real keeper."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest

from audit.event import Actor, Event, Place, Secret
from audit.journal import MAX_FRAME_ENTRIES
from audit.reader import LogView
from audit.verify import verify
from gateway.recording.keeper_client import KeeperClient
from gateway.recording.keeper_protocol import Hello, Room, Welcome
from gateway.recording.recorder import RecorderFull, RecorderUnavailable
from gateway.recording.socket_recorder import SocketRecorder
from tests.audit.events import NOW, decided, event_id, outcome
from tests.fakes.keeper import Clock, at_last, keeper, recorder


async def test_events_are_durable_in_order_and_the_log_is_whole(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        first = decided(1)
        key = await log.message_key(["zhang@corp.test", "buyer@acme.example"])
        one = await log.record([first], key)
        two = await log.record([outcome(first, 2)], key)
    assert two.index == one.index + 1 == two.size - 1
    view = LogView.open(tmp_path / "audit")
    assert [item.text("type") for item in view.entries()] == [
        "audit.start",
        "message.decided",
        "message.relayed",
        "audit.stop",
    ]
    assert verify(tmp_path / "audit").mismatches == ()
    assert view.entry(one.index).place == Place("smtp", "2026-11", 0)


async def test_two_events_of_one_call_stand_side_by_side_among_many_callers(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as one, recorder(socket) as two:

        async def pair(log: SocketRecorder, number: int) -> int:
            first = decided(number)
            key = await log.message_key(["zhang@corp.test"])
            receipt = await log.record([first, outcome(first, number + 1000)], key)
            return receipt.index

        indexes = await asyncio.gather(*(pair((one, two)[n % 2], n) for n in range(200)))
    view = LogView.open(tmp_path / "audit")
    for number, index in enumerate(indexes):
        assert view.entry(index).text("id") == event_id(number)
        assert view.entry(index + 1).text("prev") == event_id(number)
    places = {view.entry(index).place for index in indexes}
    assert len(places) == 200


async def test_the_same_event_again_keeps_its_index(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        key = await log.message_key([])
        first, again = await asyncio.gather(log.record([decided(1)], key), log.record([decided(1)], key))
        later = await log.record([decided(1)], key)
        assert first.index == again.index == later.index
        assert (await log.record([decided(2)], key)).index == first.index + 1


async def test_a_restart_of_the_keeper_loses_nothing_and_callers_do_not_notice(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with keeper(tmp_path) as socket:
            log = await stack.enter_async_context(recorder(socket))
            key = await log.message_key(["zhang@corp.test"])
            await log.record([decided(1)], key)
        waiting = asyncio.create_task(log.record([decided(2)], key))
        asking = asyncio.create_task(log.message_key(["new@corp.test"]))
        await asyncio.sleep(0)
        assert not waiting.done()
        async with keeper(tmp_path):
            receipt = await waiting
            assert (await asking).subjects.keys() == {"new@corp.test"}
            assert (await log.message_key([])).place.leaf >= 1024, "a lease does not outlive its connection"
            assert receipt.index == 4  # start, decided, stop, start
            await log.close()


async def test_without_a_keeper_the_caller_is_told_in_time(tmp_path: Path) -> None:
    log = SocketRecorder(tmp_path / "nobody.sock", "w", time.monotonic, patience_s=0.05)
    with pytest.raises(RecorderUnavailable):
        await log.open()
    with pytest.raises(RecorderUnavailable):
        await log.record([decided(1)], None)
    await log.close()


async def test_a_keeper_that_goes_away_for_good_gives_unavailable(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket:
        log = SocketRecorder(socket, "w", time.monotonic, patience_s=0.5)
        await at_last(log.open)
        key = await at_last(lambda: log.message_key([]))
    with pytest.raises(RecorderUnavailable):
        await log.record([decided(1)], key)
    await log.close()


async def test_no_room_means_no_new_message_but_outcomes_still(tmp_path: Path) -> None:
    clock = Clock()
    async with keeper(tmp_path, clock) as socket, recorder(socket) as log:
        key = await log.message_key([])
        with KeeperClient(socket) as client:
            await asyncio.to_thread(client.ask, Hello(1, "other"), Welcome)
            log.heard(Room(False))
            with pytest.raises(RecorderFull):
                await log.message_key([])
            await log.record([decided(1)], key)
            assert log.room, "an answer says how it stands"


async def test_a_large_event_goes_on_in_parts_of_the_same_frame(tmp_path: Path) -> None:
    people = [f"person{number}@{'long' * 40}.example" for number in range(100)]
    big = Event(
        event_id(1),
        "message.decided",
        NOW,
        Actor("system", "gateway"),
        "relay",
        msg="M1",
        public={"intent": "relay", "findings": [{"code": f"code.{n}", "note": "x" * 300} for n in range(300)]},
        sealed={f"to{n}": Secret(person, person) for n, person in enumerate(people)}
        | {"subject": Secret("题" * 90_000)},
    )
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        receipt = await log.record([big], await log.message_key(people))
        view = LogView.open(tmp_path / "audit")
        stored = list(view.entries(receipt.index))
        assert stored[0].text("id") == big.id
        assert {item.text("type") for item in stored[1:]} == {"message.part"}
        assert max(len(item.line) for item in stored) <= 32 * 1024
        with KeeperClient(socket) as client:
            args = (view.identity.origin, [item.line for item in stored], [], "li", "auditor", "test", "")
            records = await asyncio.to_thread(client.opened, *args)
        opened = {name: text for record in records for name, text in record.items()}
        assert [opened[f"to{n}"] for n in range(100)] == people
        assert (opened["subject"] or "").endswith("…[+85904]")
        findings = [item for one in stored for item in one.record.get("findings", [])]
        assert [item["code"] for item in findings] == [f"code.{n}" for n in range(300)]


async def test_sealed_fields_without_a_key_are_an_error_of_the_caller(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        with pytest.raises(ValueError, match="message key"):
            await log.record([decided(1)], None)


async def test_nothing_personal_stands_in_the_folder(tmp_path: Path) -> None:
    clock = Clock()
    planted = (
        "planted.sender@corp.test",
        "planted.rcpt@acme.example",
        "110101199003070014",
        "planted subject",
        "planted-purpose",
    )
    async with keeper(tmp_path, clock) as socket, recorder(socket) as log:
        event = decided(1, sender=planted[0], to=planted[1])
        more = {"subject": Secret(planted[3]), "excerpt": Secret(planted[2])}
        event = Event(**{**{f: getattr(event, f) for f in event.__slots__}, "sealed": {**event.sealed, **more}})
        await log.record([event], await log.message_key(list(planted[:2])))
        view = LogView.open(tmp_path / "audit")
        with KeeperClient(socket) as client:
            args = (view.identity.origin, [view.entry(1).line], [], "li", "auditor", planted[4], planted[0])
            await asyncio.to_thread(client.opened, *args)
        for path in (item for item in tmp_path.rglob("*") if item.is_file()):
            data = path.read_bytes()
            for word in planted:
                assert word.encode() not in data, (path, word)
                assert json.dumps(word).encode()[1:-1] not in data


async def test_any_address_and_any_number_of_them(tmp_path: Path) -> None:
    odd = ["", "\udcff@corp.test", "用户@例子.test", "a" * 5000, *(f"p{number}@x" for number in range(2500))]
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        key = await log.message_key(odd)
        assert len(key.subjects) == len(odd)
        await log.record([decided(1, sender=odd[1], to=odd[2])], key)
        cached = await log.message_key(odd)
        assert cached.subjects == key.subjects


async def test_more_than_a_frame_holds_is_refused_here_and_what_is_beside_it_goes_on(tmp_path: Path) -> None:
    async with keeper(tmp_path) as socket, recorder(socket) as log:
        key = await log.message_key(["zhang@corp.test"])
        with pytest.raises(ValueError, match="frame"):
            await log.record([decided(number) for number in range(MAX_FRAME_ENTRIES + 1)], key)
        assert (await log.record([decided(1)], key)).size > 0
