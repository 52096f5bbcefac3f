"""Settling what is done and claiming what is next, by a whole worker in virtual time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import aiq
from aiq.bounds import MAX_BATCH
from aiq.errors import Corrupt, Unavailable
from aiq.model import ClaimRequest, Exchanged, Settlement, Sleeping, State
from aiq.testing import Delay, LoseReply, Refuse
from tests.engine.handlers import APPROVAL
from tests.engine.world import START_MS, World, virtually


@aiq.task
async def noop(number: int) -> int:
    return number


@aiq.task
async def work(seconds: float) -> None:
    await asyncio.sleep(seconds)


@virtually
async def test_a_worker_runs_no_more_jobs_of_a_queue_than_it_has_slots_for(world: World) -> None:
    running = {"fast": 0, "slow": 0}
    most = dict(running)

    @aiq.task
    async def busy(queue: str) -> None:
        running[queue] += 1
        most[queue] = max(most[queue], running[queue])
        await asyncio.sleep(1)
        running[queue] -= 1

    await world.enqueue(*[busy.job(queue).using(queue=queue) for queue in ("fast", "slow") for _ in range(20)])
    await world.drain(busy, slots={"fast": 7, "slow": 2})

    assert most == {"fast": 7, "slow": 2}
    assert world.clock() % 100_000 == 10_000


@virtually
async def test_jobs_of_queues_that_are_not_served_stay_where_they_are(world: World) -> None:
    [job] = await world.enqueue(noop.job(1).using(queue="elsewhere"))

    await world.drain(noop)

    assert await world.state(job) is State.READY


@virtually
async def test_what_finishes_during_an_exchange_goes_with_the_next_one(world: World) -> None:
    jobs = await world.enqueue(*[work.job(n) for n in range(1, 11)])
    worker = await world.start(work)
    await world.until(jobs[0], State.RUNNING)
    gate = asyncio.Event()
    world.faults.plan(Delay("exchange", gate))
    await asyncio.sleep(60)
    before = worker.statistics.exchanges
    gate.set()
    await world.until(jobs[9], State.SUCCEEDED)

    assert worker.statistics.exchanges - before <= 2
    await worker.stop()


@virtually
async def test_batches_form_by_themselves_and_are_never_too_large(world: World) -> None:
    await world.enqueue(*[noop.job(n) for n in range(256)])
    await world.enqueue(*[noop.job(n) for n in range(256)])
    await world.enqueue(*[noop.job(n) for n in range(256)])
    done = await world.drain(noop, slots=1_000)

    assert done.succeeded == 768
    assert done.exchanges <= 768 // MAX_BATCH + 4


@virtually
async def test_a_job_enqueued_while_a_worker_is_idle_starts_at_once(world: World) -> None:
    worker = await world.start(noop)
    await asyncio.sleep(12.345)
    before_ms = world.clock()

    [job] = await world.enqueue(noop.job(1))
    await world.until(job, State.SUCCEEDED)

    assert world.clock() == before_ms
    await worker.stop()


@virtually
async def test_a_delayed_job_starts_when_it_is_due(world: World) -> None:
    worker = await world.start(noop)
    await asyncio.sleep(10)
    [job] = await world.enqueue(noop.job(1).using(delay=7.5))
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert 7_500 <= (record.started_at_ms or 0) - record.created_at_ms <= 8_000


@virtually
async def test_what_is_due_in_a_few_milliseconds_is_looked_at_then(world: World) -> None:
    worker = await world.start(noop)
    await asyncio.sleep(10)
    [job] = await world.enqueue(noop.job(1).using(delay=0.007))
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert 7 <= (record.started_at_ms or 0) - record.created_at_ms <= 12


@virtually
async def test_a_lost_wake_up_costs_at_most_one_poll(world: World) -> None:
    world.faults.plan(*[Refuse("wait")] * 1_000)
    worker = await world.start(noop)
    await asyncio.sleep(100)

    [job] = await world.enqueue(noop.job(1))
    record = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert (record.started_at_ms or 0) - record.created_at_ms <= 5_000


@virtually
async def test_an_idle_worker_asks_the_storage_once_in_a_few_seconds(world: World) -> None:
    worker = await world.start(noop)
    await asyncio.sleep(600)

    # With upkeep, beats and wake-ups that is less than once a second on any store.
    assert 600 / 5 <= worker.statistics.exchanges <= 600 / 3.5
    await worker.stop()


@virtually
async def test_a_worker_that_is_full_does_not_look_for_jobs(world: World) -> None:
    jobs = await world.enqueue(*[work.job(1_000).using(lease=3_600) for _ in range(5)])
    worker = await world.start(work, slots=2)
    await world.until(jobs[1], State.RUNNING)
    before = worker.statistics.exchanges
    await asyncio.sleep(900)

    assert worker.statistics.exchanges == before
    assert worker.statistics.running == 2
    worker.engine.hurry()
    await worker.stop()


@virtually
async def test_every_job_runs_once_though_replies_of_the_storage_are_lost(world: World) -> None:
    ran: list[int] = []

    @aiq.task
    async def note(number: int) -> None:
        ran.append(number)

    await world.enqueue(*[note.job(n) for n in range(60)])
    faults: list[Any] = [LoseReply("exchange"), Refuse("exchange"), LoseReply("exchange")]
    world.faults.plan(*faults * 10)
    worker = await world.start(note, slots=7)
    await asyncio.sleep(600)
    await worker.stop()

    assert sorted(ran) == list(range(60))
    assert (await world.storage.count())["default"] == {State.SUCCEEDED: 60}
    await world.clean()


@virtually
async def test_an_outage_of_hours_ends_by_itself(world: World) -> None:
    worker = await world.start(noop)
    await asyncio.sleep(1)
    world.faults.plan(*[Refuse(op) for op in ("exchange", "upkeep", "renew", "wait") for _ in range(500)])
    await asyncio.sleep(1_000)
    [job] = await world.enqueue(noop.job(1))
    await world.until(job, State.SUCCEEDED)
    await worker.stop()


@virtually
async def test_a_claim_that_is_answered_too_late_is_given_back_and_not_run(world: World) -> None:
    ran: list[int] = []

    @aiq.task(lease=10)
    async def note() -> None:
        ran.append(world.clock())

    class SlowOnce:
        """Answers the first claim nine and a half seconds after it was made."""

        def __init__(self) -> None:
            self.slow = True

        async def __call__(self, *args: Any) -> Any:
            answer = await exchange(*args)
            if answer.claimed and self.slow:
                self.slow = False
                await asyncio.sleep(9.5)
            return answer

    exchange = world.faults.exchange
    world.faults.exchange = SlowOnce()  # type: ignore[method-assign]
    start_ms = world.clock()
    [job] = await world.enqueue(note.job())
    await world.drain(note)

    record = await world.get(job)
    assert (record.state, record.fence, record.failures) == (State.SUCCEEDED, 2, 0)
    assert [ms - start_ms for ms in ran] == [9_500]


@virtually
async def test_large_payloads_are_claimed_one_answer_after_the_other_without_a_pause(world: World) -> None:
    @aiq.task
    async def read(text: str) -> int:
        await asyncio.sleep(100)
        return len(text)

    for _ in range(6):
        await world.enqueue(*[read.job("x" * 200_000) for _ in range(10)])
    worker = await world.start(read, slots=100)
    await world.until("job-60", State.RUNNING)

    assert world.clock() == START_MS
    assert worker.statistics.running == 60
    worker.engine.hurry()
    await worker.stop()


@virtually
async def test_a_paused_queue_gives_nothing_and_goes_on_in_order_after_it_is_resumed(world: World) -> None:
    order: list[int] = []

    @aiq.task
    async def note(number: int) -> None:
        order.append(number)

    await world.storage.pause("default")
    worker = await world.start(note, slots=1)
    await world.enqueue(*[note.job(n) for n in range(5)])
    await asyncio.sleep(60)
    assert order == []

    before_ms = world.clock()
    await world.storage.resume("default")
    await world.until("job-5", State.SUCCEEDED)
    assert order == [0, 1, 2, 3, 4]
    assert world.clock() == before_ms
    await worker.stop()


@virtually
async def test_urgent_jobs_are_the_next_to_start_whatever_waits_in_the_backlog(world: World) -> None:
    order: list[str] = []

    @aiq.task
    async def note(name: str) -> None:
        order.append(name)
        await asyncio.sleep(1)

    await world.enqueue(*[note.job(f"batch {n}").using(band="batch") for n in range(5)])
    worker = await world.start(note, slots=1)
    await world.until("job-1", State.RUNNING)
    await world.enqueue(note.job("urgent").using(band="interactive"))
    await world.until("job-5", State.SUCCEEDED)
    await worker.stop()

    assert order == ["batch 0", "urgent", "batch 1", "batch 2", "batch 3", "batch 4"]


@virtually
async def test_a_storage_beyond_repair_ends_the_worker_with_its_error(world: World) -> None:
    engine = world.engine(noop)
    await engine.start()

    async def torn(*_: object) -> None:
        raise Corrupt("The file is torn.")

    world.faults.exchange = torn  # type: ignore[assignment, method-assign]
    with pytest.raises(Corrupt):
        await engine.run()


@virtually
async def test_an_outcome_that_no_store_could_record_kills_its_job_alone(world: World) -> None:
    @aiq.task
    async def wrong() -> None:
        error = aiq.RateLimited()
        error.limits = ("open ai",)
        raise error

    bad, *good = await world.enqueue(wrong.job(), *[noop.job(n) for n in range(5)])
    await world.drain(wrong, noop)

    record = await world.get(bad)
    assert (record.state, record.errors[-1].type) == (State.DEAD, "InvalidName")
    assert "open ai" in record.errors[-1].message
    assert [(await world.get(job)).failures for job in good] == [0] * 5
    assert {await world.state(job) for job in good} == {State.SUCCEEDED}


@virtually
async def test_a_wait_that_no_store_could_record_is_refused_to_the_handler(world: World) -> None:
    heard: list[str] = []

    @aiq.task
    async def sleeper(ctx: aiq.Context) -> None:
        try:
            await ctx.sleep("night", 5)
        except aiq.InvalidInput as error:
            heard.append(str(error))

    exchange = world.storage.exchange

    async def sleepless(settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        if any(isinstance(one.outcome, Sleeping) for one in settlements):
            raise aiq.InvalidInput("Nobody sleeps here.")
        return await exchange(settlements, claim)

    world.faults.exchange = sleepless  # type: ignore[assignment, method-assign]
    [job] = await world.enqueue(sleeper.job())
    await world.drain(sleeper)

    assert (await world.state(job), heard) == (State.SUCCEEDED, ["Nobody sleeps here."])


@virtually
async def test_run_until_idle_waits_for_jobs_that_jobs_enqueue(world: World) -> None:
    @aiq.task
    async def chain(left: int) -> None:
        if left:
            await world.enqueue(chain.job(left - 1))

    await world.enqueue(chain.job(5))
    done = await world.drain(chain, slots=1)

    assert done.succeeded == 6


@virtually
async def test_run_until_idle_leaves_what_stands_behind_a_paused_key(world: World) -> None:
    jobs = await world.enqueue(*[noop.job(number).using(key="k") for number in range(3)])
    await world.storage.pause_key("default", "k")

    await world.drain(noop)

    assert {await world.state(job) for job in jobs} == {State.READY}


@virtually
async def test_run_until_idle_leaves_what_stands_behind_a_parked_job_of_its_key(world: World) -> None:
    @aiq.task
    async def asks(ctx: aiq.Context) -> bool:
        return await ctx.wait_for(APPROVAL)

    first, second = await world.enqueue(asks.job().using(key="k"), noop.job(1).using(key="k"))

    await world.drain(asks, noop)

    assert (await world.state(first), await world.state(second)) == (State.SUSPENDED, State.READY)


@virtually
async def test_run_until_idle_waits_for_what_stands_behind_a_job_of_its_key_that_another_worker_runs(
    world: World,
) -> None:
    @aiq.task
    async def naps() -> None:
        await asyncio.sleep(20)

    first, second = await world.enqueue(naps.job().using(key="k"), noop.job(1).using(key="k"))
    other = await world.start(naps, noop, slots=1)
    await world.until(first, State.RUNNING)

    await world.drain(naps, noop)
    await other.stop()

    assert {await world.state(job) for job in (first, second)} == {State.SUCCEEDED}


@virtually
async def test_run_until_idle_leaves_what_is_not_due(world: World) -> None:
    [later] = await world.enqueue(noop.job(1).using(delay=3_600))

    await world.drain(noop)
    assert await world.state(later) is State.SCHEDULED

    await asyncio.sleep(3_600)
    await world.drain(noop)
    assert await world.state(later) is State.SUCCEEDED


@virtually
async def test_run_until_idle_applies_what_is_in_the_outbox(world: World) -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    async def fails() -> None:
        raise ValueError("no")

    await world.enqueue(fails.job().using(id="up"))
    await world.storage.enqueue([noop.job(1).spec(job_id="down", place=aiq.newjob.Place(depends_on=("up",)))])
    await world.drain(noop, fails)

    assert await world.state("down") is State.DEAD


@virtually
async def test_two_workers_share_a_backlog_and_each_job_runs_once(world: World) -> None:
    ran: list[int] = []

    @aiq.task
    async def note(number: int) -> None:
        ran.append(number)
        await asyncio.sleep(1)

    await world.enqueue(*[note.job(n) for n in range(200)])
    one = await world.start(note, slots=5)
    two = await world.start(note, slots=5)
    await asyncio.sleep(60)
    await one.stop()
    await two.stop()

    assert sorted(ran) == list(range(200))
    assert (await world.storage.count())["default"] == {State.SUCCEEDED: 200}


@virtually
async def test_an_outage_at_the_start_of_upkeep_does_not_end_run_until_idle(world: World) -> None:
    world.faults.plan(Refuse("upkeep"), Refuse("upkeep"))
    [job] = await world.enqueue(noop.job(1))

    await world.drain(noop)

    assert await world.state(job) is State.SUCCEEDED
    assert issubclass(Unavailable, aiq.StorageError)
