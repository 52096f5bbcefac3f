"""One run: a provider, worker processes of one policy, a trace, and the record of what happened."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.ratelimit import ours
from benchmarks.ratelimit.plan import Clock, Plan
from benchmarks.ratelimit.policies import OURS
from benchmarks.ratelimit.processes import Process, results, started
from benchmarks.ratelimit.provider import Provider, simulator
from benchmarks.ratelimit.records import Reading, Record
from benchmarks.ratelimit.scenarios import Scenario
from benchmarks.ratelimit.traces import Trace, save
from benchmarks.stores import remove

LEAD_S: Final = 0.2
"""Real seconds between the word to start and the start, so that every process has heard it."""
READ_EVERY_S: Final = 2.0
"""Simulated seconds between two readings of the bucket; warm-up and end are whole multiples."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for all runs of a sitting."""

    workers: int
    compress: float
    url: str | None
    """Of the store; None for a new SQLite file in a temporary directory."""


async def run(scenario: Scenario, policy: str, trace: Trace, seed: int, settings: Settings) -> Record:
    """Run a policy on a trace, over HTTP, with processes of its own."""
    with tempfile.TemporaryDirectory(prefix="aiq-ratelimit-") as folder:
        async with simulator(scenario, settings.compress, seed) as provider:
            plan = _plan(scenario, policy, provider, Path(folder), settings)
            save(trace, Path(plan.trace_file))
            remove(plan.store_url)
            try:
                return await _run(plan, provider, trace, Path(folder))
            finally:
                remove(plan.store_url)


def _plan(scenario: Scenario, policy: str, provider: Provider, folder: Path, settings: Settings) -> Plan:
    return Plan(
        scenario=scenario,
        policy=policy,
        trace_file=str(folder / "trace.json"),
        base_url=provider.base_url,
        store_url=settings.url or f"sqlite:///{folder}/jobs.db?synchronous=normal",
        shared_file=str(folder / "shared.db"),
        workers=settings.workers,
        compress=settings.compress,
    )


async def _run(plan: Plan, provider: Provider, trace: Trace, folder: Path) -> Record:
    async with _workers(plan, folder) as workers:
        if plan.policy == OURS:
            await ours.prepare(plan)
        clock = Clock(time.time() + LEAD_S, plan.compress)
        for worker in workers:
            worker.write(repr(clock.zero))
        readings: list[Reading] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(provider, clock, plan.scenario, readings))
            if plan.policy == OURS:
                group.create_task(ours.produce(plan, clock, trace))
        requests = await provider.requests(clock)
        dead = await ours.dead(plan) if plan.policy == OURS else (await results(workers))["dead"]
    return Record(plan.scenario, trace, requests, readings, frozenset(dead))


@asynccontextmanager
async def _workers(plan: Plan, folder: Path) -> AsyncIterator[Sequence[Process]]:
    """The worker processes, up and waiting for the start."""
    file = folder / "plan.json"
    plan.save(file)
    module = "benchmarks.ratelimit.worker" if plan.policy == OURS else "benchmarks.ratelimit.pool"
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(started(module, "--plan", str(file), "--index", str(index)))
            for index in range(plan.workers)
        ]
        for worker in workers:
            await worker.line()
        yield workers


async def _watch(provider: Provider, clock: Clock, scenario: Scenario, readings: list[Reading]) -> None:
    """Read the bucket at even distances until the end of the scenario."""
    for number in range(int(scenario.end_s / READ_EVERY_S) + 1):
        await clock.until(number * READ_EVERY_S)
        readings.append(await provider.reading(clock))
