"""Chapter 10: what comes back of a call, and what is taken besides, when it is known what it used."""

from collections.abc import Mapping

import pytest

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import CallState, Charge, JobRecord, Remaining, Report, Reported, Usage
from aiq.storage import Storage
from aiq.testing.actions import GOOD, end, look, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    CAPACITY,
    OPENING,
    ask,
    counted,
    left,
    need,
    open_call,
    put_limit,
    tell,
    the_limit,
    tokens,
    units,
)

C = CallState
HOUR_MS = 3_600_000
DOUBLED = {"output": 2_000, "cache_read": 100}


async def calling(storage: Storage, input: int = 1_000, output: int = 500, *limits: str) -> JobRecord:
    """A run with one call open that takes so much input and expects so much output."""
    run = await start(storage, lease_ms=HOUR_MS)
    await open_call(storage, run, 1, need(input, output), *(limits or ("gpt",)))
    return run


@clause("CALL-9")
@pytest.mark.parametrize(
    ("charge", "refund", "weights", "used", "expected"),
    [
        # The call takes 1,000 and holds 500, of 5,000.
        (Charge.STREAM, True, {}, Usage(input=1_000, output=200), 5_000 - 1_200),
        (Charge.STREAM, True, {}, Usage(input=100), 5_000 - 100),
        (Charge.STREAM, True, {}, Usage(input=1_000, output=900), 5_000 - 1_900),
        (Charge.STREAM, True, {}, Usage(input=6_000, output=900), 5_000 - 6_900),
        (Charge.STREAM, False, {}, Usage(input=100), 5_000 - 1_000),
        (Charge.STREAM, False, {}, Usage(input=100, output=950), 5_000 - 1_050),
        (Charge.STREAM, True, DOUBLED, Usage(input=1_000, output=200, cache_read=55), 5_000 - 1_405),
        (Charge.STREAM, True, {}, Usage(input=1_000, output=200, reasoning=70), 5_000 - 1_270),
        (Charge.RESERVE, True, {}, Usage(input=1_000, output=200), 5_000 - 1_200),
        (Charge.RESERVE, True, {}, Usage(input=1_000, output=900), 5_000 - 1_900),
        (Charge.RESERVE, False, {}, Usage(input=1_000, output=200), 5_000 - 1_500),
        (Charge.MAX, False, {}, Usage(input=900), 5_000 - 1_000),
        (Charge.MAX, False, {}, Usage(input=900, output=300), 5_000 - 1_200),
        (Charge.MAX, True, {}, Usage(input=900), 5_000 - 900),
        (Charge.INPUT, True, {}, Usage(input=800, output=900, reasoning=70, cache_read=60), 5_000 - 860),
        (Charge.INPUT, False, {}, Usage(input=800, output=900), 5_000 - 1_000),
    ],
)
async def test_a_settled_call_has_taken_what_it_used(
    storage: Storage, charge: Charge, refund: bool, weights: Mapping[str, int], used: Usage, expected: int
) -> None:
    await put_limit(storage, charge=charge, refund=refund, weights=weights, requests=60)
    run = await calling(storage)
    assert await tell(storage, run, 1, used=used) == Reported()

    assert await left(storage) == (expected, 0)
    assert (await the_limit(storage)).requests_left == 4


@clause("CALL-9")
async def test_what_comes_back_never_passes_the_capacity(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    run = await calling(storage, 4_000, 0)
    clock.advance_ms(CAPACITY)
    assert await left(storage) == (CAPACITY, 0)
    await tell(storage, run, 1, C.UNSENT)

    assert await left(storage) == (CAPACITY, 0)
    clock.advance_ms(1)
    assert await left(storage) == (CAPACITY, 0)


@clause("CALL-9")
async def test_models_of_one_call_count_together(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage)
    await tell(storage, run, 1, used=[Usage("large", 700, 100), Usage("small", 200, 20)])

    assert await left(storage) == (OPENING - 1_020, 0)


@clause("CALL-9")
async def test_a_call_settles_on_each_of_its_limits_by_that_limits_own_rules(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("input", charge=Charge.INPUT), tokens("max", charge=Charge.MAX)])
    run = await calling(storage, 1_000, 500, "gpt", "input", "max")
    await tell(storage, run, 1, used=Usage(input=900, output=300))

    assert [(await left(storage, name))[0] for name in ("gpt", "input", "max")] == [3_800, 4_100, 3_800]


