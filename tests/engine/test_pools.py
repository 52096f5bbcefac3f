"""Handlers in threads and in processes, which have no virtual time."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import pytest

import aiq
from aiq.engine.pools import ProcessDied, Processes, Threads, _Child
from aiq.model import Cause, State

who: ContextVar[str] = ContextVar("who", default="nobody")


@aiq.task
def square(number: int) -> int:
    return number * number


@aiq.task(kind="process")
def cube(number: int) -> int:
    return number**3


@aiq.task(kind="process", retry=aiq.Retry(attempts=2, first_delay=0))
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@aiq.task(kind="process", retry=aiq.Retry(attempts=1))
def told_to_end() -> int:
    os.kill(os.getpid(), signal.SIGTERM)
    # What a handler starts can be ended as ever.
    return -subprocess.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"], check=False).returncode


@aiq.task(kind="process", retry=aiq.Retry(attempts=1))
def raises() -> None:
    raise LookupError("in the process")


@aiq.task(kind="process", timeout=0.2, retry=aiq.Retry(attempts=1))
def spins() -> None:
    while True:
        pass


@aiq.task(kind="process")
def process_id() -> int:
    return os.getpid()


async def run(*jobs: aiq.NewJob[object], **options: int) -> list[aiq.JobRecord]:
    """Run jobs to their end on a worker of their own, and read them."""
    async with aiq.Queue("memory://") as queue:
        handles = await queue.enqueue_many(jobs)
        worker = aiq.Worker(queue, tasks={job.task.name: job.task for job in jobs}.values(), **options)  # type: ignore[arg-type]
        async with worker:
            for handle in handles:
                mark = await queue.storage.wait([f"job:{handle.id}"], after=None, timeout_ms=0)
                while not (await queue.storage.get([handle.id]))[0].state.terminal:  # type: ignore[union-attr]
                    mark = await queue.storage.wait([f"job:{handle.id}"], after=mark, timeout_ms=60_000)
        return [record for record in await queue.storage.get([h.id for h in handles]) if record is not None]


async def test_a_def_handler_runs_in_a_thread_of_the_workers_own() -> None:
    names: list[str] = []

    @aiq.task
    def here() -> None:
        names.append(threading.current_thread().name)

    await run(here.job())

    assert names[0].startswith("aiq-handler")


async def test_def_handlers_give_results_and_failures_like_any() -> None:
    @aiq.task(retry=aiq.Retry(attempts=1))
    def fails() -> None:
        raise StopIteration("odd")

    good, bad = await run(square.job(7), fails.job())

    assert (good.result, bad.state) == (b"49", State.DEAD)


async def test_no_more_threads_are_used_than_were_asked_for() -> None:
    seen: set[str] = set()

    @aiq.task
    def note() -> None:
        seen.add(threading.current_thread().name)

    await run(*[note.job() for _ in range(50)], threads=2)

    assert len(seen) <= 2


async def test_a_thread_hands_no_context_from_one_job_to_the_next() -> None:
    @aiq.task
    def look() -> str:
        before = who.get()
        who.set("the last one")
        return before

    records = await run(*[look.job() for _ in range(5)], threads=1)

    assert {record.result for record in records} == {b'"nobody"'}


async def test_a_thread_that_is_waited_for_no_longer_goes_on_to_its_end() -> None:
    threads = Threads(1, "test")
    gate = threading.Event()
    future = threads.submit(gate.wait).done

    async def waits() -> None:
        await asyncio.wait({future})

    waiting = asyncio.create_task(waits())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not future.done()

    gate.set()
    assert await future is True
    threads.close()


async def test_a_call_that_is_called_back_before_it_begins_never_does() -> None:
    threads = Threads(1, "test")
    gate, ran = threading.Event(), list[int]()
    busy = threads.submit(gate.wait)
    queued = threads.submit(lambda: ran.append(1))

    queued.call_back()
    gate.set()
    await busy.done
    await threads.submit(lambda: None).done

    assert queued.done.cancelled()
    assert ran == []
    threads.close()


async def test_a_call_that_has_begun_cannot_be_called_back() -> None:
    threads = Threads(1, "test")
    gate, begun = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        gate.wait()
        return "done"

    call = threads.submit(work)
    begun.wait()
    call.call_back()
    gate.set()

    assert await call.done == "done"
    threads.close()


async def test_a_def_handler_over_its_timeout_keeps_its_slot_until_its_thread_is_done() -> None:
    gate, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    order: list[str] = []

    @aiq.task(timeout=0.05, retry=aiq.Retry(attempts=1))
    def blocks() -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait()
        order.append("thread ended")

    @aiq.task
    async def after() -> None:
        order.append("slot used again")

    async with aiq.Queue("memory://") as queue:
        first = await queue.enqueue(blocks.job())
        second = await queue.enqueue(after.job())
        async with aiq.Worker(queue, tasks=[blocks, after], slots=1):
            await begun.wait()
            with pytest.raises(aiq.JobDead, match="timeout"):
                await first.result(timeout=10)
            assert await second.state() is aiq.State.READY
            gate.set()
            await second.result(timeout=10)

    assert order == ["thread ended", "slot used again"]


async def test_a_def_handler_whose_time_is_up_before_there_is_a_thread_for_it_never_runs() -> None:
    gate, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    ran: list[int] = []

    @aiq.task
    def blocks() -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait()

    @aiq.task(timeout=0.05, retry=aiq.Retry(attempts=1))
    def waits() -> None:
        ran.append(1)

    async with aiq.Queue("memory://") as queue:
        first = await queue.enqueue(blocks.job())
        second = await queue.enqueue(waits.job())
        async with aiq.Worker(queue, tasks=[blocks, waits], slots=2, threads=1) as worker:
            await begun.wait()
            with pytest.raises(aiq.JobDead, match="timeout"):
                await second.result(timeout=10)
            assert worker.statistics.running == 1
            gate.set()
            await first.result(timeout=10)

    assert ran == []


async def test_a_process_task_runs_in_another_process_which_is_kept_for_the_next() -> None:
    cubed, *ids = await run(cube.job(3), *[process_id.job() for _ in range(3)], processes=1)

    assert cubed.result == b"27"
    assert len({record.result for record in ids}) == 1
    assert int(ids[0].result or b"0") != os.getpid()


async def test_an_error_in_a_process_is_told_with_its_class_and_traceback() -> None:
    [record] = await run(raises.job(), processes=1)

    assert (record.errors[0].type, record.errors[0].message) == ("LookupError", "in the process")
    assert "raise LookupError" in record.errors[0].traceback


async def test_a_killed_process_is_a_failure_of_its_job_alone_and_the_worker_lives() -> None:
    dead, alive = await run(killed.job(), cube.job(2), processes=1)

    assert [error.message for error in dead.errors] == [
        "The process of the handler was ended by signal 9 before it answered."
    ] * 2
    assert (dead.state, dead.cause, alive.result) == (State.DEAD, Cause.HANDLER, b"8")


async def test_a_process_outlives_a_sigterm_to_its_group_since_its_worker_decides() -> None:
    [record] = await run(told_to_end.job(), processes=1)

    assert record.result == b"15"


@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "while it is handed a job"])
async def test_a_process_that_has_died_while_it_was_idle_costs_no_job_an_attempt(
    monkeypatch: pytest.MonkeyPatch, is_seen: bool
) -> None:
    if not is_seen:
        monkeypatch.setattr(_Child, "is_alive", lambda _: True)
    async with aiq.Queue("memory://") as queue, aiq.Worker(queue, tasks=[process_id], processes=1):
        first = await (await queue.enqueue(process_id.job())).result(20)
        os.kill(first, signal.SIGKILL)
        # Until all of its threads have ended, which share its end of the pipe.
        await asyncio.to_thread(os.waitid, os.P_PID, first, os.WEXITED | os.WNOWAIT)

        second = await queue.enqueue(process_id.job(), attempts=1)

        assert await second.result(20) != first


async def test_a_process_over_its_timeout_is_killed() -> None:
    [record] = await run(spins.job(), processes=1)

    assert (record.state, record.cause) == (State.DEAD, Cause.TIMEOUT)


async def test_a_process_task_that_a_process_cannot_find_says_why() -> None:
    def unnamed(number: int) -> int:
        return number

    hidden = aiq.task(kind="process", name="hidden")
    with pytest.raises(aiq.InvalidInput, match="Move it out"):
        hidden(unnamed)

    renamed = aiq.task(kind="process", name="renamed")(cube.function)
    [record] = await run(renamed.job(1), processes=1)
    assert (record.state, record.cause) == (State.DEAD, Cause.UNROUTABLE)
    assert 'no task "renamed" at its top level' in record.errors[0].message


async def test_a_process_that_breaks_is_replaced() -> None:
    processes = Processes(1)
    for _ in range(2):
        with pytest.raises(ProcessDied, match="exited with code 1"):
            await processes.call(b"no request")
    processes.close()


ORPHANS = """
import asyncio, pathlib, sys
import aiq

@aiq.task(kind="process")
def spins(note: str) -> None:
    import os
    path = pathlib.Path(note)
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)
    while True:
        pass

async def main() -> None:
    async with aiq.Queue("memory://") as queue:
        await queue.enqueue(spins.job(sys.argv[1]))
        await aiq.Worker(queue, tasks=[spins], processes=1).run()

if __name__ == "__main__":
    asyncio.run(main())
"""


def looked_for(what: Callable[[], bool]) -> bool:
    """Whether something comes true within 20 s; processes of their own have no virtual time."""
    end = time.monotonic() + 20
    while not (true := what()) and time.monotonic() < end:
        threading.Event().wait(0.01)
    return true


def computes(pid: int) -> bool:
    """Whether a process is there, and no mere entry of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_handler_in_a_process_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    program, note = tmp_path / "orphans.py", tmp_path / "pid"
    program.write_text(ORPHANS)
    worker = subprocess.Popen([sys.executable, str(program), str(note)])
    try:
        assert looked_for(note.exists)
        child = int(note.read_text())
        assert computes(child)
    finally:
        worker.kill()
        worker.wait()

    ended = looked_for(lambda: not computes(child))
    if not ended:
        os.kill(child, signal.SIGKILL)
    assert ended
