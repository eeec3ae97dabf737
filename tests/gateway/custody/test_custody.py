"""Taking custody and changing what became of it."""

import asyncio

import pytest

from audit.journal import MAX_FRAME_BODY
from gateway.custody.custody import AlreadyTaken, Busy, Custody, CustodyUnavailable
from gateway.custody.delivery import Action, Answer, IllegalMove, NotWaived, State, Verb
from gateway.custody.owners import Owner
from gateway.custody.waivers import Waiver
from gateway.recording.recorder import RecorderUnavailable
from gateway.recording.sealed_lines import lines
from gateway.store.errors import StoreDamaged
from gateway.store.protocol import Filter
from policies.decision import DELIVER, Disposition
from tests.fakes.recorder import FakeRecorder
from tests.gateway.custodian import Custodian
from tests.gateway.samples import RAW, START, decided, decision, envelope, reason, share

APPROVE = decision(reason())


@pytest.fixture
async def at(tmp_path):
    custodian = await Custodian.start(tmp_path)
    yield custodian
    await custodian.close()


async def take(at, *shares, raw=RAW):
    return await at.custody.take(envelope(), raw, shares or (share(APPROVE),), decided(), await at.key())


@pytest.mark.parametrize(
    ("what", "state"),
    [
        (DELIVER, State.QUEUED),
        (decision(reason(disposition=Disposition.DELAY, delay_s=60)), State.DELAYED),
        (APPROVE, State.AWAITING_APPROVAL),
        (decision(reason(disposition=Disposition.QUARANTINE)), State.QUARANTINED),
        (decision(reason(disposition=Disposition.REJECT)), State.QUARANTINED),
    ],
)
async def test_taken_is_durable_told_and_settled_as_decided(at, what, state):
    taken = await take(at, share(what))
    (row,) = taken.deliveries
    assert row.state is state
    assert (row.judged, row.decided) == ("judge-1", decided().id)
    other = await at.again()
    assert await other.store.delivery(row.id) == row
    assert await other.custody.raw(row.message_id) == RAW
    assert [event.type for event in at.recorder.events] == ["message.decided"]
    assert taken.permitted == (taken.deliveries if state is State.QUEUED else ())


async def test_a_delay_ends_when_it_should_and_a_hold_later(at):
    slow = decision(reason("a", Disposition.DELAY, delay_s=60), reason("b", Disposition.DELAY, delay_s=600))
    taken = await take(at, share(slow), share(APPROVE, ("other@acme.example",)))
    assert [(row.due - START).total_seconds() for row in taken.deliveries] == [600, 30 * 86400]


async def test_one_message_one_delivery_per_share(at):
    taken = await take(at, share(DELIVER), share(APPROVE, ("other@acme.example",)))
    assert [row.state for row in taken.deliveries] == [State.QUEUED, State.AWAITING_APPROVAL]
    assert taken.permitted == taken.deliveries[:1]


async def test_the_log_down_means_not_taken(at):
    key = await at.key()
    at.recorder.failures = 1
    with pytest.raises(CustodyUnavailable):
        await at.custody.take(envelope(), RAW, (share(APPROVE),), decided(), key)
    rows = (await at.store.page(Filter())).deliveries
    assert [row.state for row in rows] == [State.PENDING]


async def test_the_disk_full_means_not_taken(at, tmp_path):
    (tmp_path / "custody").write_bytes(b"in the way")
    with pytest.raises(CustodyUnavailable):
        await take(at)
    assert at.recorder.events == []
    assert (await at.store.page(Filter())).deliveries == ()


async def test_the_same_id_is_not_taken_twice(at):
    await take(at)
    with pytest.raises(AlreadyTaken):
        await take(at)


async def test_nothing_of_the_mail_stands_in_clear_on_the_disk(at, tmp_path):
    await take(at, share(APPROVE, ("planted-buyer@acme.example",)), raw=RAW + b"planted-body 11010519491231002X\r\n")
    await at.close()
    planted = (
        b"planted-buyer",
        b"planted-body",
        b"planted subject",
        b"zhang@corp",
        b"11010519491231002X",
        b"198.18.0.7",
    )
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 2
    for file in files:
        content = file.read_bytes()
        assert not [word for word in planted if word in content], file