@clause("CALL-10", "USAGE-2")
async def test_use_so_far_moves_what_is_held_into_what_is_taken(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage)
    seen = []
    for output in (0, 200, 200, 100, 500, 700):
        assert await tell(storage, run, 1, C.OPEN, Usage(input=1_000, output=output)) == Reported()
        seen.append(await left(storage))
    assert seen == [(4_000, 500), (3_800, 300), (3_800, 300), (3_800, 300), (3_500, 0), (3_300, 0)]

    await tell(storage, run, 1, used=Usage(input=1_000, output=800))
    assert await left(storage) == (3_200, 0)


@clause("CALL-10")
async def test_use_so_far_below_the_charge_takes_nothing_and_gives_nothing_back(storage: Storage) -> None:
    await put_limit(storage, charge=Charge.RESERVE)
    run = await calling(storage)
    seen = []
    for output in (100, 499, 500, 600):
        await tell(storage, run, 1, C.OPEN, Usage(input=1_000, output=output))
        seen.append(await left(storage))
    assert seen == [(3_500, 0), (3_500, 0), (3_500, 0), (3_400, 0)]


@clause("CALL-10")
async def test_a_settlement_that_says_nothing_stands_on_what_was_reported(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage)
    await tell(storage, run, 1, C.OPEN, Usage(input=1_000, output=200))
    await tell(storage, run, 1)

    assert await left(storage) == (3_800, 0)
    assert await counted(storage, job_id="job") == {"input": 1_000, "output": 200}


@clause("CALL-11")
async def test_a_call_that_was_never_sent_gives_back_everything(storage: Storage) -> None:
    await put_limit(storage, requests=60, concurrency=3)
    run = await calling(storage)
    await tell(storage, run, 1, C.UNSENT)

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left, status.tokens_held, status.running) == (5, OPENING, 0, 0)
    assert await counted(storage) == {}


@clause("CALL-11", "CALL-9")
async def test_a_call_without_refund_that_was_never_sent_gives_back_everything_too(storage: Storage) -> None:
    await put_limit(storage, charge=Charge.MAX, refund=False)
    run = await calling(storage)
    await tell(storage, run, 1, C.UNSENT)
    assert await left(storage) == (OPENING, 0)


@clause("CALL-11")
async def test_a_call_that_has_used_something_was_sent(storage: Storage) -> None:
    await put_limit(storage, requests=60)
    run = await calling(storage)
    await tell(storage, run, 1, C.OPEN, Usage(input=1_000, output=200))
    await tell(storage, run, 1, C.UNSENT)

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left, status.tokens_held) == (4, 3_800, 0)


