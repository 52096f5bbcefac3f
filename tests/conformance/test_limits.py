"""Chapter 10, the bucket: what is left of a limit, when something fits, and how it is changed."""

import pytest

from aiq.bounds import MAX_PERIOD_MS
from aiq.errors import Conflict, InvalidInput
from aiq.model import LimitSpec, MustWait, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, get_one, job, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    CAPACITY,
    OPENING,
    ask,
    left,
    need,
    offered,
    open_call,
    put_limit,
    the_limit,
    tokens,
    units,
)

GPT = ("gpt",)
HOUR_MS = 3_600_000


async def enqueue_needing(storage: Storage, input: int, job_id: str = "job", **options: object) -> None:
    """A job whose first call takes so many tokens of the limit "gpt", and holds none."""
    await enqueue_one(storage, job_id, limits=GPT, estimate=need(input), lease_ms=HOUR_MS, **options)


async def the_wait(storage: Storage) -> int | None:
    """How long a claim that gives nothing is told to wait."""
    given, due_ms = await offered(storage)
    assert given == []
    return due_ms


@clause("LIMIT-1")
async def test_a_limit_is_shared_by_all_queues(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, 3_000, "first", queue="q")
    await enqueue_needing(storage, 3_000, "second", queue="r")

    assert await offered(storage, "q", "r") == (["first"], 1_000)
    assert await left(storage) == (2_000, 0)


@clause("LIMIT-1")
async def test_a_limit_stored_again_keeps_what_is_left_at_most_its_new_capacity(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, 1_000)
    await claim_one(storage)

    await put_limit(storage, tokens=120_000)
    assert await left(storage) == (4_000, 0)
    (stored,) = await storage.put_limits([tokens(burst_ms=2_500)])
    assert stored == tokens(burst_ms=2_500)
    assert await left(storage) == (2_500, 0)
    await put_limit(storage)
    assert await left(storage) == (2_500, 0)


@clause("LIMIT-1")
async def test_a_limit_stored_again_refills_at_its_new_rate_from_then_on(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, OPENING)
    await claim_one(storage)
    clock.advance_ms(100)
    await put_limit(storage, tokens=180_000)
    clock.advance_ms(100)

    assert await left(storage) == (100 + 300, 0)


@clause("LIMIT-1")
async def test_what_is_held_goes_along_with_a_changed_limit(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(1_000, 500))
    await put_limit(storage, tokens=90_000, per_ms=7_000, burst_ms=7_000)
    assert await left(storage) == (4_000, 500)

    await end(storage, run, GOOD)
    assert (await left(storage))[1] == 0


@clause("LIMIT-1")
async def test_a_part_that_a_limit_did_not_have_begins_as_a_new_one(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=60)])
    await enqueue_needing(storage, 1_000)
    await claim_one(storage)
    await put_limit(storage, requests=60)

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left) == (4, OPENING)


@clause("LIMIT-1")
async def test_a_changed_limit_with_more_room_lets_waiting_jobs_go_at_once(storage: Storage) -> None:
    await put_limit(storage, concurrency=1)
    await storage.enqueue([job(f"job {n}", limits=GPT, estimate=need(1)) for n in range(3)])
    assert (await offered(storage))[0] == ["job 0"]

    await put_limit(storage, concurrency=3)

    assert (await offered(storage))[0] == ["job 1", "job 2"]


BOUNDLESS = [
    LimitSpec(name="gpt"),
    LimitSpec(name="two words", tokens=1),
    tokens(tokens=0),
    tokens(requests=-1),
    tokens(concurrency=0),
    tokens(per_ms=0),
    tokens(burst_ms=MAX_PERIOD_MS + 1),
    tokens(ramp_ms=-1),
    tokens(weights={"output": -1}),
    tokens(tokens=999_999_999_989, burst_ms=MAX_PERIOD_MS),
]


@clause("LIMIT-1")
@pytest.mark.parametrize("spec", BOUNDLESS, ids=range(len(BOUNDLESS)))
async def test_a_limit_that_bounds_nothing_or_is_out_of_range_is_refused(storage: Storage, spec: LimitSpec) -> None:
    with pytest.raises(InvalidInput):
        await storage.put_limits([tokens("good"), spec])
    assert await storage.get_limits() == []


