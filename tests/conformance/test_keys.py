"""Chapter 18: ordered keys, who holds one, and in which order jobs get it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiq.bounds import MAX_PER_KEY
from aiq.errors import InvalidInput
from aiq.model import (
    Band,
    Cancelled,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    Outcome,
    Released,
    Settlement,
    Sleeping,
    State,
    Suspended,
    Waiting,
)
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    BAD,
    GOOD,
    changed,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    spawn,
    states,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.ordering import DELAY_MS, begin, given, line_up, ordered
from aiq.testing.spending import REFUSED


@clause("KEY-1")
async def test_one_job_of_a_key_runs_at_once(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third")

    assert await given(storage) == ["first"]
    assert await given(storage) == []


@clause("KEY-1")
async def test_jobs_in_a_line_are_ready_and_counted(storage: Storage) -> None:
    await line_up(storage, "first", "second")

    assert await states(storage, "first", "second") == [State.READY, State.READY]
    assert (await storage.count("default"))["default"][State.READY] == 2


@clause("KEY-1")
async def test_as_many_jobs_of_a_key_run_as_it_has_places(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third", "fourth", per_key=2)
    first, second = await claim_some(storage, 10)
    assert (first.id, second.id) == ("first", "second")
    await end(storage, second, GOOD)

    assert await given(storage) == ["third"]
    assert await given(storage) == []


@clause("KEY-1")
async def test_keys_do_not_wait_for_each_other_and_neither_do_queues(storage: Storage) -> None:
    await storage.enqueue([ordered("talk"), ordered("chat", key="chat"), ordered("bulk", queue="bulk"), job("plain")])

    assert {run.id for run in await claim_some(storage, 10, "default", "bulk")} == {"talk", "chat", "bulk", "plain"}


@clause("KEY-1")
async def test_a_key_without_per_key_orders_nothing(storage: Storage) -> None:
    await line_up(storage, "first", "second", per_key=0)

    assert await given(storage) == ["first", "second"]


@clause("KEY-1", "KEY-2")
async def test_a_more_urgent_band_or_another_tenant_does_not_pass_its_key(storage: Storage) -> None:
    await storage.enqueue(
        [ordered("first", band=Band.BATCH), ordered("second", band=Band.INTERACTIVE), ordered("third", tenant="acme")]
    )

    for name in ("first", "second", "third"):
        run = await claim_one(storage)
        assert run.id == name
        await end(storage, run, GOOD)


@clause("KEY-2")
@pytest.mark.parametrize("options", [{"delay_ms": DELAY_MS}, {"depends_on": ("other",)}])
async def test_a_job_that_may_not_start_yet_keeps_its_place(
    storage: Storage, clock: Clock, options: dict[str, Any]
) -> None:
    await enqueue_one(storage, "other", queue="others")
    await storage.enqueue([ordered("first", **options), ordered("second")])
    assert await given(storage) == []
    clock.advance_ms(DELAY_MS)
    await end(storage, await claim_one(storage, "others"), GOOD)

    assert await given(storage) == ["first"]


@clause("KEY-2")
async def test_nobody_passes_a_job_that_may_not_start_yet_though_there_are_places(storage: Storage) -> None:
    await line_up(storage, "first", per_key=2, delay_ms=DELAY_MS)
    await line_up(storage, "second", "third", per_key=2)

    assert await given(storage) == []


@clause("KEY-2")
async def test_the_order_is_that_of_enqueueing_and_not_that_of_becoming_ready(storage: Storage, clock: Clock) -> None:
    run = await begin(storage)
    await line_up(storage, "second", delay_ms=DELAY_MS)
    await line_up(storage, "third")
    clock.advance_ms(DELAY_MS)
    await end(storage, run, GOOD)

    assert await given(storage) == ["second"]


@clause("KEY-3")
async def test_the_next_comes_into_its_lane_where_it_would_have_stood(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await enqueue_one(storage, "plain")
    await end(storage, run, GOOD)

    assert await given(storage) == ["second", "plain"]


@clause("KEY-3")
async def test_who_waits_for_work_is_told_when_a_key_is_free(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    mark = await storage.wait([], after=None, timeout_ms=0)
    await end(storage, run, GOOD)

    assert await changed(storage, mark, queue_topic("default"))


@clause("KEY-3", "KEY-4")
async def test_a_step_that_settles_and_claims_is_given_the_next_of_the_key(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    answer = await storage.exchange([Settlement(run.lease, "1", GOOD)], wish())

    assert [one.id for one in answer.claimed] == ["second"]


@clause("KEY-3")
async def test_the_first_of_a_line_may_go_when_its_delay_is_over(storage: Storage, clock: Clock) -> None:
    await line_up(storage, "first", delay_ms=DELAY_MS)
    await line_up(storage, "second")
    clock.advance_ms(DELAY_MS)
    await storage.upkeep()

    assert await given(storage) == ["first"]


@clause("KEY-5")
@pytest.mark.parametrize("outcome", [failed(DELAY_MS), Released(DELAY_MS), Deferred(REFUSED, DELAY_MS)])
async def test_a_key_is_kept_until_the_next_run(storage: Storage, clock: Clock, outcome: Outcome) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await end(storage, run, outcome)
    assert await given(storage) == []
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["first"]


@clause("KEY-5")
async def test_a_key_is_kept_over_a_lease_that_expires(storage: Storage, clock: Clock) -> None:
    await begin(storage, lease_ms=DELAY_MS)
    await line_up(storage, "second")
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["first"]
    assert await given(storage) == []


async def sleep_it(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await end(storage, run, Sleeping("nap", DELAY_MS))


async def suspend_it(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await end(storage, run, Suspended("wait", "go", None))


async def await_children(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await spawn(storage, run, "child", queue="children")
    await end(storage, run, Waiting("children", None))


Park = Callable[[Storage, Clock, JobRecord], Awaitable[None]]
PARKS: tuple[Park, ...] = (sleep_it, suspend_it, await_children)


async def wake(storage: Storage, clock: Clock, park: Park) -> None:
    """Let what a job is parked for happen."""
    if park is sleep_it:
        clock.advance_ms(DELAY_MS)
        await storage.upkeep()
    elif park is suspend_it:
        await storage.send("first", "go", "1", b"1")
    else:
        await end(storage, await claim_one(storage, "children"), GOOD)


@clause("KEY-6")
@pytest.mark.parametrize("park", PARKS)
async def test_a_parked_job_holds_its_key(storage: Storage, clock: Clock, park: Park) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await park(storage, clock, run)
    assert await given(storage) == []
    await wake(storage, clock, park)

    assert await given(storage) == ["first"]


@clause("KEY-7")
@pytest.mark.parametrize("park", PARKS)
async def test_a_parked_job_gives_its_key_up_if_it_is_told_to(storage: Storage, clock: Clock, park: Park) -> None:
    run = await begin(storage, while_parked="free")
    await line_up(storage, "second")
    await park(storage, clock, run)

    assert await given(storage) == ["second"]


@clause("KEY-7")
@pytest.mark.parametrize("park", PARKS)
async def test_who_has_given_its_key_up_goes_before_those_that_have_not_started(
    storage: Storage, clock: Clock, park: Park
) -> None:
    run = await begin(storage, while_parked="free")
    await line_up(storage, "second", "third")
    await park(storage, clock, run)
    second = await claim_one(storage)
    await wake(storage, clock, park)
    assert await given(storage) == []
    await end(storage, second, GOOD)

    assert await given(storage) == ["first"]
    assert await given(storage) == []


@clause("KEY-7")
async def test_who_has_given_its_key_up_stands_in_its_turn_behind_those_that_were_enqueued_before(
    storage: Storage,
) -> None:
    await line_up(storage, "first", "second", "third", while_parked="free")
    await storage.hold(["first"])
    await end(storage, await claim_one(storage), Suspended("wait", "go", None))
    third = await claim_one(storage)
    await storage.unhold(["first"])
    await storage.send("second", "go", "1", b"1")
    await end(storage, third, GOOD)
    first = await claim_one(storage)
    assert first.id == "first"
    await end(storage, first, GOOD)

    assert await given(storage) == ["second"]


@clause("KEY-4", "KEY-7")
async def test_who_comes_back_waits_for_those_before_it_that_have_not_started(storage: Storage, clock: Clock) -> None:
    run = await begin(storage, while_parked="free")
    late = ordered("late", child_of="children", delay_ms=DELAY_MS)
    await storage.enqueue([late, job("soon", queue="soon", child_of="children")], parent=run.lease)
    await end(storage, run, Waiting("children", 1, "leave"))
    await end(storage, await claim_one(storage, "soon"), GOOD)
    assert await states(storage, "first") == [State.READY]
    assert await given(storage) == []
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["late"]


@clause("KEY-7")
async def test_who_has_given_its_key_up_takes_it_again_if_nobody_has_it(storage: Storage, clock: Clock) -> None:
    run = await begin(storage, while_parked="free")
    await sleep_it(storage, clock, run)
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["first"]
    await line_up(storage, "second")
    assert await given(storage) == []


@clause("KEY-5", "KEY-7")
async def test_a_retry_keeps_the_key_that_a_parked_job_would_give_up(storage: Storage) -> None:
    run = await begin(storage, while_parked="free")
    await line_up(storage, "second")
    await end(storage, run, failed(DELAY_MS))

    assert await given(storage) == []


@clause("KEY-8")
@pytest.mark.parametrize("outcome", [GOOD, BAD, Cancelled(), Died(JobError(type="E", message="m"))])
async def test_a_run_that_ends_its_job_frees_its_key(storage: Storage, outcome: Outcome) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await end(storage, run, outcome)

    assert await given(storage) == ["second"]


@clause("KEY-8")
async def test_a_job_whose_lease_expires_for_the_last_time_frees_its_key(storage: Storage, clock: Clock) -> None:
    await begin(storage, lease_ms=DELAY_MS, max_attempts=1)
    await line_up(storage, "second")
    clock.advance_ms(DELAY_MS)

    assert await given(storage) == ["second"]


@clause("KEY-8")
async def test_a_job_that_is_cancelled_by_force_frees_its_key(storage: Storage) -> None:
    await begin(storage)
    await line_up(storage, "second")
    await storage.cancel(["first"], force=True)

    assert await given(storage) == ["second"]


@clause("KEY-8")
@pytest.mark.parametrize("options", [{}, {"delay_ms": DELAY_MS}, {"depends_on": ("other",)}])
async def test_a_job_that_is_cancelled_in_its_line_stops_nobody(storage: Storage, options: dict[str, Any]) -> None:
    await enqueue_one(storage, "other", queue="others")
    run = await begin(storage)
    await line_up(storage, "second", **options)
    await line_up(storage, "third")
    await storage.cancel(["second"])
    await end(storage, run, GOOD)

    assert await given(storage) == ["third"]


@clause("KEY-8")
@pytest.mark.parametrize("park", PARKS)
async def test_a_parked_job_that_is_cancelled_frees_its_key(storage: Storage, clock: Clock, park: Park) -> None:
    run = await begin(storage)
    await line_up(storage, "second")
    await park(storage, clock, run)
    await storage.cancel(["first"])

    assert await given(storage) == ["second"]


@clause("KEY-8")
async def test_a_job_that_never_runs_for_a_dependency_stops_nobody(storage: Storage) -> None:
    await enqueue_one(storage, "other", queue="others")
    await line_up(storage, "first", depends_on=("other",))
    await line_up(storage, "second")
    await end(storage, await claim_one(storage, "others"), BAD)
    await keep_up(storage)

    assert await states(storage, "first") == [State.DEAD]
    assert await given(storage) == ["second"]


@clause("KEY-9")
async def test_a_job_that_is_held_frees_its_key_and_takes_its_place_again(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third")
    await storage.hold(["first"])
    second = await claim_one(storage)
    assert second.id == "second"
    await storage.unhold(["first"])
    assert await given(storage) == []
    await end(storage, second, GOOD)

    assert await given(storage) == ["first"]


@clause("KEY-9")
async def test_a_job_that_is_held_in_its_line_stops_nobody(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second", "third")
    await storage.hold(["second"])
    await end(storage, run, GOOD)

    assert await given(storage) == ["third"]


@clause("KEY-9")
async def test_a_run_that_is_held_goes_before_those_that_have_not_started(storage: Storage) -> None:
    run = await begin(storage)
    await line_up(storage, "second", "third")
    await end(storage, run, Held(reason=HeldFor.PRICE, by="gpt"))
    second = await claim_one(storage)
    assert second.id == "second"
    await storage.unhold(["first"])
    await end(storage, second, GOOD)

    assert await given(storage) == ["first"]


@clause("KEY-10")
async def test_the_job_enqueued_last_says_how_many_go_at_once(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third")
    await line_up(storage, "fourth", per_key=2)

    assert await given(storage) == ["first", "second"]


@clause("KEY-10")
async def test_a_lower_number_takes_the_key_from_nobody(storage: Storage) -> None:
    await line_up(storage, "first", "second", "third", per_key=3)
    first, second, third = await claim_some(storage, 10)
    await line_up(storage, "fourth", per_key=1)
    for run in (first, second):
        await end(storage, run, failed())
    assert await given(storage) == ["first", "second"]
    await storage.cancel(["first", "second"], force=True)
    assert await given(storage) == []
    await end(storage, third, GOOD)

    assert await given(storage) == ["fourth"]


@clause("KEY-10")
async def test_an_enqueue_that_is_repeated_says_nothing(storage: Storage) -> None:
    await line_up(storage, "first", "second", per_key=2)
    await line_up(storage, "third", per_key=1)
    await line_up(storage, "first", "second", per_key=2)
    runs = await claim_some(storage, 10)
    assert [run.id for run in runs] == ["first", "second"]
    await end(storage, runs[0], GOOD)

    assert await given(storage) == []


@clause("KEY-12")
async def test_a_key_that_is_forgotten_is_told_anew(storage: Storage) -> None:
    await line_up(storage, "first", "second", per_key=2, while_parked="free")
    for run in await claim_some(storage, 2):
        await end(storage, run, Suspended("wait", "go", None))
    await line_up(storage, "third", per_key=1)
    await end(storage, await claim_one(storage), GOOD)
    for name in ("first", "second"):
        await storage.send(name, "go", "1", b"1")

    assert await given(storage) == ["first", "second"]


@clause("ENQ-8", "STORE-9")
@pytest.mark.parametrize(
    "options",
    [
        {"per_key": -1},
        {"per_key": MAX_PER_KEY + 1},
        {"key": None},
        {"while_parked": "perhaps"},
        {"per_key": 0, "while_parked": "free"},
    ],
)
async def test_a_key_outside_its_bounds_is_refused(storage: Storage, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await storage.enqueue([ordered("first", **options)])

    assert await states(storage, "first") == [None]


@clause("STORE-10")
async def test_what_a_job_says_of_its_key_is_read_again(storage: Storage) -> None:
    run = await begin(storage, per_key=7, while_parked="free")
    await end(storage, run, GOOD)

    for record in (run, await get_one(storage, "first")):
        assert (record.key, record.per_key, record.while_parked) == ("talk", 7, "free")
