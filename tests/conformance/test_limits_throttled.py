"""Chapter 10: what a limit learns from a 429."""

import pytest

from aiq.errors import InvalidInput
from aiq.model import CallState, LimitSpec, MustWait, Throttle, Usage
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import OPENING, ask, left, need, offered, open_call, put_limit, tell, the_limit, tokens, units

HOUR_MS = 3_600_000


async def throttle(storage: Storage, call_tokens: int = 0, retry_after_ms: int | None = None, **options: str) -> None:
    await storage.throttled(
        [Throttle(**{"limit": "gpt", **options}, tokens=call_tokens, retry_after_ms=retry_after_ms)]
    )


async def frozen(storage: Storage) -> tuple[int, int]:
    """How long the limit admits nothing, and its pace."""
    status = await the_limit(storage)
    return status.frozen_ms, status.pace


async def use(storage: Storage) -> None:
    """Let the limit be used for the first time, by a call of no tokens."""
    await enqueue_one(storage, "user", queue="user", limits=("gpt",), estimate=need(0), lease_ms=24 * HOUR_MS)
    assert (await offered(storage, "user"))[0] == ["user"]


@clause("LIMIT-10")
async def test_a_429_freezes_a_limit_for_as_long_as_it_says(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await throttle(storage, 4_000, 300)
    await enqueue_one(storage, limits=("gpt",), estimate=need(100))

    assert await frozen(storage) == (300, 900)
    assert await offered(storage) == ([], 300)
    clock.advance_ms(299)
    assert await offered(storage) == ([], 1)
    clock.advance_ms(1)
    assert (await offered(storage))[0] == ["job"]


@clause("LIMIT-10")
@pytest.mark.parametrize(
    ("call_tokens", "retry_after_ms", "expected"),
    [(1_000, 400, 600), (1_000, 1_000, 0), (1_000, 3_000, -2_000), (4_999, 0, 4_999), (9_000, 1_000, OPENING)],
)
async def test_a_429_tells_how_much_the_provider_has_at_most(
    storage: Storage, call_tokens: int, retry_after_ms: int, expected: int
) -> None:
    await put_limit(storage, requests=60)
    await throttle(storage, call_tokens, retry_after_ms)
    assert await left(storage) == (expected, 0)
    assert (await the_limit(storage)).requests_left == 5


@clause("LIMIT-10")
async def test_a_429_lowers_the_requests_where_there_are_no_tokens(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=60)])
    await throttle(storage, 1_000, 500)
    assert (await the_limit(storage)).requests_left == 0
    await enqueue_one(storage, limits=("gpt",))
    clock.advance_ms(500)

    # There was one request less 500 ms of the rate, then 500 ms at nine tenths of it: 0.95 of one.
    assert await offered(storage) == ([], 56)
    clock.advance_ms(56)
    assert (await offered(storage))[0] == ["job"]


@clause("LIMIT-10")
async def test_a_429_never_raises_a_level(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(4_000), "gpt")
    await throttle(storage, 3_000, 10)
    assert await left(storage) == (1_000, 0)


