"""Chapter 13: what a call is expected to need when nobody says so."""

from collections.abc import Sequence
from itertools import count

import pytest

from aiq.model import CallState, Estimate, JobSpec, RouteSpec, Usage
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import left, need, open_call, put_limit, tell

C = CallState
GPT = ("gpt",)
ROOMY = {"tokens": 10**9, "burst_ms": 60_000}
STEPS = [1000, 1000, 659, 517, 435, 380, 341, 311, 287, 267, 251, 237, 225, 214, 205, 196, 189, 182, 176, 170, 165]
"""1000 / n^0.6, rounded down, by the number n of samples before; the first is not used."""

_numbers = count(1)


def quantile(samples: Sequence[int], steps: Sequence[int] = STEPS) -> int:
    """What the chapter learns of these, in whole tokens."""
    q = max(1_000, samples[0] * 1_000)
    for n, sample in enumerate(samples[1:], 1):
        s = steps[n] if n < len(steps) else 50
        q = max(1_000, q * (10_000 + 9 * s if sample * 1_000 > q else 10_000 - s) // 10_000)
    return q // 1_000


async def teach(storage: Storage, samples: Sequence[tuple[int, int]], model: str = "gpt", task: str = "work") -> None:
    """Let calls of a task and model be settled, each with so much input and output."""
    name = f"teaches {next(_numbers)}"
    await storage.enqueue([JobSpec(id=name, task=task, queue="teaches", estimate=Estimate(model=model))])
    run = await claim_one(storage, "teaches")
    for number, (into, out) in enumerate(samples, 1):
        await tell(storage, run, number, used=Usage(model, into, out))
    await end(storage, run, GOOD)


async def reserved(storage: Storage, **estimate: int) -> tuple[int, int]:
    """What a claim takes and holds for a job with this estimate of a call to "gpt"."""
    await put_limit(storage, **ROOMY)
    tokens, held = await left(storage)
    name = f"reserves {next(_numbers)}"
    run = await start(storage, name, queue="reserves", limits=GPT, estimate=Estimate(model="gpt", **estimate))
    after, now_held = await left(storage)
    await tell(storage, run, 0, C.UNSENT)
    await end(storage, run, GOOD)
    return (tokens or 0) - (after or 0), now_held - held


@clause("EST-1")
@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ({}, (1_000, 1_000)),
        ({"input": 70}, (70, 1_000)),
        ({"max_output": 300}, (1_000, 300)),
        ({"max_output": 3_000}, (1_000, 3_000)),
        ({"output": 40}, (1_000, 40)),
        ({"input": 0, "output": 0}, (0, 0)),
        ({"input": 5, "output": 40, "max_output": 300}, (5, 40)),
    ],
)
@pytest.mark.parametrize("calls", [0, 19])
async def test_before_twenty_calls_a_need_is_what_was_declared_or_a_thousand_tokens(
    storage: Storage, estimate: dict[str, int], expected: tuple[int, int], calls: int
) -> None:
    if calls:
        await teach(storage, [(5_000, 7_000)] * calls)
    assert await reserved(storage, **estimate) == expected


@clause("EST-1", "EST-2")
async def test_after_twenty_calls_what_was_not_declared_is_learned(storage: Storage) -> None:
    samples = [(100 + 37 * n % 90, 700 - 53 * n % 400) for n in range(20)]
    await teach(storage, samples)
    into, out = quantile([one for one, _ in samples]), quantile([other for _, other in samples])
    assert (into, out) != (1_000, 1_000)

    assert await reserved(storage) == (into, out)
    assert await reserved(storage, input=5) == (5, out)
    assert await reserved(storage, max_output=out - 1) == (into, out - 1)
    assert await reserved(storage, max_output=10**6) == (into, out)
    assert await reserved(storage, output=3) == (into, 3)


@clause("EST-2")
@pytest.mark.parametrize(
    "samples",
    [
        [500] * 20,
        [1] * 25,
        [0] * 20,
        [1_000, *[0] * 24],
        [10, *[100_000] * 22],
        [n * n for n in range(21)],
        [(n * 7_919) % 1_000 for n in range(60)],
    ],
    ids=range(7),
)
async def test_what_is_learned_is_a_quantile_of_nine_tenths(storage: Storage, samples: list[int]) -> None:
    # The table goes on to 50 per mille, which 60 samples do not reach.
    steps = [1_000, *(int(1_000 / n**0.6) for n in range(1, 60))]
    await teach(storage, [(1, sample) for sample in samples])
    assert (await reserved(storage, input=0))[1] == quantile(samples, steps)


