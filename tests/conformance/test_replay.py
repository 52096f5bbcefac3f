"""REPLAY-1 to REPLAY-5: what has succeeded, enqueued once more."""

import json

import pytest

from aiq.admin import Admin
from aiq.errors import InvalidInput
from aiq.model import BudgetSpec, JobFilter, JobRecord, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, end_one, enqueue_one, get_one, job, spawn, start
from aiq.testing.marks import clause


def reading(*job_ids: str) -> bytes:
    """A payload with a place for the result of each of some jobs."""
    places = [[["a", 0, place], job_id] for place, job_id in enumerate(job_ids)]
    return json.dumps({"v": 1, "a": [[None] * len(job_ids)], "k": {}, "o": places}).encode()


def read_by(record: JobRecord) -> list[str]:
    """The jobs whose results a payload has places for."""
    return [job_id for _, job_id in json.loads(record.payload)["o"]]


async def flow(storage: Storage) -> None:
    """Two jobs, and a third that reads the result of one and comes after the other; all have succeeded."""
    merge = job("merge", payload=reading("part"), depends_on=("part", "before"), flow="f", delay_ms=0)
    await storage.enqueue([job("part", flow="f"), job("before", flow="f"), merge])
    for _ in range(3):
        await end_one(storage, GOOD)


async def new_of(storage: Storage, job_id: str) -> JobRecord:
    """The job that a replay has made of another."""
    (found,) = [record for record in await storage.list(JobFilter()) if record.origin == job_id]
    return found


@clause("REPLAY-1")
async def test_the_origin_of_a_job_is_read_with_it(storage: Storage) -> None:
    await enqueue_one(storage, "replay", origin="first")
    await enqueue_one(storage, "plain")

    assert ((await get_one(storage, "replay")).origin, (await get_one(storage, "plain")).origin) == ("first", None)


@clause("REPLAY-1")
async def test_an_origin_that_is_no_id_is_refused(storage: Storage) -> None:
    with pytest.raises(InvalidInput):
        await enqueue_one(storage, "replay", origin="")


@clause("REPLAY-2")
async def test_a_job_that_is_replayed_alone_runs_at_once_and_reads_the_results_that_it_read(storage: Storage) -> None:
    await flow(storage)
    await storage.purge(["before"])

    await Admin(storage).replay("merge")

    new = await claim_one(storage)
    assert (new.origin, new.depends_on, read_by(new)) == ("merge", ("part",), ["part"])
    # What it reads is needed, and stays.
    assert [answer.gone for answer in await storage.purge(["part"])] == [False]
    await end(storage, new, GOOD)
    assert [answer.gone for answer in await storage.purge(["part"])] == [True]


@clause("REPLAY-2")
async def test_a_job_whose_arguments_are_of_another_kind_is_replayed_with_them(storage: Storage) -> None:
    await end(storage, await start(storage, payload=b"anything"), GOOD)

    await Admin(storage).replay("job")

    assert (await claim_one(storage)).payload == b"anything"


@clause("REPLAY-3", "REPLAY-4")
async def test_a_flow_is_replayed_with_its_edges(storage: Storage) -> None:
    await flow(storage)

    await Admin(storage).replay(JobFilter(flow="f"), id="again")

    part, before, merge = [await new_of(storage, name) for name in ("part", "before", "merge")]
    assert (merge.state, merge.depends_on, read_by(merge)) == (State.WAITING, (part.id, before.id), [part.id])
    assert {part.flow, before.flow, merge.flow} == {part.flow}
    assert part.flow != "f"
    for _ in range(2):
        await end_one(storage, GOOD)
    assert (await claim_one(storage)).id == merge.id


@clause("REPLAY-3")
async def test_the_order_in_which_jobs_are_named_does_not_matter(storage: Storage) -> None:
    await flow(storage)

    await Admin(storage).replay(["merge", "part"])

    merge = await new_of(storage, "merge")
    assert merge.depends_on == ((await new_of(storage, "part")).id,)


@clause("REPLAY-3")
async def test_a_replay_that_goes_on_finds_the_jobs_that_it_has_made(storage: Storage) -> None:
    await flow(storage)
    admin = Admin(storage)

    first = await admin.replay(JobFilter(flow="f"), id="again", limit=2)
    await admin.replay(JobFilter(flow="f"), id="again", after=first.after)

    assert (await new_of(storage, "merge")).depends_on == first.done


@clause("REPLAY-4")
async def test_the_same_replay_makes_a_job_once(storage: Storage) -> None:
    await flow(storage)
    admin = Admin(storage)

    answers = [await admin.replay(JobFilter(flow="f"), id=name) for name in ("again", "again", "once more")]

    assert answers[0].done == answers[1].done
    assert set(answers[0].done).isdisjoint(answers[2].done)
    assert len((await storage.list(JobFilter())).jobs) == 9


@clause("REPLAY-5")
async def test_a_replayed_job_stands_on_its_own(storage: Storage) -> None:
    budgets = (BudgetSpec(id="job:child", caps={"tokens": 9}), BudgetSpec(id="flow:f", caps={"tokens": 9}))
    parent = await start(storage, "parent", flow="f")
    await storage.put_budgets([BudgetSpec(id="shared", caps={"tokens": 9})])
    own = {"flow": "f", "creates": budgets, "budgets": ("job:child", "flow:f", "shared")}
    await spawn(storage, parent, "child", expires_ms=1_000_000, **own)
    await end_one(storage, GOOD)

    await Admin(storage).replay("child")

    new = await new_of(storage, "child")
    assert (new.parent_id, new.deadline_ms, new.budgets) == (None, None, ("shared",))


@clause("REPLAY-5")
async def test_a_replayed_job_leaves_the_unique_key_to_others(storage: Storage) -> None:
    await end(storage, await start(storage, "first", unique="u"), GOOD)
    await enqueue_one(storage, "second", unique="u")

    await Admin(storage).replay("first")

    assert (await new_of(storage, "first")).unique is None
