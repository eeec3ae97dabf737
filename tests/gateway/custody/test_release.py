"""Release by waivers: what leaves is judged as it leaves."""

import asyncio

import pytest

from gateway.config import Operator, Route
from gateway.custody.custody import Busy
from gateway.custody.delivery import State
from gateway.custody.people import Refused
from gateway.custody.release import Gone, Rejudged, Released, Releaser, Waiting
from gateway.routes import Routes
from policies.decision import DELIVER, Decision, Disposition, Treatment
from tests.gateway.custodian import Custodian
from tests.gateway.samples import RAW, decided, decision, envelope, reason, share

WANG = Operator("wang", "wang@corp.test", ("approver",), ("sales-managers",))
LI = Operator("li", "li@corp.test", ("approver",), ("lawyers",))
MONEY = reason("money", approvers=("group:sales-managers",))
LAW = reason("law", approvers=("group:lawyers",))


class Desk:
    """A releaser whose judge says what it is told, and remembers what it was shown."""

    def __init__(self, at: Custodian, says: Decision, tls: str = "opportunistic") -> None:
        self.says, self.shown = says, []
        routes = Routes.of([Route("*", "smtp://127.0.0.1:2600", tls=tls)])
        self.releaser = Releaser(at.custody, self.rejudge, routes, "judge-1")

    async def rejudge(self, of, raw):
        self.shown.append(raw)
        return Rejudged(tuple((person, self.says) for person in of.recipients), "judge-2")


@pytest.fixture
async def at(tmp_path):
    custodian = await Custodian.start(tmp_path)
    yield custodian
    await custodian.close()


async def hold(at, what, recipients=("buyer@acme.example",)):
    (row,) = (await at.custody.take(envelope(), RAW, (share(what, recipients),), decided(), await at.key())).deliveries
    return row


async def test_answered_and_judged_the_same_it_goes(at):
    row = await hold(at, decision(MONEY))
    desk = Desk(at, decision(MONEY))
    done = await desk.releaser.release(row, WANG, "seen the contract")
    assert isinstance(done, Released)
    assert (done.delivery.state, done.delivery.due, done.delivery.judged) == (State.QUEUED, at.clock(), "judge-2")
    assert desk.shown == [RAW]
    told = [(event.type, event.actor.id) for event in at.recorder.events][1:]
    assert told == [("hold.approve", "wang"), ("message.released", "wang")]
    assert at.recorder.of_type("hold.approve")[0].sealed["comment"].text == "seen the contract"


async def test_answer_and_release_are_one_change_so_that_one_wait_for_the_disk_less_is_paid(at, monkeypatch):
    row = await hold(at, decision(MONEY))
    saved = []
    save = at.store.save

    async def counted(changes):
        saved.append(len(changes))
        return await save(changes)

    monkeypatch.setattr(at.store, "save", counted)
    await Desk(at, decision(MONEY)).releaser.release(row, WANG)
    assert saved == [1, 1], "the intent, then the state"


async def test_new_reasons_do_not_lose_the_answers_given(at):
    row = await hold(at, decision(MONEY))
    waiting = await Desk(at, decision(MONEY, LAW)).releaser.release(row, WANG)
    assert isinstance(waiting, Waiting)
    assert [waiver.rule for waiver in waiting.delivery.waivers] == ["money"]
    assert [event.type for event in at.recorder.events][1:] == ["hold.approve", "hold.create"]


BANK = Decision(Disposition.DELIVER, frozenset({Treatment("encrypt")}), (reason("bank", Disposition.DELIVER),))


async def test_what_turns_out_to_need_encryption_leaves_once_the_route_has_it(at):
    """Found only at release: it waits, no try makes it wait longer, and after tls = "verified" the same command lets it go."""
    row = await hold(at, decision(MONEY))
    bare, sure = Desk(at, decision(MONEY) | BANK), Desk(at, decision(MONEY) | BANK, tls="verified")
    first = await bare.releaser.release(row, WANG)
    assert ([r.rule for r in first.reasons], first.anew) == (["treatment.encrypt"], True)
    at.clock.go(days=3)
    again = await bare.releaser.release(first.delivery, WANG)
    assert (again.anew, again.delivery.due) == (False, first.delivery.due), "not a new reason, nor a new month"
    done = await sure.releaser.release(again.delivery, WANG)
    assert (done.delivery.state, at.recorder.events[-1].type) == (State.QUEUED, "message.released")


async def test_two_reasons_need_two_people(at):
    row = await hold(at, decision(MONEY, LAW))
    desk = Desk(at, decision(MONEY, LAW))
    first = await desk.releaser.release(row, WANG)
    assert isinstance(first, Waiting)
    assert [r.rule for r in first.reasons] == ["law"]
    assert desk.shown == [], "judged again only when all is answered"
    assert isinstance(await desk.releaser.release(first.delivery, LI), Released)


@pytest.mark.parametrize("who", [LI, Operator("wang", "wang@corp.test", ("auditor",), ("sales-managers",))])
async def test_who_is_not_entitled_changes_nothing(at, who):
    row = await hold(at, decision(MONEY))
    with pytest.raises(Refused):
        await Desk(at, decision(MONEY)).releaser.release(row, who)
    assert await at.store.delivery(row.id) == row


