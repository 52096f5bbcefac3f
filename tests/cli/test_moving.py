"""Exporting a storage and importing it elsewhere, from a shell."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from aiq.bounds import MAX_BATCH
from aiq.cli import moving
from aiq.model import State
from aiq.storage import Storage
from aiq.testing.actions import job
from tests.cli.command import aiq, environment, said, within
from tests.cli.conftest import Stored
from tests.servers import server


def test_what_is_exported_can_be_imported_elsewhere(url: str, stored: Stored, tmp_path: Path) -> None:
    stored(lambda storage: storage.enqueue([job("one"), job("two")]))
    there, file = f"sqlite:///{tmp_path}/there.db", str(tmp_path / "export")

    out = aiq("export", "--moved-to", there, "--to", file, url=url)
    back = aiq("import", file, url=there)

    assert (out.returncode, back.returncode) == (0, 0), out.stderr + back.stderr
    assert [record is not None for record in within(there, lambda storage: storage.get(["one", "two"]))] == [True, True]
    refused = aiq("pause", "default", url=url)
    assert refused.returncode != 0
    assert "there.db" in refused.stderr


def test_a_file_can_be_imported_into_redis(url: str, stored: Stored, tmp_path: Path) -> None:
    stored(lambda storage: storage.enqueue([job("one"), job("two", depends_on=("one",))]))
    there, file = server().url("imported"), str(tmp_path / "export")

    aiq("export", "--moved-to", there, "--to", file, url=url)
    back = aiq("import", file, url=there)

    assert back.returncode == 0, back.stderr
    counts = within(there, lambda storage: storage.count())
    assert counts == {"default": {State.READY: 1, State.WAITING: 1}}


def test_an_export_goes_through_a_pipe_line_by_line(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.enqueue([job("one")]))

    done = aiq("export", "--moved-to", "redis://elsewhere", url=url)

    assert done.stdout.splitlines()[0].startswith('{"type":"aiq","form":1')
    assert '"type":"job"' in done.stdout
    assert done.stdout.splitlines()[-1].startswith('{"type":"end"')


async def crowd(storage: Storage) -> None:
    """More jobs than a pipe holds, or than one load takes in."""
    for batch in range(4):
        await storage.enqueue([job(f"{batch} {n}", payload=b"[]" + b" " * 500) for n in range(MAX_BATCH)])


def begun(*words: str, url: str) -> "subprocess.Popen[bytes]":
    """`aiq WORD…` under way, with pipes for a way in and a way out."""
    command = [sys.executable, "-m", "aiq", *words]
    return subprocess.Popen(command, env=environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def jobs_in(url: str) -> int:
    """How many jobs stand ready there."""
    counts = within(url, lambda storage: storage.count())
    return counts.get("default", {}).get(State.READY, 0)


def test_a_move_whose_processes_are_killed_in_its_middle_comes_to_the_same_end_when_it_is_repeated(
    url: str, stored: Stored, tmp_path: Path
) -> None:
    stored(crowd)
    there = f"sqlite:///{tmp_path}/there.db?synchronous=normal"
    export, load = begun("export", "--moved-to", there, url=url), begun("import", url=there)
    assert export.stdout is not None
    assert load.stdin is not None
    for _ in range(3 * MAX_BATCH):
        load.stdin.write(export.stdout.readline())
    load.stdin.flush()
    until = time.monotonic() + 60
    while not jobs_in(there) and time.monotonic() < until:
        time.sleep(0.02)
    for one in (export, load):
        one.kill()
        one.communicate()
    assert 0 < jobs_in(there) < 4 * MAX_BATCH
    assert aiq("pause", "default", url=there).returncode == 3

    again = aiq("export", "--moved-to", there, "--to", str(tmp_path / "whole"), url=url)
    back = aiq("import", str(tmp_path / "whole"), url=there)

    assert (again.returncode, back.returncode) == (0, 0), again.stderr + back.stderr
    assert jobs_in(there) == 4 * MAX_BATCH
    assert within(there, lambda storage: storage.audit()) == []
    assert aiq("pause", "default", url=there).returncode == 0


def test_a_storage_is_not_moved_into_itself(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(lambda storage: storage.enqueue([job("one")]))
    path = url.removeprefix("sqlite:///").partition("?")[0]
    folder, _, name = path.rpartition("/")

    for same in (url, f"sqlite:///{path}", f"sqlite:///{folder}/../{folder.rpartition('/')[2]}/{name}"):
        status, _, err = said(capsys, "export", "--moved-to", same)
        assert (status, "itself" in err) == (2, True)

    assert said(capsys, "pause", "default")[0] == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://host/0?namespace=a", "redis://host/0?namespace=b", False),
        ("redis://host/0", "redis://host/0?namespace=b", False),
        ("redis://host/0?namespace=a", "redis://host/1?namespace=a", False),
        ("redis+unix:///socket?db=1", "redis+unix:///socket?db=2", False),
        ("postgresql://host/jobs?schema=a", "postgresql://host/jobs?schema=b", False),
        ("redis://host/0?namespace=a", "redis://host/0?timeout=1&namespace=a", True),
        ("redis://host/0", "redis://host/0?namespace=default", True),
        ("postgresql://host/jobs", "postgresql://host/jobs?schema=aiq&pooled=true", True),
        ("redis://user:***@host/0", "redis://user:secret@host/0", True),
    ],
)
def test_two_storages_of_one_server_are_two(one: str, other: str, same: bool) -> None:
    assert (moving._place(one) == moving._place(other)) is same


def test_an_export_whose_reader_has_gone_says_that_the_storage_is_retired(url: str, stored: Stored) -> None:
    stored(crowd)
    command = [sys.executable, "-m", "aiq", "export", "--moved-to", "redis://elsewhere"]
    export = subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert export.stdout is not None
    assert export.stderr is not None
    export.stdout.readline()
    export.stdout.close()
    told = export.stderr.read()
    export.stderr.close()

    assert export.wait(30) == 141
    assert "not whole" in told
    assert "--undo" in told


def test_an_export_must_say_where_the_jobs_go_on(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.enqueue([job("one")]))

    done = aiq("export", url=url)

    assert done.returncode == 2
    assert "--moved-to" in done.stderr


def test_a_move_that_failed_is_undone(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.retire("redis://elsewhere"))

    assert aiq("export", "--undo", url=url).returncode == 0
    assert aiq("pause", "default", url=url).returncode == 0


def test_a_file_that_is_no_export_is_refused(url: str, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("hello\n")

    done = aiq("import", str(file), url=url)

    assert done.returncode == 2
    assert "no record of an export" in done.stderr


def test_a_file_that_is_not_there_is_told_in_a_sentence(url: str, tmp_path: Path) -> None:
    done = aiq("import", str(tmp_path / "nothing"), url=url)

    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr
