"""Chapter 16: what jobs died of, in groups."""

from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import (
    AGES_MS,
    BudgetSpec,
    Cause,
    DeadQuery,
    Died,
    Estimate,
    JobError,
    JobFilter,
    OnExceeded,
    Retried,
    Sample,
    State,
    Usage,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, end_one, enqueue_one, failed, get_one, keep_up, start
from aiq.testing.burials import PRINT, deadly, die, die_of, error, groups, members, redrive, the_group, the_status
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import put_prices, tell

OTHER = "e" * 32


@clause("DEAD-1")
async def test_a_dead_job_stands_in_the_group_of_its_last_error(storage: Storage) -> None:
    run = await start(storage, max_attempts=2)
    await end(storage, run, Retried(error(OTHER), 0))
    assert await members(storage) == {}

    await end_one(storage, Retried(error(), 0))

    assert await members(storage) == {PRINT: 1}
    assert await storage.audit() == []


@clause("DEAD-1")
async def test_jobs_that_ended_otherwise_stand_in_no_group(storage: Storage) -> None:
    await start(storage, "cancelled")
    await storage.cancel(["cancelled"], force=True)
    await end(storage, await start(storage, "succeeded"), GOOD)

    assert await groups(storage) == []
    assert await storage.audit() == []


@clause("DEAD-1")
async def test_a_job_that_is_redriven_stands_in_no_group(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two")

    await redrive(storage, "one")

    assert await members(storage) == {PRINT: 1}
    assert await storage.audit() == []


@clause("DEAD-1", "DEAD-2")
async def test_a_job_that_stalls_to_death_stands_in_the_group_of_stalls(storage: Storage, clock: Clock) -> None:
    await start(storage, max_attempts=1, lease_ms=1_000)
    clock.advance_ms(1_000)

    await keep_up(storage)

    assert await members(storage) == {OF_CAUSE["stalled"]: 1}
    assert (await the_group(storage, OF_CAUSE["stalled"])).attempts == 1


@clause("DEAD-1", "DEAD-2")
async def test_a_job_that_dies_with_its_dependency_stands_in_the_group_of_those(storage: Storage) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())

    await keep_up(storage)

    assert await members(storage) == {PRINT: 1, OF_CAUSE["upstream"]: 1}
    assert (await the_group(storage, OF_CAUSE["upstream"])).attempts == 0


@clause("DEAD-1", "DEAD-2")
async def test_a_job_that_its_budget_fails_stands_in_the_group_of_those(storage: Storage) -> None:
    await storage.put_budgets([BudgetSpec(id="dry", caps={"tokens": 1}, on_exceeded=OnExceeded.FAIL)])
    await enqueue_one(storage, budgets=("dry",), estimate=Estimate(input=100, max_output=0))

    await claim_some(storage, 1)

    assert (await get_one(storage)).state is State.DEAD
    assert await members(storage) == {OF_CAUSE["budget"]: 1}
    assert await storage.audit() == []


@clause("DEAD-2")
@pytest.mark.parametrize("cause", list(Cause))
async def test_an_error_without_a_fingerprint_has_that_of_its_cause(storage: Storage, cause: Cause) -> None:
    run = await start(storage)

    await end(storage, run, Died(JobError(type="E", message="m", cause=cause)))

    last = (await get_one(storage)).last_error
    assert last is not None
    assert last.fingerprint == OF_CAUSE[cause]
    assert await members(storage) == {OF_CAUSE[cause]: 1}


@clause("DEAD-3")
async def test_a_group_tells_what_its_newest_death_was_like(storage: Storage, clock: Clock) -> None:
    first_ms = clock()
    await die(storage, "one")
    clock.advance_ms(500)
    newest = error(message="no row 9", code="404", place="app.jobs:load", pattern="no row <n>", cause=Cause.TIMEOUT)
    await end(storage, await start(storage, "two"), Died(newest))

    group = await the_group(storage)

    assert (group.task, group.cause, group.type, group.code) == ("work", Cause.TIMEOUT, "KeyError", "404")
    assert (group.place, group.pattern) == ("app.jobs:load", "no row <n>")
    assert (group.first_seen_ms, group.last_seen_ms) == (first_ms, first_ms + 500)
    assert (group.dead, group.died) == (2, 2)


@clause("DEAD-3")
async def test_a_group_counts_those_that_are_dead_now_and_all_that_died(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two")
    await redrive(storage, "one", "two")
    await end_one(storage, deadly())

    group = await the_group(storage)

    assert (group.dead, group.died, group.redriven) == (1, 3, 2)


@clause("DEAD-4")
async def test_a_group_adds_up_the_attempts_of_its_dead(storage: Storage) -> None:
    run = await start(storage, max_attempts=3)
    await end(storage, run, failed())
    await end_one(storage, deadly())
    await die(storage, "other")

    assert (await the_group(storage)).attempts == 3


@clause("DEAD-4")
async def test_a_group_adds_up_what_its_dead_have_used(storage: Storage) -> None:
    await put_prices(storage, input=1_000_000, output=2_000_000)
    for name in ("one", "two"):
        run = await start(storage, name)
        await tell(storage, run, 1, used=Usage("gpt", input=100, output=50))
        await end(storage, run, deadly())

    group = await the_group(storage)

    assert (group.tokens, group.usd_micros) == (300, 400)


@clause("DEAD-4")
async def test_a_job_that_dies_again_adds_only_what_it_has_used_since(storage: Storage) -> None:
    run = await start(storage)
    await tell(storage, run, 1, used=Usage("gpt", input=100))
    await end(storage, run, deadly())
    await redrive(storage, "job")
    again = await claim_one(storage)
    await tell(storage, again, 1, used=Usage("gpt", input=30))

    await end(storage, again, deadly(OTHER))

    assert (await the_group(storage)).tokens == 100
    assert (await the_group(storage, OTHER)).tokens == 30


@clause("DEAD-5")
async def test_use_that_is_reported_after_the_death_is_added(storage: Storage, clock: Clock) -> None:
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 10_000})])
    need = Estimate(input=10, max_output=0, model="gpt")
    run = await start(storage, max_attempts=1, lease_ms=1_000, estimate=need, budgets=("purse",))
    clock.advance_ms(1_000)
    await keep_up(storage)
    assert (await the_group(storage, OF_CAUSE["stalled"])).tokens == 10

    await tell(storage, run, 0, used=Usage("gpt", input=700, output=200))

    assert (await the_group(storage, OF_CAUSE["stalled"])).tokens == 900


