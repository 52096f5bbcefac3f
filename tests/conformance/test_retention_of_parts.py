"""Chapter 17: what belongs to a job may go before it: its result, its steps, its signals."""

import pytest

from aiq.errors import InvalidInput
from aiq.model import Keep, RetentionSpec, Sent, State, Suspended
from aiq.rules.retention import PACE_MS
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    claim_one,
    end,
    end_one,
    enqueue_one,
    get_one,
    keep_up,
    spawn,
    start,
    states,
    value,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
RESULTS = RetentionSpec(results=Keep(for_ms=10))


async def results(storage: Storage, *names: str) -> list[str]:
    """Which of some jobs, all of them stored, have a result."""
    return [name for name in names if (await get_one(storage, name)).result is not None]


async def steps(storage: Storage, name: str) -> list[str]:
    """The keys of what a job remembers."""
    return [step.key for step in await storage.get_steps(name)]


async def after(storage: Storage, clock: Clock, ms: int) -> None:
    clock.advance_ms(ms)
    await keep_up(storage)


@clause("KEEP-10")
async def test_a_result_goes_when_its_period_is_over_and_its_job_stays(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RESULTS)
    await enqueue_one(storage)
    await end_one(storage, GOOD)
    before = await get_one(storage)
    await after(storage, clock, 9)
    assert await results(storage, "job") == ["job"]
    await after(storage, clock, 1)

    record = await get_one(storage)
    assert (record.state, record.result, record.events) == (S.SUCCEEDED, None, before.events)
    assert before.result is not None
    assert await storage.audit() == []
    await after(storage, clock, 10)
    assert (await storage.upkeep()).next_due_ms is None


@clause("KEEP-10")
async def test_where_nothing_is_said_a_result_stays_as_long_as_its_job(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(succeeded=Keep()))
    await enqueue_one(storage)
    await end_one(storage, GOOD)
    await after(storage, clock, 400 * 24 * 3_600_000)
    assert await results(storage, "job") == ["job"]


@clause("KEEP-10")
async def test_over_the_bound_of_results_those_of_jobs_that_ended_first_go(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(results=Keep(count=2)))
    names = ["a", "b", "c", "d"]
    for name in names:
        await enqueue_one(storage, name)
    runs = {name: await claim_one(storage) for name in names}
    for name in ("d", "b", "a", "c"):
        clock.advance_ms(1)
        await end(storage, runs[name], GOOD)
    await enqueue_one(storage, "bad")
    await end_one(storage, BAD)
    await after(storage, clock, 1)
    assert await results(storage, *names) == ["a", "c"]
    assert await states(storage, *names) == [S.SUCCEEDED] * 4
    assert await storage.audit() == []


@clause("KEEP-10", "KEEP-9")
async def test_one_upkeep_lets_no_more_results_go_than_its_limit(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RESULTS)
    names = ["a", "b", "c"]
    for name in names:
        await enqueue_one(storage, name)
        await end_one(storage, GOOD)
    clock.advance_ms(10)
    assert (await storage.upkeep(2)).next_due_ms == PACE_MS
    assert await results(storage, *names) == ["c"]
    assert (await storage.upkeep(2)).next_due_ms is None
    assert await results(storage, *names) == []


@clause("KEEP-10")
async def test_results_have_no_period_of_less_than_a_ms(storage: Storage) -> None:
    with pytest.raises(InvalidInput, match="period of results"):
        await storage.put_retention(RetentionSpec(results=Keep(for_ms=0)))


@clause("KEEP-11")
async def test_a_job_with_a_period_of_its_own_keeps_its_result(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RESULTS)
    for name, keep_ms in (("own", 1_000), ("other", None)):
        await enqueue_one(storage, name, keep_ms=keep_ms)
        await end_one(storage, GOOD)
    await after(storage, clock, 10)
    assert await results(storage, "own", "other") == ["own"]
    await after(storage, clock, 990)
    assert await states(storage, "own", "other") == [None, S.SUCCEEDED]
    assert await storage.audit() == []


@clause("KEEP-11")
async def test_a_result_that_another_job_needs_stays_with_its_job(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RESULTS)
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",), queue="later")
    await end_one(storage, GOOD)
    parent = await start(storage, "parent")
    await spawn(storage, parent, "child", queue="children")
    await end_one(storage, GOOD, "children")
    await enqueue_one(storage, "free")
    await end_one(storage, GOOD)
    await after(storage, clock, 10)
    assert await results(storage, "first", "child", "free") == ["first", "child"]

    await end_one(storage, GOOD, "later")
    await end(storage, parent, GOOD)
    await after(storage, clock, 10)
    assert await results(storage, "first", "child", "second", "parent") == ["first", "child"]
    assert await storage.audit() == []


