"""Several processes on one file: they share it, die on it, forget to close it, or are forked with it open."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiq.model import State
from aiq.testing.actions import claim_one, enqueue_one
from tests.backends.sqlite_files import opened, url_of

FORGET_TO_CLOSE = """
import asyncio, sys
from aiq.backends import open_storage
from aiq.model import JobSpec

async def main():
    storage = await open_storage(sys.argv[1])
    await storage.sibling()
    # The last one is under way when the loop ends.
    await storage.enqueue([JobSpec(id="waited for", task="work")])
    asyncio.ensure_future(storage.enqueue([JobSpec(id="under way", task="work")]))
    await asyncio.sleep(0)
    if sys.argv[2] == "raise":
        raise SystemExit(3)

asyncio.run(main())
"""

FORK = """
import asyncio, os, sys
from aiq.backends import open_storage
from aiq.errors import Misconfigured

async def main():
    storage = await open_storage(sys.argv[1])
    child = os.fork()
    if child == 0:
        try:
            storage.count().send(None)
        except Misconfigured as error:
            os._exit(7 if "fork" in str(error) else 8)
        os._exit(9)
    _, status = os.waitpid(child, 0)
    assert await storage.count() == {}
    await storage.close()
    sys.exit(os.waitstatus_to_exitcode(status))

asyncio.run(main())
"""

ENQUEUE_FOR_EVER = """
import asyncio, itertools, sys
from aiq.backends import open_storage
from aiq.model import ClaimRequest, JobSpec, Settlement, Succeeded, Want

async def main():
    storage = await open_storage(sys.argv[1])
    for n in itertools.count():
        name = f"{sys.argv[2]}.{n}"
        follower = JobSpec(id=name + ".next", task="work", depends_on=(name,))
        await storage.enqueue([JobSpec(id=name, task="work"), follower])
        claim = ClaimRequest(sys.argv[2], n + 1, name, (Want("default", 1),))
        for run in (await storage.exchange((), claim)).claimed:
            await storage.exchange([Settlement(run.lease, "1", Succeeded(b"done"))])
            print(run.id, flush=True)

asyncio.run(main())
"""

WORK = """
import asyncio, itertools, sys
from aiq.backends import open_storage
from aiq.model import ClaimRequest, JobSpec, Settlement, Succeeded, Want

async def main(url, worker, jobs):
    storage = await open_storage(url)
    for n in range(jobs):
        await storage.enqueue([JobSpec(id=f"{worker}.{n}", task="work")])
    idle = 0
    for number in itertools.count(1):
        claim = ClaimRequest(worker, number, f"{worker} {number}", (Want("default", 3),))
        runs = (await storage.exchange((), claim)).claimed
        idle = 0 if runs else idle + 1
        if idle == 50:
            break
        for run in runs:
            print(run.id, flush=True)
            await storage.exchange([Settlement(run.lease, "1", Succeeded(b"done"))])
        await asyncio.sleep(0 if runs else 0.005)
    await storage.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


async def python(script: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, list[str]]:
    """How a process ended, and the lines that it wrote; it must not complain."""
    async with asyncio.timeout(120):
        out, complaint = await process.communicate()
    assert not complaint, complaint.decode()
    return process.returncode, out.decode().split()


@pytest.mark.parametrize(("end", "code"), [("return", 0), ("raise", 3)])
async def test_a_program_that_forgets_to_close_ends_and_loses_nothing(path: Path, end: str, code: int) -> None:
    process = await python(FORGET_TO_CLOSE, url_of(path), end)

    async with asyncio.timeout(20):
        assert await process.wait() == code
    async with opened(path) as storage:
        assert await storage.get(["waited for"]) != [None]
        assert await storage.audit() == []


async def test_a_fork_of_the_process_that_opened_the_file_is_refused(path: Path) -> None:
    code, _ = await ended(await python(FORK, url_of(path)))

    assert code == 7


async def test_processes_that_open_a_new_file_at_once_agree_on_its_schema(path: Path) -> None:
    script = "import asyncio, sys; from aiq.backends import open_storage; asyncio.run(open_storage(sys.argv[1]))"
    opening = [await python(script, url_of(path)) for _ in range(3)]

    for process in opening:
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    async with opened(path) as storage:
        assert await enqueue_one(storage) == "job"


@pytest.mark.faults
async def test_four_processes_on_one_file_end_every_job_once(path: Path) -> None:
    jobs = 1_000
    async with opened(path):
        pass
    workers = [await python(WORK, url_of(path), f"worker{number}", str(jobs)) for number in range(4)]
    ends = await asyncio.gather(*(ended(worker) for worker in workers))

    assert [code for code, _ in ends] == [0] * 4
    ran = [job_id for _, job_ids in ends for job_id in job_ids]
    assert len(ran) == len(set(ran)) == 4 * jobs
    async with opened(path) as storage:
        assert await storage.count() == {"default": {State.SUCCEEDED: 4 * jobs}}
        assert await storage.audit() == []


@pytest.mark.faults
async def test_a_process_that_is_killed_at_any_moment_tears_nothing_and_loses_nothing_acknowledged(path: Path) -> None:
    acknowledged: list[str] = []
    for number in range(15):
        process = await python(ENQUEUE_FOR_EVER, url_of(path), f"worker{number}")
        assert process.stdout is not None
        # Some more lines each time, and then in the middle of whatever it is about.
        acknowledged += [(await process.stdout.readline()).decode().strip() for _ in range(1 + number * 7)]
        process.send_signal(signal.SIGKILL)
        rest, _ = await process.communicate()
        acknowledged += rest.decode().split("\n")[:-1]
        async with opened(path) as storage:
            assert await storage.audit() == []

    async with opened(path) as storage:
        for job_id in acknowledged:
            (record,) = await storage.get([job_id])
            assert record is not None
            assert (record.state, record.result) == (State.SUCCEEDED, b"done")
        assert await claim_one(storage)