async def test_deferred_recipients_wait_as_pending_until_the_answer_is_known(at):
    taken = await at.custody.take_deferred(
        envelope(), RAW, share(DELIVER), decided(), b"Received: x\r\n", bounceable=True
    )
    (row,) = taken.deliveries
    assert row.state is State.PENDING
    held = await at.store.held(row.message_id)
    assert (held.head, held.bounceable) == (b"Received: x\r\n", True)
    assert at.recorder.events == []
    settled = await at.custody.settle(taken, (decided(),), await at.key())
    assert settled.permitted


async def test_deferred_recipients_are_dropped_when_the_client_keeps_the_mail(at):
    taken = await at.custody.take_deferred(envelope(), RAW, share(DELIVER), decided())
    await at.custody.drop(taken)
    assert await at.custody.raw(envelope().id) is None
    assert await at.blobs.names() == ()
    with pytest.raises(CustodyUnavailable):
        await at.custody.settle(taken, (decided(),), await at.key())


async def test_a_change_is_intent_event_state(at):
    (row,) = (await take(at)).deliveries
    (after,) = await at.custody.change(row, Action(Verb.REJECT, comment="no: planted comment"))
    assert after.state is State.REJECTED
    assert at.recorder.events[-1].type == "hold.deny"
    assert at.recorder.events[-1].sealed["comment"].text == "no: planted comment"
    assert await at.custody.raw(row.message_id) is None, "a finished message is destroyed"
    assert await at.blobs.names() == ()


async def test_of_two_who_change_one_wins_and_the_other_hears_of_it(at):
    (row,) = (await take(at)).deliveries
    other = await at.again()
    found = await asyncio.gather(
        at.custody.change(row, Action(Verb.REJECT)),
        other.custody.change(row, Action(Verb.QUARANTINE)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Busy) for each in found) == 1
    assert len(at.recorder.events) == 2, "decided, and what the winner did"


async def test_what_may_not_be_is_refused_before_anything_is_written(at):
    (row,) = (await take(at)).deliveries
    for verb, error in ((Verb.RELEASE, NotWaived), (Verb.RESUME, IllegalMove)):
        with pytest.raises(error):
            await at.custody.change(row, Action(verb))
    assert await at.store.delivery(row.id) == row


async def test_the_log_down_in_the_middle_of_a_change_is_healed(at):
    (row,) = (await take(at)).deliveries
    at.recorder.failures = 1
    with pytest.raises(RecorderUnavailable):
        await at.custody.change(row, Action(Verb.REJECT))
    left = await at.store.delivery(row.id)
    assert left.intent is not None
    with pytest.raises(Busy):
        await at.custody.change(left, Action(Verb.QUARANTINE))
    assert await at.custody.recover(lambda d: False) == 0, "it may still be under way"
    at.clock.go(seconds=61)
    assert await at.custody.recover(lambda d: False) == 1
    assert await at.store.delivery(row.id) is None
    assert [event.type for event in at.recorder.events] == ["message.decided", "hold.deny"]


async def test_an_attempt_that_died_before_the_dot_is_made_again_later(at):
    (row,) = (await take(at, share(DELIVER))).deliveries
    (sending,) = await at.custody.change(row, at.custody.attempt_action())
    assert (sending.state, sending.owner, sending.attempts) == (State.SENDING, "first", 1)
    assert await at.custody.recover(lambda d: False) == 0
    assert await at.custody.recover(lambda d: d.owner == "first") == 1
    again = await at.store.delivery(row.id)
    assert (again.state, again.abandoned, again.owner) == (State.QUEUED, 1, "")
    assert again.due > at.clock()
    assert at.recorder.events[-1].type == "delivery.abandoned"


async def test_an_attempt_that_died_after_the_dot_waits_for_a_person(at):
    (row,) = (await take(at, share(DELIVER))).deliveries
    (sending,) = await at.custody.change(row, at.custody.attempt_action())
    (closing,) = await at.custody.change(sending, Action(Verb.DOT))
    assert await at.custody.recover(lambda d: True) == 1
    unknown = await at.store.delivery(row.id)
    assert unknown.state is State.OUTCOME_UNKNOWN
    assert at.recorder.events[-1].type == "message.outcome_unknown"
    with pytest.raises(Busy):
        await at.custody.change(closing, Action(Verb.ANSWER, answers=(Answer(Verb.DELIVERED, "250 ok"),)))


