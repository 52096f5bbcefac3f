"""Mistakes in a handler that no second attempt can mend: the job dies at once, and says what to write."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

import aiq
from aiq.model import State
from tests.engine.handlers import double, finished, last_error
from tests.engine.world import World, virtually

Call: TypeAlias = Callable[[aiq.Context, Any], Awaitable[object]]


async def refusal(world: World, call: Call, given: object) -> str:
    @aiq.task(retry=aiq.Retry(attempts=5))
    async def mistaken(ctx: aiq.Context) -> None:
        await call(ctx, given)

    [job] = await world.enqueue(mistaken.job())
    record = await finished(world, job, mistaken)
    assert (record.state, record.fence) == (State.DEAD, 1)
    return await last_error(world, job)


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda ctx, given: ctx.gather("kids", [given]), "ctx.gather(name, [double.job(…)])"),
        (lambda ctx, given: ctx.gather("kids", given), "ctx.gather(name, [double.job(…)])"),
        (lambda ctx, given: ctx.first("kids", [given]), "ctx.first(name, [double.job(…)])"),
        (lambda ctx, given: ctx.quorum("kids", [given], 1), "ctx.quorum(name, [double.job(…)], k)"),
        (lambda ctx, given: ctx.step("kids", given), 'ctx.step("kids", double, …)'),
    ],
    ids=["gather", "gather without a list", "first", "quorum", "step"],
)
@virtually
async def test_a_call_where_a_job_or_a_function_is_meant_is_closed_and_kills_the_job(
    world: World, call: Call, right: str
) -> None:
    called = double(1)

    told = await refusal(world, call, called)

    assert f"Write {right}." in told
    assert inspect.getcoroutinestate(called) == inspect.CORO_CLOSED


@virtually
async def test_one_job_where_many_are_meant_kills_the_job(world: World) -> None:
    told = await refusal(world, lambda ctx, given: ctx.gather("kids", given), double.job(1))

    assert "Pass a list, even of a single job: ctx.gather(name, [job])." in told


@virtually
async def test_a_name_where_a_signal_is_meant_kills_the_job(world: World) -> None:
    told = await refusal(world, lambda ctx, given: ctx.wait_for(given), "approval")

    assert 'APPROVAL = aiq.Signal("approval", bool), then ctx.wait_for(APPROVAL).' in told


@virtually
async def test_a_word_that_an_option_does_not_know_kills_the_job(world: World) -> None:
    kids = [double.job(1)]

    failing = await refusal(world, lambda ctx, word: ctx.gather("kids", kids, on_failure=word), "ignore")
    resting = await refusal(world, lambda ctx, word: ctx.gather("kids", kids, rest=word), "keep")

    assert "on_failure is 'ignore'; it can be 'fail' or 'continue'." in failing
    assert "rest is 'keep'; it can be 'cancel' or 'leave'." in resting
