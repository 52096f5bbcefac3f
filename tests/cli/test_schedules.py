"""schedules."""

from pathlib import Path

import pytest

from aiq.model import Fire
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one
from aiq.testing.schedules import planned, put_one
from tests.cli.command import facts, said
from tests.cli.conftest import Stored


async def two(storage: Storage) -> None:
    await planned(storage, "nightly", cron="0 3 15 6 *", tz="Europe/Berlin")
    await put_one(storage, "poll", every_ms=30_000, paused=True)


def test_schedules_are_shown_with_their_next_slots_in_their_own_zones(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(two)
    status, out, _ = said(capsys, "schedules")

    head, nightly, poll = out.splitlines()
    assert (status, head.split()[:3]) == (0, ["NAME", "WHEN", "NEXT"])
    assert "0 3 15 6 *" in nightly
    assert "-06-15 03:00:00 CEST" in nightly
    assert ("every 30 s" in poll, poll.rstrip().endswith("paused")) == (True, True)


def test_schedules_are_facts_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two)
    nightly, poll = facts(said(capsys, "schedules", "nightly", "poll", "--json")[1])

    assert (nightly["name"], nightly["tz"], nightly["task"]) == ("nightly", "Europe/Berlin", "work")
    assert nightly["next"].endswith("-06-15T03:00:00+02:00")
    assert (poll["paused"], poll["next"], poll["fires"], poll["revision"]) == (True, None, 0, 1)


def test_a_schedule_that_is_not_there_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two)
    for words in (("ghost",), ("pause", "ghost"), ("resume", "ghost"), ("run", "ghost"), ("delete", "ghost")):
        status, out, err = said(capsys, "schedules", *words)
        assert (status != 0, out, "ghost" in err) == (True, "", True), words


def test_no_schedules_are_no_error(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(lambda storage: storage.count())
    status, out, err = said(capsys, "schedules")

    assert (status, out) == (0, "")
    assert "No schedule" in err


def test_schedules_are_paused_resumed_and_deleted(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two)
    assert said(capsys, "schedules", "pause", "nightly", "poll")[:2] == (0, "nightly  paused\npoll  paused\n")
    assert said(capsys, "schedules", "resume", "poll")[:2] == (0, "poll  goes on\n")
    assert facts(said(capsys, "schedules", "poll", "--json")[1])[0]["next"] is not None
    assert said(capsys, "schedules", "delete", "nightly")[:2] == (0, "nightly  deleted\n")
    assert [one["name"] for one in facts(said(capsys, "schedules", "--json")[1])] == ["poll"]


def test_a_schedule_is_run_now_and_once_with_an_id(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two)
    status, out, _ = said(capsys, "schedules", "run", "poll")
    assert (status, out.strip() != "") == (0, True)
    for _ in range(2):
        assert said(capsys, "schedules", "run", "nightly", "--id", "mine")[:2] == (0, "mine\n")
    assert facts(said(capsys, "schedules", "nightly", "--json")[1])[0]["last_job"] == "mine"
    assert len(facts(said(capsys, "ls", "--json")[1])) == 2


def test_why_a_slot_was_left_out_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def refused(storage: Storage) -> None:
        await two(storage)
        await enqueue_one(storage, "other")
        (status,) = await storage.get_schedules(["poll"])
        await storage.resume_schedules(["poll"])
        await storage.fire([Fire(name="poll", revision=status.revision, next_ms=5, error="The queue is full.")])

    stored(refused)
    assert (
        "poll: its last slot was left out, since its job was refused. The queue is full."
        in said(capsys, "schedules")[2]
    )


CODE = """
import aiq


@aiq.task
async def digest(folder: str) -> None: ...


NIGHTLY = aiq.Schedule("nightly", digest.job("docs"), cron="0 3 * * *", tz="Europe/Berlin")
worker = aiq.Worker(aiq.Queue("memory://", "line"), tasks=[digest], schedules=[NIGHTLY])
"""


def test_a_schedule_that_stands_otherwise_than_code_says_is_told_and_reset(
    stored: Stored, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    module = tmp_path / f"{tmp_path.name}.py"
    module.write_text(CODE, encoding="utf-8")
    stored(lambda storage: storage.count())
    assert said(capsys, "schedules", "diff", str(module))[:2] == (1, 'Schedule "nightly" is not stored yet.\n')
    stored(lambda storage: put_one(storage, "nightly", cron="0 4 * * *", tz="Europe/Berlin"))
    stored(lambda storage: storage.pause_schedules(["nightly"]))

    status, out, _ = said(capsys, "schedules", "diff", str(module))
    assert status == 1
    assert "when is '0 3 * * *' in code and '0 4 * * *' here" in out
    assert "queue is 'line' in code and 'default' here" in out
    assert out.rstrip().endswith("its arguments differ.")
    (fact,) = facts(said(capsys, "schedules", "diff", str(module), "--json")[1])
    assert (fact["name"], fact["stored"], len(fact["differs"]) > 2) == ("nightly", True, True)

    assert said(capsys, "schedules", "reset", str(module))[:2] == (0, "nightly: reset, 0 3 * * *, paused\n")
    assert said(capsys, "schedules", "reset", str(module))[:2] == (0, "nightly: unchanged, 0 3 * * *, paused\n")
    status, out, err = said(capsys, "schedules", "diff", str(module))
    assert (status, out, "stand as code names them" in err) == (0, "", True)
