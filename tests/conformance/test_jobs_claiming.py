"""Chapter 1, claiming: who gets which job, and what a claim that is sent again gets."""

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, InvalidName
from aiq.model import Band, ClaimRequest, Lane, LimitSpec, Released, State, Want
from aiq.storage import Storage, claim
from aiq.testing.actions import (
    GOOD,
    changes,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    start,
    states,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


def names(runs: list) -> list[str]:
    return [run.id for run in runs]


@clause("CLAIM-1")
async def test_a_running_job_is_not_given_again(storage: Storage) -> None:
    await start(storage)

    assert await claim_some(storage, 10, worker="other") == []


@clause("CLAIM-1")
async def test_a_claim_that_asks_twice_for_a_queue_gets_each_job_once(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(3)])

    runs = await claim_some(storage, 2, "default", "default")

    assert names(runs) == ["job 0", "job 1", "job 2"]


@clause("CLAIM-2")
async def test_a_claim_gives_at_most_what_was_asked_and_changes_no_other_job(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(4)])
    before = await look(storage)
    request = wish(2)

    runs = await claim(storage, request)

    assert [(run.id, run.state, run.lease_id, run.owner, run.expires_at_ms) for run in runs] == [
        ("job 0", S.RUNNING, request.lease_id, "worker", clock() + bounds.DEFAULT_LEASE_MS),
        ("job 1", S.RUNNING, request.lease_id, "worker", clock() + bounds.DEFAULT_LEASE_MS),
    ]
    assert changes(before, await look(storage)).keys() == {"job 0", "job 1"}


@clause("CLAIM-2")
async def test_a_claim_answers_with_the_record_as_it_is_stored(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="a", requests=60), LimitSpec(name="b", requests=60)])
    run = await start(storage, payload=b'["p"]', limits=("a", "b"), depends_on=())

    assert run == await get_one(storage)


@clause("CLAIM-2", "STORE-9")
async def test_a_claim_gives_at_most_a_batch_in_all(storage: Storage) -> None:
    for queue in ("q1", "q2"):
        await storage.enqueue([job(f"{queue} {n}", queue=queue) for n in range(bounds.MAX_BATCH)])

    runs = await claim_some(storage, 200, "q1", "q2")

    assert [sum(run.queue == queue for run in runs) for queue in ("q1", "q2")] == [200, bounds.MAX_BATCH - 200]


