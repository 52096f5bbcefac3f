"""Middleware around enqueues: what it sees, what it may change, and what it may not."""

from collections.abc import Sequence
from typing import Any

import pytest

import aiq
from aiq.model import JobFilter
from aiq.testing import Faulty, LoseReply


@aiq.task
def shout(text: str) -> str:
    return text.upper()


@aiq.task
def join(texts: list[str]) -> str:
    return " ".join(texts)


class Log:
    """A middleware that notes what goes through it, under a name."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    async def __call__(self, call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        self.notes.append(f"{self.name} takes {len(call.jobs)}")
        answers = await next(call)
        self.notes.append(f"{self.name} hears {[answer.existed for answer in answers]}")
        return answers


async def stamp(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
    return await next(call.using(tenant="acme"))


async def test_the_first_middleware_is_the_outermost(storage: Faulty) -> None:
    notes: list[str] = []
    queue = aiq.Queue(storage, middleware=[Log("outer", notes), Log("inner", notes)])

    job = await queue.enqueue(shout.job("x"))

    assert notes == ["outer takes 1", "inner takes 1", "inner hears [False]", "outer hears [False]"]
    assert await job.state() is aiq.State.READY


async def test_a_middleware_adds_options_which_win(storage: Faulty) -> None:
    job = await aiq.Queue(storage, middleware=[stamp]).enqueue(shout.job("x"), tenant="another", band="high")

    record = await job.record()
    assert (record.tenant, record.band) == ("acme", aiq.Band.HIGH)


async def test_a_middleware_may_add_to_some_jobs_alone(storage: Faulty) -> None:
    def slow(job: aiq.NewJob[object]) -> Any:
        return {"band": "batch"} if job.chosen.tenant is None else {}

    async def by_tenant(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        return await next(call.each(slow))

    queue = aiq.Queue(storage, middleware=[by_tenant])
    jobs = await queue.enqueue_many([shout.job("x"), shout.job("y").using(tenant="acme")])

    assert [(await job.record()).band for job in jobs] == [aiq.Band.BATCH, aiq.Band.NORMAL]


async def test_a_middleware_refuses_by_raising_and_nothing_is_stored(storage: Faulty) -> None:
    async def refuse(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        raise PermissionError("not you")

    queue = aiq.Queue(storage, middleware=[refuse])
    with pytest.raises(PermissionError, match="not you"):
        await queue.enqueue_many([shout.job("x"), shout.job("y")])

    assert await queue.count() == {}


async def test_many_jobs_are_one_call_with_all_of_them(storage: Faulty) -> None:
    notes: list[str] = []
    queue = aiq.Queue(storage, middleware=[Log("log", notes), stamp])

    jobs = await queue.enqueue_many(shout.job(str(n)) for n in range(300))

    assert notes[0] == "log takes 300"
    assert {(await job.record()).tenant for job in jobs[::100]} == {"acme"}


async def test_the_jobs_of_a_flow_go_through_together_and_keep_their_edges(storage: Faulty) -> None:
    flows: list[str | None] = []

    async def look(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        flows.append(call.flow)
        return await next(call.using(band="high"))

    queue = aiq.Queue(storage, middleware=[look, stamp])
    flow = aiq.Flow("greeting")
    first = flow.add(shout.job("x"))
    last = flow.add(join.job([first.output]))
    run = await queue.run(flow)

    assert flows == [run.id]
    records = [await run[node].record() for node in (first, last)]
    assert [(record.tenant, record.band) for record in records] == [("acme", aiq.Band.HIGH)] * 2
    assert records[1].state is aiq.State.WAITING


async def test_children_go_through_the_middleware_of_the_queue_and_know_their_parent() -> None:
    seen: list[tuple[str | None, int]] = []
    turns = iter(range(10))

    async def look(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        seen.append((call.parent.id if call.parent else None, len(call.jobs)))
        # Another tenant each time: what a middleware adds is no content, so a later run finds its children.
        return await next(call.using(tenant=f"tenant {next_turn()}"))

    def next_turn() -> int:
        return next(turns)

    @aiq.task
    async def both(ctx: aiq.Context) -> str:
        first = await ctx.gather("first", [shout.job("a"), shout.job("b")])
        return " ".join([*first, *await ctx.gather("second", [shout.job("c")])])

    async with aiq.Queue("memory://", middleware=[look]) as queue:
        job = await queue.enqueue(both.job())
        await aiq.Worker(queue, tasks=[both, shout]).run_until_idle()

        assert await job.result() == "A B C"
        assert seen == [(None, 1), (job.id, 2), (job.id, 1)]
        children = await queue.list(JobFilter(parent_id=job.id))
        assert [record.tenant for record in children] == ["tenant 1", "tenant 1", "tenant 2"]


async def test_what_a_middleware_adds_makes_no_other_job_of_an_id(storage: Faulty) -> None:
    first = await aiq.Queue(storage).enqueue(shout.job("x"), id="mine")
    again = await aiq.Queue(storage, middleware=[stamp]).enqueue(shout.job("x"), id="mine")

    assert (first.existed, again.existed) == (False, True)
    with pytest.raises(aiq.Conflict):
        await aiq.Queue(storage).enqueue(shout.job("x"), id="mine", tenant="acme")


async def test_a_middleware_that_tries_again_stores_nothing_twice(storage: Faulty) -> None:
    async def twice(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        await next(call)
        return await next(call)

    queue = aiq.Queue(storage, middleware=[twice])
    one = await queue.enqueue(shout.job("x"))
    many = await queue.enqueue_many([shout.job("y")])

    assert (one.existed, many[0].existed) == (True, True)
    assert await queue.count() == {aiq.State.READY: 2}


async def test_the_sister_of_a_queue_has_its_middleware(storage: Faulty) -> None:
    job = await aiq.Queue(storage, middleware=[stamp])["bulk"].enqueue(shout.job("x"))

    assert ((await job.record()).tenant, (await job.record()).queue) == ("acme", "bulk")


async def test_an_error_of_the_storage_goes_out_through_it_with_its_note(
    storage: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("aiq.job.PAUSES_S", (0, 0))

    async def listen(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        try:
            return await next(call)
        except aiq.Unavailable as error:
            heard.append(type(error).__name__)
            raise

    storage.plan(*[LoseReply("enqueue")] * 3)
    with pytest.raises(aiq.Unavailable) as caught:
        await aiq.Queue(storage, middleware=[listen]).enqueue(shout.job("x"), id="mine")

    assert heard == ["Unavailable"]
    assert caught.value.__notes__ == ["To repeat it without storing the job twice: enqueue(job, id='mine')."]


async def test_a_middleware_cannot_choose_an_id(storage: Faulty) -> None:
    async def name(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        return await next(call.using(id="mine"))

    with pytest.raises(aiq.InvalidInput, match="cannot choose the id"):
        await aiq.Queue(storage, middleware=[name]).enqueue(shout.job("x"))


async def test_a_middleware_cannot_hand_on_other_jobs(storage: Faulty) -> None:
    async def swap(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        return await next(aiq.EnqueueCall((shout.job("y"),)))

    async def drop(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
        return await next(aiq.EnqueueCall(()))

    for other in (swap, drop):
        with pytest.raises(aiq.InvalidInput, match="handed on other jobs than it was given"):
            await aiq.Queue(storage, middleware=[other]).enqueue(shout.job("x"))


async def test_a_middleware_that_forgets_to_return_is_told_so(storage: Faulty) -> None:
    async def forgetful(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Any:
        await next(call)

    with pytest.raises(aiq.InvalidInput, match="`return await next\\(call\\)`"):
        await aiq.Queue(storage, middleware=[forgetful]).enqueue(shout.job("x"))


def test_what_is_no_list_of_middleware_is_refused() -> None:
    with pytest.raises(aiq.InvalidInput, match="Pass a list, even of a single middleware"):
        aiq.Queue("memory://", middleware=stamp)  # type: ignore[arg-type]
    with pytest.raises(aiq.InvalidInput, match="'stamp' is no middleware"):
        aiq.Worker("memory://", [shout], middleware=["stamp"])  # type: ignore[list-item]
