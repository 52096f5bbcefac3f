"""Dead letters as operators see them: groups, redrive, replay, purge."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import aiq
from aiq.admin import Admin
from aiq.errors import LostReason
from aiq.model import JobFilter, QueueSettings, Redrive, State, Target
from aiq.testing import Clock, Delay, Faulty, LoseReply, Refuse
from aiq.testing.actions import GOOD, claim_one, end, end_one, enqueue_one, job, start, states
from aiq.testing.burials import PRINT, deadly, die


@pytest.fixture
def admin(queue: aiq.Queue) -> Admin:
    return queue.admin


@aiq.task(retry=aiq.Retry(attempts=1))
async def load(number: int, *, token: str = "") -> int:
    if number < 0:
        raise LookupError(f"no row {number}")
    return number


async def run_all(queue: aiq.Queue, **options: object) -> None:
    await aiq.Worker(queue, tasks=[load], **options).run_until_idle()  # type: ignore[arg-type]


async def test_what_a_handler_raised_is_found_in_a_group_with_what_it_worked_on(queue: aiq.Queue, admin: Admin) -> None:
    await queue.enqueue_many(load.job(number, token="sk-abcdefghijklmnop") for number in (-1, -22, 3))

    await run_all(queue)

    (group,) = await admin.dead()
    assert (group.dead, group.task, group.cause, group.type) == (2, "load", "handler", "LookupError")
    assert group.place.endswith("test_dead:load")
    assert group.pattern == "no row -<n>"
    assert (group.attempts, group.usd, group.success_rate) == (2, Decimal(0), None)
    texts = [sample.text for sample in group.samples]
    assert ["-1" in texts[0], "-22" in texts[1]] == [True, True]
    assert not any("sk-" in text for text in texts)


async def test_a_worker_may_redact_more(queue: aiq.Queue, admin: Admin) -> None:
    await queue.enqueue(load.job(-17))

    await run_all(queue, redact=lambda text: text.replace("17", "?"))

    (group,) = await admin.dead()
    assert "17" not in group.samples[0].text


async def test_a_redaction_that_fails_leaves_no_sample(queue: aiq.Queue, admin: Admin) -> None:
    def fail(text: str) -> str:
        raise RuntimeError(text)

    await queue.enqueue(load.job(-17))
    await run_all(queue, redact=fail)

    (group,) = await admin.dead()
    assert (group.dead, group.samples) == (1, ())


KEY = "sk-abcdefghijklmnop"


@aiq.task(retry=aiq.Retry(attempts=2, first_delay=0))
async def ask(question: str) -> str:
    try:
        raise ConnectionError(f"GET https://llm.example/v1?key={KEY}7")
    except ConnectionError as error:
        raise LookupError(f"Authorization: Bearer {KEY} was refused for {question}") from error


@aiq.task(kind="thread", retry=aiq.Retry(attempts=1))
def asks_in_a_thread() -> str:
    raise LookupError(f"no {KEY}")


async def test_no_secret_of_an_error_is_stored(queue: aiq.Queue, admin: Admin, storage: Faulty) -> None:
    jobs = [await queue.enqueue(ask.job("a")), await queue.enqueue(asks_in_a_thread.job())]
    await aiq.Worker(queue, tasks=[ask, asks_in_a_thread]).run_until_idle()

    records = [await job.record() for job in jobs]
    assert [len(record.errors) for record in records] == [2, 1]
    assert "was refused for a" in records[0].errors[0].message
    assert "in ask" in records[0].errors[0].traceback
    assert KEY not in str([records, await admin.dead(), [event async for event in queue.events(follow=False)]])
    with pytest.raises(aiq.JobDead, match=r"Bearer \[redacted\] was refused"):
        await jobs[0].result(0)


async def test_a_worker_may_redact_errors_too_and_groups_stay_what_they_are(queue: aiq.Queue, admin: Admin) -> None:
    def fail(text: str) -> str:
        raise RuntimeError(text)

    for redact in (None, lambda text: text.replace("row", "?"), fail):
        await queue.enqueue(load.job(-17))
        await run_all(queue, redact=redact)

    (group,) = await admin.dead()
    errors = [record.errors[0] for record in await queue.list()]
    assert group.dead == 3
    assert group.pattern == "[redacted]"
    assert [error.message for error in errors] == ["no row -17", "no ? -17", "[redacted]"]
    assert "no row" not in errors[1].traceback + errors[1].pattern + errors[2].traceback


async def test_one_group_is_found_by_its_fingerprint(queue: aiq.Queue, admin: Admin, storage: Faulty) -> None:
    await die(storage)

    assert (await admin.dead_group(PRINT)).dead == 1
    with pytest.raises(aiq.NotFound, match="No group"):
        await admin.dead_group("0" * 32)


async def test_groups_are_listed_up_to_a_limit(admin: Admin, storage: Faulty) -> None:
    for n in range(5):
        await die(storage, str(n), f"{n:032x}")

    assert len(await admin.dead(limit=3)) == 3
    assert len(await admin.dead(by="dead")) == 5
    with pytest.raises(aiq.InvalidInput):
        await admin.dead(by="size")  # type: ignore[arg-type]


async def test_a_group_is_redriven_whole(admin: Admin, storage: Faulty) -> None:
    for n in range(300):
        await die(storage, f"{n:03}")
    await die(storage, "other", "e" * 32)

    outcomes = await admin.redrive(JobFilter(fingerprint=PRINT))

    assert (len(outcomes.done), outcomes.refused) == (300, ())
    assert (await admin.dead_group(PRINT)).dead == 0
    assert await states(storage, "000", "299", "other") == [State.READY, State.READY, State.DEAD]


async def test_a_pace_goes_on_over_batches(admin: Admin, storage: Faulty, clock: Clock) -> None:
    for n in range(258):
        await die(storage, f"{n:03}")

    await admin.redrive(JobFilter(task="work"), delay=1, spread=timedelta(milliseconds=10))

    records = await storage.get(["000", "255", "256", "257"])
    assert [record.due_ms - clock() for record in records if record and record.due_ms] == [1_000, 3_550, 3_560, 3_570]


async def test_refusals_are_told_one_by_one(admin: Admin, storage: Faulty) -> None:
    await die(storage, "dead")
    await enqueue_one(storage, "ready")

    outcomes = await admin.redrive(["dead", "ready", "none"])

    assert outcomes.done == ("dead",)
    assert [(refused.job_id, refused.reason) for refused in outcomes.refused] == [
        ("ready", "state"),
        ("none", "not_found"),
    ]


async def test_no_more_are_redriven_than_the_limit(admin: Admin, storage: Faulty) -> None:
    for name in ("one", "two", "three"):
        await die(storage, name)

    assert (await admin.redrive(JobFilter(), limit=2)).done == ("one", "two")


async def test_a_filter_for_jobs_that_go_on_is_refused(admin: Admin) -> None:
    with pytest.raises(aiq.InvalidInput, match="cancelled or dead"):
        await admin.redrive(JobFilter(states=frozenset({State.READY})))


@pytest.mark.parametrize("which", [None, 5, [1], [None], b"one", ["one", 2]])
async def test_what_is_no_job_is_refused_with_what_to_pass(admin: Admin, which: object) -> None:
    for act in (admin.redrive, admin.replay, admin.purge):
        with pytest.raises(aiq.InvalidInput, match="Pass a job by its handle or its id"):
            await act(which)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"budget": aiq.Budget(usd="1")}, "pass the id of a stored one"),
        ({"route": 5}, "The route is 5; pass its name"),
    ],
)
async def test_terms_that_are_no_texts_are_refused_alike_by_every_storage(
    tmp_path: Path, terms: dict[str, Any], told: str
) -> None:
    for url in ("memory://", f"sqlite:///{tmp_path}/jobs.db"):
        async with aiq.Queue(url) as queue:
            await die(queue.storage, "one")
            for which in ("one", aiq.JobFilter(task="nothing")):
                with pytest.raises(aiq.InvalidInput, match=told):
                    await queue.admin.redrive(which, **terms)
            with pytest.raises(aiq.InvalidInput, match=told):
                await queue.job("one").redrive(**terms)


async def test_a_redrive_whose_reply_is_lost_happens_once(admin: Admin, storage: Faulty) -> None:
    await die(storage)
    storage.plan(LoseReply("redrive"))

    assert (await admin.redrive("job")).done == ("job",)
    assert (await admin.dead_group(PRINT)).redriven == 1


async def test_a_job_is_redriven_by_its_handle(queue: aiq.Queue) -> None:
    job = await queue.enqueue(load.job(-5))
    await run_all(queue)

    record = await job.redrive(instead=load.job(5), band="high")
    await run_all(queue)

    assert (record.generation, record.band) == (2, aiq.Band.HIGH)
    assert await job.result() == 5


async def test_a_handle_tells_why_its_job_is_not_redriven(queue: aiq.Queue) -> None:
    job = await queue.enqueue(load.job(5))

    with pytest.raises(aiq.Conflict) as conflict:
        await job.redrive()
    assert conflict.value.reason == "state"
    with pytest.raises(aiq.NotFound):
        await queue.job("none").redrive()


async def test_arguments_of_another_task_are_refused(queue: aiq.Queue) -> None:
    @aiq.task
    async def other() -> None: ...

    job = await queue.enqueue(load.job(-5))
    await run_all(queue)

    with pytest.raises(aiq.InvalidInput, match='task "load"'):
        await job.redrive(instead=other.job())  # type: ignore[arg-type]


async def test_a_zombie_of_the_generation_before_is_told(queue: aiq.Queue, storage: Faulty) -> None:
    run = await start(storage)
    await queue.cancel(["job"], force=True)
    await queue.admin.redrive("job")

    with pytest.raises(aiq.LeaseLost) as lost:
        await end(storage, run, GOOD)
    assert lost.value.reason is LostReason.TAKEN


async def test_what_has_succeeded_is_replayed_as_new_jobs(queue: aiq.Queue, admin: Admin, storage: Faulty) -> None:
    job = await queue.enqueue(load.job(5), tenant="acme", delay=0)
    await run_all(queue)

    outcomes = await admin.replay(job)
    again = queue.job(outcomes.done[0], load)
    await run_all(queue)

    record = await again.record()
    assert (await again.result(), record.origin, record.tenant, record.payload) == (
        5,
        job.id,
        "acme",
        (await job.record()).payload,
    )


async def test_the_same_replay_makes_no_job_twice(admin: Admin, storage: Faulty) -> None:
    for name in ("one", "two"):
        await end(storage, await start(storage, name), GOOD)

    first = await admin.replay(JobFilter(), id="new model", queue="slow")
    second = await admin.replay(JobFilter(), id="new model", queue="slow", limit=2)

    assert first.done == second.done
    assert len(set(first.done)) == 2
    assert (await claim_one(storage, "slow")).origin == "one"
    assert len((await admin.replay(["one"], id="other")).done) == 1


async def test_what_has_not_succeeded_is_not_replayed(admin: Admin, storage: Faulty) -> None:
    await die(storage)

    outcomes = await admin.replay("job")

    assert [refused.reason for refused in outcomes.refused] == ["state"]


async def test_one_that_cannot_be_replayed_keeps_no_other_one_back(admin: Admin, storage: Faulty) -> None:
    payload = b'{"v":1,"a":[null],"k":{},"o":[[["a",0],"part"]]}'
    await storage.enqueue([job("part"), job("merge", depends_on=("part",), payload=payload), job("other")])
    for _ in range(3):
        await end_one(storage, GOOD)
    await storage.purge(["part"])

    outcomes = await admin.replay(["merge", "other", "none"])

    assert [(one.job_id, one.reason) for one in outcomes.refused] == [("merge", "upstream"), ("none", "not_found")]
    assert (outcomes.done_count, dict(outcomes.reasons)) == (1, {"upstream": 1, "not_found": 1})


async def test_a_full_queue_ends_a_replay_with_an_account_and_it_goes_on_when_there_is_room(
    admin: Admin, storage: Faulty
) -> None:
    for n in range(5):
        await end(storage, await start(storage, str(n)), GOOD)
    await storage.configure("default", QueueSettings(max_ready=3))
    succeeded = JobFilter(states=frozenset({State.SUCCEEDED}))

    first = await admin.replay(succeeded, id="again")
    for _ in range(3):
        await end_one(storage, GOOD)
    second = await admin.replay(succeeded, id="again", after=first.after)

    assert (first.done_count, first.refused, second.stopped) == (3, (), None)
    assert "at most 3" in (first.stopped or "")
    assert {record.origin for record in await storage.list(JobFilter())} == {None, *map(str, range(5))}


async def test_a_limit_ends_with_where_to_go_on(admin: Admin, storage: Faulty) -> None:
    for name in "abc":
        await end(storage, await start(storage, name), GOOD)

    first = await admin.replay(JobFilter(), id="again", limit=2)
    second = await admin.replay(JobFilter(), id="again", limit=2, after=first.after)

    origins = {record.origin for record in await storage.get([*first.done, *second.done]) if record is not None}
    assert (origins, second.after) == (set("abc"), None)


@pytest.mark.parametrize("way", ["redrive", "replay"])
async def test_the_pace_goes_on_where_a_limit_ended_it(admin: Admin, storage: Faulty, way: str) -> None:
    deed = admin.redrive if way == "redrive" else partial(admin.replay, id="again")
    for name in "abcdef":
        await (die(storage, name) if way == "redrive" else end(storage, await start(storage, name), GOOD))

    first = await deed(JobFilter(), spread=60, limit=3)
    rest = await deed(JobFilter(), spread=60, after=first.after)

    due = [(record.due_ms or 0) for record in await storage.get([*first.done, *rest.done]) if record is not None]
    assert [late - early for early, late in pairwise(due[1:])] == [60_000] * 4


async def test_a_replay_that_goes_on_needs_its_id(admin: Admin) -> None:
    with pytest.raises(aiq.InvalidInput, match="`id`"):
        await admin.replay(JobFilter(), after="1")
    with pytest.raises(aiq.InvalidInput, match="named by their ids"):
        await admin.redrive(["job"], after="1")


async def test_a_storage_that_fails_half_way_leaves_an_account(admin: Admin, storage: Faulty) -> None:
    for n in range(300):
        await die(storage, str(n))
    begun = asyncio.Event()
    begun.set()
    storage.plan(Delay("redrive", begun), Refuse("redrive"))

    outcomes = await admin.redrive(JobFilter(fingerprint=PRINT))
    rest = await admin.redrive(JobFilter(fingerprint=PRINT), after=outcomes.after)

    assert (outcomes.done_count, rest.done_count, rest.stopped) == (256, 44, None)
    assert outcomes.stopped


async def test_a_storage_that_fails_at_once_raises(admin: Admin, storage: Faulty) -> None:
    await die(storage)
    storage.plan(Refuse("redrive"))

    with pytest.raises(aiq.Unavailable):
        await admin.redrive(JobFilter(fingerprint=PRINT))


async def test_jobs_are_counted_by_a_filter(queue: aiq.Queue, storage: Faulty, clock: Clock) -> None:
    await storage.enqueue([job("ours", tenant="acme"), job("theirs"), job("far", tenant="acme", queue="far")])
    since = datetime.fromtimestamp(clock() / 1000, UTC)

    assert await queue.count(JobFilter(tenant="acme", created=aiq.between(since=since))) == {State.READY: 2}
    assert await queue.count(JobFilter(tenant="acme", created=aiq.between(until=since))) == {}


async def test_a_flow_is_replayed_by_its_run(queue: aiq.Queue, admin: Admin) -> None:
    flow = aiq.Flow("sums")
    part = flow.add(load.job(5))
    whole = flow.add(load.job(part.output))
    run = await queue.run(flow)
    await run_all(queue)

    outcomes = await admin.replay(run)
    await run_all(queue)

    assert await queue.job(outcomes.done[1], load).result() == 5
    alone = await admin.replay(run[whole])
    await run_all(queue)
    assert await queue.job(alone.done[0], load).result() == 5


async def test_what_cannot_be_read_is_not_replayed(storage: Faulty) -> None:
    codecs = [aiq.AESGCM(keys={"k": b"k" * 32}, current="k")]
    async with aiq.Queue(storage, codecs=codecs) as queue:
        job = await queue.enqueue(load.job(5))
        await run_all(queue)

        blind = await Admin(storage).replay(job.id)
        seeing = await queue.admin.replay(job.id)

        assert [refused.reason for refused in blind.refused] == ["unreadable"]
        await run_all(queue)
        assert await queue.job(seeing.done[0], load).result() == 5


async def test_jobs_are_purged_by_a_filter(admin: Admin, storage: Faulty) -> None:
    await die(storage, "dead")
    await end(storage, await start(storage, "succeeded"), GOOD)
    await enqueue_one(storage, "ready")

    outcomes = await admin.purge(JobFilter(states=frozenset({State.DEAD})))

    assert outcomes.done == ("dead",)
    assert await states(storage, "dead", "succeeded", "ready") == [None, State.SUCCEEDED, State.READY]
    assert (await admin.dead_group(PRINT)).samples == ()


async def test_a_purge_by_a_filter_lets_go_what_is_needed_by_what_it_lets_go(admin: Admin, storage: Faulty) -> None:
    await storage.enqueue([job("a"), job("b", depends_on=("a",)), job("c", depends_on=("b",)), job("needed")])
    await end_one(storage, GOOD)
    await storage.cancel(["b", "c", "needed"])
    await storage.enqueue([job("other", depends_on=("needed",), queue="q")])
    await storage.upkeep()

    outcomes = await admin.purge(JobFilter(queue="default"))

    assert set(outcomes.done) == {"a", "b", "c"}
    assert [(refused.job_id, refused.reason) for refused in outcomes.refused] == [("needed", "needed")]


async def test_what_cannot_be_purged_is_told(admin: Admin, storage: Faulty) -> None:
    await enqueue_one(storage, "first")
    await enqueue_one(storage, "second", depends_on=("first",))
    await end_one(storage, deadly())

    outcomes = await admin.purge(["first", "second", "none"])

    assert [refused.reason for refused in outcomes.refused] == ["needed", "state", "not_found"]


async def test_two_operators_redrive_a_group_at_the_same_time_and_each_job_goes_once(
    admin: Admin, storage: Faulty
) -> None:
    for n in range(40):
        await die(storage, str(n))

    both = await asyncio.gather(*(admin.redrive(JobFilter(fingerprint=PRINT)) for _ in range(2)))

    done = [job_id for outcomes in both for job_id in outcomes.done]
    assert sorted(done) == sorted(map(str, range(40)))
    again = Redrive(id="x", targets=(Target("0", 1),))
    assert getattr((await storage.redrive(again))[0], "reason", None) == "generation"


async def test_what_is_encrypted_leaves_no_sample_and_takes_other_arguments(storage: Faulty) -> None:
    queue = aiq.Queue(storage, codecs=[aiq.AESGCM(keys={"k": b"k" * 32}, current="k")])
    async with queue:
        job = await queue.enqueue(load.job(-5))
        await run_all(queue)
        assert (await queue.admin.dead())[0].samples == ()

        await job.redrive(instead=load.job(5))
        await run_all(queue)

        assert await job.result() == 5


@pytest.mark.parametrize(
    "told",
    [{"states": "asleep"}, {"states": 7}, {"states": [None]}, {"task": 7}, {"created": datetime.now(UTC)}],
)
# Any: what people write, whatever its type.
def test_a_filter_of_what_it_does_not_know_is_refused_with_what_to_write(told: dict[str, Any]) -> None:
    (field,) = told

    with pytest.raises(aiq.InvalidInput, match=f"`{field}`.* Pass "):
        JobFilter(**told)
