"""Middleware, as mypy sees it. Nothing here is run; an ignore that is not needed is an error."""

from collections.abc import Sequence
from typing import assert_type

import aiq


@aiq.task
async def research(ctx: aiq.Context, topic: str) -> str:
    return topic


async def stamp(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> Sequence[aiq.Enqueued]:
    assert_type(call.jobs, tuple[aiq.NewJob[object], ...])
    call.using(tennant="acme")  # type: ignore[call-arg]
    answers = await next(call.using(tenant="acme").each(lambda job: {"band": "batch"}))
    assert_type(answers[0].existed, bool)
    return answers


async def forgetful(call: aiq.EnqueueCall, next: aiq.EnqueueNext) -> None:
    await next(call)


async def measure(call: aiq.RunCall, next: aiq.RunNext) -> object:
    assert_type(call.job, aiq.JobRecord)
    assert_type(call.context, aiq.Context)
    return await next(call)


class Tracing:
    async def __call__(self, call: aiq.RunCall, next: aiq.RunNext) -> object:
        return await next(call)


queue = aiq.Queue("memory://", middleware=[stamp])
aiq.Queue("memory://", middleware=[forgetful])  # type: ignore[list-item]
aiq.Queue("memory://", middleware=[measure])  # type: ignore[list-item]
aiq.Worker(queue, tasks=[research], middleware=[measure, Tracing()])
aiq.Worker(queue, tasks=[research], middleware=[stamp])  # type: ignore[list-item]
