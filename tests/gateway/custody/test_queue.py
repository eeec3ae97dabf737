"""The courier and the queue: every answer of a next hop becomes true, once, in the log and in the store."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from gateway.config import Operator, Route
from gateway.custody.courier import POISON, Courier, settle_down
from gateway.custody.delivery import Action, State, Verb
from gateway.custody.house import House
from gateway.custody.notices import Allowance, Notices
from gateway.custody.outward import Outward
from gateway.custody.people import Refused
from gateway.custody.queue import PER_HOP, Queue
from gateway.custody.release import Rejudged, Released, Releaser
from gateway.custody.sweeper import Sweeper
from gateway.hops import Hops
from gateway.routes import Routes
from gateway.schedule import RetryStrategy
from gateway.schedule import parse as schedule
from gateway.smtp.carrier import Carrier
from gateway.smtp.reply import Reply
from gateway.store.protocol import Filter
from policies.decision import DELIVER, Decision, Disposition, Treatment
from scanners.message import Direction
from tests.fakes.carrier import FakeCarrier
from tests.gateway.custodian import Custodian
from tests.gateway.samples import RAW, START, decided, decision, envelope, reason, share

LATER = Reply(450, "4.2.1", "later")
NO = Reply(550, "5.1.1", "unknown")
WANG = Operator("wang", "wang@corp.test")
HOUSE = House("gw.test", "postmaster@corp.test", frozenset({"corp.test"}))


class Office:
    """All of a queue process around a fake pool."""

    def __init__(
        self, at: Custodian, says: Decision = DELIVER, version: str = "judge-1", carrier: Carrier | None = None, **route
    ) -> None:
        self.at, self.says, self.carrier = at, says, carrier or FakeCarrier()
        routes = Routes.of([Route("*", "smtp://127.0.0.1:2600", **route)])
        notices = Notices(at.custody, at.recorder, routes, HOUSE, at.clock)
        releaser = Releaser(at.custody, self.rejudge, routes, version)
        log = logging.getLogger("test")
        self.releaser = releaser
        outward = Outward(self.carrier, lambda: 0.0, routes, Hops())
        strategy = RetryStrategy(schedule("1m, 5m*2, 1d"))
        self.courier = Courier(at.custody, outward, notices, strategy, releaser, log)
        sweeper = Sweeper(at.custody, at.log, lambda row: True)
        self.queue = Queue(at.custody, self.courier, releaser, notices, sweeper, dead=lambda row: False, log=log)

    async def rejudge(self, of, raw):
        return Rejudged(tuple((person, self.says) for person in of.recipients), "judge-2")

    async def turn(self) -> int:
        started = await self.queue.turn()
        await self.queue.drain()
        return started

    async def states(self):
        rows = (await self.at.store.page(Filter(message_id=envelope().id), limit=100)).deliveries
        return {(row.state, row.addresses) for row in rows}

    def sent_to(self):
        return [tuple(person.address for person in mail.recipients) for _, mail, _ in self.carrier.taken]


@pytest.fixture
async def at(tmp_path):
    custodian = await Custodian.start(tmp_path)
    yield custodian
    await custodian.close()


async def take(at, *shares, of=None, raw=RAW, **more):
    of = of or envelope()
    return await at.custody.take(
        of, raw, shares or (share(),), decided(of.id), await at.key(), b"Received: here\r\n", **more
    )


async def test_at_once_the_bytes_as_they_came_behind_our_trace_fields(at):
    office = Office(at)
    office.courier.attempt_soon(await take(at))
    await office.courier.drain()
    ((_, mail, data),) = office.carrier.taken
    assert data == b"Received: here\r\n" + RAW
    assert mail.sender == "zhang@corp.test"
    assert [event.type for event in at.recorder.events] == ["message.decided", "message.delivered"]
    assert await office.states() == set()
    assert await at.blobs.names() == ()


async def test_put_off_it_is_tried_again_when_due_and_not_before(at):
    office = Office(at)
    office.carrier.say["buyer@acme.example"] = LATER
    await take(at)
    assert await office.turn() == 1
    assert await office.turn() == 0
    at.clock.go(seconds=61)
    office.carrier.say.clear()
    assert await office.turn() == 1
    assert office.sent_to() == [("buyer@acme.example",)]
    assert [e.type for e in at.recorder.events] == ["message.decided", "message.deferred", "message.delivered"]


async def test_a_mixed_answer_is_split_and_the_sender_told_once(at):
    office = Office(at)
    people = ("good@x.test", "late@x.test", "gone@x.test")
    office.carrier.say |= {"late@x.test": LATER, "gone@x.test": NO}
    await take(at, share(DELIVER, people))
    await office.turn()
    assert await office.states() == {
        (State.QUEUED, ("late@x.test",)), (State.SENT, ("good@x.test",)), (State.BOUNCED, ("gone@x.test",))
    }  # fmt: skip
    await office.turn()
    (_, mail, data) = office.carrier.taken[-1]
    assert (mail.sender, [p.address for p in mail.recipients]) == ("", ["zhang@corp.test"])
    assert b"gone@x.test" in data
    assert b"late@x.test" not in data
    at.clock.go(minutes=2)
    office.carrier.say["late@x.test"] = NO
    await office.turn()
    assert (State.UNDELIVERABLE, ("late@x.test",)) in await office.states(), "no second bounce for one message"
    await office.turn()
    assert office.sent_to()[-1] == ("postmaster@corp.test",)


@pytest.mark.parametrize(
    ("direction", "sender", "proven", "told"),
    [
        (Direction.OUTBOUND, "zhang@corp.test", False, True),
        (Direction.INBOUND, "a@stranger.test", False, False),
        (Direction.INBOUND, "a@stranger.test", True, True),
        (Direction.INBOUND, "zhang@corp.test", True, False),
        (Direction.OUTBOUND, "", True, False),
    ],
)
async def test_a_bounce_hits_nobody_innocent(at, direction, sender, proven, told):
    office = Office(at)
    office.carrier.say["buyer@acme.example"] = NO
    await take(at, of=envelope(sender=sender, direction=direction), bounceable=proven)
    await office.turn()
    await office.turn()
    (row,) = (await at.store.page(Filter(message_id=envelope().id))).deliveries if not told else (None,)
    assert office.sent_to() == [(sender,)] if told else [("postmaster@corp.test",)]
    assert row is None or row.state is State.UNDELIVERABLE


async def test_notices_about_notices_end(at):
    office = Office(at)
    office.carrier.say |= dict.fromkeys(("buyer@acme.example", "zhang@corp.test", "postmaster@corp.test"), NO)
    await take(at)
    for _ in range(6):
        await office.turn()
    assert len(office.carrier.asked) == 2, "the mail, its bounce; the failed bounce stays for the postmaster"


async def test_when_the_schedule_is_used_up_it_bounces(at):
    office = Office(at)
    office.carrier.say["buyer@acme.example"] = LATER
    await take(at)
    for _ in range(12):
        await office.turn()
        at.clock.go(hours=5)
    assert [event.reason for event in at.recorder.of_type("message.bounced")] == ["expired"]
    notices = [message_from_bytes(data, policy=policy.default) for _, _, data in office.carrier.taken]
    actions = [part["Action"] for n in notices for part in n.walk() if part["Action"]]
    assert actions == ["delayed", "failed"], "one delay notice, then the bounce"


async def test_no_answer_to_the_dot_is_never_sent_again(at):
    office = Office(at)
    office.carrier.say["buyer@acme.example"] = FakeCarrier.UNKNOWN
    await take(at)
    for _ in range(3):
        await office.turn()
        at.clock.go(days=1)
    assert len(office.carrier.taken) == 1
    assert {state for state, _ in await office.states()} == {State.OUTCOME_UNKNOWN}
    assert len(at.recorder.of_type("message.outcome_unknown")) == 1


async def test_two_processes_never_send_the_same(at):
    other = await at.again()
    one, two = Office(at), Office(other)
    (row,) = (await take(at)).deliveries
    await one.courier.attempt(row)
    await two.courier.attempt(row)
    assert len(one.carrier.taken) + len(two.carrier.taken) == 1


async def test_without_a_durable_mark_the_dot_is_not_sent(at):
    other = await at.again()
    (row,) = (await take(at)).deliveries

    class Thief(FakeCarrier):
        async def send(self, *arguments, **named):
            current = await other.store.delivery(row.id)
            await other.custody.change(current, Action(Verb.ABANDON, due=START))
            return await super().send(*arguments, **named)

    office = Office(at, carrier=Thief())
    await office.courier.attempt(row)
    assert office.carrier.taken == []
    assert (await at.store.delivery(row.id)).state is State.QUEUED


async def test_mail_that_kills_its_process_is_kept_unsent(at):
    office = Office(at)
    (row,) = (await take(at)).deliveries
    for _ in range(POISON):
        (row,) = await at.custody.change(row, at.custody.attempt_action())
        await at.custody.recover(lambda d: True)
        row = await at.store.delivery(row.id)
    at.clock.go(hours=3)
    await office.turn()
    assert {state for state, _ in await office.states()} == {State.UNDELIVERABLE}
    await office.turn()
    assert office.sent_to() == [("postmaster@corp.test",)]


async def test_a_judge_that_changed_looks_again_before_it_leaves(at):
    office = Office(at, decision(reason()), version="judge-2")
    await take(at)
    await office.turn()
    assert office.carrier.asked == []
    assert {state for state, _ in await office.states()} == {State.AWAITING_APPROVAL}
    fine = Office(at, DELIVER, version="judge-2")
    await take(at, of=envelope("01KAMZ3W8Q0000000000000M02"))
    await fine.turn()
    assert len(fine.carrier.taken) == 1


async def test_what_must_be_encrypted_is_sent_by_verified_tls_only(at):
    bank = Decision(Disposition.DELIVER, frozenset({Treatment("encrypt")}))
    office = Office(at, bank, tls="verified")
    sure = replace(share(bank), route=Route("*", "smtp://127.0.0.1:2600", tls="verified"))
    await take(at, sure)
    careless = Office(at, bank)
    await careless.turn()
    assert careless.carrier.asked == [], "the route lost its tls since: it waits"
    assert {state for state, _ in await office.states()} == {State.AWAITING_APPROVAL}
    await take(at, sure, of=envelope("01KAMZ3W8Q0000000000000M02"))
    await office.turn()
    assert [hop.tls.value for hop, _, _ in office.carrier.taken] == ["verified"]


async def test_redirect_and_copy(at):
    what = Decision(
        Disposition.DELIVER, frozenset({Treatment("redirect", "audit@corp.test"), Treatment("copy", "boss@corp.test")})
    )
    office = Office(at)
    await take(at, share(what, ("a@x.test", "b@x.test")))
    await office.turn()
    assert sorted(office.sent_to()) == [("audit@corp.test",), ("boss@corp.test",)]
    assert len(at.recorder.of_type("message.delivered")) == 2


async def test_the_sender_hears_of_a_hold_and_of_its_end(at):
    what = Decision(Disposition.APPROVE, frozenset({Treatment("notify-sender")}), (reason(),))
    office = Office(at)
    office.courier.attempt_soon(await take(at, share(what)))
    await office.courier.drain()
    await office.turn()
    at.clock.go(days=31)
    await office.turn()
    await office.turn()
    mails = [message_from_bytes(data, policy=policy.default) for _, _, data in office.carrier.taken]
    assert [m["Subject"] for m in mails] == ["邮件等待审批 Mail held for approval", "邮件未发送 Mail not sent"]
    assert all(m["Auto-Submitted"] == "auto-generated" for m in mails)
    texts = [m.get_content() for m in mails]
    assert all("收件人 to: " in text and "发送时间 sent: " in text for text in texts), "the sender must know which mail"
    assert "and you will be told" in texts[0]
    assert [event.type for event in at.recorder.events if event.msg == envelope().id] == [
        "message.decided",
        "hold.expire",
    ]
    assert await office.states() == set()


QUARANTINED = Decision(
    Disposition.QUARANTINE, frozenset({Treatment("notify-recipient")}), (reason("bad", Disposition.QUARANTINE),)
)
FROM_OUTSIDE = {"direction": Direction.INBOUND, "sender": "ana@partner.example"}


async def test_inside_recipients_hear_of_a_quarantine_once_and_nothing_of_its_words(at):
    office = Office(at)
    people = ("li@corp.test", "Li@corp.test", "x@far.example", "wang@corp.test")
    of = replace(envelope(recipients=people), **FROM_OUTSIDE)
    taken = await take(at, share(QUARANTINED, people), of=of)
    for _ in range(2):
        office.courier.attempt_soon(taken)
        await office.courier.drain()
    await office.turn()
    assert sorted(to for (to,) in office.sent_to()) == ["li@corp.test", "wang@corp.test"]
    told = message_from_bytes(office.carrier.taken[0][2], policy=policy.default)
    text = told.get_content()
    for word in (
        "ana@partner.example",
        "题 / title",
        "postmaster@corp.test",
        of.id,
        "已被隔离",
        "kept until: 2026-12-22",
    ):
        assert word in text
    assert "planted" not in office.carrier.taken[0][2].decode()
    assert told["Auto-Submitted"] == "auto-generated"
    assert office.carrier.taken[0][1].sender == ""


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"sender": ""}, b""),
        ({}, b"Auto-Submitted: auto-replied\r\n"),
        ({}, b"AUTO-SUBMITTED:auto-generated; x=y\r\n"),
    ],
)
async def test_no_notice_answers_a_machine(at, changes, head):
    office = Office(at)
    of = replace(envelope(recipients=("li@corp.test",)), **{**FROM_OUTSIDE, **changes})
    office.courier.attempt_soon(await take(at, share(QUARANTINED, ("li@corp.test",)), of=of, raw=head + RAW))
    await office.courier.drain()
    assert await office.turn() == 0


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("ana@partner.example", "ana@partner.example"),
        ('"call 0900 now"@x.example', "***@x.example"),
        ("a@http://evil/x", "a@***"),
        ("请打电话@x.example", "***@x.example"),
    ],
)
async def test_an_address_carries_no_message(at, sender, shown):
    office = Office(at)
    of = replace(envelope(recipients=("li@corp.test",)), **{**FROM_OUTSIDE, "sender": sender})
    office.courier.attempt_soon(await take(at, share(QUARANTINED, ("li@corp.test",)), of=of))
    await office.courier.drain()
    await office.turn()
    text = message_from_bytes(office.carrier.taken[0][2], policy=policy.default).get_content()
    assert f"(not verified): {shown}\n" in text.replace("\r", "")


def test_a_flood_of_bad_mail_is_no_flood_of_notices():
    allowance = Allowance(2)
    assert [allowance.take("a", START) for _ in range(3)] == [True, True, False]
    assert allowance.take("b", START)
    assert allowance.take("a", START + timedelta(hours=1))


CONFLICTING = Decision(
    Disposition.DELIVER, frozenset({Treatment("redirect", "x@corp.test"), Treatment("redirect", "y@corp.test")})
)


@pytest.mark.parametrize(
    ("choice", "reached"), [("", "buyer@acme.example"), ("x@corp.test", "x@corp.test"), ("y@corp.test", "y@corp.test")]
)
async def test_of_redirects_that_differ_only_a_chosen_one_is_followed(at, choice, reached):
    says = DELIVER | CONFLICTING
    office = Office(at, says)
    (row,) = (await take(at, share(says))).deliveries
    assert row.state is State.AWAITING_APPROVAL
    released = await office.releaser.release(row, WANG, redirect=choice)
    assert isinstance(released, Released)
    await office.turn()
    assert office.sent_to() == [(reached,)]


async def test_only_what_a_rule_named_can_be_chosen(at):
    says = DELIVER | CONFLICTING
    office = Office(at, says)
    (row,) = (await take(at, share(says))).deliveries
    with pytest.raises(Refused, match="choose one"):
        await office.releaser.release(row, WANG, redirect="evil@far.example")
    held = replace(envelope("01KAMZ3W8Q0000000000000M02"))
    (plain,) = (await take(at, share(decision(reason())), of=held)).deliveries
    with pytest.raises(Refused, match="no choice"):
        await office.releaser.release(plain, WANG, redirect="x@corp.test")


async def test_a_delay_lapses_by_itself(at):
    slow = decision(reason("slow", Disposition.DELAY, delay_s=600))
    office = Office(at, slow)
    await take(at, share(slow))
    at.clock.go(minutes=9)
    assert await office.turn() == 0
    at.clock.go(minutes=2)
    await office.turn()
    await office.turn()
    assert len(office.carrier.taken) == 1
    assert [e.type for e in at.recorder.events[1:]] == ["hold.approve", "message.released", "message.delivered"]


async def test_one_slow_hop_does_not_take_all_places(at):
    office = Office(at)
    slow = [share(DELIVER, (f"p{n}@x.test",)) for n in range(PER_HOP + 30)]
    await take(at, *slow, share(DELIVER, ("z@y.test",), "smtp://127.0.0.1:2700"))
    assert await office.queue.turn() == PER_HOP + 1
    await office.queue.drain()


async def test_hold_resume_retry_delete_by_an_operator(at):
    office = Office(at)
    (row,) = (await take(at)).deliveries
    (row,) = await at.custody.change(row, Action(Verb.HOLD))
    assert await office.turn() == 0
    (row,) = await at.custody.change(row, Action(Verb.RESUME))
    office.carrier.say["buyer@acme.example"] = LATER
    await office.turn()
    row = await at.store.delivery(row.id)
    assert row.due == at.clock() + timedelta(minutes=1)
    await at.custody.change(row, Action(Verb.RETRY, due=at.clock()))
    assert await office.turn() == 1
    row = await at.store.delivery(row.id)
    (gone,) = await at.custody.change(row, Action(Verb.DELETE))
    assert gone.state is State.DELETED


async def test_a_stop_breaks_off_what_was_not_handed_over_and_says_so_of_the_rest(at):
    (first,) = (await take(at)).deliveries
    (second,) = (await take(at, of=envelope("01KAMZ3W8Q0000000000000M02"))).deliveries

    class Silent(FakeCarrier):
        async def send(self, hop, mail, data, *, deadline, before_dot=None):
            self.asked.append(())
            if len(self.asked) == 2:
                await before_dot(())
            await asyncio.Event().wait()

    office = Office(at, carrier=Silent())
    tasks = [asyncio.create_task(office.courier.attempt(each)) for each in (first, second)]
    while {(await at.store.delivery(each.id)).state for each in (first, second)} != {State.SENDING, State.CLOSING}:
        await asyncio.sleep(0)
    await settle_down(tasks, 0.05)
    rows = {row.state: row for row in [await at.store.delivery(first.id), await at.store.delivery(second.id)]}
    assert set(rows) == {State.QUEUED, State.CLOSING}, "what was handed over is for recovery to call unknown"
    assert (rows[State.QUEUED].abandoned, rows[State.QUEUED].recipients[0].reply[:9]) == (0, "451 4.3.2")
    assert at.recorder.events[-1].type == "message.deferred"
