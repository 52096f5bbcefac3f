"""tail."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aiq.cli import main
from aiq.model import ChunkKind, JobRecord, NewChunk, Succeeded
from aiq.storage import Storage, append
from aiq.testing.actions import BAD, chunks, claim_one, end, enqueue_one, failed, start, value
from tests.cli.command import aiq, environment, facts, said, within
from tests.cli.conftest import Stored


async def two_runs(storage: Storage) -> None:
    """The first run emits two items and fails, the second emits one and succeeds."""
    first = await start(storage)
    await append(storage, first.lease, chunks("one ", "two "))
    await end(storage, first, failed())
    second = await claim_one(storage)
    await append(storage, second.lease, chunks("ONE\n"))
    await end(storage, second, Succeeded(b"1"))


async def one_run(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("one\n", "two\n"))
    await end(storage, run, Succeeded(b"1"))


def test_data_goes_to_stdout_and_a_reset_is_told_on_stderr(url: str, stored: Stored) -> None:
    stored(two_runs)

    done = aiq("tail", "job", url=url)

    assert done.returncode == 0
    assert done.stdout == "one two ONE\n"
    assert done.stderr == "[3] reset: 2 items (1-2) no longer count; the job runs again, and goes on below\n"


def test_each_item_is_a_fact_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two_runs)

    items = facts(said(capsys, "tail", "job", "--json")[1])

    assert [{**item, "at_ms": 0} for item in items] == [
        {"number": 1, "kind": "data", "at_ms": 0, "fence": 1, "step": None, "text": "one "},
        {"number": 2, "kind": "data", "at_ms": 0, "fence": 1, "step": None, "text": "two "},
        {"number": 3, "kind": "reset", "at_ms": 0, "fence": 2, "step": None, "void": [[1, 2]]},
        {"number": 4, "kind": "data", "at_ms": 0, "fence": 2, "step": None, "text": "ONE\n"},
        {"number": 5, "kind": "end", "at_ms": 0, "fence": 2, "step": None, "text": ""},
    ]


def test_a_stream_goes_on_after_a_number(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_run)

    assert said(capsys, "tail", "job", "--after", "1")[:2] == (0, "two\n")


def test_log_lines_and_progress_are_remarks(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def talk(storage: Storage) -> None:
        run = await start(storage)
        await append(storage, run.lease, chunks("half way\x1b[2J", kind=ChunkKind.LOG))
        await append(storage, run.lease, chunks("0.5", first=2, kind=ChunkKind.PROGRESS))
        await end(storage, run, Succeeded(b"1"))

    stored(talk)

    assert said(capsys, "tail", "job") == (0, "", "[1] log: half way\\x1b[2J\n[2] progress: 0.5\n")
    assert [fact.get("text", fact.get("progress")) for fact in facts(said(capsys, "tail", "job", "--json")[1])] == [
        "half way\x1b[2J",
        0.5,
        "",
    ]


def test_the_stream_of_a_dead_job_ends_with_a_no(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def die(storage: Storage) -> None:
        run = await start(storage)
        await append(storage, run.lease, chunks("so far"))
        await end(storage, run, BAD)

    stored(die)

    for words in ([], ["--no-follow"]):
        status, out, err = said(capsys, "tail", "job", *words)
        assert (status, out) == (1, "so far")
        assert err.startswith("aiq: Job job is dead (handler): ")


def test_a_cancelled_job_without_a_stream_ends_with_a_no(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def cancel(storage: Storage) -> None:
        await enqueue_one(storage)
        await storage.cancel(["job"])

    stored(cancel)

    assert said(capsys, "tail", "job") == (1, "", "aiq: Job job was cancelled.\n")


def test_no_job_no_stream(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_run)

    assert said(capsys, "tail", "nothing")[:2] == (1, "")


def test_without_following_it_ends_with_what_is_there(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def begin(storage: Storage) -> None:
        run = await start(storage)
        for first in (1, 201):
            texts = [f"{number}\n" for number in range(first, first + 200)]
            await append(storage, run.lease, chunks(*texts, first=first))

    stored(begin)

    status, out, _ = said(capsys, "tail", "job", "--no-follow")
    assert status == 0
    assert out == "".join(f"{number}\n" for number in range(1, 401))


@contextmanager
def following(url: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "aiq", "tail", "job", *words]
    with subprocess.Popen(
        command, env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def begin(storage: Storage) -> JobRecord:
    run = await start(storage)
    await append(storage, run.lease, chunks("one\n"))
    return run


def test_data_is_shown_as_it_comes_and_the_end_ends_it(url: str) -> None:
    run = within(url, begin)
    with following(url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"

        within(url, lambda storage: append(storage, run.lease, chunks("two\n", first=2)))
        assert process.stdout.readline() == "two\n"

        within(url, lambda storage: end(storage, run, Succeeded(b"1")))
        assert process.stdout.read() == ""
        assert process.wait(timeout=10) == 0


def test_ctrl_c_says_how_to_go_on(url: str) -> None:
    within(url, begin)
    with following(url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=10) == 130
        assert process.stderr.read() == "Stopped; go on with --after 1.\n"


def test_a_reader_that_goes_away_ends_it_quietly(url: str) -> None:
    run = within(url, begin)
    with following(url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        within(url, lambda storage: append(storage, run.lease, chunks("two\n", first=2)))

        assert process.wait(timeout=10) == 141
        assert process.stderr.read() == ""


def on_a_terminal(url: str, *words: str) -> str:
    """What `aiq tail job` shows on a terminal, stdout and stderr as they come."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "aiq", "tail", "job", *words]
    process = subprocess.Popen(command, env=environment(url), stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    with closing(os.fdopen(master, "rb", buffering=0)) as terminal:
        try:
            while block := terminal.read(4_096):
                shown += block
        except OSError:
            # Linux says so when the last writer has gone.
            pass
    assert process.wait(timeout=10) == 0
    return shown.decode().replace("\r\n", "\n")


def test_on_a_terminal_a_remark_begins_a_line(url: str, stored: Stored) -> None:
    stored(two_runs)

    assert on_a_terminal(url) == (
        "one two \n[3] reset: 2 items (1-2) no longer count; the job runs again, and goes on below\nONE\n"
    )


def test_data_cannot_command_a_terminal_and_a_file_gets_it_as_it_is(url: str, stored: Stored, tmp_path: Path) -> None:
    data = "tab\t, line\nred \x1b[31m, über"
    # The letter ü comes in two halves.
    halves = data.encode().partition("ü".encode()[:1])

    async def emit(storage: Storage) -> None:
        run = await start(storage)
        for number, half in enumerate((halves[0] + halves[1], halves[2]), 1):
            await append(storage, run.lease, [NewChunk(number, half)])
        await end(storage, run, Succeeded(b"1"))

    stored(emit)

    assert aiq("tail", "job", url=url).stdout == data
    assert on_a_terminal(url) == "tab\t, line\nred \\x1b[31m, über\n"


def test_a_file_gets_bytes_that_are_no_text(stored: Stored, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    async def emit(storage: Storage) -> None:
        run = await start(storage)
        await append(storage, run.lease, [NewChunk(1, b"\xff\r\n\0")])
        await end(storage, run, Succeeded(b"1"))

    stored(emit)

    assert main(["tail", "job"]) == 0
    assert capfdbinary.readouterr().out == b"\xff\r\n\0"


def test_void_ranges_are_told_one_by_one(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def keep_a_step(storage: Storage) -> None:
        run = await start(storage)
        for number, step in enumerate((None, "kept", None), 1):
            await append(storage, run.lease, chunks("x", first=number, step=step))
        await storage.save_step(run.lease, value("kept"))
        await end(storage, run, failed())
        await end(storage, await claim_one(storage), Succeeded(b"1"))

    stored(keep_a_step)

    assert "2 items (1, 3) no longer count" in said(capsys, "tail", "job")[2]
