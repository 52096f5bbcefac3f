"""Runs that are handed to one handler together."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

import aiq
from aiq.model import Cause, JobRecord, State
from tests.engine.world import START_MS, World, virtually

ONCE = aiq.Retry(attempts=1)


def batches_of(log: list[list[int]], **options: Any) -> Any:
    """A task that doubles numbers, and notes the batches that it was called with."""

    @aiq.batch_task(**options)
    async def double(numbers: list[int]) -> list[int]:
        log.append(numbers)
        return [2 * number for number in numbers]

    return double


async def records(world: World, jobs: Sequence[str]) -> list[JobRecord]:
    return [await world.get(job) for job in jobs]


def passed_ms(world: World) -> int:
    return world.clock() - START_MS


@virtually
async def test_jobs_that_were_claimed_together_are_one_batch_and_each_gets_its_own_result(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log)
    jobs = await world.enqueue(*(double.job(n) for n in range(5)))

    done = await world.drain(double)

    assert log == [[0, 1, 2, 3, 4]]
    assert [record.result for record in await records(world, jobs)] == [b"0", b"2", b"4", b"6", b"8"]
    assert (done.claimed, done.succeeded) == (5, 5)
    await world.clean()


@virtually
async def test_a_full_batch_begins_at_once_and_the_rest_lingers_for_others(world: World) -> None:
    begun: list[tuple[int, int]] = []

    @aiq.batch_task(size=4, linger=5)
    async def note(numbers: list[int]) -> list[None]:
        begun.append((len(numbers), passed_ms(world) // 1_000))
        return [None] * len(numbers)

    await world.enqueue(*(note.job(n) for n in range(6)))
    await world.drain(note)

    assert begun == [(4, 0), (2, 5)]


@virtually
async def test_a_job_that_comes_while_a_batch_lingers_goes_with_it(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log, linger=10)
    await world.enqueue(double.job(1))
    worker = await world.start(double)
    await asyncio.sleep(5)
    [second] = await world.enqueue(double.job(2))
    await world.until(second, State.SUCCEEDED)
    await worker.stop()

    assert log == [[1, 2]]


@virtually
async def test_a_worker_with_fewer_slots_has_smaller_batches_and_waits_for_no_more(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log, size=64, linger=30)
    await world.enqueue(*(double.job(n) for n in range(6)))

    await world.drain(double, slots=3)

    assert log == [[0, 1, 2], [3, 4, 5]]
    assert passed_ms(world) < 30_000


@virtually
async def test_a_batch_takes_a_slot_for_each_of_its_items(world: World) -> None:
    running: list[int] = []

    @aiq.batch_task(size=2, linger=0)
    async def slow(numbers: list[int]) -> list[None]:
        await asyncio.sleep(10)
        running.append(worker.statistics.running)
        return [None] * len(numbers)

    jobs = await world.enqueue(*(slow.job(n) for n in range(4)))
    worker = await world.start(slow, slots=3)
    for job in jobs:
        await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert max(running) == 3
    assert worker.statistics.running == 0


@virtually
async def test_jobs_of_two_time_outs_are_two_batches(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log, timeout=60)
    await world.enqueue(double.job(1), double.job(2).using(timeout=5), double.job(3))

    await world.drain(double)

    assert sorted(log) == [[1, 3], [2]]


@virtually
async def test_jobs_on_two_routes_are_two_batches_and_the_handler_knows_its_own(world: World) -> None:
    seen: list[tuple[str, list[str]]] = []

    @aiq.batch_task
    async def ask(ctx: aiq.BatchContext, texts: list[str]) -> list[str]:
        assert ctx.route is not None
        seen.append((ctx.route.model, texts))
        return texts

    one, two = aiq.Route("one", model="m1"), aiq.Route("two", model="m2")
    await world.enqueue(*(ask.job(route.name).using(routes=[route]) for route in (one, two, one)))

    await world.drain(ask)

    assert sorted(seen) == [("m1", ["one", "one"]), ("m2", ["two"])]


@virtually
async def test_an_exception_or_a_failure_in_the_place_of_an_item_fails_it_alone(world: World) -> None:
    @aiq.batch_task(retry=ONCE)
    async def picky(ctx: aiq.BatchContext, numbers: list[int]) -> list[int | aiq.Failure | Exception]:
        return [ValueError("odd") if n == 1 else ctx.items[n].failed("two") if n == 2 else n for n in numbers]

    jobs = await world.enqueue(*(picky.job(n) for n in range(4)))
    done = await world.drain(picky)

    first, odd, two, last = await records(world, jobs)
    assert (first.result, last.result) == (b"0", b"3")
    assert [(one.state, one.cause) for one in (odd, two)] == [(State.DEAD, Cause.HANDLER)] * 2
    assert (odd.errors[-1].type, odd.errors[-1].message) == ("ValueError", "odd")
    assert (two.errors[-1].type, two.errors[-1].message) == ("aiq.errors.ItemFailed", "two")
    assert (done.succeeded, done.died) == (2, 2)


@virtually
async def test_an_item_that_failed_is_tried_again_by_the_policy_of_the_task(world: World) -> None:
    attempts: list[tuple[int, int]] = []

    @aiq.batch_task(retry=aiq.Retry(attempts=3, first_delay=1, never=KeyError))
    async def unsteady(ctx: aiq.BatchContext, numbers: list[int]) -> list[int | Exception]:
        attempts.extend((n, item.attempt) for n, item in zip(numbers, ctx.items, strict=True))
        told = {0: KeyError("never"), 1: OSError("again")}
        return [told.get(n, n) if item.attempt == 1 else n for n, item in zip(numbers, ctx.items, strict=True)]

    jobs = await world.enqueue(*(unsteady.job(n) for n in range(3)))
    await world.drain(unsteady)
    worker = await world.start(unsteady)
    await world.until(jobs[1], State.SUCCEEDED)
    await worker.stop()

    assert attempts == [(0, 1), (1, 1), (2, 1), (1, 2)]
    assert [record.state for record in await records(world, jobs)] == [State.DEAD, State.SUCCEEDED, State.SUCCEEDED]


@virtually
async def test_an_exception_of_the_handler_fails_all_of_its_items(world: World) -> None:
    @aiq.batch_task(retry=ONCE)
    async def fails(numbers: list[int]) -> list[int]:
        raise ConnectionError("no luck")

    jobs = await world.enqueue(fails.job(1), fails.job(2))
    await world.drain(fails)

    for record in await records(world, jobs):
        assert (record.state, record.errors[-1].message) == (State.DEAD, "no luck")
        # One error for all of them: what each adds to its traceback must not add up.
        assert record.errors[-1].traceback.count("in enter") == 1


@pytest.mark.parametrize(
    ("answers", "told"), [([1], "given 2 items, and returned 1 answers"), (None, "returned a `NoneType`")]
)
def test_answers_that_are_not_one_for_each_item_fail_all_and_are_tried_again(answers: Any, told: str) -> None:
    @virtually
    async def test(world: World) -> None:
        runs = 0

        @aiq.batch_task(name="embed", retry=aiq.Retry(attempts=2, first_delay=0))
        async def embed(numbers: list[int]) -> list[int]:
            nonlocal runs
            runs += 1
            return answers  # type: ignore[no-any-return]

        jobs = await world.enqueue(embed.job(1), embed.job(2))
        await world.drain(embed)

        assert runs == 2
        for record in await records(world, jobs):
            assert (record.state, record.errors[-1].type) == (State.DEAD, "aiq.errors.BatchInvalid")
            assert 'The handler of batch task "embed" was' in record.errors[-1].message
            assert told in record.errors[-1].message

    test()


@virtually
async def test_a_result_that_does_not_fit_kills_its_item_alone(world: World) -> None:
    @aiq.batch_task(retry=aiq.Retry(attempts=5))
    async def lies(numbers: list[int]) -> list[int]:
        return [n or "text" for n in numbers]  # type: ignore[misc]

    jobs = await world.enqueue(lies.job(0), lies.job(1))
    await world.drain(lies)

    liar, honest = await records(world, jobs)
    assert (liar.state, liar.cause, honest.state) == (State.DEAD, Cause.RESULT, State.SUCCEEDED)


@virtually
async def test_a_cancellation_from_within_a_handler_is_the_failure_of_its_items(world: World) -> None:
    @aiq.batch_task(retry=ONCE)
    async def confused(numbers: list[int]) -> list[int]:
        raise asyncio.CancelledError

    [job] = await world.enqueue(confused.job(1))
    await world.drain(confused)

    [record] = await records(world, [job])
    assert (record.state, record.cause) == (State.DEAD, Cause.HANDLER)


@virtually
async def test_a_payload_that_does_not_fit_is_no_part_of_a_batch(world: World) -> None:
    @aiq.batch_task(name="double")
    async def older(texts: list[str]) -> list[str]:
        return texts

    log: list[list[int]] = []
    double = batches_of(log, name="double")
    jobs = await world.enqueue(older.job("text"), double.job(3))
    await world.drain(double)

    strange, known = await records(world, jobs)
    assert (strange.cause, known.result, log) == (Cause.PAYLOAD, b"6", [[3]])


@virtually
async def test_items_wait_for_the_outputs_that_they_use(world: World) -> None:
    log: list[list[int]] = []
    double = batches_of(log)
    flow = aiq.Flow("twice")
    first = flow.add(double.job(3))
    second = flow.add(double.job(first.output))
    await world.storage.enqueue(flow.specs("flow", queue_default="default"))
    await world.drain(double)

    assert log == [[3], [6]]
    assert second.job.task is double


def test_the_handler_of_a_def_runs_in_a_thread_with_all_of_its_items() -> None:
    threads: list[str] = []

    @aiq.batch_task
    def double(numbers: list[int]) -> list[int]:
        threads.append(threading.current_thread().name)
        return [2 * number for number in numbers]

    async def run() -> list[int]:
        async with aiq.Queue("memory://") as queue:
            jobs = await queue.enqueue_many(double.job(n) for n in range(3))
            await aiq.Worker(queue, tasks=[double]).run_until_idle()
            return [await job.result() for job in jobs]

    assert asyncio.run(run()) == [0, 2, 4]
    [name] = threads
    assert name.startswith("aiq-handler")


def test_what_the_items_of_a_batch_are_is_known_to_the_handler() -> None:
    seen: list[Any] = []

    @aiq.batch_task
    async def look(ctx: aiq.BatchContext, texts: list[str]) -> list[None]:
        [item] = ctx.items
        seen.extend(
            [ctx.task, item.tenant, item.attempt, item.estimate, item.idempotency_key("pay") == f"{item.job_id}/pay"]
        )
        return [None]

    @virtually
    async def test(world: World) -> None:
        await world.enqueue(look.job("x").using(tenant="acme", estimate=aiq.Estimate(input=3)))
        await world.drain(look)

    test()
    assert seen == ["look", "acme", 1, aiq.Estimate(input=3), True]


class Torn(Sequence[int]):
    """As many answers as it is asked for, of which one cannot be read."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, n: Any) -> Any:
        if n == 1:
            raise RuntimeError("torn")
        return n


class Lying(Torn):
    def __getitem__(self, n: Any) -> Any:
        return n


@virtually
@pytest.mark.parametrize(("answers", "said"), [(Torn, "RuntimeError"), (Lying, "aiq.errors.BatchInvalid")])
async def test_answers_that_cannot_be_read_fail_their_jobs(world: World, answers: type[Torn], said: str) -> None:
    @aiq.batch_task(retry=ONCE)
    async def lazy(numbers: list[int]) -> Sequence[int]:
        return answers(len(numbers))

    jobs = await world.enqueue(*(lazy.job(n) for n in range(3)))
    await world.drain(lazy)

    assert [(record.state, record.errors[-1].type) for record in await records(world, jobs)] == [(State.DEAD, said)] * 3