@clause("LIMIT-10")
async def test_more_429s_while_a_limit_is_frozen_prolong_that_and_leave_the_pace(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    seen = []
    for retry_after_ms in (300, 100, 1_000, 1_000):
        await throttle(storage, 4_000, retry_after_ms)
        seen.append(await frozen(storage))
    assert seen == [(300, 900), (300, 900), (1_000, 900), (1_000, 900)]

    clock.advance_ms(999)
    await throttle(storage, 4_000, 1)
    assert await frozen(storage) == (1, 900)
    clock.advance_ms(1)
    await throttle(storage, 4_000, 1)
    assert await frozen(storage) == (1, 810)


@clause("LIMIT-10")
async def test_the_pace_has_a_floor(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    paces = []
    for _ in range(24):
        await throttle(storage, 4_000, 1)
        paces.append((await frozen(storage))[1])
        clock.advance_ms(1)
    assert paces[:5] == [900, 810, 729, 656, 590]
    assert paces[-6:] == [131, 117, 105, 100, 100, 100]


@clause("LIMIT-10", "LIMIT-5")
async def test_a_limit_refills_at_its_pace(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await throttle(storage, 0, 0)
    assert await left(storage) == (0, 0)
    assert await frozen(storage) == (0, 900)
    clock.advance_ms(1_000)
    assert await left(storage) == (900, 0)
    run = await start(storage)
    assert await ask(storage, run, 1, need(1_000), "gpt") == MustWait(limit="gpt", wait_ms=112)


@clause("LIMIT-10")
async def test_the_pace_comes_back_by_a_fiftieth_every_half_minute(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await throttle(storage, 4_000, 0)
    seen = []
    for ms in (29_999, 1, 30_000, 60_000, 29_999, 1):
        clock.advance_ms(ms)
        seen.append((await frozen(storage))[1])
    assert seen == [900, 920, 940, 980, 980, 1000]


@clause("LIMIT-10")
async def test_the_pace_rises_by_whole_half_minutes_since_it_was_lowered(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await use(storage)
    clock.advance_ms(20_000)
    await throttle(storage, 4_000, 0)
    for _ in range(3):
        clock.advance_ms(29_000)
        await use_again(storage, clock)
    # 87 s after it was lowered, which is two half minutes and a rest.
    assert (await frozen(storage))[1] == 940
    clock.advance_ms(3_000)
    assert (await frozen(storage))[1] == 960


async def use_again(storage: Storage, clock: Clock) -> None:
    """Let the limit be brought up to now by a job."""
    name = f"user {clock()}"
    await enqueue_one(storage, name, queue=name.replace(" ", "-"), limits=("gpt",), estimate=need(0))
    await offered(storage, name.replace(" ", "-"))


@clause("LIMIT-11")
async def test_a_429_that_names_no_time_pauses_for_half_of_what_the_call_takes(storage: Storage) -> None:
    await put_limit(storage)
    await throttle(storage, 9_000)
    # 9,000 tokens take 9,000 ms; half of it is 4,500, and so much less than 9,000 the provider has.
    assert await frozen(storage) == (4_500, 900)
    assert await left(storage) == (4_500, 0)


@clause("LIMIT-11")
async def test_half_of_the_time_is_that_at_the_pace_in_force(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    await throttle(storage, 9_000, 0)
    await throttle(storage, 9_000)
    # At 900 per mille 9,000 tokens take 10,000 ms; the first answer named a time, so nothing is doubled.
    assert await frozen(storage) == (5_000, 810)


@clause("LIMIT-11")
async def test_answers_in_a_row_that_name_no_time_double_the_pause_up_to_a_minute(
    storage: Storage, clock: Clock
) -> None:
    await put_limit(storage)
    seen = []
    for _ in range(9):
        await throttle(storage, 100)
        seen.append((await frozen(storage))[0])
        clock.advance_ms(seen[-1])
    assert seen == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


@clause("LIMIT-11")
async def test_answers_to_calls_that_were_under_way_together_count_as_one(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    for _ in range(6):
        await throttle(storage, 100)
    assert (await frozen(storage))[0] == 1_000
    clock.advance_ms(1_000)

    await throttle(storage, 100)
    assert (await frozen(storage))[0] == 2_000


@clause("LIMIT-11")
async def test_a_call_that_was_settled_ends_the_row(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await start(storage, lease_ms=HOUR_MS)
    await open_call(storage, run, 1, need(100), "gpt")
    for _ in range(3):
        await throttle(storage, 100)
        clock.advance_ms(4_000)
    await tell(storage, run, 1, used=Usage(input=100))

    await throttle(storage, 100)
    assert (await frozen(storage))[0] == 1_000
    clock.advance_ms(1_000)
    await throttle(storage, 100)
    assert (await frozen(storage))[0] == 2_000


@clause("LIMIT-11")
async def test_answers_that_name_a_time_are_not_counted(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    for _ in range(4):
        await throttle(storage, 100, 10)
    await throttle(storage, 100)
    assert (await frozen(storage))[0] == 1_000


@clause("LIMIT-11")
async def test_a_limit_of_requests_counts_one_request(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=6)])
    await throttle(storage, 10**9)
    # A request takes ten seconds.
    assert await frozen(storage) == (5_000, 900)


@clause("LIMIT-10")
async def test_a_limit_of_units_is_frozen_too(storage: Storage, clock: Clock) -> None:
    await storage.put_limits([units(concurrency=5)])
    await throttle(storage, 100, 400)
    await enqueue_one(storage, limits=("gpt",))
    assert await offered(storage) == ([], 400)
    clock.advance_ms(400)
    assert (await offered(storage))[0] == ["job"]


@clause("LIMIT-10")
async def test_a_429_for_an_unknown_limit_is_left_out(storage: Storage) -> None:
    await put_limit(storage)
    await storage.throttled([Throttle(limit="ghost", retry_after_ms=5), Throttle(limit="gpt", retry_after_ms=5)])
    assert (await frozen(storage))[0] == 5
    assert [status.spec.name for status in await storage.get_limits()] == ["gpt"]


@clause("LIMIT-10", "STORE-9")
async def test_429s_have_their_bounds(storage: Storage) -> None:
    await put_limit(storage)
    for throttles in (
        [Throttle(limit="gpt")] * 257,
        [Throttle(limit="gpt", tokens=-1)],
        [Throttle(limit="gpt", retry_after_ms=-1)],
    ):
        with pytest.raises(InvalidInput):
            await storage.throttled(throttles)
    assert await frozen(storage) == (0, 1000)


@clause("LIMIT-14")
async def test_what_a_limit_learns_of_one_tenant_leaves_the_others_alone(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, by="tenant")
    await throttle(storage, 1_000, 400, key="acme")
    for tenant in ("acme", "bolt"):
        await enqueue_one(storage, tenant, tenant=tenant, limits=("gpt",), estimate=need(4_000))

    assert await offered(storage) == (["bolt"], 3_778)
    clock.advance_ms(3_778)
    assert (await offered(storage))[0] == ["acme"]


@clause("LIMIT-14", "CALL-11")
async def test_a_refused_call_pauses_the_part_of_its_own_tenant(storage: Storage) -> None:
    await put_limit(storage, by="tenant")
    run = await start(storage, tenant="acme", limits=("gpt",), estimate=need(1_000))
    await tell(storage, run, 0, CallState.THROTTLED, retry_after_ms=700)
    for tenant in ("acme", "bolt"):
        await enqueue_one(storage, tenant, tenant=tenant, limits=("gpt",), estimate=need(10))

    assert await offered(storage) == (["bolt"], 700)


@clause("LIMIT-14")
async def test_levels_and_holds_belong_to_one_tenant_or_key(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt", by="key", concurrency=1)])
    for key in ("a", "b"):
        for n in range(2):
            await enqueue_one(storage, f"{key} {n}", key=key, limits=("gpt",), estimate=need(2_000, 1_000))
    assert (await offered(storage))[0] == ["a 0", "b 0"]