@clause("LIMIT-1")
async def test_limits_are_listed_by_name_a_page_at_a_time(storage: Storage) -> None:
    await storage.put_limits([tokens(name) for name in ("c", "a", "b")])

    assert [status.spec.name for status in await storage.get_limits(limit=2)] == ["a", "b"]
    assert [status.spec.name for status in await storage.get_limits(after="b")] == ["c"]
    assert [status.spec.name for status in await storage.get_limits(["b", "ghost"])] == ["b"]


@clause("LIMIT-2")
async def test_storing_what_is_absent_changes_nothing_that_is_stored(storage: Storage) -> None:
    await put_limit(storage)
    answer = await storage.put_limits([tokens(tokens=1), tokens("other", tokens=1)], absent_only=True)

    assert answer == [tokens(), tokens("other", tokens=1)]
    assert [status.spec for status in await storage.get_limits()] == answer


@clause("LIMIT-2", "LIMIT-3")
async def test_storing_what_is_absent_minds_no_other_by(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    assert await storage.put_limits([tokens()], absent_only=True) == [tokens(by="tenant")]


@clause("LIMIT-3")
async def test_a_limit_never_goes_by_something_else(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    for by in (None, "key"):
        with pytest.raises(Conflict) as refused:
            await storage.put_limits([tokens("new"), tokens(by=by)])
        assert refused.value.reason == "by"

    assert [status.spec for status in await storage.get_limits()] == [tokens(by="tenant")]


@clause("LIMIT-4")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tokens": 60_000}, (None, 5_000)),
        ({"tokens": 60_000, "requests": 60}, (5, 5_000)),
        ({"tokens": 7, "per_ms": 997}, (None, 35)),
        ({"tokens": 60_000, "burst_ms": 2_000, "requests": 600}, (20, 2_000)),
        ({"tokens": 1, "per_ms": 60_000, "burst_ms": 30_000}, (None, 0)),
    ],
)
async def test_a_new_limit_begins_with_five_seconds_of_its_rate(
    storage: Storage, options: dict[str, int], expected: tuple[int | None, int]
) -> None:
    await put_limit(storage, **options)
    status = await the_limit(storage)
    assert ((status.requests_left, status.tokens_left), status.pace) == (expected, 1000)


@clause("LIMIT-4", "LIMIT-15", "LIMIT-16")
@pytest.mark.parametrize("by", ["tenant", "key"])
async def test_each_new_part_of_a_limit_begins_full(storage: Storage, clock: Clock, by: str) -> None:
    await put_limit(storage, by=by, burst_ms=CAPACITY)
    for name in ("acme", "bolt"):
        await enqueue_needing(storage, CAPACITY, f"{name} 1", **{by: name})
        await enqueue_needing(storage, 1, f"{name} 2", **{by: name})
        assert await offered(storage) == ([f"{name} 1"], 1)
        clock.advance_ms(1)
        assert (await offered(storage))[0] == [f"{name} 2"]


@clause("LIMIT-5")
async def test_what_is_left_to_the_last_token_fits(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, OPENING)
    assert (await offered(storage))[0] == ["job"]
    assert await left(storage) == (0, 0)


@clause("LIMIT-5")
@pytest.mark.parametrize(
    ("rate", "per_ms", "wait_ms"),
    [(60_000, 60_000, 1), (7, 1_000, 143), (7, 997, 128), (3, 1_000, 334), (997, 60_000, 56), (1_000, 1_000, 1)],
)
async def test_who_comes_back_at_the_time_that_was_told_is_admitted_and_a_ms_earlier_is_not(
    storage: Storage, clock: Clock, rate: int, per_ms: int, wait_ms: int
) -> None:
    await put_limit(storage, tokens=rate, per_ms=per_ms)
    await enqueue_needing(storage, 5_000 * rate // per_ms, "all")
    await enqueue_needing(storage, 1, "more")
    assert await offered(storage) == (["all"], wait_ms)
    clock.advance_ms(wait_ms - 1)
    assert await offered(storage) == ([], 1)
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["more"]


@clause("LIMIT-5")
async def test_the_wait_for_requests_and_tokens_is_the_longer_one(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, requests=60)
    for n in range(5):
        await enqueue_needing(storage, 100, f"job {n}")
    assert len((await offered(storage))[0]) == 5
    await enqueue_needing(storage, 4_600, "large")
    await enqueue_needing(storage, 1, "small", queue="other")

    assert await the_wait(storage) == 1_000
    assert await offered(storage, "other") == ([], 1_000)
    clock.advance_ms(1_000)
    assert (await offered(storage, "other"))[0] == ["small"]
    assert await the_wait(storage) == 1_000


@clause("LIMIT-5")
async def test_what_a_refused_call_needs_is_not_taken(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, requests=60)
    await enqueue_needing(storage, 4_000, "first")
    await enqueue_needing(storage, 4_000, "second")
    assert await offered(storage) == (["first"], 3_000)
    assert await offered(storage) == ([], 3_000)

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left) == (4, 1_000)