@clause("CALL-11", "LIMIT-10")
async def test_a_call_that_the_provider_refused_keeps_its_request_and_pauses_its_limits(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt", requests=60, concurrency=2), tokens("other")])
    run = await calling(storage, 4_000, 500, "gpt", "other")
    await tell(storage, run, 1, C.THROTTLED, retry_after_ms=300)

    for name in ("gpt", "other"):
        status = await the_limit(storage, name)
        # 5,000 came back; the provider has at most 4,000 - 300 · 1 of them.
        assert (status.tokens_left, status.tokens_held, status.frozen_ms, status.pace) == (3_700, 0, 300, 900)
    status = await the_limit(storage)
    assert (status.requests_left, status.running) == (4, 0)


@clause("CALL-14")
@pytest.mark.parametrize("first", [C.SETTLED, C.UNSENT, C.THROTTLED])
@pytest.mark.parametrize("second", [C.OPEN, C.SETTLED, C.UNSENT, C.THROTTLED])
async def test_a_call_is_closed_once(storage: Storage, first: CallState, second: CallState) -> None:
    await put_limit(storage, requests=60, concurrency=3)
    run = await calling(storage)
    await open_call(storage, run, 2, need(100, 100), "gpt")
    used = Usage(input=900, output=100) if first is C.SETTLED else ()
    await tell(storage, run, 1, first, used, retry_after_ms=0)
    before, usage = await the_limit(storage), await counted(storage)
    await tell(storage, run, 1, second, Usage(input=5_000) if second is not C.UNSENT else (), retry_after_ms=5_000)

    assert await the_limit(storage) == before
    assert await counted(storage) == usage


@clause("CALL-9")
async def test_a_settlement_makes_room_for_who_waits_at_once(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage, 5_000, 0)
    assert (await the_limit(storage)).tokens_left == 0
    other = await start(storage, "other", queue="other")
    await ask(storage, other, 1, need(2_000), "gpt")
    await tell(storage, run, 1, used=Usage(input=2_500))

    await open_call(storage, other, 1, need(2_000), "gpt")
    assert await left(storage) == (500, 0)


@clause("LIMIT-12")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Remaining(limit="gpt", requests=2, tokens=700), (2, 700)),
        (Remaining(limit="gpt", tokens=3_700), (4, 3_700)),
        (Remaining(limit="gpt", requests=0), (0, 3_800)),
        (Remaining(limit="gpt", requests=100, tokens=90_000), (4, 3_800)),
        (Remaining(limit="ghost", requests=0, tokens=0), (4, 3_800)),
    ],
)
async def test_what_the_provider_says_is_left_lowers_a_level_and_never_raises_one(
    storage: Storage, said: Remaining, expected: tuple[int, int]
) -> None:
    await put_limit(storage, requests=60)
    run = await calling(storage)
    await tell(storage, run, 1, used=Usage(input=1_000, output=200), remaining=(said,))

    status = await the_limit(storage)
    assert (status.requests_left, status.tokens_left) == expected


@clause("LIMIT-12")
async def test_what_is_left_may_be_told_while_a_call_goes_on(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage)
    await tell(storage, run, 1, C.OPEN, remaining=(Remaining(limit="gpt", tokens=900),))
    assert await left(storage) == (900, 500)


@clause("USAGE-1")
async def test_a_call_that_nobody_reserved_is_counted(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    assert await tell(storage, run, 0, used=Usage("gpt", 70, 30)) == Reported()
    assert await tell(storage, run, 5, used=Usage("gpt", 7)) == Reported()

    assert await counted(storage, job_id="job") == {"input": 77, "output": 30}
    assert not (await the_limit(storage)).used


@clause("CALL-9", "CANCEL-2")
async def test_a_run_that_was_asked_to_stop_hears_so_when_it_reports(storage: Storage) -> None:
    await put_limit(storage)
    run = await calling(storage)
    await storage.cancel(["job"])
    assert await tell(storage, run, 1, C.OPEN, Usage(input=1)) == Reported(cancel_requested=True)


@clause("CALL-9", "STORE-9")
async def test_reports_have_their_bounds(storage: Storage) -> None:
    run = await start(storage)
    told = Report(lease=run.lease, call=1, state=C.SETTLED)
    many = tuple(Usage(f"model {n}", 1) for n in range(bounds.MAX_LIMITS + 1))
    left_over = tuple(Remaining(limit=f"l{n}") for n in range(bounds.MAX_LIMITS + 1))
    for reports in (
        [told] * (bounds.MAX_BATCH + 1),
        [Report(lease=run.lease, call=1, state=C.SETTLED, used=many)],
        [Report(lease=run.lease, call=-1, state=C.SETTLED)],
        [Report(lease=run.lease, call=1, state=C.THROTTLED, retry_after_ms=-1)],
        [Report(lease=run.lease, call=1, state=C.SETTLED, remaining=left_over)],
        [Report(lease=run.lease, call=1, state=C.EXPIRED)],
    ):
        before = await look(storage)
        with pytest.raises(InvalidInput):
            await storage.report(reports)
        assert await look(storage) == before


@clause("CALL-4", "CALL-9")
async def test_a_unit_comes_back_with_the_call_that_took_it(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=2)])
    run = await calling(storage, 1, 1)
    await open_call(storage, run, 2, need(1), "gpt")
    await tell(storage, run, 1, used=Usage(input=1))
    assert (await the_limit(storage)).running == 1
    await end(storage, run, GOOD)
    assert (await the_limit(storage)).running == 0
