"""Schedules as users write them, and as operators see and change them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import aiq
from aiq.backends import open_storage
from aiq.errors import Conflict, FlowInvalid, InvalidInput, InvalidName, NotFound
from aiq.model import Missed, Overlap
from aiq.testing.clock import Clock
from aiq.testing.faulty import Faulty, LoseReply

# 14 November 2023, 22:13:20 UTC.
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


@aiq.task
async def digest(folder: str) -> int:
    return len(folder)


@aiq.task(queue="bulk", limits=[aiq.Limit("gpt", requests=60)])
async def crawl() -> None: ...


NIGHTLY = aiq.Schedule("nightly", digest.job("docs"), cron="0 3 * * *", tz="Europe/Berlin")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(clock: Clock) -> AsyncIterator[aiq.Queue]:
    storage = await open_storage("memory://", clock=clock)
    async with aiq.Queue(storage, "line") as queue:
        yield queue
    await storage.close()


def test_a_schedule_says_when_in_the_units_of_a_storage() -> None:
    spec = aiq.Schedule(
        "poll",
        digest.job("docs").using(band="batch", delay=5, attempts=2, expires=60),
        every=timedelta(minutes=5),
        anchor=datetime(1970, 1, 1, 0, 2, tzinfo=UTC),
        start=datetime(2026, 1, 1, tzinfo=UTC),
        end=datetime(2027, 1, 1, tzinfo=UTC),
        max_fires=9,
        overlap="skip",
        missed="catch_up",
        catch_up=3,
        paused=True,
    ).spec("line")

    assert (spec.every_ms, spec.anchor_ms, spec.cron, spec.after_ms) == (300_000, 120_000, "", None)
    assert (spec.start_ms, spec.end_ms) == (1_767_225_600_000, 1_798_761_600_000)
    assert (spec.max_fires, spec.overlap, spec.missed, spec.catch_up) == (9, Overlap.SKIP, Missed.CATCH_UP, 3)
    template = spec.template
    assert (template.id, template.task, template.queue, template.band) == ("", "digest", "line", aiq.Band.BATCH)
    assert (template.delay_ms, template.max_attempts, spec.paused) == (5_000, 2, True)


def test_where_nothing_is_said_slots_overlap_and_missed_ones_are_left_out() -> None:
    assert (NIGHTLY.times.overlap, NIGHTLY.times.missed, NIGHTLY.times.catch_up) == (Overlap.ALLOW, Missed.SKIP, 100)


WRONG: list[tuple[type[Exception], dict[str, Any], str]] = [
    (InvalidInput, {}, "one of cron, every and after"),
    (InvalidInput, {"every": 60, "cron": "* * * * *"}, "it has 2 of them"),
    (InvalidInput, {"every": 0.5}, "must be from 1 s"),
    (InvalidInput, {"every": "minute"}, "pass seconds"),
    (InvalidInput, {"after": -1}, "must be from 0 s"),
    (InvalidInput, {"cron": "0 25 * * *"}, "cannot be read: Bad hour"),
    (InvalidInput, {"cron": "0 0 31 2 *"}, "cannot be read"),
    (InvalidInput, {"cron": 5}, "pass a text"),
    (InvalidInput, {"cron": "0 3 * * *", "tz": "Berlin"}, "is not known here"),
    (InvalidInput, {"every": 60, "start": datetime(2026, 1, 1)}, "with a time zone"),  # noqa: DTZ001 - that is refused
    (InvalidInput, {"every": 60, "max_fires": 0}, "max_fires"),
    (InvalidInput, {"cron": "0 3 * * *", "anchor": datetime(2026, 1, 1, tzinfo=UTC)}, "has an anchor, which only"),
    (InvalidInput, {"every": 60, "paused": "yes"}, "pass True or False"),
    (
        InvalidInput,
        {"every": 60, "start": datetime(2027, 1, 1, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
        "its end is not behind its start",
    ),
    (InvalidInput, {"every": 60, "overlap": "never"}, "it can be 'allow' or 'skip' or 'cancel'"),
    (InvalidInput, {"every": 60, "missed": "all"}, "'catch_up'"),
    (InvalidInput, {"every": 60, "catch_up": 5}, 'say missed="catch_up" as well'),
    (InvalidInput, {"every": 60, "missed": "catch_up", "catch_up": 101}, "catch_up"),
    (InvalidInput, {"after": 60, "overlap": "skip"}, "neither overlaps nor misses"),
]


@pytest.mark.parametrize(("kind", "options", "told"), WRONG, ids=lambda value: str(value)[:40])
def test_a_schedule_that_could_never_be_right_is_refused_with_a_sentence(
    kind: type[Exception], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(kind, match=told):
        aiq.Schedule("poll", digest.job("docs"), **options)


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (digest.job("docs").using(id="mine"), "has an id. Leave that out: each slot gives its job one"),
        (digest.job("docs").using(at=datetime(2026, 1, 1, tzinfo=UTC)), "has an instant"),
        (digest.job("docs").using(expires=datetime(2026, 1, 1, tzinfo=UTC)), "has an instant of its deadline"),
        (digest.job("docs").using(on_parent="leave"), "has a word on its parent"),
        (digest, "no job before it has arguments"),
        ("digest", "is no job"),
    ],
    ids=["id", "at", "expires", "on_parent", "task", "text"],
)
def test_options_that_are_right_for_one_job_at_most_are_refused(job: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        aiq.Schedule("poll", job, every=60)


def test_a_job_that_waits_for_another_one_cannot_be_made_again_and_again() -> None:
    flow = aiq.Flow("flow")
    node = flow.add(digest.job("docs"))
    with pytest.raises(FlowInvalid):
        aiq.Schedule("poll", digest.job(node.output), every=60)  # type: ignore[arg-type]


def test_a_name_outside_the_alphabet_is_refused() -> None:
    with pytest.raises(InvalidName):
        aiq.Schedule("every night", digest.job("docs"), every=60)


async def test_a_stored_schedule_is_told_with_its_next_slot_in_its_own_zone(queue: aiq.Queue) -> None:
    report = await queue.admin.put_schedule(NIGHTLY)

    assert report == (await queue.admin.schedules())[0]
    assert report.next == datetime(2023, 11, 15, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    assert report.next.isoformat() == "2023-11-15T03:00:00+01:00"
    assert (report.name, report.when, report.tz, report.task, report.queue) == (
        *("nightly", "0 3 * * *", "Europe/Berlin", "digest", "line"),
    )
    assert (report.paused, report.over, report.fires, report.skipped, report.last_job) == (False, False, 0, 0, None)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"every": 30}, "every 30 s"),
        ({"every": 3_600}, "every 1 h"),
        ({"every": timedelta(days=2)}, "every 2 d"),
        ({"every": 90}, "every 90 s"),
        ({"after": 0.5}, "0.5 s after the last"),
        ({"after": 0}, "0 s after the last"),
        ({"after": 120}, "2 min after the last"),
    ],
    ids=str,
)
async def test_times_are_told_in_words(queue: aiq.Queue, times: dict[str, Any], told: str) -> None:
    assert (await queue.admin.put_schedule(aiq.Schedule("poll", digest.job("docs"), **times))).when == told


async def test_a_schedule_brings_its_limits_along(queue: aiq.Queue) -> None:
    report = await queue.admin.put_schedule(aiq.Schedule("crawl", crawl.job(), every=60))
    assert report.queue == "bulk"
    assert [limit.limit.name for limit in await queue.admin.limits()] == ["gpt"]


async def test_any_number_of_schedules_is_stored_and_listed(queue: aiq.Queue) -> None:
    many = [aiq.Schedule(f"s{n:03}", digest.job("docs"), every=60) for n in range(300)]
    await queue.admin.put_schedules(many)
    assert [report.name for report in await queue.admin.schedules()] == [one.name for one in many]
    assert [report.name for report in await queue.admin.schedules("s002", "ghost", "s001")] == ["s002", "s001"]


async def test_two_schedules_of_one_name_in_one_list_are_refused(queue: aiq.Queue) -> None:
    with pytest.raises(InvalidInput, match="one name"):
        await queue.admin.put_schedules([NIGHTLY, NIGHTLY])
    with pytest.raises(InvalidInput, match="no schedule"):
        await queue.admin.put_schedules([digest])  # type: ignore[list-item]
    with pytest.raises(InvalidInput, match="no list of schedules"):
        await queue.admin.put_schedules(NIGHTLY)  # type: ignore[arg-type]


async def test_a_schedule_is_paused_resumed_and_deleted(queue: aiq.Queue, clock: Clock) -> None:
    await queue.admin.put_schedule(aiq.Schedule("poll", digest.job("docs"), every=60))

    assert (await queue.admin.pause_schedule("poll")).paused
    assert (await queue.admin.put_schedule(aiq.Schedule("poll", digest.job("docs"), every=120))).paused
    clock.advance_ms(HOUR)
    resumed = await queue.admin.resume_schedule("poll")
    assert (resumed.paused, resumed.revision) == (False, 2)
    assert resumed.next == datetime(2023, 11, 14, 23, 14, tzinfo=UTC)
    await queue.admin.delete_schedule("poll")
    assert await queue.admin.schedules() == []


async def test_what_is_not_stored_is_not_found(queue: aiq.Queue) -> None:
    admin = queue.admin
    for call in (admin.pause_schedule, admin.resume_schedule, admin.delete_schedule, admin.run_now):
        with pytest.raises(NotFound, match='No schedule "ghost" is stored'):
            await call("ghost")


async def test_a_schedule_is_run_now_and_its_job_is_typed(queue: aiq.Queue) -> None:
    await queue.admin.put_schedule(NIGHTLY)
    job = await queue.admin.run_now(NIGHTLY)
    await aiq.Worker(queue, tasks=[digest]).run_until_idle()

    assert await job.result() == 4
    by_name = await queue.admin.run_now("nightly", id="mine")
    assert by_name.id == "mine" == (await queue.admin.run_now("nightly", id="mine")).id
    (report,) = await queue.admin.schedules()
    assert (report.last_job, report.fires) == ("mine", 0)


async def test_a_lost_reply_runs_it_once(clock: Clock) -> None:
    storage = Faulty(await open_storage("memory://", clock=clock))
    async with aiq.Queue(storage) as queue:
        await queue.admin.put_schedule(NIGHTLY)
        storage.plan(LoseReply("run_schedule"))
        job = await queue.admin.run_now(NIGHTLY)
        assert [record.id for record in (await queue.list()).jobs] == [job.id]


async def test_running_now_what_does_not_overlap_is_a_conflict(queue: aiq.Queue) -> None:
    poll = aiq.Schedule("poll", digest.job("docs"), every=60, overlap="skip")
    await queue.admin.put_schedule(poll)
    first = await queue.admin.run_now(poll)
    with pytest.raises(Conflict, match=first.id):
        await queue.admin.run_now(poll)


async def test_a_worker_stores_its_schedules_where_they_are_absent_and_fires_all_of_them(
    queue: aiq.Queue, clock: Clock
) -> None:
    await queue.admin.put_schedule(aiq.Schedule("stored", digest.job("docs"), every=3_600))
    await queue.admin.pause_schedule("stored")
    again = aiq.Schedule("stored", digest.job("other"), every=60)
    worker = aiq.Worker(queue, tasks=[digest], schedules=[again, aiq.Schedule("new", digest.job("docs"), every=3_600)])
    await worker.run_until_idle()

    new, stored = await queue.admin.schedules()
    assert (stored.paused, stored.when, stored.revision) == (True, "every 1 h", 1)
    assert (new.queue, new.fires) == ("line", 0)
    await queue.admin.resume_schedule("stored")
    clock.advance_ms(46 * MINUTE + 40 * SECOND)
    await aiq.Worker(queue, tasks=[digest]).run_until_idle()
    assert [report.fires for report in await queue.admin.schedules()] == [1, 1]
    assert {record.state for record in (await queue.list()).jobs} == {aiq.State.SUCCEEDED}


def test_a_worker_is_refused_what_is_no_schedule() -> None:
    with pytest.raises(InvalidInput, match="no schedule"):
        aiq.Worker("memory://", tasks=[digest], schedules=[digest.job("docs")])  # type: ignore[list-item]


async def test_more_template_than_a_call_takes_goes_in_parts(queue: aiq.Queue) -> None:
    text = "x" * 200_000
    many = [aiq.Schedule(f"s{n:02}", digest.job(text), every=60) for n in range(30)]
    await queue.admin.put_schedules(many)
    assert len(await queue.admin.schedules()) == 30
    assert len(await queue.admin.schedules(*[one.name for one in many])) == 30
