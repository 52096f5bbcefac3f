"""A storage that fails on demand does so once, where it was told to, and is a storage otherwise."""

import asyncio

import pytest

from aiq.backends import open_storage
from aiq.errors import StorageFull, Unavailable
from aiq.model import State
from aiq.storage import Storage
from aiq.testing import CancelAt, Clock, Delay, Faulty, LoseReply, Refuse
from aiq.testing.actions import enqueue_one, get_one, job, states


async def opened() -> Storage:
    return await open_storage("memory://", clock=Clock())


async def test_without_a_fault_it_is_the_storage_behind_it() -> None:
    behind = await opened()
    faulty = Faulty(behind)

    await enqueue_one(faulty)

    assert (faulty.url, faulty.capabilities) == (behind.url, behind.capabilities)
    assert await get_one(faulty) == await get_one(behind)


async def test_a_lost_reply_is_of_an_operation_that_happened() -> None:
    faulty = Faulty(await opened(), LoseReply("enqueue"))

    with pytest.raises(Unavailable) as lost:
        await enqueue_one(faulty)

    assert lost.value.outcome_unknown
    assert await states(faulty, "job") == [State.READY]


async def test_a_refused_operation_did_not_happen() -> None:
    faulty = Faulty(await opened(), Refuse("enqueue"))

    with pytest.raises(Unavailable) as refused:
        await enqueue_one(faulty)

    assert not refused.value.outcome_unknown
    assert await states(faulty, "job") == [None]


async def test_a_refused_operation_says_why_it_was_refused() -> None:
    faulty = Faulty(await opened(), Refuse("enqueue", StorageFull("no room")))

    with pytest.raises(StorageFull, match="no room"):
        await enqueue_one(faulty)

    assert await states(faulty, "job") == [None]


async def test_a_delayed_operation_waits_for_its_gate() -> None:
    gate = asyncio.Event()
    faulty = Faulty(await opened(), Delay("enqueue", gate))

    waiting = asyncio.create_task(enqueue_one(faulty))
    await asyncio.sleep(0)
    assert await states(faulty, "job") == [None]
    gate.set()
    await waiting

    assert await states(faulty, "job") == [State.READY]


async def test_a_fault_strikes_once_the_operation_that_it_names_in_the_order_planned() -> None:
    faulty = Faulty(await opened(), Refuse("get"), LoseReply("enqueue"))
    faulty.plan(Refuse("enqueue"))

    for unknown in (True, False):
        with pytest.raises(Unavailable) as error:
            await faulty.enqueue([job()])
        assert error.value.outcome_unknown is unknown

    await faulty.enqueue([job()])
    assert faulty.planned == (Refuse("get"),)


async def test_a_cancellation_strikes_at_the_suspension_it_names() -> None:
    seen: list[str] = []

    class Slow:
        async def count(self, queue: str | None = None) -> dict[str, dict[State, int]]:
            for name in ("one", "two"):
                seen.append(name)
                await asyncio.sleep(0)
            return {}

    for suspension, expected in ((1, ["one"]), (2, ["one", "two"])):
        seen.clear()
        with pytest.raises(asyncio.CancelledError):
            await Faulty(Slow(), CancelAt("count", suspension)).count()
        assert seen == expected

    assert await Faulty(Slow(), CancelAt("count", 3)).count() == {}


async def test_a_cancellation_reaches_the_future_that_is_waited_for() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Stuck:
        async def count(self, queue: str | None = None) -> None:
            await future

    with pytest.raises(asyncio.CancelledError):
        await Faulty(Stuck(), CancelAt("count", 1)).count()

    assert future.cancelled()


async def test_an_operation_sees_the_errors_of_what_it_waits_for() -> None:
    class Failing:
        async def count(self, queue: str | None = None) -> str:
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(failed.set_exception, ValueError("no"))
            try:
                await failed
            except ValueError:
                return "handled"
            return "not reached"

    assert await Faulty(Failing(), CancelAt("count", 9)).count() == "handled"


async def test_a_sibling_has_no_faults() -> None:
    faulty = Faulty(await opened(), Refuse("enqueue"))

    await enqueue_one(await faulty.sibling())

    assert await states(faulty, "job") == [State.READY]
