"""Chapter 10: calls that have to wait stand in a line, before the jobs that have not begun."""

import pytest

from aiq.bounds import MAX_BATCH, PLACE_KEPT_MS
from aiq.model import Admitted, Band, CallRequest, CallState, JobRecord, MustWait, Usage
from aiq.storage import Storage, limit_topic
from aiq.testing.actions import GOOD, LONG_MS, changed, end, enqueue_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import ask, left, need, offered, open_call, put_limit, tell, the_limit, tokens, units, wait_of

GPT = ("gpt",)
HOUR_MS = 3_600_000


async def begin(storage: Storage, name: str, band: Band = Band.NORMAL) -> JobRecord:
    """A run that takes no limit by itself."""
    return await start(storage, name, queue=f"queue-of-{name}", band=band, lease_ms=HOUR_MS)


@clause("CALL-5", "CALL-6")
async def test_calls_wait_in_the_order_in_which_they_first_asked(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    first, second = await begin(storage, "first"), await begin(storage, "second")
    assert await wait_of(storage, first, 1, need(6_000), "gpt") == 1_000
    # The second would fit, but not beside the first: 6,000 and 10 of the 5,000 that are there.
    assert await wait_of(storage, second, 1, need(10), "gpt") == 1_010
    assert await wait_of(storage, first, 1, need(6_000), "gpt") == 1_000
    clock.advance_ms(1_000)
    assert await wait_of(storage, second, 1, need(10), "gpt") == 10

    await open_call(storage, first, 1, need(6_000), "gpt")
    assert await wait_of(storage, second, 1, need(10), "gpt") == 10
    clock.advance_ms(10)
    await open_call(storage, second, 1, need(10), "gpt")
    assert await left(storage) == (0, 0)


@clause("CALL-5")
async def test_what_is_held_for_calls_before_counts_too(storage: Storage) -> None:
    await put_limit(storage)
    first, second = await begin(storage, "first"), await begin(storage, "second")
    assert await wait_of(storage, first, 1, need(4_000, 2_000), "gpt") == 1_000
    assert await wait_of(storage, second, 1, need(100), "gpt") == 1_100


@clause("CALL-5")
async def test_a_call_of_a_more_urgent_band_stands_before_one_that_asked_earlier(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    slow, fast = await begin(storage, "slow", Band.BATCH), await begin(storage, "fast", Band.HIGH)
    assert await wait_of(storage, slow, 1, need(6_000), "gpt") == 1_000
    assert await wait_of(storage, fast, 1, need(5_500), "gpt") == 500
    assert await wait_of(storage, slow, 1, need(6_000), "gpt") == 6_500
    clock.advance_ms(500)

    await open_call(storage, fast, 1, need(5_500), "gpt")
    assert await wait_of(storage, slow, 1, need(6_000), "gpt") == 6_000


@clause("CALL-5")
async def test_a_call_that_waits_for_one_limit_keeps_its_place_on_the_others(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([tokens("gpt"), tokens("other")])
    first, second = await begin(storage, "first"), await begin(storage, "second")
    await open_call(storage, second, 1, need(5_000), "gpt")
    assert await ask(storage, first, 1, need(4_000), "gpt", "other") == MustWait(limit="gpt", wait_ms=4_000)

    assert await wait_of(storage, second, 2, need(2_000), "other") == 1_000
    assert (await left(storage, "other"))[0] == 5_000


@clause("CALL-5")
async def test_a_call_goes_before_jobs_of_its_own_and_less_urgent_bands_that_do_not_run(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    run = await begin(storage, "runs")
    assert await wait_of(storage, run, 1, need(6_000), "gpt") == 1_000
    for band in (Band.HIGH, Band.NORMAL, Band.BATCH):
        await enqueue_one(storage, band.name, queue=band.name, band=band, limits=GPT, estimate=need(100))

    assert (await offered(storage, "NORMAL", "BATCH"))[0] == []
    assert (await offered(storage, "HIGH"))[0] == ["HIGH"]
    clock.advance_ms(1_100)
    assert (await offered(storage, "NORMAL", "BATCH"))[0] == []
    await open_call(storage, run, 1, need(6_000), "gpt")
    clock.advance_ms(200)
    assert (await offered(storage, "NORMAL", "BATCH"))[0] == ["NORMAL", "BATCH"]


@clause("CALL-5", "LIMIT-9")
async def test_a_unit_that_comes_free_goes_to_the_call_that_waits_for_it(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=2)])
    first = await start(storage, "first", limits=GPT, queue="a", lease_ms=HOUR_MS)
    second = await start(storage, "second", limits=GPT, queue="b", lease_ms=HOUR_MS)
    await enqueue_one(storage, "third", limits=GPT)
    await open_call(storage, first, 1, need(1))
    assert await wait_of(storage, first, 2, need(1)) is None

    await end(storage, second, GOOD)
    assert (await offered(storage))[0] == []
    await open_call(storage, first, 2, need(1))
    assert (await the_limit(storage)).running == 2


@clause("CALL-6")
async def test_a_call_that_waits_is_counted_and_has_taken_nothing(storage: Storage) -> None:
    await put_limit(storage, requests=60)
    run = await begin(storage, "runs")
    await wait_of(storage, run, 1, need(6_000), "gpt")
    await wait_of(storage, run, 2, need(10), "gpt")

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left, status.waiting) == (5, 5_000, 2)


@clause("CALL-6")
async def test_a_place_is_kept_for_a_minute_after_the_call_last_asked(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units(concurrency=1)])
    holder, first, second = [await begin(storage, name) for name in ("holder", "first", "second")]
    await open_call(storage, holder, 1, need(1), "gpt")
    assert await wait_of(storage, first, 1, need(1), "gpt") is None
    clock.advance_ms(PLACE_KEPT_MS)
    assert await wait_of(storage, first, 1, need(1), "gpt") is None
    await tell(storage, holder, 1, used=Usage(input=1))

    clock.advance_ms(PLACE_KEPT_MS)
    assert isinstance(await ask(storage, second, 1, need(1), "gpt"), MustWait)
    clock.advance_ms(1)
    assert isinstance(await ask(storage, second, 1, need(1), "gpt"), Admitted)


