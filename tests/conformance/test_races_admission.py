"""Many at once on one limit, one call, one budget: whichever comes first, no unit is given twice.

Half of them use a sibling, so that a storage with connections has two. What is checked is what no order may break.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import pytest

from aiq.errors import Conflict, QueueFull
from aiq.model import (
    Admitted,
    CallRequest,
    CallState,
    Estimate,
    JobRecord,
    LimitSpec,
    MustWait,
    QueueSettings,
    Released,
    Report,
    Reported,
    Settlement,
    State,
    Throttle,
    Usage,
)
from aiq.storage import Storage, claim
from aiq.testing.actions import (
    GOOD,
    MANY,
    claim_some,
    crowd,
    end,
    enqueue_one,
    get_one,
    job,
    keep_up,
    start,
    states,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    OPENING,
    balance,
    counted,
    left,
    need,
    open_call,
    put_budget,
    put_limit,
    the_limit,
    units,
)

T = TypeVar("T")
C, S = CallState, State
HOUR_MS = 3_600_000


async def at_once(attempts: Sequence[Awaitable[T]]) -> list[T]:
    """Run them all; none may fail."""
    return list(await asyncio.gather(*attempts))


async def running(storage: Storage, count: int = MANY, **options: object) -> list[JobRecord]:
    """So many runs, each without a limit of its own."""
    await storage.enqueue([job(f"job {n}", lease_ms=HOUR_MS, **options) for n in range(count)])
    return await claim_some(storage, count)


@clause("LIMIT-5", "CALL-1")
async def test_claimers_share_what_is_left_of_a_limit_and_no_token_is_given_twice(storage: Storage) -> None:
    await put_limit(storage)
    await storage.enqueue([job(f"job {n}", limits=("gpt",), estimate=need(1_000)) for n in range(40)])
    async with crowd(storage) as faces:
        answers = await at_once([claim(one, wish(3, worker=f"worker {n}")) for n, one in enumerate(faces)])

    assert sum(len(runs) for runs in answers) == OPENING // 1_000
    assert await left(storage) == (0, 0)


@clause("LIMIT-9")
async def test_claimers_share_the_units_of_a_limit(storage: Storage) -> None:
    await storage.put_limits([units(concurrency=7)])
    await storage.enqueue([job(f"job {n}", limits=("gpt",)) for n in range(40)])
    async with crowd(storage) as faces:
        answers = await at_once([claim(one, wish(3, worker=f"worker {n}")) for n, one in enumerate(faces)])

    assert sum(len(runs) for runs in answers) == 7
    assert (await the_limit(storage)).running == 7


@clause("CALL-1", "CALL-5")
async def test_calls_of_many_runs_share_what_is_left(storage: Storage) -> None:
    await put_limit(storage)
    runs = await running(storage)
    requests = [CallRequest(lease=run.lease, number=1, limits=("gpt",), estimate=need(1_000)) for run in runs]
    async with crowd(storage) as faces:
        answers = await at_once([one.acquire([told]) for one, told in zip(faces, requests, strict=True)])

    kinds = Counter(type(answer) for (answer,) in answers)
    assert kinds == {Admitted: 5, MustWait: MANY - 5}
    waits = sorted(answer.wait_ms or 0 for (answer,) in answers if isinstance(answer, MustWait))
    assert waits == [n * 1_000 for n in range(1, MANY - 4)]
    assert await left(storage) == (0, 0)


@clause("CALL-7")
async def test_one_call_asked_for_by_many_at_once_is_one_call(storage: Storage) -> None:
    await put_limit(storage, requests=60)
    run = await start(storage)
    request = CallRequest(lease=run.lease, number=1, limits=("gpt",), estimate=need(1_000, 500))
    async with crowd(storage) as faces:
        answers = await at_once([one.acquire([request]) for one in faces])

    assert answers == [[Admitted(max_output=500)]] * MANY
    assert (await left(storage), (await the_limit(storage)).requests_left) == ((4_000, 500), 4)


@clause("CALL-3")
async def test_of_many_first_calls_at_once_one_adopts(storage: Storage) -> None:
    await put_limit(storage, requests=600)
    run = await start(storage, limits=("gpt",), estimate=need(300))
    requests = [CallRequest(lease=run.lease, number=n, estimate=need(300)) for n in range(1, MANY + 1)]
    async with crowd(storage) as faces:
        answers = await at_once([one.acquire([told]) for one, told in zip(faces, requests, strict=True)])

    assert {type(answer) for (answer,) in answers} == {Admitted}
    assert (await left(storage), (await the_limit(storage)).requests_left) == ((OPENING - MANY * 300, 0), 50 - MANY)


@clause("CALL-14", "USAGE-1")
async def test_a_report_sent_many_times_at_once_counts_once(storage: Storage) -> None:
    await put_limit(storage)
    run = await start(storage)
    await open_call(storage, run, 1, need(1_000, 500), "gpt")
    told = Report(lease=run.lease, call=1, state=C.SETTLED, used=(Usage("", 900, 100),))
    async with crowd(storage) as faces:
        answers = await at_once([one.report([told]) for one in faces])

    assert answers == [[Reported()]] * MANY
    assert await counted(storage) == {"input": 900, "output": 100}
    assert await left(storage) == (4_000, 0)


@clause("CALL-13", "CALL-14", "BUDGET-4")
async def test_a_settlement_and_the_loss_of_its_run_that_meet_count_what_was_used(
    storage: Storage, clock: Clock
) -> None:
    await put_budget(storage, tokens=10**9)
    runs = await running(storage, budgets=("purse",), estimate=need(1_000))
    clock.advance_ms(HOUR_MS)
    told = [Report(lease=run.lease, call=0, state=C.SETTLED, used=(Usage("", 100),)) for run in runs]
    async with crowd(storage) as faces:
        reports = [one.report([each]) for one, each in zip(faces, told, strict=True)]
        await asyncio.gather(*reports, *(one.upkeep(2) for one in faces))
    await keep_up(storage)

    assert await balance(storage) == (MANY * 100, 0)
    assert await counted(storage) == {"input": MANY * 100}


@clause("BUDGET-1", "BUDGET-6")
async def test_claimers_share_what_is_left_of_a_budget(storage: Storage) -> None:
    await put_budget(storage, tokens=1_050)
    await storage.enqueue([job(f"job {n}", budgets=("purse",), estimate=need(100)) for n in range(40)])
    async with crowd(storage) as faces:
        answers = await at_once([claim(one, wish(3, worker=f"worker {n}")) for n, one in enumerate(faces)])

    assert sum(len(runs) for runs in answers) == 10
    assert await balance(storage) == (0, 1_000)


@clause("BUDGET-10")
async def test_a_grant_sent_many_times_at_once_is_one_grant(storage: Storage) -> None:
    await put_budget(storage, tokens=0)
    async with crowd(storage) as faces:
        answers = await at_once([one.grant("purse", "one", {"tokens": 100}) for one in faces])

    assert {dict(status.state.granted)["tokens"] for status in answers} == {100}


@clause("HOLD-2", "CLAIM-1")
async def test_a_job_that_is_held_and_claimed_at_once_is_one_of_both(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(MANY)])
    async with crowd(storage) as faces:
        answers = await asyncio.gather(
            *(one.hold([f"job {n}"]) for n, one in enumerate(faces)),
            *(claim(one, wish(1, worker=f"worker {n}")) for n, one in enumerate(faces)),
            return_exceptions=True,
        )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(error, Conflict) for error in refused)
    found = Counter(await states(storage, *(f"job {n}" for n in range(MANY))))
    assert found[S.HELD] == MANY - len(refused)
    assert found[S.HELD] + found[S.RUNNING] + found[S.READY] == MANY


@clause("LIMIT-10")
async def test_429s_of_many_at_once_slow_down_once(storage: Storage) -> None:
    await put_limit(storage)
    async with crowd(storage) as faces:
        await at_once(
            [one.throttled([Throttle(limit="gpt", tokens=100, retry_after_ms=n)]) for n, one in enumerate(faces, 1)]
        )

    status = await the_limit(storage)
    assert (status.pace, status.frozen_ms) == (900, MANY)


@clause("QUEUE-1")
async def test_producers_share_the_room_in_a_queue(storage: Storage) -> None:
    await storage.configure("default", QueueSettings(max_ready=10))
    async with crowd(storage) as faces:
        answers = await asyncio.gather(
            *(one.enqueue([job(f"job {n} {m}") for m in range(2)]) for n, one in enumerate(faces)),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, QueueFull) for answer in answers) == MANY - 5
    assert (await storage.get_queue("default")).ready == 10


@clause("LIMIT-5", "CALL-15")
async def test_workers_that_claim_call_and_settle_at_once_take_what_they_used_and_no_more(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", tokens=10**9, concurrency=9)])
    (begin,) = await storage.get_limits(["gpt"])
    await storage.enqueue([job(f"job {n}", limits=("gpt",), estimate=need(100, 50)) for n in range(100)])
    most: list[int] = []

    async def work(one: Storage, worker: str) -> None:
        while (await storage.count())["default"].get(S.READY):
            for run in await claim(one, wish(2, worker=worker)):
                await open_call(one, run, 1, need(100, 50))
                most.append((await the_limit(one)).running)
                await one.report([Report(lease=run.lease, call=1, state=C.SETTLED, used=(Usage("", 100, 20),))])
                await end(one, run, GOOD)

    async with crowd(storage) as faces:
        await asyncio.gather(*(work(one, f"worker {n}") for n, one in enumerate(faces)))

    (after,) = await storage.get_limits(["gpt"])
    assert (await storage.count())["default"] == {S.SUCCEEDED: 100}
    assert max(most) <= 9
    assert (after.running, after.tokens_held) == (0, 0)
    assert (begin.tokens_left or 0) - (after.tokens_left or 0) == 100 * 120


@dataclass
class Purse:
    """A budget under attack: what was granted and settled of it, by those who did."""

    storage: Storage
    clock: Clock
    cap: int
    rng: Random
    granted: dict[tuple[str, int], int] = field(default_factory=dict)
    """By run: what its call may use."""
    settled: dict[tuple[str, int], int] = field(default_factory=dict)
    flights: list[int] = field(default_factory=list)

    async def work(self, one: Storage, worker: str) -> None:
        for _ in range(30):
            for run in await claim(one, wish(8, worker=worker)):
                self.granted[run.id, run.fence] = 100
                await self.run(one, run)
            await self.look(one)

    async def run(self, one: Storage, run: JobRecord) -> None:
        """Call, stream, settle and end, or die anywhere in between; the lease may be lost at any time, too."""
        request = CallRequest(lease=run.lease, number=1, estimate=Estimate(input=60, output=40, max_output=40))
        if self.dies() or not isinstance((await one.acquire([request]))[0], Admitted):
            return
        if self.dies():
            return
        await one.report([Report(lease=run.lease, call=1, state=C.OPEN, used=(Usage("", 60, 7),))])
        if self.dies():
            return
        # Late or not: what was reserved may be settled.
        (answer,) = await one.report([Report(lease=run.lease, call=1, state=C.SETTLED, used=(Usage("", 60, 20),))])
        assert isinstance(answer, Reported)
        self.settled[run.id, run.fence] = 80
        if not self.dies():
            await one.exchange([Settlement(run.lease, "1", GOOD)])

    def dies(self) -> bool:
        return self.rng.random() < 0.1

    async def look(self, one: Storage) -> None:
        """At every instant that anybody sees, what is spent and held is within the cap."""
        spent, held = await balance(one)
        assert spent + held <= self.cap
        self.flights.append(held // 100)

    async def lose_leases(self) -> None:
        """Leases run out while others are at work."""
        for _ in range(60):
            await asyncio.sleep(0)
            self.clock.advance_ms(50)
            await self.storage.upkeep(10)
            await self.look(self.storage)


@clause("BUDGET-1", "BUDGET-4", "BUDGET-5", "BUDGET-6")
@pytest.mark.parametrize("seed", range(2))
async def test_jobs_in_flight_with_workers_that_die_never_spend_more_than_the_cap(
    storage: Storage, clock: Clock, seed: int
) -> None:
    purse = Purse(storage, clock, 128 * 60, Random(seed))
    await put_budget(storage, tokens=purse.cap)
    jobs = [
        job(f"job {n}", budgets=("purse",), estimate=need(60, 40), lease_ms=200, max_attempts=99, max_stalls=99)
        for n in range(128)
    ]
    await storage.enqueue(jobs)
    async with crowd(storage) as faces:
        workers = (purse.work(one, f"worker {n}") for n, one in enumerate(faces))
        await asyncio.gather(*workers, purse.lose_leases())
    clock.advance_ms(1_000)
    await keep_up(storage)

    spent, held = await balance(storage)
    # What a lost run might have used counts as used, until it says otherwise.
    assert held == 0
    assert spent == sum(purse.settled.get(run, granted) for run, granted in purse.granted.items())
    assert spent <= purse.cap
    assert max(purse.flights) > 1


@clause("CALL-8", "CALL-13")
async def test_calls_of_a_run_that_is_lost_meanwhile_are_charged_or_refused(storage: Storage, clock: Clock) -> None:
    await put_limit(storage)
    runs = await running(storage)
    requests = [CallRequest(lease=run.lease, number=1, limits=("gpt",), estimate=need(100)) for run in runs]
    async with crowd(storage) as faces:
        calls = [one.acquire([told]) for one, told in zip(faces, requests, strict=True)]
        losses = [storage.cancel([run.id], force=True) for run in runs]
        answers = await asyncio.gather(*calls, *losses)
    admitted = sum(isinstance(answer[0], Admitted) for answer in answers[:MANY])
    assert await left(storage) == (OPENING - admitted * 100, 0)
    assert (await get_one(storage, "job 0")).state is S.CANCELLED


@clause("LIMIT-16", "CLAIM-1")
async def test_jobs_of_one_key_run_one_after_the_other_whoever_claims(storage: Storage) -> None:
    await storage.put_limits([units(by="key")])
    for key in ("a", "b", "c"):
        await storage.enqueue([job(f"{key} {n:02}", key=key, limits=("gpt",)) for n in range(15)])
    order: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    at_work: Counter[str] = Counter()

    async def work(one: Storage, worker: str) -> None:
        while (await storage.count())["default"].get(S.READY):
            for run in await claim(one, wish(1, worker=worker)):
                key = run.key or ""
                at_work[key] += 1
                assert at_work[key] == 1
                order[key].append(run.id)
                await asyncio.sleep(0)
                at_work[key] -= 1
                await end(one, run, GOOD)

    async with crowd(storage) as faces:
        await asyncio.gather(*(work(one, f"worker {n}") for n, one in enumerate(faces)))
    assert all(names == sorted(names) and len(names) == 15 for names in order.values())


@clause("HOLD-4")
async def test_room_that_appears_from_many_sides_at_once_lets_each_held_job_go_once(storage: Storage) -> None:
    await put_budget(storage, tokens=MANY * 10)
    runs = await running(storage, budgets=("purse",), estimate=need(10))
    for n in range(MANY):
        await enqueue_one(storage, f"poor {n}", queue="poor", budgets=("purse",), estimate=need(10))
    assert await claim_some(storage, MANY, "poor") == []
    async with crowd(storage) as faces:
        await at_once([end(one, run, Released(HOUR_MS)) for one, run in zip(faces, runs, strict=True)])

    poor = await storage.get([f"poor {n}" for n in range(MANY)])
    assert [(record.state, record.events) for record in poor if record] == [(S.READY, 3)] * MANY
