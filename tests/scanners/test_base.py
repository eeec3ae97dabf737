"""within(): no timer for work that never waits, and the same faults as ever for work that does."""

import asyncio

import pytest

from scanners.base import within


async def at_once() -> str:
    return "seen"


async def after(turns: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return turns


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def guarded(found: list[str]) -> str:
    try:
        await never()
    except asyncio.CancelledError:
        found.append("cancelled")
        raise
    return "not reached"


async def own_timeout() -> str:
    try:
        async with asyncio.timeout(0.001):
            await never()
    except TimeoutError:
        return "mine"
    return "not reached"


async def broken(turns: int) -> None:
    await after(turns)
    raise LookupError("broken")


async def test_work_that_never_waits_is_done_in_one_step_even_without_time() -> None:
    assert await within(at_once(), -1.0) == "seen"


@pytest.mark.parametrize("turns", [1, 2, 7])
async def test_work_that_waits_goes_on_where_it_was(turns: int) -> None:
    assert await within(after(turns), 10.0) == turns


async def test_a_future_that_fails_or_succeeds_reaches_the_work() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await future

    asyncio.get_running_loop().call_soon(future.set_result, 5)
    assert await within(wait(), 10.0) == 5


async def test_too_late_is_a_timeout_and_the_work_hears_of_it() -> None:
    found: list[str] = []
    with pytest.raises(TimeoutError):
        await within(guarded(found), 0.001)
    assert found == ["cancelled"]


async def test_a_time_limit_inside_the_work_stays_its_own() -> None:
    assert await within(own_timeout(), 10.0) == "mine"


async def test_cancelling_from_outside_is_no_timeout() -> None:
    found: list[str] = []
    task = asyncio.ensure_future(within(guarded(found), 10.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found == ["cancelled"]


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_fault_comes_out_as_it_is(turns: int) -> None:
    with pytest.raises(LookupError, match="broken"):
        await within(broken(turns), 10.0)