@clause("CALL-6")
async def test_a_call_that_asks_again_after_it_lost_its_place_stands_at_the_end(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units(concurrency=1)])
    holder, first, second = [await begin(storage, name) for name in ("holder", "first", "second")]
    await open_call(storage, holder, 1, need(1), "gpt")
    await wait_of(storage, first, 1, need(1), "gpt")
    clock.advance_ms(PLACE_KEPT_MS)
    await wait_of(storage, second, 1, need(1), "gpt")
    clock.advance_ms(1)
    await wait_of(storage, first, 1, need(1), "gpt")
    await tell(storage, holder, 1, used=Usage(input=1))

    assert isinstance(await ask(storage, first, 1, need(1), "gpt"), MustWait)
    assert isinstance(await ask(storage, second, 1, need(1), "gpt"), Admitted)


@clause("CALL-6")
@pytest.mark.parametrize("how", ["ended", "expired", "cancelled", "given up"])
async def test_a_place_goes_with_its_run(storage: Storage, clock: Clock, how: str) -> None:
    await put_limit(storage)
    first = await start(storage, "first", queue="q", lease_ms=1_000)
    second = await begin(storage, "second")
    await wait_of(storage, first, 1, need(60_000), "gpt")
    assert await wait_of(storage, second, 1, need(3_000), "gpt") == 58_000
    if how == "ended":
        await end(storage, first, GOOD)
    elif how == "expired":
        clock.advance_ms(1_000)
        await storage.upkeep()
    elif how == "cancelled":
        await storage.cancel(["first"], force=True)
    else:
        await tell(storage, first, 1, CallState.UNSENT)

    await open_call(storage, second, 1, need(3_000), "gpt")
    assert (await the_limit(storage)).waiting == 0


