"""The worker as programs hold it: in a shell, inside another program, and in a test."""

import asyncio
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

import aiq
from aiq.testing import Faulty, Refuse


@aiq.task
async def double(number: int) -> int:
    return number * 2


@aiq.task(queue="slow")
async def halve(number: int) -> int:
    return number // 2


def blocker(started: asyncio.Event) -> aiq.Task[[], None]:
    """A task that says when it runs, and ends only by being cancelled."""

    @aiq.task
    async def blocks() -> None:
        started.set()
        await asyncio.Event().wait()

    return blocks


async def test_run_until_idle_works_off_what_is_there_and_tells_what_it_did(queue: aiq.Queue) -> None:
    jobs = [await queue.enqueue(double.job(n)) for n in range(3)]

    done = await aiq.Worker(queue, tasks=[double]).run_until_idle()

    assert [await job.result(timeout=0) for job in jobs] == [0, 2, 4]
    assert (done.claimed, done.succeeded, done.running) == (3, 3, 0)


async def test_a_worker_can_be_used_again_and_its_statistics_add_up(queue: aiq.Queue) -> None:
    worker = aiq.Worker(queue, tasks=[double])
    await queue.enqueue(double.job(1))
    await worker.run_until_idle()
    await queue.enqueue(double.job(2))
    await worker.run_until_idle()

    assert worker.statistics.succeeded == 2


@pytest.mark.parametrize("address", ["memory://worker-opens", "sqlite:///{folder}/jobs.db"])
async def test_a_worker_opens_a_url_by_itself(address: str, tmp_path: Path) -> None:
    url = address.format(folder=tmp_path)
    async with aiq.Queue(url) as queue:
        job = await queue.enqueue(double.job(21))
        await aiq.Worker(url, tasks=[double]).run_until_idle()
        assert await job.result(timeout=0) == 42


async def test_a_number_of_slots_is_meant_for_each_queue_that_a_task_names(queue: aiq.Queue) -> None:
    jobs = [await queue.enqueue(double.job(1)), await queue.enqueue(halve.job(8))]

    await aiq.Worker(queue, tasks=[double, halve], slots=1).run_until_idle()

    assert [await job.result(timeout=0) for job in jobs] == [2, 4]


async def test_a_worker_serves_the_queues_of_its_slots_and_no_others(queue: aiq.Queue) -> None:
    there, elsewhere = await queue.enqueue(halve.job(8)), await queue.enqueue(double.job(1))

    await aiq.Worker(queue, tasks=[double, halve], slots={"slow": 2}).run_until_idle()

    assert await there.state() is aiq.State.SUCCEEDED
    assert await elsewhere.state() is aiq.State.READY


async def test_a_worker_lives_inside_another_program(queue: aiq.Queue) -> None:
    async with aiq.Worker(queue, tasks=[double]) as worker:
        job = await queue.enqueue(double.job(4))
        assert await job.result(timeout=10) == 8

    assert worker.statistics.running == 0


async def test_one_worker_does_not_run_twice_at_once(queue: aiq.Queue) -> None:
    async with aiq.Worker(queue, tasks=[double]) as worker:
        with pytest.raises(aiq.InvalidInput, match="running already"):
            await worker.run_until_idle()


async def test_stopping_a_worker_that_does_not_run_is_nothing(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=[double]).stop()


async def test_cancelling_run_gives_back_what_runs_before_it_is_raised(queue: aiq.Queue) -> None:
    started = asyncio.Event()
    blocks = blocker(started)
    job = await queue.enqueue(blocks.job())
    running = asyncio.create_task(aiq.Worker(queue, tasks=[blocks], grace=600).run(handle_signals=False))
    await started.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    [record] = await queue.storage.get([job.id])
    assert record is not None
    assert (record.state, record.failures) == (aiq.State.READY, 0)


async def test_cancelling_a_program_that_holds_a_worker_gives_back_what_runs(queue: aiq.Queue) -> None:
    started = asyncio.Event()
    blocks = blocker(started)
    job = await queue.enqueue(blocks.job())

    async def program() -> None:
        async with aiq.Worker(queue, tasks=[blocks], grace=0):
            await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert await job.state() is aiq.State.READY