async def test_a_split_is_kept_whole(at):
    people = ("a@x.test", "b@x.test")
    (row,) = (await take(at, share(DELIVER, people))).deliveries
    (sending,) = await at.custody.change(row, at.custody.attempt_action())
    (closing,) = await at.custody.change(sending, Action(Verb.DOT))
    answers = (Answer(Verb.DELIVERED, "250 ok"), Answer(Verb.DEFERRED, "450 later"))
    parts = await at.custody.change(closing, Action(Verb.ANSWER, answers=answers))
    assert [(part.state, part.addresses) for part in parts] == [
        (State.QUEUED, ("b@x.test",)),
        (State.SENT, ("a@x.test",)),
    ]
    for part in parts:
        assert await at.store.delivery(part.id) == part
    assert await at.custody.raw(row.message_id) == RAW, "something of it still waits"


async def test_waivers_let_it_go(at):
    (row,) = (await take(at)).deliveries
    given = Waiver("outbound-contract-price", "v1", row.content, row.addresses, "wang", START)
    (waived,) = await at.custody.change(row, Action(Verb.WAIVE, waivers=(given,)))
    assert waived.state is State.AWAITING_APPROVAL
    (released,) = await at.custody.change(waived, Action(Verb.RELEASE, due=at.clock()))
    assert released.state is State.QUEUED
    assert [event.type for event in at.recorder.events][1:] == ["hold.approve", "message.released"]


async def test_many_at_once_in_two_transactions(at):
    shares = [share(APPROVE, (f"p{n}@x.test",)) for n in range(40)]
    rows = (await take(at, *shares)).deliveries
    done = await at.custody.change_all([(row, Action(Verb.EXPIRE)) for row in rows])
    assert all(after and after[0].state is State.EXPIRED for after in done)
    assert len(at.recorder.of_type("hold.expire")) == 40


async def test_a_blob_changed_on_the_disk_is_noticed(at, tmp_path):
    (row,) = (await take(at)).deliveries
    (blob,) = [file for file in (tmp_path / "custody").rglob("*") if file.is_file()]
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    with pytest.raises(StoreDamaged):
        await at.custody.raw(row.message_id)


def test_an_owner_is_dead_when_its_process_is(tmp_path):
    mine, other = Owner(tmp_path / "owners", "worker-1"), Owner(tmp_path / "owners", "worker-2")
    assert not mine.gone("worker-2")
    other.close()
    assert mine.gone("worker-2")
    assert mine.gone("")
    assert mine.gone("../worker-1")
    with pytest.raises(BlockingIOError):
        Owner(tmp_path / "owners", "worker-1")
    mine.close()


class Measured(FakeRecorder):
    """Remembers how many bytes the events of each call take in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def record(self, events, key):
        self.sizes.append(sum(len(line) + 2 for event in events for line in lines(event, key, "gw.test", "gw.test")))
        return await super().record(events, key)


async def test_what_ends_together_is_told_in_frames_that_the_log_takes(at):
    log = Measured()
    custody = Custody(at.store, at.blobs, log, clock=at.clock, ids=at.ids, owner="first")
    department = "a-department-with-a-long-name." * 5 + "corp.test"
    shares = [
        share(APPROVE, tuple(f"somebody-{n}@{department}" for n in range(100)), f"smtp://127.0.0.1:{port}")
        for port in range(3000, 3160)
    ]
    rows = (await custody.take(envelope(), RAW, shares, decided(), await at.key())).deliveries
    log.sizes.clear()
    done = await custody.change_all([(row, Action(Verb.EXPIRE)) for row in rows])
    assert [part.state for (part,) in done] == [State.EXPIRED] * len(rows)
    assert sum(log.sizes) > MAX_FRAME_BODY, "one frame would not have done"
    assert max(log.sizes) < MAX_FRAME_BODY
    assert len(log.of_type("hold.expire")) == len(rows)