@clause("CALL-5", "CALL-6")
async def test_a_run_of_an_expired_lease_keeps_nobody_waiting(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    first = await start(storage, "first", queue="q", lease_ms=1_000)
    await wait_of(storage, first, 1, need(60_000), "gpt")
    clock.advance_ms(1_000)
    await enqueue_one(storage, "next", limits=GPT, estimate=need(3_000), queue="r")

    # The claim revokes the run first, of whatever queue that is.
    assert (await offered(storage, "r"))[0] == ["next"]


@clause("CALL-6", "STORE-6")
async def test_who_waits_for_a_limit_is_told_when_it_has_room(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=1)])
    holder, waits = await begin(storage, "holder"), await begin(storage, "waits")
    await open_call(storage, holder, 1, need(1), "gpt")
    await wait_of(storage, waits, 1, need(1), "gpt")
    mark = await storage.wait([limit_topic("gpt")], after=None, timeout_ms=LONG_MS)
    await tell(storage, holder, 1, used=Usage(input=1))

    assert await changed(storage, mark, limit_topic("gpt"))


@clause("CALL-7", "CALL-6")
async def test_a_call_that_waits_may_ask_for_less(storage: Storage) -> None:
    await put_limit(storage)
    run = await begin(storage, "runs")
    assert await wait_of(storage, run, 1, need(9_000), "gpt") == 4_000
    await open_call(storage, run, 1, need(4_000), "gpt")
    assert (await the_limit(storage)).waiting == 0


def requests(run: JobRecord, *inputs: int, number: int = 1) -> list[CallRequest]:
    """Calls of a run, numbered from `number` on, that need so many tokens each."""
    return [
        CallRequest(lease=run.lease, number=n, limits=GPT, estimate=need(count))
        for n, count in enumerate(inputs, start=number)
    ]


@clause("CALL-5", "CALL-6")
async def test_calls_that_ask_together_stand_in_line_as_if_they_had_asked_one_by_one(storage: Storage) -> None:
    await put_limit(storage)
    run = await begin(storage, "runs")
    one, two, three, four = requests(run, 6_000, 1_000, 1_000, 1_000)
    waits = [MustWait(limit="gpt", wait_ms=1_000 * n) for n in range(1, 5)]
    assert await storage.acquire([one, two, three, four]) == waits
    # The first asks for what is there and is gone, and the others stand where they stood, whoever asks first.
    (smaller,) = requests(run, 5_000)
    answers = await storage.acquire([four, smaller, three, two])
    assert isinstance(answers[1], Admitted)
    assert [answers[0], *answers[2:]] == [MustWait(limit="gpt", wait_ms=ms) for ms in (4_000, 2_000, 1_000)]
    assert (await storage.acquire([four]))[0] == MustWait(limit="gpt", wait_ms=3_000)


@clause("CALL-5")
async def test_a_line_of_more_calls_than_one_looks_at_moves_up(storage: Storage) -> None:
    await put_limit(storage)
    first, urgent = await begin(storage, "first"), await begin(storage, "urgent", Band.HIGH)
    others = await begin(storage, "others")
    await storage.acquire(requests(first, *[5_001] * MAX_BATCH))
    # No more are looked at than stand before those of this batch; one in front pushes the last of them out of sight.
    tail, front = requests(others, 10, 10), requests(urgent, 5_001)
    behind = MustWait(limit="gpt", wait_ms=5_001 * MAX_BATCH - 5_000 + 10)
    assert await storage.acquire([*tail, *front, *tail]) == [
        behind,
        behind,
        MustWait(limit="gpt", wait_ms=1),
        behind,
        behind,
    ]
    await end(storage, first, GOOD)
    assert await storage.acquire([*tail, *front]) == [
        MustWait(limit="gpt", wait_ms=11),
        MustWait(limit="gpt", wait_ms=21),
        MustWait(limit="gpt", wait_ms=1),
    ]
