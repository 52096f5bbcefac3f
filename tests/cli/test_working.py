"""worker."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aiq
from aiq.cli.loading import load_worker
from aiq.model import State
from aiq.testing.actions import get_one
from tests.cli.command import environment, said, within

MODULE = """
import asyncio, logging, os
import aiq

@aiq.task
async def double(number: int) -> int:
    logging.warning("doubling \\x1b[2J")
    return 2 * number

@aiq.task(retry=aiq.Retry(attempts=1))
async def fail() -> None:
    raise ValueError("secret")

@aiq.task
async def forever(ctx: aiq.Context) -> None:
    await ctx.emit("begun")
    await asyncio.Event().wait()

worker = aiq.Worker(os.environ.get("AIQ_URL", "memory://"), tasks=[double, fail, forever], grace=3600)

def make_worker():
    return worker

def broken():
    raise LookupError("no settings")

number = 3
"""


# The same tasks as their producer knows them: only names and annotations matter to him.
@aiq.task
async def double(number: int) -> int:
    raise NotImplementedError


@aiq.task(retry=aiq.Retry(attempts=1))
async def fail() -> None:
    raise NotImplementedError


@aiq.task
async def forever(ctx: aiq.Context) -> None:
    raise NotImplementedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs_of_a_test.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


@contextmanager
def working(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "aiq", "worker", *words]
    with subprocess.Popen(
        command,
        env=environment(None),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_runs_jobs_until_it_is_told_to_stop(end: signal.Signals, url: str, folder: Path) -> None:
    async def results() -> list[int]:
        async with aiq.Queue(url) as queue:
            jobs = await queue.enqueue_many([double.job(number) for number in range(20)])
            return [await job.result(timeout=30) for job in jobs]

    with working(folder, "jobs_of_a_test:worker", "--url", url, "--json") as process:
        assert asyncio.run(results()) == [2 * number for number in range(20)]
        process.send_signal(end)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    done = json.loads(out)
    assert (done["claimed"], done["succeeded"], done["running"]) == (20, 20, 0)
    assert "doubling \\x1b[2J" in err
    assert "Traceback" not in err


def test_a_second_signal_gives_running_jobs_back_at_once(url: str, folder: Path) -> None:
    async def begun() -> str:
        async with aiq.Queue(url) as queue:
            job = await queue.enqueue(forever.job())
            async for _ in job.stream():
                break
            return job.id

    with working(folder, "jobs_of_a_test:worker", "--url", url) as process:
        job_id = asyncio.run(begun())
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "1 released" in out
    record = within(url, lambda storage: get_one(storage, job_id))
    assert (record.state, record.failures) == (State.READY, 0)


def test_the_log_names_the_job_and_not_what_it_works_on(url: str, folder: Path) -> None:
    async def dead() -> str:
        async with aiq.Queue(url) as queue:
            job = await queue.enqueue(fail.job())
            with pytest.raises(aiq.JobDead):
                await job.result(timeout=30)
            return job.id

    with working(folder, "jobs_of_a_test.py", "--url", url) as process:
        job_id = asyncio.run(dead())
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)

    assert f"The run failed: ValueError (job {job_id})" in err
    assert "secret" not in err


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process in the folder of the module, and as if it had never imported that."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    for name in ("jobs_of_a_test", "colliding", "falling", "lacking", "package_of_a_test", "package_of_a_test.jobs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


@pytest.mark.parametrize(
    "target",
    [
        "jobs_of_a_test:worker",
        "jobs_of_a_test",
        "jobs_of_a_test:make_worker",
        "jobs_of_a_test.py",
        "jobs_of_a_test.py:make_worker",
        "./jobs_of_a_test.py:worker",
    ],
)
def test_a_worker_is_found_by_module_or_file_and_may_be_made_by_a_function(target: str, here: Path) -> None:
    assert isinstance(load_worker(target), aiq.Worker)


def test_a_worker_is_found_in_a_package_and_in_a_file_elsewhere(here: Path) -> None:
    package = here / "package_of_a_test"
    package.mkdir()
    (here / "jobs_of_a_test.py").rename(package / "jobs.py")

    assert isinstance(load_worker("package_of_a_test.jobs:worker"), aiq.Worker)
    assert isinstance(load_worker(f"{package}/jobs.py"), aiq.Worker)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere:worker", "There is no module nowhere."),
        ("nowhere.jobs", "There is no module nowhere."),
        ("nowhere.py", "There is no file nowhere.py."),
        ("json.py", "json.py has the name of another module"),
        ("falling", "Module falling fails: ZeroDivisionError: division by zero."),
        ("lacking", "Module lacking fails: ModuleNotFoundError: No module named 'nothing_of_the_kind'."),
        ("jobs_of_a_test:wrong", 'jobs_of_a_test has no "wrong". It has worker.'),
        ("jobs_of_a_test:number", "jobs_of_a_test:number is neither an aiq.Worker nor a function"),
        ("jobs_of_a_test:double", "jobs_of_a_test:double is neither an aiq.Worker nor a function"),
        ("jobs_of_a_test:broken", "jobs_of_a_test:broken fails: LookupError: no settings."),
        ("", "There is no module"),
        (".jobs", "There is no module"),
    ],
)
def test_what_is_no_worker_is_wrong_usage_and_says_why(
    target: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "falling.py").write_text("1 / 0", encoding="utf-8")
    (here / "lacking.py").write_text("import nothing_of_the_kind", encoding="utf-8")
    (here / "json.py").write_text("worker = None", encoding="utf-8")

    status, out, err = said(capsys, "worker", target)
    assert (status, out) == (2, "")
    assert err.startswith(f"aiq: {words}")
    assert err.count("\n") == 1


def test_why_a_module_fails_is_shown_to_who_asks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "falling.py").write_text("1 / 0", encoding="utf-8")

    assert 'falling.py", line 1' in said(capsys, "worker", "falling", "--debug")[2]


def test_a_worker_without_its_storage_ends_with_the_status_of_that(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQ_URL", "mongodb://somewhere")

    status, _, err = said(capsys, "worker", "jobs_of_a_test")
    assert status == 3
    assert "mongodb" in err