@clause("KEEP-12")
@pytest.mark.parametrize("outcome", [GOOD, BAD], ids=["succeeded", "dead"])
async def test_the_steps_of_a_job_that_has_ended_go_when_their_period_is_over(
    storage: Storage, clock: Clock, outcome: object
) -> None:
    await storage.put_retention(RetentionSpec(steps=Keep(for_ms=10)))
    run = await start(storage)
    await storage.save_step(run.lease, value("plan"))
    await after(storage, clock, 100)
    assert await steps(storage, "job") == ["plan"]
    await end(storage, run, outcome)  # type: ignore[arg-type]
    await after(storage, clock, 9)
    assert ((await get_one(storage)).remembers, await steps(storage, "job")) == (True, ["plan"])
    await after(storage, clock, 1)
    assert ((await get_one(storage)).remembers, await steps(storage, "job")) == (False, [])
    assert await storage.audit() == []
    assert (await storage.upkeep()).next_due_ms is None


@clause("KEEP-12", "KEEP-9")
async def test_over_the_bound_of_steps_the_oldest_go_and_no_more_than_the_limit_at_once(
    storage: Storage, clock: Clock
) -> None:
    for name in ("old", "new"):
        run = await start(storage, name)
        for key in ("c", "a", "b"):
            await storage.save_step(run.lease, value(key))
        await end(storage, run, BAD)
        clock.advance_ms(1)
    await storage.put_retention(RetentionSpec(steps=Keep(count=2)))
    assert (await storage.upkeep(2)).next_due_ms == PACE_MS
    assert await steps(storage, "old") == ["c"]
    assert await storage.audit() == []
    await keep_up(storage)
    assert [await steps(storage, name) for name in ("old", "new")] == [[], ["b", "c"]]
    assert await storage.audit() == []


async def taken(storage: Storage, clock: Clock, name: str = "job") -> None:
    """Let a job take signal 1 some time after it came, wait for another one, and keep signal 2 beside that."""
    run = await start(storage, name)
    await storage.send(name, "go", "1", b"yes")
    await storage.send(name, "other", "2", b"no")
    clock.advance_ms(50)
    await end(storage, run, Suspended("first", "go"))
    run = await claim_one(storage) if (await get_one(storage, name)).state is S.READY else run
    await end(storage, run, Suspended("second", "go"))


@clause("KEEP-13", "KEEP-14")
async def test_a_signal_that_was_taken_goes_and_one_that_may_be_taken_stays(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(signals=Keep(for_ms=10)))
    await taken(storage, clock)
    await after(storage, clock, 9)
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False, existed=True)
    await after(storage, clock, 1)
    assert await storage.send("job", "other", "2", b"no") == Sent(bound=False, existed=True)
    assert (await get_one(storage)).kept_signals == 1

    assert await storage.send("job", "go", "1", b"another") == Sent(bound=True)
    assert await steps(storage, "job") == ["first", "second"]
    await after(storage, clock, 9)
    assert await storage.send("job", "go", "1", b"another") == Sent(bound=True, existed=True)
    await after(storage, clock, 1)
    assert await storage.send("job", "go", "1", b"a third") == Sent(bound=False)
    assert await storage.audit() == []


@clause("KEEP-13")
async def test_a_signal_that_nobody_took_goes_when_its_job_has_ended_for_the_period(
    storage: Storage, clock: Clock
) -> None:
    await storage.put_retention(RetentionSpec(signals=Keep(for_ms=10)))
    run = await start(storage)
    await storage.send("job", "go", "1", b"yes")
    clock.advance_ms(50)
    await end(storage, run, GOOD)
    await after(storage, clock, 9)
    assert (await get_one(storage)).kept_signals == 1
    await after(storage, clock, 1)
    assert (await get_one(storage)).kept_signals == 0
    assert await storage.audit() == []
    assert (await storage.upkeep()).next_due_ms is None


@clause("KEEP-13", "KEEP-9")
async def test_over_the_bound_of_signals_the_oldest_go_and_no_more_than_the_limit_at_once(
    storage: Storage, clock: Clock
) -> None:
    run = await start(storage)
    for signal_id in ("1", "2", "3", "4", "5"):
        await storage.send("job", "other", signal_id, b"")
    await end(storage, run, GOOD)
    clock.advance_ms(1)
    await taken(storage, clock, "living")
    await storage.put_retention(RetentionSpec(signals=Keep(count=2)))

    assert (await storage.upkeep(3)).next_due_ms == PACE_MS
    assert (await get_one(storage)).kept_signals == 2
    await keep_up(storage)
    assert (await get_one(storage)).kept_signals == 1
    assert await storage.send("job", "other", "5", b"") == Sent(bound=False, existed=True)
    assert (await storage.send("living", "go", "1", b"yes")).existed
    assert await storage.audit() == []