async def test_nobody_answers_for_their_own_mail(at):
    row = await hold(at, decision(reason()))
    desk = Desk(at, decision(reason()))
    with pytest.raises(Refused, match="own mail"):
        await desk.releaser.release(row, Operator("z", "Zhang@corp.test"))
    with pytest.raises(Refused, match="no address"):
        await desk.releaser.release(row, Operator("z"))
    with pytest.raises(Refused, match="own mail"):
        await desk.releaser.reject(row, Operator("z", "Zhang@corp.test"), "")


@pytest.mark.parametrize(
    "field", [b"From: Zhang <zhang+1@CORP.test>", b"From: li@corp.test\r\nSender: zhang@corp.test"]
)
async def test_mail_is_ones_own_whatever_the_envelope_says(at, field):
    raw = RAW.replace(b"From: zhang@corp.test", field)
    taken = await at.custody.take(envelope(sender=""), raw, (share(decision(reason())),), decided(), await at.key())
    with pytest.raises(Refused, match="own mail"):
        await Desk(at, DELIVER).releaser.release(taken.deliveries[0], Operator("z", "zhang@corp.test"))
    assert isinstance(await Desk(at, DELIVER).releaser.release(taken.deliveries[0], WANG), Released)


async def test_the_ceiling_is_never_reached(at):
    malware = reason("malware", Disposition.QUARANTINE, waivable=False)
    row = await hold(at, decision(malware))
    with pytest.raises(Refused, match="may not be released"):
        await Desk(at, DELIVER).releaser.release(row, WANG)
    (ended,) = [await Desk(at, DELIVER).releaser.reject(row, WANG, "malware")]
    assert ended.state is State.REJECTED


async def test_a_new_reason_asks_anew_and_only_for_itself(at):
    row = await hold(at, decision(MONEY))
    desk = Desk(at, decision(MONEY, LAW))
    waiting = await desk.releaser.release(row, WANG)
    assert isinstance(waiting, Waiting)
    assert waiting.anew
    assert [r.rule for r in waiting.reasons] == ["law"]
    assert waiting.delivery.state is State.AWAITING_APPROVAL
    assert isinstance(await desk.releaser.release(waiting.delivery, LI), Released)


async def test_a_changed_rule_asks_anew(at):
    row = await hold(at, decision(MONEY))
    changed = reason("money", version="v2", approvers=("group:sales-managers",))
    desk = Desk(at, decision(changed))
    waiting = await desk.releaser.release(row, WANG)
    assert [(r.rule, r.version) for r in waiting.reasons] == [("money", "v2")]
    assert isinstance(await desk.releaser.release(waiting.delivery, WANG), Released)


async def test_malware_found_at_release_stays(at):
    row = await hold(at, decision(MONEY))
    late = reason("malware", Disposition.REJECT, waivable=False)
    waiting = await Desk(at, decision(MONEY, late)).releaser.release(row, WANG)
    assert waiting.delivery.state is State.QUARANTINED
    with pytest.raises(Refused):
        await Desk(at, decision(MONEY, late)).releaser.release(waiting.delivery, WANG)


async def test_without_a_way_to_encrypt_it_stays_and_with_one_it_goes(at):
    bank = Decision(Disposition.DELIVER, frozenset({Treatment("encrypt")}))
    row = await hold(at, bank)
    assert row.state is State.AWAITING_APPROVAL
    waiting = await Desk(at, bank).releaser.release(row, WANG)
    assert [(r.rule, r.waivable) for r in waiting.reasons] == [("treatment.encrypt", False)]
    assert isinstance(await Desk(at, bank, tls="verified").releaser.release(waiting.delivery, WANG), Released)


async def test_time_answers_a_delay_and_nothing_else(at):
    slow = reason("cooling-off", Disposition.DELAY, delay_s=60)
    row = await hold(at, decision(slow))
    at.clock.go(seconds=60)
    assert [d.id for d in await at.store.due({State.DELAYED}, at.clock(), 5)] == [row.id]
    done = await Desk(at, decision(slow)).releaser.lapsed(row)
    assert isinstance(done, Released)
    assert done.delivery.waivers[0].by == "time"


async def test_a_delay_that_brings_up_an_approval_waits_for_it(at):
    slow = reason("cooling-off", Disposition.DELAY, delay_s=60)
    row = await hold(at, decision(slow))
    waiting = await Desk(at, decision(slow, MONEY)).releaser.lapsed(row)
    assert waiting.delivery.state is State.AWAITING_APPROVAL
    assert [r.rule for r in waiting.reasons] == ["money"]


async def test_two_who_release_at_once_release_once(at):
    row = await hold(at, decision(reason()))
    other = await at.again()
    found = await asyncio.gather(
        Desk(at, decision(reason())).releaser.release(row, WANG),
        Desk(other, decision(reason())).releaser.release(row, LI),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Busy) for each in found) == 1
    assert len(at.recorder.of_type("message.released")) == 1


async def test_what_is_gone_or_not_held_is_said(at):
    row = await hold(at, decision(reason()))
    desk = Desk(at, decision(reason()))
    ended = await desk.releaser.reject(row, WANG, "no")
    with pytest.raises(Refused, match="not held"):
        await desk.releaser.release(ended, WANG)
    with pytest.raises(Gone):
        await desk.releaser.release(row, WANG)
