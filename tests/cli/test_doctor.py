"""doctor."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aiq
from aiq.checkup import checkup
from aiq.model import Beat, Fact, Fire, Level, SlotUse
from aiq.storage import Storage
from aiq.testing.actions import BAD, end, enqueue_one, job, start
from aiq.testing.schedules import put_one
from tests.cli.command import facts, said
from tests.cli.conftest import Stored

CODE = """
import aiq

GPT = aiq.Limit("gpt", requests=600)


@aiq.task(limits=[GPT])
async def chat() -> None: ...


tasks = [chat, aiq.Budget("team", usd="5"), aiq.Price("gpt", "input", "2.50")]
"""


@aiq.task
async def chat() -> None: ...


async def served(storage: Storage) -> None:
    await storage.beat(Beat(worker="w", version="1", slots=(SlotUse("default", 1),)))


def found(url: str, *deeds: Callable[[Storage], Any], code: Any = ()) -> dict[str, Fact]:
    async def look() -> dict[str, Fact]:
        async with aiq.Queue(url) as queue:
            for deed in deeds:
                await deed(queue.storage)
            return {fact.name: fact for fact in await checkup(queue.storage, code)}

    return asyncio.run(look())


def test_a_storage_that_is_served_is_well(url: str) -> None:
    told = found(url, served, enqueue_one)

    assert {name: fact.text for name, fact in told.items() if fact.level is Level.FAIL} == {}
    assert {"library", "clock", "workers", "queues", "dead", "audit"} <= told.keys()


def test_a_queue_that_nobody_serves_is_found(url: str) -> None:
    told = found(url, served, lambda s: s.enqueue([job("a", queue="bluk"), job("b")]))["queues"]

    assert told.level is Level.FAIL
    assert "bluk" in told.text
    assert "default" not in told.text


def test_a_paused_queue_with_jobs_is_told(url: str) -> None:
    told = found(url, served, enqueue_one, lambda s: s.pause("default"))["paused"]

    assert (told.level, told.advice) == (Level.WARN, "Resume it when that is no longer meant: aiq resume QUEUE.")


def test_workers_that_are_blocked_or_of_other_versions_are_told(url: str) -> None:
    told = found(
        url,
        served,
        lambda s: s.beat(Beat(worker="old", version="0")),
        lambda s: s.beat(Beat(worker="stuck", blocked=True)),
    )

    assert told["workers blocked"].level is Level.FAIL
    assert "stuck" in told["workers blocked"].text
    assert told["versions"].text == "Workers of several versions of aiq are at work: 0, 1."
    assert told["workers"].text == "2 workers alive."


def test_the_dead_are_told(url: str) -> None:
    async def die(storage: Storage) -> None:
        await end(storage, await start(storage, "poor"), BAD)

    told = found(url, served, die)["dead"]

    assert told.level is Level.WARN
    assert re.fullmatch(r"1 job dead, the oldest since 20\d\d-.* UTC; most of them of work by \w+\.", told.text), (
        told.text
    )


def test_what_code_names_otherwise_is_told(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / f"{tmp_path.name}.py"
    module.write_text(CODE, encoding="utf-8")

    async def store(storage: Storage) -> None:
        await storage.put_limits([aiq.Limit("gpt", requests=300).spec()])
        await storage.put_prices([aiq.Price("gpt", "input", "2.50").row()])

    found(url, store)
    told = {one["name"]: one for one in facts(said(capsys, "doctor", "--json", "--tasks", str(module))[1])}

    assert told['code: Limit "gpt"']["text"] == 'Limit "gpt": requests is 600 in code and 300 here.'
    assert told['code: Budget "team"']["text"] == 'Budget "team" is not stored yet.'
    assert not any("Price" in name for name in told)


def test_a_schedule_that_stands_otherwise_is_told_and_one_that_is_paused_is_not(url: str) -> None:
    nightly = aiq.Schedule("nightly", chat.job(), cron="0 3 * * *")
    told = found(url, lambda s: s.put_schedules([aiq.Schedule("nightly", chat.job(), cron="0 4 * * *").spec()]))
    assert told["schedules"].text == "1 schedule; none is late or refused."

    told = found(url, code=[nightly])
    text = "Schedule \"nightly\": when is '0 3 * * *' in code and '0 4 * * *' here."
    assert (told['code: Schedule "nightly"'].level, told['code: Schedule "nightly"'].text) == (Level.WARN, text)

    told = found(
        url, lambda s: s.put_schedules([nightly.spec()]), lambda s: s.pause_schedules(["nightly"]), code=[nightly]
    )
    assert told["code"].text == "Limits, budgets, prices and schedules stand as code names them."


def test_a_schedule_whose_job_is_refused_and_one_that_nobody_fires_are_told(url: str) -> None:
    async def refuse(storage: Storage) -> None:
        status = await put_one(storage)
        told = Fire(name="tick", revision=status.revision, next_ms=10, error="The queue is full.")
        await storage.fire([told])

    told = found(url, served, refuse)

    assert told['schedule "tick"'].text.endswith("since its job was refused (0 in all): The queue is full.")
    assert told["schedules late"].level is Level.FAIL
    assert told["schedules late"].text == "1 schedule (tick) due for over a minute, and nobody fires."


def test_doctor_says_what_to_do_and_fails_when_something_has_to_be_done(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(served)
    status, out, _ = said(capsys, "doctor")
    assert (status, "FAIL" in out) == (0, False)
    assert "ok    journal: The journal is in WAL mode." in out

    stored(lambda storage: enqueue_one(storage, "lost", queue="nowhere"))
    status, out, _ = said(capsys, "doctor", url, "--no-audit")
    lines = out.splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("FAIL  queues:"))
    assert status == 1
    assert "Start a worker" in lines[place + 1]
    assert "audit:" not in out


def test_of_a_storage_that_has_moved_doctor_says_where_it_goes_on_and_nothing_of_workers(url: str) -> None:
    told = found(url, lambda s: s.enqueue([job("a", queue="bluk")]), lambda s: s.retire("redis://elsewhere"))

    assert [name for name, fact in told.items() if fact.level is Level.FAIL] == ["moving"]
    assert "redis://elsewhere" in told["moving"].text
    assert "aiq export --undo" in told["moving"].advice
    assert "workers" not in told


def test_of_half_a_storage_doctor_says_how_to_go_on_and_how_to_give_it_up(url: str) -> None:
    told = found(url, lambda s: s.load("the move", []))["moving"]

    assert told.level is Level.FAIL
    assert "aiq import" in told.advice
    assert "jobs.db" in told.advice


def test_doctor_is_facts_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(served)
    told = facts(said(capsys, "doctor", "--json")[1])

    assert all(set(one) == {"name", "level", "text", "advice"} for one in told)
    assert {one["level"] for one in told} <= {"ok", "warn", "fail"}
    assert all(one["advice"] for one in told if one["level"] != "ok")


def test_a_file_that_is_not_there_is_no_patient(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = said(capsys, "doctor", f"sqlite:///{tmp_path}/none.db")

    assert status == 3
    assert "There is no file" in err
