"""Chapter 20: moving a storage into another one."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from aiq.bounds import MAX_PAGE, MAX_STEP_BYTES
from aiq.errors import ForeignCursor, InvalidInput, TooLarge, Unavailable
from aiq.model import (
    DeadQuery,
    Keep,
    MinuteFilter,
    RetentionSpec,
    ScheduleSpec,
    Settlement,
    State,
    Succeeded,
    Suspended,
    Usage,
    UsageFilter,
    Waiting,
    moving,
)
from aiq.storage import Storage, append, read, settle
from aiq.testing.actions import (
    GOOD,
    chunks,
    claim_one,
    end,
    end_one,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
    value,
)
from aiq.testing.burials import die, revive
from aiq.testing.clock import Clock
from aiq.testing.faulty import Faulty, LoseReply
from aiq.testing.marks import clause
from aiq.testing.moves import everything, move, reference
from aiq.testing.spending import need, open_call, put_budget, put_limit, tell


@pytest.fixture
def target(runner: asyncio.Runner, clock: Clock) -> Iterator[Storage]:
    """The reference, from which every other storage takes in what it holds, and the other way round."""
    storage = runner.run(reference(clock))
    yield storage
    runner.run(storage.close())


@pytest.fixture(params=["from", "into"])
def ways(request: pytest.FixtureRequest, storage: Storage, target: Storage) -> tuple[Storage, Storage]:
    """From the storage under test into the reference, and the other way round."""
    return (storage, target) if request.param == "from" else (target, storage)


@pytest.fixture
def source(ways: tuple[Storage, Storage]) -> Storage:
    """The storage that is moved."""
    return ways[0]


@pytest.fixture
def goal(ways: tuple[Storage, Storage]) -> Storage:
    """Where it is moved."""
    return ways[1]


async def a_flow_in_the_middle(storage: Storage) -> None:
    """Children running, their parent parked, an approval pending, a stream half written, and money spent."""
    await put_limit(storage, tokens=60_000)
    await put_budget(storage, "purse", tokens=10_000)
    parent = await start(storage, "parent", budgets=("purse",))
    await storage.save_step(parent.lease, value("plan", b"paid for"))
    await append(storage, parent.lease, chunks("one", "two", step="plan"))
    await spawn(storage, parent, "done", "running", limits=("gpt",), estimate=need(100))
    await storage.enqueue([job("after", depends_on=("running",))])
    done = await claim_one(storage)
    await open_call(storage, done, 1, need(100))
    await tell(storage, done, 1, used=Usage(model="m", input=70))
    await end(storage, done, GOOD)
    await claim_one(storage)
    await end(storage, parent, Waiting("children", None))
    asks = await start(storage, "asks")
    await storage.send("asks", "early", "signal 1", b"kept")
    await end(storage, asks, Suspended("approval", "approved", 60_000))


@clause("MOVE-1")
async def test_a_storage_that_was_moved_reads_as_it_did(source: Storage, goal: Storage) -> None:
    await a_flow_in_the_middle(source)

    await move(source, goal)

    assert await look(goal) == await look(source)
    assert await goal.get_limits() == await source.get_limits()
    assert await goal.get_budgets() == await source.get_budgets()
    assert await goal.usage(UsageFilter()) == await source.usage(UsageFilter())
    assert await goal.audit() == []


@clause("MOVE-1", "MOVE-6")
async def test_a_flow_goes_on_where_it_has_moved(source: Storage, goal: Storage) -> None:
    await a_flow_in_the_middle(source)
    run = await get_one(source, "running")
    await move(source, goal)

    await settle(goal, run.lease, Succeeded(b"late"), settlement_id="1")
    await goal.send("asks", "approved", "signal 2", b"yes")

    assert await states(goal, "parent", "after", "asks") == [State.READY] * 3
    assert [step.value for step in await goal.get_steps("parent")][-1] == b"paid for"
    assert [step.value for step in await goal.get_steps("asks")] == [b"yes"]


@clause("MOVE-1")
async def test_the_repeat_of_a_settlement_gets_its_answer_where_the_job_has_moved(
    source: Storage, goal: Storage
) -> None:
    run = await start(source)
    first = await source.exchange([Settlement(run.lease, "1", failed())])

    await move(source, goal)

    assert await goal.exchange([Settlement(run.lease, "1", failed())]) == replace(first, next_due_ms=None)


@clause("MOVE-1")
async def test_that_answer_tells_the_signal_that_it_told(source: Storage, goal: Storage) -> None:
    run = await start(source)
    await source.send("job", "go", "signal", b"yes")
    asked = [Settlement(run.lease, "1", Suspended("wait", "go", 1_000))]
    first = await source.exchange(asked)

    await move(source, goal)

    assert (await goal.exchange(asked)).settled == first.settled


@clause("MOVE-1")
async def test_a_stream_goes_on_behind_what_was_written(source: Storage, goal: Storage) -> None:
    run = await start(source)
    await append(source, run.lease, chunks("one", "two"))

    await move(source, goal)
    repeated = await append(goal, run.lease, chunks("two", "three", first=2))

    assert repeated.last == 3
    assert [chunk.text for chunk in (await read(goal, run.id)).chunks] == ["one", "two", "three"]


@clause("MOVE-2")
async def test_a_record_that_stands_there_is_loaded_again_and_changes_nothing(
    storage: Storage, target: Storage
) -> None:
    await a_flow_in_the_middle(target)
    records = await everything(target)
    await storage.load("move", records)

    for _ in range(2):
        await storage.load("move", records, last=True)

    assert await look(storage) == await look(target)
    assert await storage.audit() == []


@clause("MOVE-2")
async def test_what_is_loaded_again_when_the_move_is_over_changes_nothing(storage: Storage, target: Storage) -> None:
    await enqueue_one(target)
    records = await everything(target)
    await storage.load("move", records, last=True)
    await end(storage, await claim_one(storage), GOOD)

    await storage.load("move", records, last=True)

    assert await states(storage, "job") == [State.SUCCEEDED]


@clause("MOVE-6")
async def test_a_run_renews_its_lease_where_its_job_has_moved(source: Storage, goal: Storage, clock: Clock) -> None:
    run = await start(source, lease_ms=1_000)
    clock.advance_ms(900)
    await move(source, goal)

    await goal.renew([run.lease])
    clock.advance_ms(900)

    assert (await end(goal, run, GOOD)).late is False


@clause("MOVE-7")
async def test_pages_of_any_size_hold_everything_once(storage: Storage) -> None:
    await a_flow_in_the_middle(storage)

    whole = await everything(storage)

    assert await everything(storage, limit=1) == whole
    assert len({repr(record) for record in whole}) == len(whole)


@clause("MOVE-7")
async def test_a_page_of_a_dump_ends_with_what_fills_it(storage: Storage) -> None:
    run = await start(storage)
    for number in range(5):
        await storage.save_step(run.lease, value(f"step {number}", b"1" * MAX_STEP_BYTES))

    cursor, steps = None, []
    while not steps:
        page = await storage.dump(cursor=cursor)
        steps = [record for record in page.records if isinstance(record, moving.Step)]
        cursor = page.cursor

    assert len(steps) == 4


@clause("MOVE-7", "STORE-9")
async def test_what_is_no_cursor_and_what_is_too_much_are_refused(storage: Storage) -> None:
    with pytest.raises(InvalidInput):
        await storage.dump(cursor="somewhere")
    with pytest.raises(TooLarge):
        await storage.load("move", [moving.Tenant(tenant="acme", weight=1)] * (MAX_PAGE + 1))


@clause("MOVE-1")
async def test_a_dead_job_of_a_key_takes_the_end_of_its_line_where_it_has_moved(source: Storage, goal: Storage) -> None:
    await die(source, "early", key="talk", per_key=1, while_parked="free")
    await source.enqueue([job("stands", key="talk", per_key=1, while_parked="free")])
    before = await look(source)

    await move(source, goal)

    assert await look(goal) == before
    await revive(goal, "early")
    await goal.enqueue([job("new", key="talk", per_key=1, while_parked="free")])
    assert await goal.audit() == []
    assert [(await end_one(goal, GOOD)).id for _ in range(3)] == ["stands", "early", "new"]


@clause("MOVE-1")
async def test_a_child_that_outlives_its_parent_does_so_where_it_has_moved(source: Storage, goal: Storage) -> None:
    parent = await start(source, "parent")
    await spawn(source, parent, "stays", on_parent="leave")

    await move(source, goal)
    await goal.cancel(["parent"], force=True)
    await keep_up(goal)

    assert await states(goal, "parent", "stays") == [State.CANCELLED, State.READY]


@clause("MOVE-1")
async def test_schedules_move_with_where_they_stand(source: Storage, goal: Storage) -> None:
    await source.put_schedules([ScheduleSpec(name="hourly", template=job(""), every_ms=3_600_000)])
    await source.pause_schedules(["hourly"])

    await move(source, goal)

    assert await goal.get_schedules() == await source.get_schedules()


@clause("MOVE-1")
async def test_what_happened_and_what_was_counted_move_too(source: Storage, goal: Storage) -> None:
    await a_flow_in_the_middle(source)

    await move(source, goal)

    told = [replace(event, cursor="") for event in (await source.read_events(None)).events]
    assert [replace(event, cursor="") for event in (await goal.read_events(None)).events] == told
    assert await goal.metrics(MinuteFilter()) == await source.metrics(MinuteFilter())


@clause("EVENT-9")
async def test_a_reader_of_events_is_told_that_its_cursor_has_not_moved(source: Storage, goal: Storage) -> None:
    await a_flow_in_the_middle(source)
    cursor = (await source.read_events(limit=3)).cursor

    await move(source, goal)

    with pytest.raises(ForeignCursor):
        await goal.read_events(cursor)


@clause("MOVE-1")
async def test_what_went_before_its_job_is_not_missed_where_that_moves(
    source: Storage, goal: Storage, clock: Clock
) -> None:
    await source.put_retention(RetentionSpec(results=Keep(for_ms=10), signals=Keep(for_ms=10)))
    await enqueue_one(source, "done")
    await end(source, await claim_one(source), GOOD)
    run = await start(source)
    await source.send("job", "go", "1", b"yes")
    clock.advance_ms(9)
    await end(source, run, Suspended("until", "go"))
    clock.advance_ms(1)
    await source.upkeep()

    await move(source, goal)

    record = await get_one(goal, "done")
    assert (record.state, record.result) == (State.SUCCEEDED, None)
    assert await goal.audit() == []
    assert (await goal.send("job", "go", "1", b"yes")).existed
    clock.advance_ms(9)
    await goal.upkeep()
    assert not (await goal.send("job", "go", "1", b"yes")).existed


@clause("MOVE-1")
async def test_a_job_that_is_gone_is_remembered_where_its_storage_moves(
    source: Storage, goal: Storage, clock: Clock
) -> None:
    run = await start(source)
    await end(source, run, GOOD)
    clock.advance_ms(30 * 24 * 3_600_000)
    while (await source.upkeep()).next_due_ms == 0:
        pass
    assert await states(source, "job") == [None]

    await move(source, goal)

    (again,) = await goal.enqueue([job("job")])
    assert again.existed


@clause("MOVE-2", "STORE-2")
async def test_a_load_whose_reply_was_lost_is_sent_again(storage: Storage, target: Storage) -> None:
    await a_flow_in_the_middle(target)
    faulty = Faulty(storage, LoseReply("load"))
    records = await everything(target)

    with pytest.raises(Unavailable):
        await faulty.load("move", records, last=True)
    await faulty.load("move", records, last=True)

    assert await look(storage) == await look(target)


@clause("MOVE-1")
async def test_the_dead_move_in_their_groups_and_unique_keys_with_who_has_them(source: Storage, goal: Storage) -> None:
    await enqueue_one(source, "dies", unique="one", max_attempts=1)
    await end(source, await claim_one(source), failed())
    await enqueue_one(source, "stands", unique="one")

    await move(source, goal)

    assert await goal.dead_groups(DeadQuery()) == await source.dead_groups(DeadQuery())
    (again,) = await goal.enqueue([job("new", unique="one")])
    assert (again.job_id, again.existed) == ("stands", True)
