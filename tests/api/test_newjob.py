"""Jobs on the way to a storage: options, what is inherited, and when two are the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import aiq
from aiq.model import JobSpec
from aiq.newjob import JobOptions, all_using, specs_of
from aiq.testing import Clock, Faulty
from aiq.testing.actions import start


@aiq.task(queue="search", lease=60, timeout=30, retry=aiq.Retry(attempts=5), band="batch")
async def search(query: dict[str, str]) -> list[str]:
    return []


@aiq.task
async def note(text: str) -> None: ...


def spec_of(job: aiq.NewJob[object], **options: Any) -> JobSpec:
    return job.spec(job_id="job", **options)


def test_a_job_has_the_policy_of_its_task() -> None:
    spec = spec_of(search.job({"q": "x"}))

    assert (spec.task, spec.queue, spec.band, spec.lease_ms) == ("search", "search", aiq.Band.BATCH, 60_000)
    assert (spec.timeout_ms, spec.max_attempts, spec.max_stalls) == (30_000, 5, 3)


def test_a_task_without_a_queue_goes_where_the_caller_says() -> None:
    assert spec_of(note.job("x"), queue_default="notes").queue == "notes"


def test_using_wins_over_the_task() -> None:
    job = search.job({}).using(
        id="mine", queue="slow", band="high", delay=30, tenant="acme", lease=5, timeout=7, attempts=2, max_stalls=1
    )

    spec = spec_of(job)

    assert (spec.id, spec.queue, spec.band, spec.delay_ms) == ("mine", "slow", aiq.Band.HIGH, 30_000)
    assert (spec.tenant, spec.lease_ms, spec.timeout_ms) == ("acme", 5_000, 7_000)
    assert (spec.max_attempts, spec.max_stalls) == (2, 1)


def test_using_leaves_the_job_as_it_was() -> None:
    job = note.job("x")
    job.using(queue="slow")

    assert spec_of(job).queue == "default"


def test_a_job_shows_its_task_and_options_and_never_its_arguments() -> None:
    assert repr(note.job("secret")) == "<new job of note>"
    assert repr(search.job({"secret": "secret"})) == "<new job of search, queue='search'>"
    told = repr(note.job("secret").using(id="mine", queue="slow", band="high", delay=30))
    assert told == "<new job of note, id='mine', queue='slow', band=<Band.HIGH: 1>, delay_ms=30000>"


def test_using_adds_up() -> None:
    spec = spec_of(note.job("x").using(queue="slow").using(band="high"))

    assert (spec.queue, spec.band) == ("slow", aiq.Band.HIGH)


def test_delay_and_instant_replace_each_other() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    later = spec_of(note.job("x").using(delay=3).using(at=noon))
    sooner = spec_of(note.job("x").using(at=noon).using(delay=timedelta(seconds=3)))

    assert (later.delay_ms, later.at_ms) == (0, 1767268800000)
    assert (sooner.delay_ms, sooner.at_ms) == (3_000, None)


def test_what_is_said_of_a_unique_key_is_handed_on() -> None:
    options: list[tuple[dict[str, Any], tuple[object, ...]]] = [
        ({}, ("k", None, "keep", 0)),
        ({"unique_for": 60}, ("k", 60_000, "keep", 0)),
        ({"replace": True}, ("k", None, "replace", 0)),
        ({"replace": False}, ("k", None, "keep", 0)),
        ({"debounce": 5}, ("k", None, "debounce", 5_000)),
        ({"debounce": 5, "replace": True}, ("k", None, "debounce", 5_000)),
    ]

    specs = [spec_of(note.job("x").using(**said).using(unique="k")) for said, _ in options]

    told = [(spec.unique, spec.unique_for_ms, spec.on_unique, spec.delay_ms) for spec in specs]
    assert told == [wanted for _, wanted in options]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unique_for": 5}, r"`unique_for` is said of a unique key"),
        ({"replace": True}, r"`replace` is said of a unique key"),
        ({"debounce": 5}, r"`debounce` is said of a unique key"),
        ({"unique": "k", "unique_for": 5, "replace": True}, r"`unique_for` or `replace`"),
        ({"unique": "k", "debounce": 5, "delay": 5}, r"Leave out delay and at"),
    ],
)
def test_what_does_not_go_together_of_a_unique_key_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        spec_of(note.job("x").using(**options))


def test_a_deadline_is_counted_from_the_enqueue_or_an_instant() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    within = spec_of(note.job("x").using(expires=noon).using(expires=timedelta(minutes=1)))
    until = spec_of(note.job("x").using(expires=60).using(expires=noon))

    assert (within.expires_ms, within.deadline_ms) == (60_000, None)
    assert (until.expires_ms, until.deadline_ms) == (None, 1767268800000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"uniq": "acme"}, r"There is no option 'uniq' of a job\. There are: id, queue, band"),
        ({"unique": ""}, r"unique key is empty"),
        ({"unique_for": 0}, r"unique_for is 0 s"),
        ({"debounce": -1}, r"debounce is -1 s"),
        ({"on_parent": "drop"}, r"on_parent is 'drop'; pass \"cancel\" or \"leave\""),
        ({"replace": "yes"}, r"replace is 'yes'; pass True or False"),
        ({"key": ""}, r"key is empty"),
        ({"key": 17}, r"key is 17; pass a text"),
        ({"budget": None}, r"budget is None; pass aiq\.Budget"),
        ({"budget": 2.5}, r"budget is 2\.5; pass aiq\.Budget"),
        ({"budget": ""}, r"budget is ''; pass a text"),
        ({"estimate": 1_000}, r"estimate is 1000; pass aiq\.Estimate"),
        ({"max_deferral": -1}, r"max_deferral is -1 s"),
        ({"expires": 0}, r"expires is 0 s"),
        ({"expires": datetime(2026, 1, 1)}, r"time zone"),  # noqa: DTZ001
        ({"expired": 3}, r"There is no option 'expired'"),
        ({"delay": 1, "at": datetime.now(UTC)}, r"not both"),
        ({"delay": -1}, r"delay is -1 s"),
        ({"at": datetime(2026, 1, 1)}, r"time zone"),  # noqa: DTZ001
        ({"id": ""}, r"job id is empty"),
        ({"id": "x" * 257}, r"job id is 257"),
        ({"tenant": "x\0"}, r"NUL"),
        ({"queue": "two words"}, r"not a name for a queue"),
        ({"lease": 0}, r"lease is 0 s"),
        ({"timeout": 0}, r"timeout is 0 s"),
        ({"band": "urgent"}, r"the bands are"),
        ({"delay": "3"}, r"delay is '3'; pass seconds as a number"),
        ({"at": "2026-01-01"}, r"pass a datetime with a time zone"),
        ({"id": 7}, r"job id is 7; pass a text"),
        ({"tenant": 7}, r"tenant is 7; pass a text"),
        ({"queue": None}, r"None is not a name for a queue"),
        ({"attempts": "3"}, r"number of attempts is '3'; pass a whole number"),
        ({"attempts": 0}, r"number of attempts is 0"),
        ({"attempts": 2.5}, r"number of attempts is 2\.5"),
        ({"max_stalls": 1_001}, r"number of stalls is 1,001"),
    ],
)
def test_an_option_that_cannot_work_is_refused_where_it_is_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        note.job("x").using(**options)


async def test_a_child_inherits_tenant_band_and_flow_from_its_parent(storage: Faulty, clock: Clock) -> None:
    parent = await start(storage, tenant="acme", band=aiq.Band.INTERACTIVE, flow="digest:1")

    child = spec_of(search.job({}), parent=parent, child_of="found")

    assert (child.tenant, child.band, child.flow) == ("acme", aiq.Band.INTERACTIVE, "digest:1")
    assert (child.queue, child.child_of) == ("search", "found")


async def test_what_a_child_says_itself_wins_over_its_parent(storage: Faulty, clock: Clock) -> None:
    parent = await start(storage, tenant="acme", band=aiq.Band.INTERACTIVE)

    child = spec_of(search.job({}).using(tenant="other", band="batch"), parent=parent, child_of="found")

    assert (child.tenant, child.band) == ("other", aiq.Band.BATCH)


def test_the_digest_is_of_content_and_options_and_not_of_the_id() -> None:
    digests = [
        spec_of(job).digest
        for job in (
            note.job("x"),
            note.job("y"),
            note.job("x").using(queue="slow"),
            note.job("x").using(delay=1),
            note.job("x").using(tenant="acme"),
            note.job("x").using(attempts=9),
        )
    ]

    assert len(set(digests)) == len(digests)
    assert spec_of(note.job("x").using(id="other")).digest == digests[0]
    assert spec_of(note.job(text="x")).digest == digests[0]


def test_a_deploy_that_changes_the_policy_of_a_task_does_not_change_its_jobs() -> None:
    def named_note(text: str) -> None: ...

    before = aiq.task(name="note")(named_note)
    after = aiq.task(name="note", queue="notes", lease=99, retry=aiq.Retry(attempts=9), band="high")(named_note)

    assert spec_of(before.job("x")).digest == spec_of(after.job("x")).digest


def test_a_job_that_another_line_would_take_is_still_the_same_job() -> None:
    assert spec_of(note.job("x"), queue_default="docs").digest == spec_of(note.job("x")).digest


def test_the_digest_does_not_depend_on_the_order_of_keys_but_the_handler_sees_them_in_order() -> None:
    one, other = spec_of(search.job({"b": "1", "a": "2"})), spec_of(search.job({"a": "2", "b": "1"}))

    assert one.digest == other.digest
    assert b'{"b":"1","a":"2"}' in one.payload


@aiq.task
async def measure(text: str) -> None: ...


@measure.estimate
def _(text: str) -> aiq.Estimate:
    return aiq.Estimate(input=len(text))


def some_jobs() -> list[aiq.NewJob[object]]:
    urgent = note.job("a").using(band="high", tenant="acme")
    paid = [note.job(text).using(budget=aiq.Budget(tokens=5)) for text in "xy"]
    measured = [measure.job(text) for text in ("f", "gg", "hhh")]
    named = note.job("d").using(id="mine", delay=3)
    return [note.job("a"), note.job("b"), urgent, note.job("c"), *paid, *measured, named, named, note.job("e")]


def test_many_jobs_are_what_each_of_them_is_alone() -> None:
    jobs, ids = some_jobs(), [f"j{n}" for n in range(12)]

    specs = specs_of(jobs, ids, queue_default="notes")

    assert specs == [job.spec(job_id=own, queue_default="notes") for job, own in zip(jobs, ids, strict=True)]


@pytest.mark.parametrize(
    "budget",
    [
        aiq.Budget(usd="2"),
        aiq.Budget(tokens=9, parent="team"),
        aiq.Budget("team", tokens=9),
        aiq.Budget(tenant="t", tokens=9),
        "team",
    ],
)
def test_many_jobs_with_a_budget_are_what_each_of_them_is_alone(budget: aiq.Budget | str) -> None:
    jobs, ids = all_using(some_jobs(), {"budget": budget}), [f"j{n}" for n in range(12)]

    specs = specs_of(jobs, ids, queue_default="notes")

    assert specs == [job.spec(job_id=own, queue_default="notes") for job, own in zip(jobs, ids, strict=True)]


def test_what_a_job_alone_says_of_its_budget_is_shared_by_many() -> None:
    jobs = all_using([note.job(text) for text in "abc"], {"budget": aiq.Budget(usd="2")})

    first, *others = specs_of(jobs, ["a", "b", "c"], queue_default="notes")

    assert [spec.creates[0].id for spec in others] == ["job:b", "job:c"]
    assert all(spec.creates[0].caps is first.creates[0].caps for spec in others)


def test_options_of_many_jobs_are_those_of_each() -> None:
    options: JobOptions = {"queue": "slow", "delay": 2}

    assert all_using(some_jobs(), options) == [job.using(**options) for job in some_jobs()]