@clause("LIMIT-6")
async def test_what_is_larger_than_the_bucket_is_admitted_when_that_is_full_and_leaves_a_debt(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, CAPACITY + 2_000, "large")
    await enqueue_needing(storage, 1, "next")
    assert await the_wait(storage) == OPENING
    clock.advance_ms(OPENING - 1)
    assert await the_wait(storage) == 1
    clock.advance_ms(1)

    assert await offered(storage) == (["large"], 2_001)
    assert await left(storage) == (-2_000, 0)


@clause("LIMIT-6")
async def test_what_does_not_fit_beside_what_is_held_is_admitted_when_the_bucket_is_full(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    await start(storage, "holds", limits=GPT, estimate=need(0, 4_000), lease_ms=HOUR_MS)
    assert await left(storage) == (5_000, 4_000)
    await enqueue_needing(storage, 7_000, "large")

    assert await the_wait(storage) == CAPACITY - OPENING
    clock.advance_ms(CAPACITY - OPENING)
    assert (await offered(storage))[0] == ["large"]
    assert await left(storage) == (3_000, 4_000)


@clause("LIMIT-5", "CALL-1")
async def test_what_is_held_is_not_given_to_others(storage: Storage) -> None:
    await put_limit(storage)
    await start(storage, "holds", limits=GPT, estimate=need(1_000, 3_000))
    await enqueue_needing(storage, 1_001)
    assert await the_wait(storage) == 1

    await enqueue_needing(storage, 1_000, "small", queue="other")
    assert (await offered(storage, "other"))[0] == ["small"]


@clause("LIMIT-7")
async def test_a_limit_with_a_ramp_comes_to_its_rate_evenly(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, ramp_ms=9_000)
    await enqueue_needing(storage, OPENING, "first")
    assert (await offered(storage))[0] == ["first"]
    seen = []
    for _ in range(11):
        seen.append((await the_limit(storage)).pace)
        clock.advance_ms(900)

    assert seen == [100, 190, 280, 370, 460, 550, 640, 730, 820, 910, 1000]


@clause("LIMIT-7", "LIMIT-5")
async def test_a_limit_refills_at_the_pace_in_force_when_it_was_last_looked_at(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, ramp_ms=9_000)
    await enqueue_needing(storage, OPENING, "first")
    for n in range(2):
        await enqueue_needing(storage, 100, f"more {n}")
    assert await offered(storage) == (["first"], 1_000)
    clock.advance_ms(1_000)

    # Now the pace is 100 + 900 · 1,000 / 9,000 = 200 per mille: 100 tokens take half as long.
    assert await offered(storage) == (["more 0"], 500)
    clock.advance_ms(499)
    assert await the_wait(storage) == 1
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["more 1"]


@clause("LIMIT-8")
async def test_a_wait_told_after_the_clock_was_put_back_lasts_until_it_has_come_again(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, OPENING, "first", queue="q")
    await enqueue_needing(storage, 1_000, "second")
    assert await offered(storage, "q") == (["first"], HOUR_MS)
    clock.advance_ms(-2_000)

    assert await the_wait(storage) == 3_000
    clock.advance_ms(2_999)
    assert await the_wait(storage) == 1
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["second"]


@clause("LIMIT-8")
async def test_a_clock_that_goes_back_refills_nothing_and_takes_nothing(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await enqueue_needing(storage, 4_000, "first")
    await claim_one(storage)
    clock.advance_ms(-HOUR_MS)
    assert await left(storage) == (1_000, 0)
    await enqueue_needing(storage, 1_000, "second")
    assert (await offered(storage))[0] == ["second"]
    clock.advance_ms(HOUR_MS)
    assert await left(storage) == (0, 0)
    clock.advance_ms(1)
    assert await left(storage) == (1, 0)


@clause("LIMIT-8")
async def test_a_clock_that_jumps_ahead_fills_a_bucket_at_most_once(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, requests=60)
    await enqueue_needing(storage, OPENING)
    await claim_one(storage)
    clock.advance_ms(10**12)

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left) == (10, CAPACITY)
    await enqueue_needing(storage, CAPACITY, "again", queue="again")
    await claim_one(storage, "again")
    assert await left(storage) == (0, 0)


@clause("LIMIT-9")
async def test_only_so_many_run_at_once_and_an_end_lets_the_next_one_go(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units(concurrency=2)])
    await storage.enqueue([job(f"job {n}", limits=GPT, lease_ms=HOUR_MS) for n in range(4)])
    first, second = await claim_some(storage, 10)
    for _ in range(5):
        clock.advance_ms(60_000)
        assert (await offered(storage))[0] == []
    assert (await the_limit(storage)).running == 2

    await end(storage, first, GOOD)
    assert (await offered(storage))[0] == ["job 2"]
    await end(storage, second, GOOD)
    assert (await offered(storage))[0] == ["job 3"]


