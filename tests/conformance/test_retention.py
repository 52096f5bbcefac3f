"""Chapter 17, second half: what is over goes, when its time is over, and leaves nothing."""

from typing import Any

import pytest

from aiq.bounds import MAX_KEEP_MS, MAX_PURGED_BYTES, PUT_OFF_MS
from aiq.errors import Conflict, Gone, InvalidInput, NotFound
from aiq.model import (
    BudgetSpec,
    ChunkKind,
    Enqueued,
    Keep,
    MinuteFilter,
    Outcome,
    RetentionSpec,
    State,
    Succeeded,
    Suspended,
    Usage,
    UsageFilter,
    Waiting,
)
from aiq.rules.retention import PACE_MS
from aiq.storage import Storage, append, read
from aiq.testing.actions import (
    BAD,
    GOOD,
    chunks,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    get_one,
    job,
    keep_up,
    spawn,
    start,
    states,
    value,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import need, put_limit, tell

S = State
MINUTE_MS, DAY_MS = 60_000, 24 * 3_600_000
WEEK_MS = 7 * DAY_MS
FOREVER = Keep()


async def ended(storage: Storage, *names: str, outcome: Outcome = GOOD, **options: object) -> None:
    """Store jobs and end them, one after the other."""
    for name in names:
        await start(storage, name, **options)
        (record,) = await storage.get([name])
        assert record is not None
        await end(storage, record, outcome)


async def stored(storage: Storage, *names: str) -> list[str]:
    """Which of some jobs are stored."""
    return [name for name, state in zip(names, await states(storage, *names), strict=True) if state is not None]


async def after(storage: Storage, clock: Clock, ms: int) -> None:
    clock.advance_ms(ms)
    await keep_up(storage)


# When jobs go.


@clause("KEEP-1")
@pytest.mark.parametrize(("outcome", "period_ms"), [(GOOD, WEEK_MS), (BAD, 30 * DAY_MS)], ids=["succeeded", "dead"])
async def test_a_job_goes_when_the_period_of_its_state_is_over(
    storage: Storage, clock: Clock, outcome: Outcome, period_ms: int
) -> None:
    await ended(storage, "job", outcome=outcome)
    await after(storage, clock, period_ms - 1)
    assert await stored(storage, "job") == ["job"]
    await after(storage, clock, 1)
    assert await stored(storage, "job") == []
    assert await storage.audit() == []


@clause("KEEP-1")
async def test_a_cancelled_job_goes_by_its_own_period(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(cancelled=Keep(for_ms=10), succeeded=FOREVER))
    await enqueue_one(storage)
    await storage.cancel(["job"])
    await ended(storage, "good")
    await after(storage, clock, 10)
    assert await stored(storage, "job", "good") == ["good"]


@clause("KEEP-1")
async def test_a_job_that_says_how_long_it_is_kept_goes_by_that(storage: Storage, clock: Clock) -> None:
    await ended(storage, "short", keep_ms=10)
    await ended(storage, "long", keep_ms=2 * WEEK_MS)
    await after(storage, clock, 9)
    assert await stored(storage, "short", "long") == ["short", "long"]
    await after(storage, clock, 1)
    assert await stored(storage, "short", "long") == ["long"]
    await after(storage, clock, WEEK_MS)
    assert await stored(storage, "long") == ["long"]
    assert (await get_one(storage, "long")).keep_ms == 2 * WEEK_MS
    await after(storage, clock, WEEK_MS)
    assert await stored(storage, "long") == []


@clause("KEEP-1")
async def test_a_job_that_has_not_ended_is_kept_whatever_its_age(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, keep_ms=0)
    await after(storage, clock, 10 * WEEK_MS)
    assert await states(storage, "job") == [S.READY]


@clause("KEEP-2")
async def test_over_the_bound_of_a_state_those_that_ended_first_go(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(succeeded=Keep(count=2)))
    names = ["a", "b", "c", "d"]
    await storage.enqueue([job(name) for name in names])
    runs = {run.id: run for run in await claim_some(storage, 4)}
    for name in ("d", "b", "a", "c"):
        clock.advance_ms(1)
        await end(storage, runs[name], GOOD)
    await ended(storage, "dead", outcome=BAD)
    await keep_up(storage)
    assert await stored(storage, *names, "dead") == ["a", "c", "dead"]


@clause("KEEP-2")
async def test_a_job_with_a_period_of_its_own_is_counted_and_goes_by_that_alone(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(succeeded=Keep(count=1)))
    await ended(storage, "own", keep_ms=WEEK_MS)
    await ended(storage, "other")
    await keep_up(storage)
    assert await stored(storage, "own", "other") == ["own"]


@clause("KEEP-3")
async def test_retention_that_was_put_stands_until_it_is_put_anew(storage: Storage) -> None:
    assert await storage.get_retention() == RetentionSpec()
    spec = RetentionSpec(succeeded=Keep(for_ms=5, count=6), dead=FOREVER, ids_ms=7)
    assert await storage.put_retention(spec) == spec
    sibling = await storage.sibling()
    assert await sibling.get_retention() == spec
    await sibling.close()
    await storage.put_retention(RetentionSpec())
    assert await storage.get_retention() == RetentionSpec()


@clause("KEEP-3")
@pytest.mark.parametrize(
    "spec",
    [
        RetentionSpec(succeeded=Keep(for_ms=-1)),
        RetentionSpec(events=Keep(for_ms=MAX_KEEP_MS + 1)),
        RetentionSpec(usage=Keep(count=-1)),
        RetentionSpec(ids_ms=-1),
    ],
)
async def test_retention_out_of_range_is_refused(storage: Storage, spec: RetentionSpec) -> None:
    with pytest.raises(InvalidInput):
        await storage.put_retention(spec)
    assert await storage.get_retention() == RetentionSpec()


# Streams, events, minutes, use.


@clause("KEEP-4", "KEEP-5")
async def test_the_stream_of_a_job_that_has_ended_keeps_its_last_item(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(streams=Keep(for_ms=10)))
    run = await start(storage)
    await append(storage, run.lease, chunks("a", "b"))
    await append(storage, run.lease, chunks("[1]", first=3, kind=ChunkKind.PROGRESS))
    await after(storage, clock, 20)
    assert len((await read(storage, "job")).chunks) == 3
    await end(storage, run, GOOD)
    await after(storage, clock, 9)
    assert (await get_one(storage)).progress == b"[1]"
    await after(storage, clock, 1)

    with pytest.raises(Gone) as refused:
        await read(storage, "job")
    assert refused.value.earliest == 4
    with pytest.raises(Gone):
        await read(storage, "job", after=2)
    page = await read(storage, "job", after=3)
    assert [(chunk.number, chunk.kind) for chunk in page.chunks] == [(4, ChunkKind.END)]
    assert (await read(storage, "job", after=4)).chunks == ()
    record = await get_one(storage)
    assert (record.state, record.chunks, record.progress) == (S.SUCCEEDED, 4, None)
    assert await storage.audit() == []


@clause("KEEP-4")
async def test_over_the_bound_of_streams_those_of_jobs_that_ended_first_go(storage: Storage) -> None:
    await storage.put_retention(RetentionSpec(streams=Keep(count=1)))
    for name in ("a", "b"):
        run = await start(storage, name)
        await append(storage, run.lease, chunks("x"))
        await end(storage, run, GOOD)
    await keep_up(storage)
    with pytest.raises(Gone):
        await read(storage, "a")
    assert len((await read(storage, "b")).chunks) == 2


@clause("KEEP-6")
async def test_an_event_goes_when_its_period_is_over(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, "old")
    clock.advance_ms(1)
    await enqueue_one(storage, "new")
    await after(storage, clock, DAY_MS - 1)
    assert [event.job_id for event in (await storage.read_events()).events] == ["new"]
    assert await storage.events_of("old") == []
    await after(storage, clock, 1)
    assert (await storage.read_events()).events == ()
    assert await storage.audit() == []
    await end_one(storage, GOOD)
    assert [event.number for event in await storage.events_of("old")] == [2, 3]
    assert await storage.audit() == []


@clause("KEEP-7")
async def test_a_minute_goes_when_its_period_is_over_or_there_are_too_many(storage: Storage, clock: Clock) -> None:
    clock.advance_ms(MINUTE_MS - clock() % MINUTE_MS)
    await storage.put_retention(RetentionSpec(minutes=Keep(for_ms=5 * MINUTE_MS)))
    for name in ("a", "b", "c"):
        await enqueue_one(storage, name, queue=name)
        clock.advance_ms(MINUTE_MS)

    async def queues() -> list[str]:
        return [row.queue for row in (await storage.metrics(MinuteFilter())).rows]

    await after(storage, clock, 2 * MINUTE_MS - 1)
    assert await queues() == ["a", "b", "c"]
    await after(storage, clock, 1)
    assert await queues() == ["b", "c"]
    await storage.put_retention(RetentionSpec(minutes=Keep(count=1)))
    await keep_up(storage)
    assert await queues() == ["c"]


@clause("KEEP-8")
async def test_use_by_minute_goes_and_that_of_a_job_that_is_stored_stays(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(usage=Keep(for_ms=DAY_MS), succeeded=FOREVER))
    run = await start(storage, tenant="acme")
    await tell(storage, run, 1, used=Usage("gpt", 5))
    await end(storage, run, GOOD)
    for whose in (UsageFilter(), UsageFilter(tenant="acme"), UsageFilter(job_id="job")):
        assert len((await storage.usage(whose)).rows) == 1
    await after(storage, clock, DAY_MS)
    assert (await storage.usage(UsageFilter())).rows == ()
    assert (await storage.usage(UsageFilter(tenant="acme"))).rows == ()
    assert len((await storage.usage(UsageFilter(job_id="job"))).rows) == 1


@clause("KEEP-9")
async def test_one_upkeep_lets_no_more_go_than_its_limit_the_oldest_first(storage: Storage, clock: Clock) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in reversed(names):
        await ended(storage, name)
        clock.advance_ms(1)
    clock.advance_ms(WEEK_MS)
    first = await storage.upkeep(2)
    assert (first.purged, first.next_due_ms) == (2, PACE_MS)
    assert await stored(storage, *names) == ["a", "b", "c"]
    assert (await storage.upkeep(2)).purged == 2
    last = await storage.upkeep(2)
    assert last.purged == 1
    assert await stored(storage, *names) == []


@clause("KEEP-9")
async def test_one_upkeep_lets_jobs_go_up_to_the_one_that_takes_them_to_their_bytes(
    storage: Storage, clock: Clock
) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        await ended(storage, name, payload=b"x" * (MAX_PURGED_BYTES // 2 - 1), outcome=Succeeded(b"y"))
        clock.advance_ms(1)
    clock.advance_ms(WEEK_MS)
    first = await storage.upkeep()
    assert (first.purged, first.next_due_ms) == (2, PACE_MS)
    assert await stored(storage, *names) == ["c", "d"]
    assert (await storage.upkeep()).purged == 2


@clause("KEEP-9")
async def test_children_that_are_too_large_for_one_upkeep_go_in_the_next(storage: Storage) -> None:
    parent = await start(storage, "parent", keep_ms=0)
    await spawn(storage, parent, "first", "second", queue="children", payload=b"x" * MAX_PURGED_BYTES)
    await end(storage, parent, Waiting("children", None))
    for _ in range(2):
        await end_one(storage, GOOD, "children")
    await end_one(storage, GOOD)
    assert [(await storage.upkeep()).purged for _ in range(3)] == [1, 1, 1]
    assert await storage.audit() == []


# What is gone.


@clause("GONE-1")
async def test_nothing_of_a_job_is_left(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, tokens=10**6)
    terms: dict[str, Any] = {
        "limits": ("gpt",),
        "estimate": need(10),
        "tenant": "acme",
        "budgets": ("job:job",),
        "keep_ms": 10,
    }
    own = BudgetSpec(id="job:job", caps={"tokens": 10_000})
    run = await start(storage, **terms, creates=(own,))
    await tell(storage, run, 0, used=Usage("gpt", 5))
    await append(storage, run.lease, chunks("a", "b"))
    await storage.save_step(run.lease, value("plan"))
    await storage.send("job", "go", "1", b"yes")
    await storage.send("job", "go", "2", b"no")
    await end(storage, run, Suspended("until", "go", 60_000))
    await end(storage, run, GOOD)
    await after(storage, clock, 10)

    assert await storage.get(["job"]) == [None]
    for look in (read(storage, "job"), storage.get_steps("job"), storage.explain("job"), storage.events_of("job")):
        with pytest.raises(NotFound):
            await look
    with pytest.raises(NotFound):
        await storage.send("job", "go", "3", b"")
    assert (await storage.cancel(["job"]))[0].state is None
    assert (await storage.usage(UsageFilter(job_id="job"))).rows == ()
    assert await storage.get_budgets(["job:job"]) == []
    assert await storage.audit() == []


@clause("GONE-2")
async def test_the_id_of_a_job_that_is_gone_is_remembered_with_its_content(storage: Storage, clock: Clock) -> None:
    await ended(storage, "job", digest="d", keep_ms=0)
    await keep_up(storage)
    (again,) = await storage.enqueue([job(digest="d")])
    assert again == Enqueued("job", S.SUCCEEDED, existed=True, by="id", gone=True)
    with pytest.raises(Conflict) as refused:
        await storage.enqueue([job("new"), job(digest="other")])
    assert refused.value.reason == "content"
    assert await stored(storage, "job", "new") == []


@clause("GONE-3")
async def test_an_id_is_free_when_its_tombstone_has_ended(storage: Storage, clock: Clock) -> None:
    await ended(storage, "job", keep_ms=0)
    await after(storage, clock, 5)
    await after(storage, clock, DAY_MS - 1)
    assert (await storage.enqueue([job()]))[0].existed
    await after(storage, clock, 1)
    assert await storage.enqueue([job(digest="new")]) == [Enqueued("job", S.READY)]
    assert (await get_one(storage)).events == 1
    assert await storage.audit() == []


@clause("GONE-4")
async def test_a_job_stays_for_one_that_waits_for_it_until_that_has_succeeded(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, "first", keep_ms=0)
    await enqueue_one(storage, "never", queue="other")
    await enqueue_one(storage, "second", depends_on=("first", "never"))
    await end_one(storage, GOOD)
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "first") == ["first"]

    await end_one(storage, GOOD, "other")
    await end_one(storage, GOOD)
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "first", "never", "second") == ["never", "second"]
    assert await storage.audit() == []


@clause("GONE-4")
async def test_a_job_stays_for_a_dead_one_that_may_be_given_another_generation(storage: Storage, clock: Clock) -> None:
    await ended(storage, "first", keep_ms=0)
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, BAD)
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "first", "second") == ["first", "second"]
    await after(storage, clock, 30 * DAY_MS)
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "first", "second") == []
    assert await storage.audit() == []