@clause("CLAIM-3")
async def test_a_claim_sent_again_gives_the_same_jobs_and_changes_nothing(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c"), job("d", delay_ms=1)])
    request = wish(2)
    first = await claim(storage, request)
    before = await look(storage)

    assert await claim(storage, request) == first
    assert await look(storage) == before


@clause("CLAIM-3")
async def test_a_claim_sent_again_neither_promotes_nor_revokes(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a", lease_ms=60_000), job("b", lease_ms=10), job("c", delay_ms=20)])
    first, second = wish(1, worker="one"), wish(1, worker="two")
    await claim(storage, first)
    await claim(storage, second)
    clock.advance_ms(20)
    before = await look(storage)

    assert names(await claim(storage, first)) == ["a"]
    assert await look(storage) == before


@clause("CLAIM-3")
async def test_a_claim_sent_again_omits_the_jobs_that_do_not_run_under_it_any_more(
    storage: Storage, clock: Clock
) -> None:
    await storage.enqueue([job("a"), job("b", lease_ms=10), job("c"), job("d")])
    request = wish(4)
    runs = await claim(storage, request)
    await end(storage, runs[0], GOOD)
    await end(storage, runs[2], Released())
    clock.advance_ms(10)
    await claim_some(storage, 2, worker="other")

    assert names(await claim(storage, request)) == ["d"]


@clause("CLAIM-3")
async def test_a_job_that_expired_but_was_not_revoked_is_still_given_to_the_same_claim(
    storage: Storage, clock: Clock
) -> None:
    await enqueue_one(storage)
    request = wish(1)
    (run,) = await claim(storage, request)
    clock.advance_ms(run.lease_ms)

    assert await claim(storage, request) == (run,)


@clause("CLAIM-3")
async def test_the_same_number_with_another_lease_id_gives_nothing(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b")])
    await claim(storage, wish(1, number=7))
    before = await look(storage)

    assert await claim(storage, ClaimRequest("worker", 7, "another lease", (Want("default", 1),))) == ()
    assert await look(storage) == before


@clause("CLAIM-3")
async def test_the_last_claim_is_kept_for_a_day_and_each_worker_has_its_own(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a", lease_ms=bounds.MAX_LEASE_MS), job("b", lease_ms=bounds.MAX_LEASE_MS)])
    first, second = wish(1, worker="one", number=1), wish(1, worker="two", number=1)
    await claim(storage, first)
    await claim(storage, second)
    clock.advance_ms(bounds.CLAIM_KEPT_MS - 1)

    assert names(await claim(storage, first)) == ["a"]
    assert names(await claim(storage, second)) == ["b"]


@clause("CLAIM-4")
async def test_a_lower_number_gives_nothing(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b"), job("c", delay_ms=1)])
    await claim(storage, wish(1, number=2))
    clock.advance_ms(1)
    before = await look(storage)

    assert await claim(storage, wish(1, number=1)) == ()
    assert await look(storage) == before


@clause("CLAIM-5")
async def test_a_claim_that_gave_nothing_may_be_repeated_for_more(storage: Storage) -> None:
    request = wish(1)
    assert await claim(storage, request) == ()
    await enqueue_one(storage)

    assert names(await claim(storage, request)) == ["job"]


@clause("CLAIM-5")
async def test_an_empty_claim_does_not_make_the_worker_forget_its_last(storage: Storage) -> None:
    await enqueue_one(storage)
    full = wish(1, number=1)
    (run,) = await claim(storage, full)
    assert await claim(storage, wish(1, number=2)) == ()

    assert await claim(storage, full) == (run,)


@clause("CLAIM-6")
async def test_jobs_are_given_by_band_then_lane_then_position(storage: Storage) -> None:
    returned = await start(storage, "returned")
    await storage.enqueue([job(f"{band} {n}", band=band) for n in (1, 2) for band in reversed(Band)])
    await end(storage, returned, Released())

    runs = await claim_some(storage, 20)

    in_bands = [f"{band} {n}" for band in Band for n in (1, 2)]
    at = in_bands.index(f"{Band.NORMAL} 1")
    assert names(runs) == [*in_bands[:at], "returned", *in_bands[at:]]


@clause("CLAIM-6")
async def test_an_urgent_job_that_comes_late_goes_first(storage: Storage) -> None:
    await storage.enqueue([job(f"batch {n}", band=Band.BATCH) for n in range(20)])
    await claim_some(storage, 3)
    await enqueue_one(storage, "urgent", band=Band.INTERACTIVE)

    assert (await claim_one(storage)).id == "urgent"


@clause("CLAIM-6")
async def test_a_job_stands_where_it_became_ready_not_where_it_was_enqueued(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("early", delay_ms=10), job("first")])
    clock.advance_ms(10)
    await enqueue_one(storage, "second")

    assert names(await claim_some(storage, 3)) == ["first", "second", "early"]


@clause("CLAIM-6", "BAND-1")
async def test_jobs_of_different_pools_go_in_the_order_they_came(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name=name, requests=600) for name in ("slow", "fast")])
    await storage.enqueue(
        [job("a", limits=("slow",)), job("b"), job("c", tenant="acme"), job("d", limits=("fast",)), job("e")]
    )

    assert names(await claim_some(storage, 5)) == ["a", "b", "c", "d", "e"]


@clause("CLAIM-7")
async def test_a_claim_gives_no_job_that_is_not_due_paused_cancelled_or_ended(storage: Storage) -> None:
    await end(storage, await start(storage, "ended"), GOOD)
    await storage.enqueue([job("later", delay_ms=1), job("paused", queue="paused"), job("cancelled")])
    await storage.enqueue([job("waits", depends_on=("later",))])
    await storage.pause("paused")
    await storage.cancel(["cancelled"])

    assert await claim_some(storage, 10, "default", "paused") == []


@clause("CLAIM-7", "CANCEL-1")
async def test_a_job_cancelled_while_it_was_delayed_does_not_come_back_when_its_time_comes(
    storage: Storage, clock: Clock
) -> None:
    await enqueue_one(storage, delay_ms=10)
    await storage.cancel(["job"])
    clock.advance_ms(10)
    await keep_up(storage)

    assert await claim_some(storage, 1) == []
    assert await states(storage, "job") == [S.CANCELLED]


@clause("CLAIM-8")
async def test_the_fence_rises_by_one_at_every_claim(storage: Storage, clock: Clock) -> None:
    run = await start(storage, max_attempts=10)
    fences = [run.fence]
    for outcome in (Released(), failed(), Released(5), None):
        if outcome is None:
            clock.advance_ms(run.lease_ms)
        else:
            await end(storage, run, outcome)
            clock.advance_ms(5)
        run = await claim_one(storage)
        fences.append(run.fence)

    assert fences == [1, 2, 3, 4, 5]


@clause("CLAIM-9", "TIME-4")
async def test_a_claim_promotes_what_is_due_and_then_revokes_what_has_expired(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(name, lease_ms=10) for name in ("x2", "x1")])
    await claim_some(storage, 2)
    await storage.enqueue([job("d3", delay_ms=10), job("d2", delay_ms=5), job("d1", delay_ms=10)])
    clock.advance_ms(10)

    runs = await claim_some(storage, 5)

    assert names(runs) == ["x1", "x2", "d2", "d1", "d3"]
    assert [run.position for run in runs] == [6, 7, 3, 4, 5]
    assert [run.lane for run in runs] == [Lane.RETURNED] * 2 + [Lane.FRESH] * 3


@clause("CLAIM-9")
async def test_a_claim_promotes_and_revokes_for_every_queue_even_if_it_wants_nothing_of_it(
    storage: Storage, clock: Clock
) -> None:
    await storage.enqueue([job("expires", queue="q1", lease_ms=10), job("due", queue="q2", delay_ms=10)])
    await claim_one(storage, "q1")
    clock.advance_ms(10)

    assert await claim_some(storage, 1) == []
    assert await states(storage, "expires", "due") == [S.READY, S.READY]


@clause("CLAIM-9")
async def test_a_claim_promotes_at_most_a_sweep(storage: Storage, clock: Clock) -> None:
    for n in range(2):
        await storage.enqueue([job(f"{n} {m:03}", delay_ms=1 + n) for m in range(bounds.MAX_SWEEP)])
    clock.advance_ms(2)

    assert (await claim_one(storage)).id == "0 000"
    assert (await storage.count())["default"] == {S.RUNNING: 1, S.READY: 255, S.SCHEDULED: 256}


@clause("CLAIM-10")
async def test_queues_are_served_in_the_order_asked_each_up_to_its_own_count(storage: Storage) -> None:
    await storage.enqueue([job(f"{queue}{n}", queue=queue) for n in (1, 2, 3) for queue in ("a", "b", "c")])
    wants = (Want("c", 1), Want("a", 2), Want("b", 0))

    runs = await claim(storage, ClaimRequest("worker", 1, "lease", wants))

    assert names(list(runs)) == ["c1", "a1", "a2"]


@clause("CLAIM-11")
async def test_a_claim_gives_no_more_payload_than_fits_and_stops_there(storage: Storage) -> None:
    heavy = b"x" * bounds.MAX_PAYLOAD_BYTES
    fitting = bounds.MAX_BATCH_BYTES // bounds.MAX_PAYLOAD_BYTES
    await storage.enqueue([job("light", payload=b"y")])
    await storage.enqueue([job(f"heavy {n}", payload=heavy) for n in range(fitting)])
    await storage.enqueue([job("light too", payload=b"y"), job("elsewhere", queue="other", payload=b"y")])

    runs = await claim_some(storage, fitting + 5, "default", "other")

    assert len(runs) == fitting
    assert names(await claim_some(storage, 5, "default", "other")) == [f"heavy {fitting - 1}", "light too", "elsewhere"]


@clause("CLAIM-11")
async def test_a_claim_gives_payload_up_to_the_last_byte_that_fits(storage: Storage) -> None:
    fitting = bounds.MAX_BATCH_BYTES // bounds.MAX_PAYLOAD_BYTES
    await storage.enqueue([job(f"heavy {n}", payload=b"x" * bounds.MAX_PAYLOAD_BYTES) for n in range(fitting)])

    assert len(await claim_some(storage, fitting + 1)) == fitting


@clause("CLAIM-7", "STORE-4")
async def test_a_paused_queue_gives_nothing_when_several_are_asked_for(storage: Storage) -> None:
    await storage.enqueue([job("a", queue="qa"), job("b", queue="qb")])
    await storage.pause("qa")

    assert names(await claim_some(storage, 5, "qa", "qb")) == ["b"]


@clause("STORE-12")
@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ClaimRequest("", 1, "lease", ()), InvalidInput),
        (ClaimRequest("worker", -1, "lease", ()), InvalidInput),
        (ClaimRequest("worker", 1, "", ()), InvalidInput),
        (ClaimRequest("worker", 1, "lease", (Want("two words", 1),)), InvalidName),
        (ClaimRequest("worker", 1, "lease", (Want("default", -1),)), InvalidInput),
    ],
)
async def test_an_improper_claim_is_refused_and_takes_nothing(
    storage: Storage, request_: ClaimRequest, error: type[Exception]
) -> None:
    await enqueue_one(storage)

    with pytest.raises(error):
        await claim(storage, request_)

    assert await states(storage, "job") == [S.READY]
