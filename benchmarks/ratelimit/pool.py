"""A worker process of the baselines: slots, a line ordered by band, a limiter, and retries. Plain asyncio, no store.

A job waits in line until a slot is free and the limiter lets its first call go, so that a chat never stands behind a
large job that waits; a call that was refused keeps the slot of its job while it backs off.
"""

import argparse
import asyncio
import heapq
import math
import random
from contextlib import suppress
from pathlib import Path

from benchmarks.ratelimit.client import Client
from benchmarks.ratelimit.plan import Clock, Plan, tell, until_told, wait_for_start
from benchmarks.ratelimit.policies import BASELINES
from benchmarks.ratelimit.scenarios import SLOTS
from benchmarks.ratelimit.traces import Call, Job, Trace, load


class GivenUp(Exception):
    """A call was refused as often as it may be tried."""


class Pool:
    """Runs the jobs of one process."""

    def __init__(self, plan: Plan, clock: Clock, client: Client, rng: random.Random) -> None:
        baseline = BASELINES[plan.policy]
        self._limiter = baseline.limiter(plan)
        self._retry = baseline.retry
        self._clock, self._client, self._rng = clock, client, rng
        self._line: list[tuple[bool, float, str, Job]] = []
        self._free = SLOTS
        self._changed = asyncio.Event()
        self.dead: list[str] = []
        """The ids of the jobs that were given up."""

    async def run(self, jobs: Trace) -> None:
        """Take jobs as they come, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive(jobs))
            while True:
                self._changed.clear()
                wait_s = self._start_all(group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if wait_s == math.inf else wait_s / self._clock.compress):
                        await self._changed.wait()

    async def _receive(self, jobs: Trace) -> None:
        for job in jobs:
            await self._clock.until(job.arrival_s)
            heapq.heappush(self._line, (not job.urgent, job.arrival_s, job.id, job))
            self._changed.set()

    def _start_all(self, group: asyncio.TaskGroup) -> float:
        """Start what may start, and say when to look again if nothing changes."""
        while self._line and self._free:
            job = self._line[0][-1]
            wait_s = self._limiter.wait_s(job.kind, job.calls[0], self._clock.now_s)
            if wait_s > 0:
                return wait_s
            heapq.heappop(self._line)
            self._free -= 1
            group.create_task(self._work(job))
        return math.inf

    async def _work(self, job: Job) -> None:
        try:
            for number, call in enumerate(job.calls):
                await self._complete(job, number, call)
        except GivenUp:
            self.dead.append(job.id)
        self._free += 1
        self._changed.set()

    async def _complete(self, job: Job, number: int, call: Call) -> None:
        for tried in range(1, self._retry.tries + 1):
            # The first request of a job was let go when the job was started.
            if (number, tried) != (0, 1):
                await self._admitted(job, call)
            answer = await self._client.complete(job.id, number, call)
            if not answer.throttled:
                self._limiter.done(call, self._clock.now_s)
                return
            if tried < self._retry.tries:
                advice_s = None if answer.retry_after_s is None else answer.retry_after_s * self._clock.compress
                await self._clock.sleep(self._retry.delay_s(tried, advice_s, self._rng))
        raise GivenUp

    async def _admitted(self, job: Job, call: Call) -> None:
        while (wait_s := self._limiter.wait_s(job.kind, call, self._clock.now_s)) > 0:
            await self._clock.sleep(wait_s)


async def work(plan: Plan, index: int) -> None:
    """Be one of the processes of a run, until told that it is over."""
    clock = await wait_for_start(plan.compress)
    pool = Pool(plan, clock, Client(plan.base_url), random.Random(index))
    running = asyncio.create_task(pool.run(load(Path(plan.trace_file))[index :: plan.workers]))
    told = asyncio.create_task(until_told())
    await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    running.cancel()
    tell({"dead": pool.dead})
    # What is still on its way ends with the process.
    with suppress(asyncio.CancelledError):
        await running


def main() -> None:
    """Parse and work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--index", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(work(Plan.load(arguments.plan), arguments.index))


if __name__ == "__main__":
    main()