async def test_an_error_in_a_program_that_holds_a_worker_is_not_kept_back_for_the_grace(queue: aiq.Queue) -> None:
    started = asyncio.Event()
    blocks = blocker(started)
    job = await queue.enqueue(blocks.job())

    async def program() -> None:
        async with asyncio.timeout(20), aiq.Worker(queue, tasks=[blocks], grace=600):
            await started.wait()
            raise LookupError("of the program")

    with pytest.raises(LookupError, match="of the program"):
        await program()

    [record] = await queue.storage.get([job.id])
    assert record is not None
    assert (record.state, record.failures) == (aiq.State.READY, 0)


async def test_a_signal_lets_running_jobs_finish_and_ends_run(queue: aiq.Queue) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    @aiq.task
    async def waits() -> str:
        started.set()
        await gate.wait()
        return "finished"

    job, later = await queue.enqueue(waits.job()), await queue.enqueue(waits.job())
    running = asyncio.create_task(aiq.Worker(queue, tasks=[waits], slots=1).run())
    await started.wait()

    os.kill(os.getpid(), signal.SIGTERM)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    await running

    assert await job.result(timeout=0) == "finished"
    assert await later.state() is aiq.State.READY


async def test_a_signal_that_comes_while_a_worker_starts_ends_it_in_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with aiq.Queue(url) as queue:
        job = await queue.enqueue(double.job(1))
        running = asyncio.create_task(aiq.Worker(url, tasks=[double]).run())
        await asyncio.sleep(0)
        assert not running.done()

        os.kill(os.getpid(), signal.SIGTERM)
        await running

        assert await job.state() is aiq.State.READY


async def test_stopping_a_worker_that_is_still_starting_ends_it_before_it_has_begun_a_job(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with aiq.Queue(url) as queue:
        job = await queue.enqueue(double.job(1))
        worker = aiq.Worker(url, tasks=[double])
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0)

        await worker.stop()

        await running
        assert await job.state() is aiq.State.READY


async def test_a_worker_inside_a_program_says_what_ended_it_in_the_log_and_to_whoever_stops_it(
    queue: aiq.Queue, storage: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise aiq.Corrupt("two rows of one id")

    monkeypatch.setattr(storage, "exchange", broken)
    worker = await aiq.Worker(queue, tasks=[double]).__aenter__()
    assert worker._serving is not None
    await asyncio.wait({worker._serving})

    with pytest.raises(aiq.Corrupt, match="two rows"):
        await worker.stop()
    with pytest.raises(aiq.Corrupt, match="two rows"):
        await worker.__aexit__(None, None, None)

    assert [one.message for one in caplog.records if one.levelno == logging.ERROR] == [
        "The worker has ended: Corrupt: two rows of one id"
    ]


async def test_an_error_in_a_program_is_not_replaced_by_that_of_a_worker_that_died_before(
    queue: aiq.Queue, storage: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> NoReturn:
        raise aiq.Corrupt("two rows of one id")

    monkeypatch.setattr(storage, "exchange", broken)
    worker = aiq.Worker(queue, tasks=[double])

    with pytest.raises(KeyError, match="mine"):
        async with worker:
            raise KeyError("mine")


async def test_stopping_a_worker_whose_run_was_cancelled_is_nothing(queue: aiq.Queue) -> None:
    worker = aiq.Worker(queue, tasks=[double])
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})

    await worker.stop()


async def test_a_second_signal_gives_back_at_once(queue: aiq.Queue) -> None:
    started = asyncio.Event()
    blocks = blocker(started)
    job = await queue.enqueue(blocks.job())
    running = asyncio.create_task(aiq.Worker(queue, tasks=[blocks], grace=600).run())
    await started.wait()

    os.kill(os.getpid(), signal.SIGINT)
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
    await running

    assert await job.state() is aiq.State.READY
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_worker_inside_another_program_leaves_its_signals_alone(queue: aiq.Queue) -> None:
    async with aiq.Worker(queue, tasks=[double]):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_worker_runs_in_a_thread_that_is_not_the_main_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    failures: list[BaseException] = []

    async def main() -> None:
        async with aiq.Queue(url) as queue:
            job = await queue.enqueue(double.job(1))
            worker = aiq.Worker(queue, tasks=[double])
            running = asyncio.create_task(worker.run())
            await job.result(timeout=10)
            await worker.stop()
            await running

    def thread() -> None:
        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001 - it is the test that must hear of it
            failures.append(error)

    running = threading.Thread(target=thread)
    running.start()
    running.join(30)

    assert failures == []
    assert not running.is_alive()


