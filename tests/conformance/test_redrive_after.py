"""Chapter 16: what another generation begins with, and what becomes of it."""

import pytest

from aiq.errors import LeaseLost
from aiq.model import (
    BudgetSpec,
    ChunkKind,
    Estimate,
    State,
    Usage,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage, append, read
from aiq.testing.actions import (
    GOOD,
    chunks,
    claim_some,
    end,
    end_one,
    enqueue_one,
    get_one,
    job,
    keep_up,
    look,
    start,
    value,
)
from aiq.testing.burials import (
    deadly,
    die,
    reasons,
    redrive,
    revive,
    run_again,
    the_group,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import counted, tell


@clause("DEAD-20")
async def test_the_next_run_names_the_end_of_the_stream_in_its_reset(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a", "b"))
    await end(storage, run, deadly())
    again = await run_again(storage)
    assert await storage.audit() == []

    await append(storage, again.lease, chunks("c"))
    await end(storage, again, GOOD)

    items = (await read(storage, "job")).chunks
    assert [item.kind for item in items] == [
        ChunkKind.DATA,
        ChunkKind.DATA,
        ChunkKind.ERROR,
        ChunkKind.RESET,
        ChunkKind.DATA,
        ChunkKind.END,
    ]
    assert items[3].void == ((1, 3),)
    assert await storage.audit() == []


@clause("DEAD-20")
async def test_what_a_remembered_step_emitted_still_counts_after_a_redrive(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a", step="plan"))
    await storage.save_step(run.lease, value("plan"))
    await end(storage, run, deadly())

    again = await run_again(storage)
    await end(storage, again, GOOD)

    items = (await read(storage, "job")).chunks
    assert [item.void for item in items if item.kind is ChunkKind.RESET] == [((2, 2),)]


@clause("DEAD-21")
async def test_a_run_of_the_generation_before_has_lost_its_lease(storage: Storage, clock: Clock) -> None:
    zombie = await start(storage, max_attempts=1, lease_ms=1_000)
    clock.advance_ms(1_000)
    await keep_up(storage)
    await revive(storage)
    before = await look(storage)

    with pytest.raises(LeaseLost):
        await end(storage, zombie, GOOD)
    assert await look(storage) == before


@clause("DEAD-21")
async def test_what_a_run_of_the_generation_before_has_used_is_still_counted(storage: Storage, clock: Clock) -> None:
    need = Estimate(input=10, max_output=0, model="gpt")
    await storage.put_budgets([BudgetSpec(id="purse", caps={"tokens": 10_000})])
    zombie = await start(storage, max_attempts=1, lease_ms=1_000, estimate=need, budgets=("purse",))
    clock.advance_ms(1_000)
    await keep_up(storage)
    await revive(storage)

    await tell(storage, zombie, 0, used=Usage("gpt", input=700))

    assert (await counted(storage, job_id="job"))["input"] == 700


@clause("DEAD-22")
async def test_a_job_that_succeeds_after_a_redrive_has_recovered(storage: Storage) -> None:
    await die(storage, "one")
    await die(storage, "two")
    await redrive(storage, "one", "two")
    await end_one(storage, GOOD)
    assert (await the_group(storage)).success_rate == 1.0

    await end_one(storage, deadly("e" * 32))

    group = await the_group(storage)
    assert (group.redriven, group.recovered, group.relapsed) == (2, 1, 1)
    assert group.success_rate == 0.5
    assert (await the_group(storage, "e" * 32)).redriven == 0


@clause("DEAD-22")
async def test_a_cancelled_job_has_neither_recovered_nor_relapsed(storage: Storage) -> None:
    await die(storage)
    await revive(storage)
    await storage.cancel(["job"])
    await revive(storage, id="once more")
    await end_one(storage, GOOD)

    group = await the_group(storage)

    assert (group.redriven, group.recovered, group.relapsed) == (1, 0, 0)
    assert await storage.audit() == []


@clause("DEAD-22")
async def test_a_relapse_counts_with_the_group_of_the_last_redrive(storage: Storage) -> None:
    await die(storage)
    await revive(storage)
    await end_one(storage, deadly("e" * 32))
    await revive(storage, id="once more")
    await end_one(storage, GOOD)

    assert (await the_group(storage)).relapsed == 1
    assert (await the_group(storage, "e" * 32)).recovered == 1
    assert await storage.audit() == []


@clause("DEAD-23")
async def test_a_redriven_job_has_its_unique_key_again(storage: Storage) -> None:
    await die(storage, unique="k")

    await revive(storage)

    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "job"
    assert await storage.audit() == []
    await end_one(storage, GOOD)
    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "other"


@clause("DEAD-23")
async def test_a_job_whose_unique_key_another_has_is_refused(storage: Storage) -> None:
    await die(storage, unique="k")
    await die(storage, "twin", unique="k")
    await enqueue_one(storage, "other", unique="k")
    before = await look(storage)

    assert reasons(await redrive(storage, "job")) == ["unique"]
    assert await look(storage) == before

    await storage.cancel(["other"])
    assert reasons(await redrive(storage, "job", "twin", id="then")) == ["redriven", "unique"]
    assert await storage.audit() == []


@clause("DEAD-23")
async def test_a_job_has_its_unique_key_again_that_it_had_for_a_time(storage: Storage, clock: Clock) -> None:
    await die(storage, unique="k", unique_for_ms=1_000)

    await revive(storage)

    assert await storage.audit() == []
    clock.advance_ms(1_000)
    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "other"
    assert await storage.audit() == []


@clause("DEAD-23")
async def test_a_job_has_its_unique_key_until_it_ends_if_the_time_for_that_is_over(
    storage: Storage, clock: Clock
) -> None:
    await die(storage, unique="k", unique_for_ms=1_000)
    clock.advance_ms(1_000)

    await revive(storage)

    assert (await storage.enqueue([job("other", unique="k")]))[0].job_id == "job"
    assert await storage.audit() == []


@clause("DEAD-24")
async def test_an_ordered_job_stays_in_its_queue(storage: Storage) -> None:
    await die(storage, key="k", per_key=1)

    assert reasons(await redrive(storage, "job", queue="slow")) == ["key"]
    assert reasons(await redrive(storage, "job", queue="default")) == ["redriven"]
    assert await storage.audit() == []


@clause("DEAD-24")
async def test_a_redriven_job_joins_the_line_of_its_key(storage: Storage) -> None:
    for name in ("one", "two", "three"):
        await enqueue_one(storage, name, key="k", per_key=1)
    await end_one(storage, deadly())

    await revive(storage, "one")

    order = []
    for _ in range(3):
        (run,) = await claim_some(storage, 3)
        order.append(run.id)
        await end(storage, run, GOOD)
    assert sorted(order) == ["one", "three", "two"]


@clause("DEAD-25")
async def test_a_job_that_died_of_its_deadline_has_none_after_a_redrive(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage, expires_ms=1_000)
    clock.advance_ms(1_000)
    await keep_up(storage)
    assert (await the_group(storage, OF_CAUSE["deadline"])).dead == 1

    again = await revive(storage)
    clock.advance_ms(10_000)
    await keep_up(storage)

    assert (again.deadline_ms, (await get_one(storage)).state) == (None, State.READY)
