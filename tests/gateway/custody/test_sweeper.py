"""The sweeper: what was never acknowledged goes, what the log knows of stays."""

import pytest

from gateway.custody.custody import AlreadyTaken, CustodyUnavailable
from gateway.custody.delivery import Action, State, Verb
from gateway.custody.sweeper import Sweeper, Swept
from gateway.store.protocol import Filter
from policies.decision import DELIVER
from tests.gateway.custodian import Custodian
from tests.gateway.samples import RAW, decided, decision, envelope, reason, share


@pytest.fixture
async def at(tmp_path):
    custodian = await Custodian.start(tmp_path)
    yield custodian
    await custodian.close()


def sweeper(at, dead=True):
    return Sweeper(at.custody, at.log, lambda row: dead)


async def states(at):
    return [row.state for row in (await at.store.page(Filter())).deliveries]


async def test_young_or_living_rows_are_left_alone(at):
    await at.custody.take_deferred(envelope(), RAW, share(), decided())
    assert await sweeper(at).sweep() == Swept()
    at.clock.go(minutes=9)
    assert await sweeper(at, dead=False).sweep() == Swept()
    assert await states(at) == [State.PENDING]


async def test_what_the_log_does_not_know_was_never_acknowledged(at):
    taken = await at.custody.take_deferred(envelope(), RAW, share(), decided())
    at.clock.go(minutes=9)
    assert await sweeper(at).sweep() == Swept(swept=1)
    assert await states(at) == []
    assert await at.blobs.names() == ()
    with pytest.raises(CustodyUnavailable):
        await at.custody.settle(taken, (decided(),), await at.key())


@pytest.mark.parametrize(("what", "state"), [(DELIVER, State.QUEUED), (decision(reason()), State.AWAITING_APPROVAL)])
async def test_what_the_log_knows_goes_on_as_decided(at, what, state):
    taken = await at.custody.take_deferred(envelope(), RAW, share(what), decided())
    await at.recorder.record([decided()], await at.key())
    at.clock.go(minutes=9)
    assert await sweeper(at).sweep() == Swept(settled=1)
    assert await states(at) == [state]
    late = await at.custody.settle_pending(taken.deliveries)
    assert [row.state for row in late] == [state], "the worker that comes late finds it done"


async def test_the_log_is_read_on_from_where_everything_is_settled(at):
    await at.recorder.record([decided("01KAMZ3W8Q0000000000000M07", "01KAMZ3W8Q0000000000000E07")], await at.key())
    await at.custody.take_deferred(envelope(), RAW, share(), decided())
    at.clock.go(minutes=9)
    await sweeper(at).sweep()
    assert await at.store.applied_to() == 1
    await at.custody.take_deferred(
        envelope("01KAMZ3W8Q0000000000000M08"),
        RAW,
        share(),
        decided("01KAMZ3W8Q0000000000000M08", "01KAMZ3W8Q0000000000000E08"),
    )
    at.clock.go(minutes=9)
    await sweeper(at).sweep()
    assert at.log.asked == [0, 1]


async def test_blobs_without_a_row_go_when_old(at):
    await at.blobs.put(at.ids(), [b"x"])
    await at.blobs.put("not-a-ulid", [b"x"])
    assert (await sweeper(at).sweep()).blobs == 0
    at.clock.go(minutes=9)
    assert (await sweeper(at).sweep()).blobs == 1
    assert await at.blobs.names() == ("not-a-ulid",)


async def test_the_folder_is_compared_once_an_hour(at):
    one = sweeper(at)
    await one.sweep()
    await at.blobs.put(at.ids(), [b"x"])
    at.clock.go(minutes=59)
    assert (await one.sweep()).blobs == 0
    at.clock.go(minutes=1)
    assert (await one.sweep()).blobs == 1


async def test_the_loser_of_an_id_never_touches_the_winners_bytes(at):
    await at.custody.take(envelope(), RAW, (share(),), decided(), await at.key())
    with pytest.raises(AlreadyTaken):
        await at.custody.take(envelope(), b"other", (share(),), decided(), await at.key())
    assert await at.custody.raw(envelope().id) == RAW
    assert len(await at.blobs.names()) == 1


async def test_a_blob_of_a_loser_that_died_is_swept_and_the_winners_stays(at):
    await at.custody.take(envelope(), RAW, (share(decision(reason())),), decided(), await at.key())
    await at.blobs.put(f"{envelope().id}-{at.ids()}", [b"left behind"])
    at.clock.go(hours=1)
    assert (await sweeper(at).sweep()).blobs == 1
    assert await at.custody.raw(envelope().id) == RAW


async def test_ids_of_finished_messages_are_kept_for_a_bounded_time(at):
    (row,) = (
        await at.custody.take(envelope(), RAW, (share(decision(reason())),), decided(), await at.key())
    ).deliveries
    await at.custody.change(row, Action(Verb.REJECT))
    one = sweeper(at)
    at.clock.go(days=29)
    assert (await one.sweep()).purged == 0
    with pytest.raises(AlreadyTaken):
        await at.custody.take(envelope(), RAW, (share(),), decided(), await at.key())
    at.clock.go(days=2)
    assert (await one.sweep()).purged == 1
