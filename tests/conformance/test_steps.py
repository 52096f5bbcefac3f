"""Chapter 6: remembered sub-results."""

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, NotFound, TooLarge
from aiq.model import Released, Saved, Sleeping, Step, StepKind
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, failed, get_one, keep_up, look, start, value
from aiq.testing.clock import Clock
from aiq.testing.marks import clause


@clause("STEP-1")
async def test_the_first_value_saved_under_a_key_stands(storage: Storage) -> None:
    run = await start(storage)
    first = Step("plan", StepKind.VALUE, b"one", "d", fence=1)
    assert await storage.save_step(run.lease, value("plan", b"one", "d")) == Saved(first, False, False)
    before = await look(storage)

    assert await storage.save_step(run.lease, value("plan", b"two", "d")) == Saved(first, True, False)
    assert await look(storage) == before


@clause("STEP-2")
async def test_a_key_saved_with_other_arguments_is_a_conflict(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan", b"one", "d"))
    before = await look(storage)

    with pytest.raises(Conflict) as conflict:
        await storage.save_step(run.lease, value("plan", b"one", "other"))

    assert conflict.value.reason == "step"
    assert await look(storage) == before


@clause("STEP-3")
async def test_a_later_run_reads_what_an_earlier_one_saved(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan", b"one"))
    await end(storage, run, failed())
    again = await claim_one(storage)

    saved = await storage.save_step(again.lease, value("plan", b"two"))

    assert saved == Saved(Step("plan", StepKind.VALUE, b"one", fence=1), existed=True, cancel_requested=False)
    assert await storage.get_steps("job") == [saved.step]


@clause("STEP-3")
async def test_steps_are_still_read_when_the_job_has_ended(storage: Storage) -> None:
    run = await start(storage)
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, GOOD)

    assert [step.key for step in await storage.get_steps("job")] == ["plan"]


@clause("STEP-4")
async def test_a_step_that_is_too_large_is_refused_and_the_job_goes_on(storage: Storage) -> None:
    run = await start(storage)

    with pytest.raises(TooLarge):
        await storage.save_step(run.lease, value("plan", b"x" * (bounds.MAX_STEP_BYTES + 1)))

    await storage.save_step(run.lease, value("plan", b"x" * bounds.MAX_STEP_BYTES))
    await end(storage, run, GOOD)


@clause("STEP-4")
async def test_a_key_over_the_bound_of_keys_is_refused_and_the_job_goes_on(storage: Storage) -> None:
    run = await start(storage)
    for n in range(bounds.MAX_STEPS):
        await storage.save_step(run.lease, value(f"{n:05}"))

    with pytest.raises(TooLarge):
        await storage.save_step(run.lease, value("one more"))

    assert (await storage.save_step(run.lease, value("00000"))).existed
    await end(storage, run, GOOD)


@clause("STEP-4")
@pytest.mark.parametrize("kind", [kind for kind in StepKind if kind is not StepKind.VALUE])
async def test_a_run_cannot_save_a_wait_that_it_did_not_wait(storage: Storage, kind: StepKind) -> None:
    run = await start(storage)

    with pytest.raises(InvalidInput):
        await storage.save_step(run.lease, Step("wait", kind, b""))

    assert await storage.get_steps("job") == []


@clause("STEP-5")
async def test_steps_are_read_by_key_a_page_at_a_time(storage: Storage) -> None:
    run = await start(storage)
    for key in ("c", "é", "B", "a", "d"):
        await storage.save_step(run.lease, value(key))

    first = await storage.get_steps("job", limit=2)
    rest = await storage.get_steps("job", after=first[-1].key)

    assert [step.key for step in (*first, *rest)] == ["B", "a", "c", "d", "é"]


@clause("STEP-5")
async def test_the_steps_of_a_job_that_is_not_stored_are_not_found(storage: Storage) -> None:
    await enqueue_one(storage, "other")

    with pytest.raises(NotFound):
        await storage.get_steps("job")

    assert await storage.get_steps("other") == []


@clause("STEP-5", "STORE-9")
@pytest.mark.parametrize(("limit", "error"), [(0, InvalidInput), (bounds.MAX_PAGE + 1, TooLarge)])
async def test_a_page_of_steps_has_bounds(storage: Storage, limit: int, error: type[Exception]) -> None:
    await enqueue_one(storage)

    with pytest.raises(error):
        await storage.get_steps("job", limit=limit)


@clause("STEP-6")
async def test_a_key_that_a_wait_has_taken_cannot_be_saved_as_a_value_again(storage: Storage, clock: Clock) -> None:
    await end(storage, await start(storage), Sleeping("nap", 5))
    clock.advance_ms(5)
    await keep_up(storage)
    run = await claim_one(storage)

    saved = await storage.save_step(run.lease, value("nap"))

    assert (saved.existed, saved.step.kind) == (True, StepKind.TIMER)


@clause("STEP-7")
async def test_a_claimed_job_tells_whether_it_remembers_anything(storage: Storage) -> None:
    run = await start(storage)
    assert not run.remembers
    await end(storage, run, Released())
    run = await claim_one(storage)
    assert not run.remembers
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, Released())

    assert (await claim_one(storage)).remembers
    assert (await get_one(storage)).remembers