@clause("DEAD-6")
async def test_three_samples_are_kept_of_a_group(storage: Storage, clock: Clock) -> None:
    died_ms = clock()
    for n in range(5):
        await die(storage, f"job {n}", sample=f"input {n}")

    samples = (await the_status(storage)).samples

    assert samples == tuple(Sample(f"job {n}", died_ms, f"input {n}") for n in range(3))


@clause("DEAD-6")
async def test_a_sample_over_its_bound_is_cut(storage: Storage) -> None:
    await die(storage, sample="é" * bounds.MAX_SAMPLE_BYTES)

    (sample,) = (await the_status(storage)).samples

    assert sample.text == "é" * (bounds.MAX_SAMPLE_BYTES // 2)


@clause("DEAD-6")
async def test_a_sample_goes_when_its_job_leaves_the_group_and_makes_room(storage: Storage) -> None:
    for n in range(3):
        await die(storage, f"job {n}", sample=f"input {n}")
    await redrive(storage, "job 0")
    await end_one(storage, GOOD)

    await die(storage, "late", sample="input of late")

    assert [sample.job_id for sample in (await the_status(storage)).samples] == ["job 1", "job 2", "late"]


@clause("DEAD-6")
async def test_a_retry_that_finds_no_attempt_left_leaves_its_sample(storage: Storage) -> None:
    run = await start(storage, max_attempts=1)

    await end(storage, run, Retried(error(), 0, "the input"))

    assert [sample.text for sample in (await the_status(storage)).samples] == ["the input"]


@clause("DEAD-7")
async def test_groups_come_by_their_newest_death(storage: Storage, clock: Clock) -> None:
    for name, fingerprint in (("one", "a" * 32), ("two", "c" * 32), ("three", "b" * 32), ("four", "a" * 32)):
        await die(storage, name, fingerprint)
        clock.advance_ms(1)

    assert [status.group.fingerprint[0] for status in await groups(storage)] == ["a", "b", "c"]


@clause("DEAD-7")
async def test_groups_come_by_how_many_are_dead(storage: Storage) -> None:
    for name, fingerprint in enumerate("cbbaccd"):
        await die(storage, str(name), fingerprint * 32)

    assert [status.group.fingerprint[0] for status in await groups(storage, by="dead")] == ["c", "b", "a", "d"]


@clause("DEAD-7")
@pytest.mark.parametrize("by", ["last_seen", "dead"])
async def test_groups_come_a_page_at_a_time_each_once(storage: Storage, clock: Clock, by: str) -> None:
    for n in range(7):
        await die(storage, str(n), f"{n:032x}")
        clock.advance_ms(n % 2)
    query = DeadQuery(by="dead" if by == "dead" else "last_seen")
    whole = [status.group.fingerprint for status in (await storage.dead_groups(query)).groups]

    found: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = await storage.dead_groups(query, cursor=cursor, limit=3)
        found += [status.group.fingerprint for status in page]
        cursor = page.cursor

    assert (found, cursor) == (whole, None)
    assert len(whole) == 7


@clause("DEAD-7")
@pytest.mark.parametrize("cursor", ["", "x", "7", "-1 a", "7 "])
async def test_what_is_no_cursor_of_groups_is_refused(storage: Storage, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="not a cursor"):
        await storage.dead_groups(DeadQuery(), cursor=cursor)


@clause("DEAD-7")
async def test_one_group_is_read_by_its_fingerprint(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two", OTHER)

    assert [status.group.fingerprint for status in await groups(storage, fingerprint=OTHER)] == [OTHER]
    assert await groups(storage, fingerprint="0") == []


@clause("DEAD-8")
async def test_a_group_tells_how_old_its_dead_are(storage: Storage, clock: Clock) -> None:
    now_ms = clock()
    ages_ms = [0, AGES_MS[0], AGES_MS[0] + 1, AGES_MS[2], AGES_MS[4], AGES_MS[4] + 1]
    for age_ms in reversed(ages_ms):
        clock.set_ms(now_ms - age_ms)
        await die(storage, str(age_ms))
    clock.set_ms(now_ms)

    status = await the_status(storage)

    assert status.oldest_ms == now_ms - AGES_MS[4] - 1
    assert status.ages == (2, 1, 1, 0, 1, 1)


@clause("DEAD-8")
async def test_a_group_without_jobs_has_no_oldest_one(storage: Storage) -> None:
    await die(storage)
    await redrive(storage, "job")

    status = await the_status(storage)

    assert (status.oldest_ms, status.ages) == (None, (0, 0, 0, 0, 0, 0))


@clause("DEAD-9")
async def test_a_listing_by_fingerprint_gives_the_jobs_of_a_group(storage: Storage) -> None:
    for name, fingerprint in (("one", PRINT), ("two", OTHER), ("three", PRINT), ("four", PRINT)):
        await die(storage, name, fingerprint)
    await redrive(storage, "three")

    page = await storage.list(JobFilter(fingerprint=PRINT), limit=1)
    rest = await storage.list(JobFilter(fingerprint=PRINT), cursor=page.cursor)

    assert [record.id for record in (*page, *rest)] == ["one", "four"]
    assert [record.id for record in await storage.list(JobFilter(fingerprint=PRINT, queue="other"))] == []


@clause("DEAD-10")
async def test_a_group_without_jobs_is_forgotten_in_its_time(storage: Storage, clock: Clock) -> None:
    await die(storage, "one")
    await die(storage, "two", OTHER)
    await redrive(storage, "one")
    await end_one(storage, GOOD)

    clock.advance_ms(bounds.DEAD_GROUP_KEPT_MS - 1)
    await storage.upkeep()
    assert len(await groups(storage)) == 2

    clock.advance_ms(1)
    await storage.upkeep()
    assert [status.group.fingerprint for status in await groups(storage)] == [OTHER]


@clause("DEAD-3")
async def test_texts_of_an_error_that_are_too_long_are_cut(storage: Storage) -> None:
    long = "x" * 5_000
    run = await start(storage)

    await end(storage, run, Died(replace(error(), code=long, place=long, pattern=long)))

    group = await the_group(storage)
    assert (len(group.code), len(group.place)) == (bounds.MAX_OPAQUE_BYTES, bounds.MAX_OPAQUE_BYTES)
    assert len(group.pattern) == bounds.MAX_PATTERN_BYTES


@clause("DEAD-4")
async def test_a_job_that_died_of_nothing_special_has_wasted_nothing(storage: Storage) -> None:
    await die_of(storage, "job", Cause.HANDLER)

    group = await the_group(storage)

    assert (group.tokens, group.usd_micros, group.success_rate) == (0, 0, None)
