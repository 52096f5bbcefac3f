"""Chapter 20, second half: what a storage refuses that is retired, or is being loaded."""

import asyncio
from collections.abc import Iterator

import pytest

from aiq.errors import Conflict, Moved, Unavailable
from aiq.model import State
from aiq.storage import Storage, job_topic
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, job, look, start, states
from aiq.testing.clock import Clock
from aiq.testing.faulty import Faulty, LoseReply
from aiq.testing.marks import clause
from aiq.testing.moves import everything, move, reference

ELSEWHERE = "elsewhere://elsewhere"


@pytest.fixture
def target(runner: asyncio.Runner, clock: Clock) -> Iterator[Storage]:
    """The reference, whose records the storage under test takes in."""
    storage = runner.run(reference(clock))
    yield storage
    runner.run(storage.close())


@clause("MOVE-3")
async def test_a_storage_that_is_retired_names_where_to_go_on_and_changes_nothing(storage: Storage) -> None:
    run = await start(storage)
    before = await look(storage)

    await storage.retire(ELSEWHERE)

    for write in (
        lambda: storage.enqueue([job("new")]),
        lambda: end(storage, run, GOOD),
        lambda: storage.cancel([run.id]),
        storage.upkeep,
        lambda: claim_one(storage),
    ):
        with pytest.raises(Moved) as told:
            await write()
        assert told.value.url == ELSEWHERE
    assert await look(storage) == before


@clause("MOVE-3")
async def test_a_storage_that_is_retired_tells_its_siblings(storage: Storage) -> None:
    sibling = await storage.sibling()
    await storage.retire(ELSEWHERE)

    with pytest.raises(Moved):
        await enqueue_one(sibling)
    await sibling.close()


@clause("MOVE-3")
async def test_a_storage_can_be_opened_again(storage: Storage) -> None:
    await storage.retire(ELSEWHERE)
    await storage.retire(None)

    await enqueue_one(storage)

    assert await states(storage, "job") == [State.READY]


@clause("MOVE-3")
async def test_a_storage_moves_to_one_address(storage: Storage) -> None:
    await storage.retire(ELSEWHERE)
    await storage.retire(ELSEWHERE)

    with pytest.raises(Conflict) as told:
        await storage.retire("elsewhere://other")
    assert told.value.reason == "moved"


@clause("MOVE-8")
async def test_whoever_waits_is_told_where_a_storage_has_moved(storage: Storage) -> None:
    sibling = await storage.sibling()
    run = await start(storage)
    topics = [job_topic(run.id)]
    waits = []
    for one in (storage, sibling):
        mark = await one.wait(topics, after=None, timeout_ms=0)
        waits.append(asyncio.create_task(one.wait(topics, after=mark, timeout_ms=60_000)))
    await asyncio.sleep(0)

    await storage.retire(ELSEWHERE)

    async with asyncio.timeout(10):
        for told in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(told, Moved)
            assert told.url == ELSEWHERE
    await sibling.close()


@clause("MOVE-8")
async def test_where_nothing_will_happen_any_more_nobody_begins_to_wait(storage: Storage) -> None:
    run = await start(storage)
    await storage.retire(ELSEWHERE)

    mark = await storage.wait([job_topic(run.id)], after=None, timeout_ms=0)
    async with asyncio.timeout(10):
        with pytest.raises(Moved):
            await storage.wait([job_topic(run.id)], after=mark, timeout_ms=60_000)


@clause("MOVE-8")
async def test_a_storage_that_was_opened_again_is_waited_on_as_before(storage: Storage) -> None:
    run = await start(storage)
    await storage.retire(ELSEWHERE)
    await storage.retire(None)

    mark = await storage.wait([job_topic(run.id)], after=None, timeout_ms=0)
    await end(storage, run, GOOD)

    async with asyncio.timeout(10):
        await storage.wait([job_topic(run.id)], after=mark, timeout_ms=60_000)


@clause("MOVE-9")
async def test_a_storage_that_is_retired_takes_nothing_in(storage: Storage) -> None:
    await storage.retire(ELSEWHERE)

    with pytest.raises(Moved):
        await storage.load("move", [])


@clause("MOVE-9")
async def test_half_a_storage_does_not_move_on(storage: Storage, target: Storage) -> None:
    await enqueue_one(target)
    records = await everything(target)
    await storage.load("move", records[:1])

    with pytest.raises(Unavailable):
        await storage.retire(ELSEWHERE)

    await storage.load("move", records, last=True)
    assert (await claim_one(storage)).id == "job"


@clause("MOVE-4")
async def test_nothing_else_is_written_while_a_storage_is_loaded(storage: Storage, target: Storage) -> None:
    await enqueue_one(target)
    await storage.load("move", await everything(target))

    with pytest.raises(Unavailable):
        await claim_one(storage)
    with pytest.raises(Unavailable):
        await enqueue_one(storage, "new")

    await storage.load("move", [], last=True)
    assert (await claim_one(storage)).id == "job"


@clause("MOVE-5")
async def test_a_storage_with_jobs_of_its_own_takes_in_no_others(storage: Storage, target: Storage) -> None:
    await enqueue_one(storage, "own")
    await enqueue_one(target, "other")

    with pytest.raises(Conflict) as told:
        await move(target, storage)

    assert told.value.reason == "occupied"
    assert await states(storage, "own", "other") == [State.READY, None]


@clause("MOVE-5")
async def test_two_moves_do_not_mix(storage: Storage, target: Storage) -> None:
    await enqueue_one(target)
    await storage.load("one move", await everything(target))

    with pytest.raises(Conflict) as told:
        await storage.load("another", [])
    assert told.value.reason == "occupied"


@clause("MOVE-3", "STORE-2")
async def test_a_retirement_whose_reply_was_lost_is_sent_again(storage: Storage) -> None:
    faulty = Faulty(storage, LoseReply("retire"))

    with pytest.raises(Unavailable):
        await faulty.retire(ELSEWHERE)
    await faulty.retire(ELSEWHERE)

    with pytest.raises(Moved):
        await enqueue_one(storage)


@clause("MOVE-3")
async def test_a_storage_remembers_by_which_move_it_went(storage: Storage) -> None:
    first = await storage.retire(ELSEWHERE, "one")
    again = await storage.retire(ELSEWHERE, "two")
    await storage.retire(None)

    assert (first, again) == ("one", "one")
    assert await storage.retire(ELSEWHERE, "three") == "three"
