"""Calling tasks and making jobs, as mypy sees it. Nothing here is run; an ignore that is not needed is an error."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

import aiq


@dataclass
class Report:
    text: str


@aiq.task
async def research(ctx: aiq.Context, topic: str, depth: int = 1) -> Report:
    return Report(topic * depth)


@aiq.task(queue="slow", retry=aiq.Retry(attempts=5, first_delay=0.5), lease=180, timeout=timedelta(minutes=5))
async def fetch(url: str) -> bytes:
    return url.encode()


@aiq.task(kind="process", band="batch")
def count(text: str, *, word: str) -> int:
    return text.count(word)


@aiq.task
async def tick(ctx: aiq.Context) -> None: ...


# A job takes the arguments of the function without the context.
assert_type(research.job("x"), aiq.NewJob[Report])
assert_type(research.job("x", depth=2), aiq.NewJob[Report])
assert_type(fetch.job("x"), aiq.NewJob[bytes])
assert_type(count.job("x", word="y"), aiq.NewJob[int])
assert_type(tick.job(), aiq.NewJob[None])
research.job(1)  # type: ignore[arg-type]
research.job("x", "y")  # type: ignore[arg-type]
research.job()  # type: ignore[call-arg]
research.job("x", queue="slow")  # type: ignore[call-arg]
count.job("x", "y")  # type: ignore[call-arg]
tick.job(1)  # type: ignore[call-arg]


# Calling a task runs it, with the signature that the function has.
async def called(ctx: aiq.Context) -> None:
    assert_type(await research(ctx, "x"), Report)
    assert_type(await fetch("x"), bytes)
    assert_type(count("x", word="y"), int)
    await research("x")  # type: ignore[arg-type, call-arg]
    await fetch(ctx)  # type: ignore[arg-type]
    research(ctx, "x")  # type: ignore[unused-coroutine]


# Options are named and typed.
assert_type(research.job("x").using(queue="slow", delay=30, band="high"), aiq.NewJob[Report])
research.job("x").using(band="urgent")  # type: ignore[arg-type]
research.job("x").using(delay="soon")  # type: ignore[arg-type]
research.job("x").using(uniqe="x")  # type: ignore[call-arg]
aiq.task(lease="long")  # type: ignore[call-overload]
aiq.task(retry=3)  # type: ignore[call-overload]
aiq.Retry(on=TimeoutError, never=[ValueError, KeyError])
aiq.Retry(on="TimeoutError")  # type: ignore[arg-type]


# A task is a value with types of its own, and one of a narrower result serves where a wider one is asked for.
def name_of(task: aiq.Task[..., object]) -> str:
    return task.name


def run_on(task: aiq.Task[[str], bytes]) -> aiq.NewJob[bytes]:
    return task.job("x")


name_of(research)
run_on(fetch)
run_on(count)  # type: ignore[arg-type]
