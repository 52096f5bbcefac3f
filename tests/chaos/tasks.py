"""What the workers of these tests run. Each run leaves notes, so that a test sees runs that no storage knows of."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal

import aiq
from tests.chaos import notes

AT_ONCE = aiq.Retry(first_delay=0)


@contextlib.contextmanager
def told(ctx: aiq.Context) -> Iterator[None]:
    """Note when a run starts, and how its handler ends."""
    notes.write("start", ctx.job_id, ctx.fence, str(ctx.attempt))
    try:
        yield
    except asyncio.CancelledError:
        notes.write("cancelled", ctx.job_id, ctx.fence)
        raise
    except Exception as error:
        notes.write("raised", ctx.job_id, ctx.fence, f"{type(error).__name__}: {error}")
        raise
    else:
        notes.write("returned", ctx.job_id, ctx.fence)


async def opened(gate: str) -> None:
    """Wait until the test opens a gate: makes a file of this name."""
    await notes.until((notes.place() / gate).exists, gate)


@aiq.task(lease=0.5, retry=AT_ONCE)
async def plain(ctx: aiq.Context, number: int) -> int:
    with told(ctx):
        return number


@aiq.task(lease=0.5, retry=AT_ONCE)
async def nap(ctx: aiq.Context, seconds: float) -> int:
    with told(ctx):
        await asyncio.sleep(seconds)
        return ctx.fence


@aiq.task(lease=0.5, retry=AT_ONCE)
async def hold(ctx: aiq.Context, gate: str) -> int:
    """Ends when a gate is opened; the result is the fence of the run that ended it."""
    with told(ctx):
        await opened(gate)
        return ctx.fence


@aiq.task(lease=0.5, retry=AT_ONCE)
async def child(ctx: aiq.Context, number: int) -> int:
    with told(ctx):
        return number


@aiq.task(lease=0.5, retry=AT_ONCE)
async def zombie(ctx: aiq.Context, gate: str, where: Literal["step", "return", "anywhere"]) -> str:
    """Its first run waits at a gate, in a step or outside, and then goes on to write, cancelled or not."""
    notes.write("start", ctx.job_id, ctx.fence)
    if ctx.fence > 1:
        await ctx.emit("of the second run")
        return await ctx.step("pay", _paid, "second")
    try:
        if where == "step":
            await ctx.step("pay", _pay_later, gate)
        else:
            await opened(gate)
        if where == "anywhere":
            await _write_everything(ctx)
    finally:
        notes.write("ended", ctx.job_id, ctx.fence)
    return "first"


async def _write_everything(ctx: aiq.Context) -> None:
    writes: dict[str, Callable[[], Awaitable[object]]] = {
        "step": lambda: ctx.step("pay", _paid, "first"),
        "chunk": lambda: ctx.emit("of the first run"),
        "progress": lambda: ctx.progress(0.5),
        "children": lambda: ctx.gather("children", [child.job(1)]),
        "sleep": lambda: ctx.sleep("nap", 0),
    }
    for what, write in writes.items():
        try:
            await write()
        except (aiq.LeaseLost, asyncio.CancelledError) as error:
            notes.write("refused", ctx.job_id, ctx.fence, f"{what}: {error}")
        else:
            notes.write("accepted", ctx.job_id, ctx.fence, what)


def _paid(run: str) -> str:
    notes.write("paid", detail=run)
    return run


async def _pay_later(gate: str) -> str:
    await opened(gate)
    return _paid("first")


@aiq.task(lease=0.5, retry=AT_ONCE)
async def block(ctx: aiq.Context, seconds: float) -> int:
    with told(ctx):
        until, turns = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            turns += 1  # this is the loop that blocks
        return ctx.fence


@aiq.task(lease=0.5, retry=AT_ONCE, kind="process")
def hold_in_process(gate: str) -> int:
    notes.write("start")
    while not (notes.place() / gate).exists():
        time.sleep(notes.LOOK_S)
    return os.getpid()


@aiq.task(lease=0.5, retry=AT_ONCE)
def hold_in_thread(gate: str) -> str:
    notes.write("start")
    while not (notes.place() / gate).exists():
        time.sleep(notes.LOOK_S)
    return gate


@aiq.task(lease=0.5, retry=AT_ONCE)
async def stubborn(ctx: aiq.Context, gate: str) -> str:
    """Swallows every cancellation, and goes on until its gate opens."""
    notes.write("start", ctx.job_id, ctx.fence)
    while not (notes.place() / gate).exists():
        try:
            await opened(gate)
        except asyncio.CancelledError:
            notes.write("swallowed", ctx.job_id, ctx.fence)
    try:
        await ctx.step("pay", _paid, "too late")
    except aiq.LeaseLost as lost:
        notes.write("refused", ctx.job_id, ctx.fence, lost.reason)
    return "too late"


@aiq.task(lease=0.3, retry=aiq.Retry(attempts=10, first_delay=0))
async def poison(ctx: aiq.Context) -> None:
    """Kills the worker that runs it."""
    notes.write("start", ctx.job_id, ctx.fence)
    os.kill(os.getpid(), signal.SIGKILL)


# Any: tasks of all signatures.
TASKS: list[aiq.Task[Any, object]] = [
    plain,
    nap,
    hold,
    child,
    zombie,
    block,
    hold_in_process,
    hold_in_thread,
    stubborn,
    poison,
]