async def test_a_handler_that_blocks_the_loop_for_many_leases_runs_once_and_the_log_names_the_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[int] = []

    @aiq.task(lease=0.5, retry=aiq.Retry(attempts=5))
    async def crunches(ctx: aiq.Context) -> str:
        runs.append(ctx.fence)
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            sum(range(1_000))
        return "done"

    async with aiq.Queue("memory://") as queue:
        job = await queue.enqueue(crunches.job())
        async with aiq.Worker(queue, tasks=[crunches]):
            assert await job.result(timeout=20) == "done"
        [record] = await queue.storage.get([job.id])

    assert record is not None
    assert (runs, record.stalls, record.late) == ([1], 0, False)
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING and "not turned" in r.message]
    assert len(warnings) == 1
    assert "in crunches at" in warnings[0]
    assert Path(__file__).name in warnings[0]


async def test_a_worker_leaves_no_thread_and_no_open_file_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    files = len(os.listdir("/proc/self/fd"))

    for number in range(3):
        async with aiq.Queue(url) as queue:
            await queue.enqueue(double.job(number))
        await aiq.Worker(url, tasks=[double]).run_until_idle()

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("aiq")] == []
    assert len(os.listdir("/proc/self/fd")) <= files


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    for turns in range(30):
        running = asyncio.create_task(aiq.Worker(url, tasks=[double]).run(handle_signals=False))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("aiq")] == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_outage_at_the_start_of_a_run_is_waited_for(storage: Faulty, queue: aiq.Queue) -> None:
    job = await queue.enqueue(double.job(1))
    storage.plan(Refuse("exchange"), Refuse("exchange"))

    await aiq.Worker(queue, tasks=[double]).run_until_idle()

    assert await job.result(timeout=0) == 2


async def test_an_address_that_cannot_be_opened_is_told_at_the_start() -> None:
    with pytest.raises(aiq.Misconfigured, match="No backend"):
        await aiq.Worker("nosuch://there", tasks=[double]).run()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tasks": []}, "at least one task"),
        ({"tasks": [len]}, "not a task"),
        ({"tasks": [double, aiq.task(name="double")(halve.function)]}, 'Two tasks are named "double"'),
        ({"slots": 0}, "slots"),
        ({"slots": {}}, "at least one queue"),
        ({"slots": {"no such name!": 1}}, "is not a name for a queue"),
        ({"grace": -1}, "grace"),
        ({"name": "a" * 201}, "name of the worker is 201 bytes"),
        ({"name": "a\0b"}, "holds a NUL character"),
        ({"threads": 0}, "threads"),
        ({"slots": "8"}, "number of slots of default is '8'; pass a whole number"),
        ({"slots": {"default": 2.5}}, "number of slots of default is 2.5; pass a whole number"),
        ({"grace": "30"}, "grace is '30'; pass seconds as a number"),
        ({"threads": "4"}, "number of threads is '4'; pass a whole number"),
    ],
)
def test_what_can_never_work_is_refused_at_once(options: dict[str, object], told: str) -> None:
    arguments: dict[str, object] = {"tasks": [double], **options}

    with pytest.raises(aiq.InvalidInput, match=told):
        aiq.Worker("memory://", **arguments)  # type: ignore[arg-type]


async def test_a_worker_of_the_longest_name_works(queue: aiq.Queue) -> None:
    job = await queue.enqueue(double.job(1))
    await aiq.Worker(queue, tasks=[double], name="a" * 200).run_until_idle()

    assert await job.result(timeout=0) == 2