@clause("GONE-5")
async def test_a_job_stays_until_its_children_have_ended(storage: Storage, clock: Clock) -> None:
    parent = await start(storage, "parent", keep_ms=0)
    await spawn(storage, parent, "child", queue="children")
    await end(storage, parent, GOOD)
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "parent") == ["parent"]
    await end_one(storage, GOOD, "children")
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "parent") == []


@clause("GONE-6")
async def test_the_children_of_a_job_go_after_it_and_then_its_budget(storage: Storage, clock: Clock) -> None:
    own = BudgetSpec(id="job:parent", caps={"tokens": 10_000})
    chain: dict[str, Any] = {"budgets": ("job:parent",), "estimate": need(10)}
    parent = await start(storage, "parent", keep_ms=0, creates=(own,), **chain)
    await spawn(storage, parent, "child", queue="children", **chain)
    child = await claim_one(storage, "children")
    await spawn(storage, child, "grandchild", queue="grandchildren", **chain)
    await end(storage, child, GOOD)
    await end(storage, parent, GOOD)
    await keep_up(storage)
    assert await stored(storage, "parent", "child", "grandchild") == ["child", "grandchild"]
    assert [status.spec.id for status in await storage.get_budgets()] == ["job:parent"]

    await end_one(storage, GOOD, "grandchildren")
    await after(storage, clock, PUT_OFF_MS)
    assert await stored(storage, "child", "grandchild") == []
    await keep_up(storage)
    assert await storage.get_budgets() == []
    assert await storage.audit() == []