@clause("LIMIT-9")
async def test_there_is_no_waiting_time_for_a_unit_of_concurrency(storage: Storage) -> None:
    await storage.put_limits([units()])
    await start(storage, "first", limits=GPT)
    await enqueue_one(storage, "second", limits=GPT)
    assert await the_wait(storage) == 30_000  # when the lease of the first one ends

    run = await start(storage, "third", queue="other")
    answer = await ask(storage, run, 1, need(1), "gpt")
    assert answer == MustWait(limit="gpt", wait_ms=None)


@clause("LIMIT-13")
async def test_lowering_a_limit_stops_nothing_that_runs(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, concurrency=3)
    await storage.enqueue([job(f"job {n}", limits=GPT, estimate=need(1_000), lease_ms=HOUR_MS) for n in range(4)])
    runs = await claim_some(storage, 10)
    assert len(runs) == 3
    await put_limit(storage, concurrency=1, tokens=30_000)

    assert (await the_limit(storage)).running == 3
    for run in runs:
        assert (await get_one(storage, run.id)).state is State.RUNNING
        clock.advance_ms(10_000)
        assert (await offered(storage))[0] == []
        await end(storage, run, GOOD)
    assert (await offered(storage))[0] == ["job 3"]


@clause("LIMIT-13")
async def test_a_limit_lowered_below_what_is_taken_admits_when_it_has_come_back(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, limits=GPT, estimate=need(2_000, 2_000), lease_ms=HOUR_MS)
    await put_limit(storage, burst_ms=1_000)
    assert await left(storage) == (1_000, 2_000)
    await enqueue_needing(storage, 1, "next")

    # More is held than the bucket can have: it is full, so that what does not fit is admitted.
    assert (await offered(storage))[0] == ["next"]
    await enqueue_needing(storage, 1, "last")
    assert (await the_wait(storage)) == 1
    await end(storage, run, GOOD)


@clause("LIMIT-1")
async def test_a_limit_by_nothing_binds_calls_of_any_run(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(5_000), "gpt")
    other = await start(storage, "other", queue="other")

    answer = await ask(storage, other, 1, need(10), "gpt")
    assert answer == MustWait(limit="gpt", wait_ms=10)
    assert await left(storage) == (0, 0)


@clause("LIMIT-1")
async def test_a_limit_tells_whether_it_was_ever_used(storage: Storage) -> None:
    await put_limit(storage)
    assert not (await the_limit(storage)).used
    await enqueue_needing(storage, 1)
    await claim_one(storage)
    assert (await the_limit(storage)).used
