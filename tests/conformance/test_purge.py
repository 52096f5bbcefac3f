"""Chapter 16: removing what has ended before its time, and where a replay comes from."""

import pytest

from aiq import bounds
from aiq.errors import NotFound, TooLarge
from aiq.model import Purged, Redrive, State, Target
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    end,
    end_one,
    enqueue_one,
    fan_out,
    keep_up,
    look,
    start,
    states,
    value,
)
from aiq.testing.burials import deadly, die, members, redrive, run_again, the_group, the_status
from aiq.testing.marks import clause


@clause("PURGE-1")
async def test_a_job_that_has_ended_is_gone_at_once(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, GOOD)

    assert await storage.purge(["job"]) == [Purged("job", State.SUCCEEDED, gone=True)]
    assert await states(storage, "job") == [None]
    await keep_up(storage)
    assert await storage.audit() == []


@clause("PURGE-1", "DEAD-1", "DEAD-6")
async def test_a_dead_job_that_is_purged_leaves_its_group_with_its_sample(storage: Storage) -> None:
    await die(storage, "one", sample="input of one")
    await die(storage, "two", sample="input of two")

    await storage.purge(["one"])

    assert ((await the_group(storage)).dead, (await the_group(storage)).died) == (1, 2)
    assert [sample.text for sample in (await the_status(storage)).samples] == ["input of two"]
    assert await storage.audit() == []


@clause("PURGE-1")
async def test_what_is_known_of_a_redrive_goes_with_the_job(storage: Storage) -> None:
    await die(storage)
    await end(storage, await run_again(storage), GOOD)

    await storage.purge(["job"])

    assert (await the_group(storage)).recovered == 1
    assert await storage.audit() == []


@clause("PURGE-2")
async def test_each_job_is_purged_or_kept_by_itself(storage: Storage) -> None:
    await enqueue_one(storage, "ready")
    await enqueue_one(storage, "cancelled")
    await storage.cancel(["cancelled"])

    assert await storage.purge(["none", "ready", "cancelled"]) == [
        Purged("none", None, gone=False),
        Purged("ready", State.READY, gone=False),
        Purged("cancelled", State.CANCELLED, gone=True),
    ]
    assert await states(storage, "ready") == [State.READY]


@clause("PURGE-2")
async def test_a_child_stays_while_its_parent_may_still_read_it(storage: Storage) -> None:
    await fan_out(storage, "child", "other")
    await end_one(storage, BAD, "children")
    before = await look(storage)

    assert await storage.purge(["child"]) == [Purged("child", State.DEAD, gone=False)]
    assert await look(storage) == before


@clause("PURGE-2")
async def test_what_a_job_of_the_same_purge_needs_stays(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())
    await keep_up(storage)

    answers = await storage.purge(["second", "first"])

    assert [answer.gone for answer in answers] == [True, False]
    assert [answer.gone for answer in await storage.purge(["first"])] == [True]
    assert await members(storage) == {}
    assert await storage.audit() == []


@clause("PURGE-3")
async def test_a_purge_sent_again_answers_the_same(storage: Storage) -> None:
    await die(storage)
    first = await storage.purge(["job"])

    assert await storage.purge(["job"]) == first == [Purged("job", State.DEAD, gone=True)]


@clause("PURGE-2")
async def test_a_job_that_is_named_twice_is_purged_once(storage: Storage) -> None:
    await die(storage)

    assert [answer.gone for answer in await storage.purge(["job", "job"])] == [True, True]
    assert (await the_group(storage)).dead == 0


@clause("STORE-9")
async def test_more_purges_than_a_batch_are_refused(storage: Storage) -> None:
    await die(storage)

    with pytest.raises(TooLarge):
        await storage.purge(["job"] * (bounds.MAX_BATCH + 1))
    assert await states(storage, "job") == [State.DEAD]


@clause("DEAD-13")
async def test_a_job_that_is_gone_is_not_redriven(storage: Storage) -> None:
    await die(storage)
    await storage.purge(["job"])

    (answer,) = await storage.redrive(Redrive(id="again", targets=(Target("job", 1),)))

    assert isinstance(answer, NotFound)


@clause("DEAD-22")
async def test_a_redriven_job_that_is_purged_has_neither_recovered_nor_relapsed(storage: Storage) -> None:
    await die(storage)
    await redrive(storage, "job")
    await storage.cancel(["job"])
    await storage.purge(["job"])

    assert ((await the_group(storage)).recovered, (await the_group(storage)).relapsed) == (0, 0)