@clause("GONE-6")
async def test_no_more_children_go_in_one_upkeep_than_its_limit(storage: Storage, clock: Clock) -> None:
    parent = await start(storage, "parent", keep_ms=0)
    names = [f"child {n}" for n in range(5)]
    await spawn(storage, parent, *names, queue="children")
    await end(storage, parent, Waiting("children", None))
    for run in await claim_some(storage, 5, "children"):
        await end(storage, run, GOOD)
    await end_one(storage, GOOD)
    assert (await storage.upkeep(2)).purged == 1
    assert [(await storage.upkeep(2)).purged for _ in range(3)] == [2, 2, 1]
    assert await stored(storage, *names) == []
    assert await storage.audit() == []


@clause("GONE-7")
async def test_the_budget_and_the_use_of_a_flow_go_with_the_last_of_its_jobs(storage: Storage, clock: Clock) -> None:
    own = BudgetSpec(id="flow:f", caps={"tokens": 10_000})
    for name, keep_ms in (("a", 0), ("b", WEEK_MS)):
        run = await start(
            storage, name, flow="f", keep_ms=keep_ms, budgets=("flow:f",), creates=(own,), estimate=need(9)
        )
        await tell(storage, run, 0, used=Usage("gpt", 5))
        await end(storage, run, GOOD)
    await keep_up(storage)
    assert await stored(storage, "a", "b") == ["b"]
    assert len(await storage.get_budgets(["flow:f"])) == 1
    assert len((await storage.usage(UsageFilter(flow="f"))).rows) == 1
    await after(storage, clock, WEEK_MS)
    assert await storage.get_budgets(["flow:f"]) == []
    assert (await storage.usage(UsageFilter(flow="f"))).rows == ()


@clause("GONE-8")
async def test_a_job_that_must_stay_keeps_no_other_from_going(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, "first", keep_ms=0)
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, GOOD)
    clock.advance_ms(1)
    second = await claim_one(storage)
    await ended(storage, "free", keep_ms=0)
    assert [(await storage.upkeep(1)).purged for _ in range(2)] == [0, 1]
    assert await stored(storage, "first", "free") == ["first"]
    await end(storage, second, GOOD)
    await after(storage, clock, PUT_OFF_MS - 2)
    assert await stored(storage, "first") == ["first"]
    await after(storage, clock, 2)
    assert await stored(storage, "first") == []


@clause("GONE-9")
async def test_an_id_that_is_gone_is_neither_depended_on_nor_spawned(storage: Storage) -> None:
    await ended(storage, "job", keep_ms=0)
    await keep_up(storage)
    with pytest.raises(NotFound):
        await enqueue_one(storage, "next", depends_on=("job",))
    parent = await start(storage, "parent")
    with pytest.raises(Conflict):
        await spawn(storage, parent, "job")
    assert await stored(storage, "next", "job") == []
