"""Tasks that several tests run, and how a test sees a job to its end."""

import asyncio
from typing import Any

import aiq
from aiq.model import JobRecord, State
from tests.engine.world import World

APPROVAL = aiq.Signal("approval", bool)


@aiq.task
async def double(number: int) -> int:
    return number * 2


@aiq.task(retry=aiq.Retry(attempts=1))
async def picky(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number


@aiq.task
async def slow(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def last_error(world: World, job: str) -> str:
    record = await world.get(job)
    return f"{record.errors[-1].type}: {record.errors[-1].message}"


async def finished(world: World, job: str, *tasks: Any, **settings: Any) -> JobRecord:
    """Run a worker until a job has ended."""
    worker = await world.start(*tasks, **settings)
    record = await world.until(job, State.SUCCEEDED, State.DEAD, State.CANCELLED)
    await worker.stop()
    await world.clean()
    return record
