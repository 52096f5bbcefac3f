"""Chapter 10: what can never fit, and what is not known."""

import pytest

from aiq.errors import NeverFits, UnknownLimit
from aiq.model import (
    Charge,
    Estimate,
    HeldFor,
    Refused,
    RouteSpec,
    State,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    enqueue_one,
    get_one,
    job,
    start,
    states,
)
from aiq.testing.marks import clause
from aiq.testing.spending import (
    ask,
    left,
    need,
    offered,
    put_limit,
    tokens,
)

GPT = ("gpt",)
HOUR_MS = 3_600_000
HALVED = {"input": 500, "output": 2_000}
THIRDS = {"input": 333, "output": 333}


@clause("CALL-17")
@pytest.mark.parametrize(
    ("charge", "estimate", "fits"),
    [
        (Charge.STREAM, need(60_000, 60_000), True),
        (Charge.STREAM, need(60_001), False),
        (Charge.RESERVE, need(30_000, 30_000), True),
        (Charge.RESERVE, need(30_000, 30_001), False),
        (Charge.MAX, need(60_000, 60_000), True),
        (Charge.MAX, need(1, 60_001), False),
        (Charge.INPUT, need(60_000, 10**9), True),
    ],
)
async def test_a_job_that_declares_more_than_a_limit_ever_gives_is_refused_at_enqueue(
    storage: Storage, charge: Charge, estimate: Estimate, fits: bool
) -> None:
    await put_limit(storage, charge=charge)
    batch = [job("before"), job(limits=GPT, estimate=estimate)]
    if fits:
        await storage.enqueue(batch)
        return
    with pytest.raises(NeverFits):
        await storage.enqueue(batch)
    assert await states(storage, "before", "job") == [None, None]


@clause("CALL-17")
async def test_a_capacity_over_a_period_counts_for_the_size(storage: Storage) -> None:
    await put_limit(storage, burst_ms=120_000)
    await enqueue_one(storage, limits=GPT, estimate=need(120_000))
    with pytest.raises(NeverFits):
        await enqueue_one(storage, "larger", limits=GPT, estimate=need(120_001))


@clause("CALL-17")
async def test_every_route_is_looked_at_for_the_size(storage: Storage) -> None:
    await storage.put_limits([tokens("gpt"), tokens("small", tokens=600)])
    routes = (RouteSpec(name="one", limits=GPT), RouteSpec(name="two", limits=("small",)))
    with pytest.raises(NeverFits):
        await enqueue_one(storage, routes=routes, estimate=need(5_000))


@clause("CALL-17", "HOLD-2")
async def test_a_job_that_turns_out_too_large_at_a_claim_is_held_for_its_size(storage: Storage) -> None:
    await put_limit(storage)
    await enqueue_one(storage, limits=GPT, estimate=need(50_000))
    await put_limit(storage, tokens=600)
    assert (await offered(storage))[0] == []

    record = await get_one(storage)
    assert (record.state, record.held, record.held_by) == (State.HELD, HeldFor.SIZE, "gpt")
    assert (record.failures, record.events) == (0, 2)


@clause("CALL-17")
@pytest.mark.parametrize(("charge", "expected"), [(Charge.STREAM, (-590, 1_000)), (Charge.RESERVE, (-590, 0))])
async def test_a_need_that_nobody_declared_counts_at_most_as_much_as_fits(
    storage: Storage, charge: Charge, expected: tuple[int, int]
) -> None:
    await put_limit(storage, tokens=600, burst_ms=1_000, charge=charge)
    await enqueue_one(storage, limits=GPT)

    # A thousand of input is not known, so it is at most the 600 of a period; the bucket of 10 is full, so it goes.
    assert (await offered(storage))[0] == ["job"]
    assert await left(storage) == expected


@clause("CALL-17")
async def test_a_call_that_can_never_fit_is_refused(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    answer = await ask(storage, run, 1, need(60_001), "gpt")
    assert isinstance(answer, Refused)
    assert answer.kind == "never_fits"
    assert "60,001" in answer.text


@clause("CALL-18")
async def test_a_job_that_names_an_unknown_limit_is_refused(storage: Storage) -> None:
    await put_limit(storage)
    routes = (RouteSpec(name="one", limits=GPT), RouteSpec(name="two", limits=("ghost",)))
    for options in ({"limits": ("gpt", "ghost")}, {"routes": routes}):
        with pytest.raises(UnknownLimit) as refused:
            await storage.enqueue([job("before"), job(**options)])
        assert refused.value.name == "ghost"
    assert await states(storage, "before", "job") == [None, None]


@clause("CALL-18")
async def test_a_call_on_an_unknown_limit_is_refused(storage: Storage) -> None:
    run = await start(storage)
    answer = await ask(storage, run, 1, need(1), "ghost")
    assert isinstance(answer, Refused)
    assert answer.kind == "unknown_limit"
    assert "ghost" in answer.text
