import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.ratelimit.client import Answer
from benchmarks.ratelimit.plan import Clock, Plan
from benchmarks.ratelimit.policies import BASELINES
from benchmarks.ratelimit.pool import Pool
from benchmarks.ratelimit.scenarios import SCENARIOS, SLOTS
from benchmarks.ratelimit.traces import Call, Job

CALL = Call(900, 80, 1_000)
OK = Answer(200, {}, b"")
REFUSED = Answer(429, {"retry-after-ms": "0"}, b"")
NO_TIME = Clock(zero=time.time() - 1, compress=1e9)
"""A back-off of a minute takes no time that anybody could notice."""
PLAN = Plan(
    scenario=SCENARIOS["S1"], policy="naive", trace_file="", base_url="", store_url="", shared_file="", workers=1,
    compress=1e9,
)  # fmt: skip


class FakeProvider:
    """Answers as it is told, and remembers who asked."""

    def __init__(self, *answers: Answer, then: Answer = OK) -> None:
        self._answers = list(answers)
        self._then = then
        self.asked: list[tuple[str, int]] = []
        self._changed = asyncio.Condition()
        self.open = asyncio.Event()
        self.most_at_once = self._at_once = 0

    async def complete(self, job: str, number: int, call: Call) -> Answer:
        self.asked.append((job, number))
        async with self._changed:
            self._changed.notify_all()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await self.open.wait()
        self._at_once -= 1
        return self._answers.pop(0) if self._answers else self._then

    async def until(self, asks: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= asks)


def job(name: str, *, calls: int = 1) -> Job:
    return Job(name, name.partition("-")[0], 0.0, (CALL,) * calls)


async def turns(count: int) -> None:
    """Let everybody go on, as often as this."""
    for _ in range(count):
        await asyncio.sleep(0)


async def serve(provider: FakeProvider, jobs: Sequence[Job], *, asks: int, policy: str = "naive") -> Pool:
    """Run a pool until the provider, which answers only when all jobs have come, has been asked so often."""
    pool = Pool(replace(PLAN, policy=policy), NO_TIME, provider, random.Random(1))
    running = asyncio.create_task(pool.run(jobs))
    await turns(10 * len(jobs))
    provider.open.set()
    async with asyncio.timeout(10):
        await provider.until(asks)
    await turns(20)
    running.cancel()
    await asyncio.wait({running})
    return pool


async def test_a_job_makes_its_calls_in_order() -> None:
    provider = FakeProvider()
    pool = await serve(provider, [job("agent-0", calls=4)], asks=4)

    assert provider.asked == [("agent-0", number) for number in range(4)]
    assert pool.dead == []


async def test_a_refused_call_is_made_again() -> None:
    provider = FakeProvider(REFUSED, REFUSED)
    pool = await serve(provider, [job("chat-0")], asks=3)

    assert provider.asked == [("chat-0", 0)] * 3
    assert pool.dead == []


@pytest.mark.parametrize("policy", ["naive", "retry-after", "local", "local-share"])
async def test_a_job_is_given_up_after_the_last_try(policy: str) -> None:
    tries = BASELINES[policy].retry.tries
    provider = FakeProvider(then=REFUSED)
    pool = await serve(provider, [job("chat-0")], asks=tries, policy=policy)

    assert len(provider.asked) == tries
    assert pool.dead == ["chat-0"]


async def test_no_more_jobs_run_at_once_than_there_are_slots() -> None:
    provider = FakeProvider()
    await serve(provider, [job(f"batch-{number}") for number in range(3 * SLOTS)], asks=3 * SLOTS)

    assert provider.most_at_once == SLOTS


async def test_a_chat_goes_before_what_came_before_it() -> None:
    provider = FakeProvider()
    await serve(provider, [*[job(f"batch-{n}") for n in range(2 * SLOTS)], job("chat-0")], asks=2 * SLOTS + 1)

    assert provider.asked.index(("chat-0", 0)) <= SLOTS