@clause("EST-2")
async def test_a_step_is_at_least_fifty_per_mille(storage: Storage) -> None:
    steps = [1_000, *(max(50, int(1_000 / n**0.6)) for n in range(1, 200))]
    samples = [(n * 7_919) % 1_000 for n in range(200)]
    for first in range(0, 200, 50):
        await teach(storage, [(1, sample) for sample in samples[first : first + 50]])
    assert (await reserved(storage, input=0))[1] == quantile(samples, steps)


@clause("EST-1")
async def test_each_task_and_each_model_learns_for_itself(storage: Storage) -> None:
    await teach(storage, [(100, 100)] * 20, model="claude")
    await teach(storage, [(100, 100)] * 20, task="other")
    assert await reserved(storage) == (1_000, 1_000)


@clause("EST-3")
async def test_reasoning_is_output_and_every_other_category_is_input(storage: Storage) -> None:
    run = await start(storage, "teaches", queue="teaches", estimate=Estimate(model="gpt"))
    for number in range(1, 21):
        await tell(storage, run, number, used=Usage("gpt", 100, 200, reasoning=50, cache_read=30, video=20))
    into, out = quantile([150] * 20), quantile([250] * 20)
    assert await reserved(storage) == (into, out)


@clause("EST-3")
@pytest.mark.parametrize("how", ["unsent", "throttled", "nothing said", "estimated", "so far", "corrected"])
async def test_what_is_no_settlement_with_a_report_teaches_nothing(storage: Storage, clock: Clock, how: str) -> None:
    await put_limit(storage, **ROOMY)
    await teach(storage, [(100, 100)] * 19)
    run = await start(storage, queue="q", limits=GPT, estimate=need(1, 1, model="gpt"), lease_ms=10, max_attempts=1)
    await open_call(storage, run, 1, need(1, 1, model="gpt"))
    match how:
        case "unsent":
            await tell(storage, run, 1, C.UNSENT)
        case "throttled":
            await tell(storage, run, 1, C.THROTTLED, retry_after_ms=0)
        case "nothing said":
            await tell(storage, run, 1, C.SETTLED)
        case "estimated":
            await end(storage, run, GOOD)
        case "so far":
            await tell(storage, run, 1, C.OPEN, Usage("gpt", 5, 5))
        case "corrected":
            clock.advance_ms(10)
            await storage.upkeep()
            await tell(storage, run, 1, used=Usage("gpt", 5, 5))
    clock.advance_ms(60_000)
    assert await reserved(storage) == (1_000, 1_000)
    await teach(storage, [(100, 100)])
    assert await reserved(storage) == (quantile([100] * 20),) * 2


@clause("EST-3")
async def test_a_run_that_ends_with_a_report_teaches(storage: Storage) -> None:
    await teach(storage, [(100, 100)] * 19)
    run = await start(storage, "last", queue="q", estimate=Estimate(model="gpt"))
    await put_limit(storage, **ROOMY)
    await open_call(storage, run, 1, need(1, 1, model="gpt"), "gpt")
    await tell(storage, run, 1, C.OPEN, Usage("gpt", 100, 100))
    assert await reserved(storage) == (1_000, 1_000)
    await end(storage, run, GOOD)
    assert await reserved(storage, input=7) == (7, quantile([100] * 20))


@clause("EST-3")
async def test_a_report_that_is_repeated_teaches_once(storage: Storage) -> None:
    await teach(storage, [(100, 100)] * 18)
    run = await start(storage, "last", queue="q", estimate=Estimate(model="gpt"))
    for _ in range(5):
        await tell(storage, run, 1, used=Usage("gpt", 100, 100))
    assert await reserved(storage) == (1_000, 1_000)


@clause("EST-1", "ROUTE-1")
async def test_the_model_of_a_route_is_what_counts(storage: Storage) -> None:
    await put_limit(storage, **ROOMY)
    await teach(storage, [(100, 100)] * 20, model="claude")
    before, _ = await left(storage)
    await enqueue_one(
        storage,
        queue="q",
        routes=(RouteSpec(name="one", model="claude", limits=GPT),),
        estimate=Estimate(model="gpt"),
    )
    await claim_one(storage, "q")
    assert await left(storage) == ((before or 0) - quantile([100] * 20), quantile([100] * 20))
