"""No step looks at more than its bound: what is larger is gone on with in the next one, or on the next page."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from aiq import bounds
from aiq.backends.redis import scripts
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.bounds import MAX_BATCH, MAX_LEASE_MS, MAX_LOOKED, MAX_PAGE, MAX_SWEEP
from aiq.errors import TooLarge
from aiq.model import (
    Band,
    Cause,
    DeadQuery,
    JobFilter,
    JobRecord,
    LimitSpec,
    State,
    Suspended,
    Usage,
    UsageFilter,
    Waiting,
)
from aiq.storage import Storage, queue_topic
from aiq.testing.actions import (
    BAD,
    GOOD,
    changed,
    claim_some,
    end,
    end_one,
    enqueue_one,
    job,
    keep_up,
    spawn,
    start,
    states,
)
from aiq.testing.burials import deadly, reasons, redrive
from aiq.testing.clock import Clock
from aiq.testing.moves import move
from aiq.testing.spending import tell
from tests import stores
from tests.keys import clean
from tests.servers import PASSWORD, USER, server

MANY = MAX_LOOKED + MAX_BATCH
"""More than one step may look at."""
SLACK = 8
"""Commands of a step besides those for each of what it looks at."""
_names = count(1)


@pytest.fixture
def name() -> str:
    return f"bounds{next(_names)}"


@pytest.fixture
async def storage(name: str, clock: Clock) -> AsyncIterator[RedisStorage]:
    opened = await open_redis(f"redis://{USER}:{PASSWORD}@127.0.0.1:{server().port}/0?namespace={name}", clock)
    yield opened
    await opened.close()
    clean(server(), name)


def ask(name: str, command: str, key: str, *words: str | int | bytes) -> None:
    server().ask(command, f"{{aiq:{name}}}:{key}", *words)


async def commands_of(call: Callable[[], Awaitable[object]]) -> Counter[str]:
    """How many commands of Redis a call comes to, those inside of its script counted."""
    server().ask("CONFIG", "RESETSTAT")
    await call()
    stats = server().ask("INFO", "commandstats")
    return Counter({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})


async def spawn_many(storage: Storage, parent: JobRecord, begin: str, number: int, **options: str) -> None:
    for first in range(0, number, MAX_BATCH):
        names = [f"{begin} {place:05}" for place in range(first, min(first + MAX_BATCH, number))]
        await spawn(storage, parent, *names, key=f"{begin} {first}", **options)


async def test_children_behind_thousands_that_are_left_alone_are_cancelled_in_a_later_step(storage: Storage) -> None:
    parent = await start(storage, "parent")
    await spawn_many(storage, parent, "a", MANY, on_parent="leave")
    await spawn(storage, parent, "b", key="b")
    await end(storage, parent, BAD)

    looked = await commands_of(storage.upkeep)
    assert looked["zrangebylex"] <= MAX_LOOKED / 128 + SLACK
    assert await states(storage, "b") == [State.READY]
    await keep_up(storage)

    assert await states(storage, "a 00000", "b") == [State.READY, State.CANCELLED]
    assert await storage.audit() == []


async def test_the_children_of_a_second_parent_are_all_cancelled_after_those_of_one_with_thousands(
    storage: Storage,
) -> None:
    parent = await start(storage, "parent")
    await spawn_many(storage, parent, "m", MANY, on_parent="leave")
    other = await start(storage, "other", band=Band.HIGH)
    await spawn(storage, other, "a", key="a")
    for run in (parent, other):
        await end(storage, run, BAD)

    await keep_up(storage)

    assert await states(storage, "a") == [State.CANCELLED]


async def test_a_listing_passes_over_millions_of_jobs_that_are_gone(storage: Storage, name: str) -> None:
    await enqueue_one(storage, "first")
    ask(name, "HSET", "counters", "jobs", msgspec.msgpack.encode(2_000_000))
    await enqueue_one(storage, "last")
    found, cursor, pages = [], None, 0

    async def page() -> None:
        nonlocal cursor
        answer = await storage.list(JobFilter(), cursor=cursor)
        found.extend(one.id for one in answer.jobs)
        cursor = answer.cursor

    while pages == 0 or cursor is not None:
        assert (await commands_of(page))["hgetall"] <= MAX_LOOKED + SLACK
        pages += 1

    assert found == ["first", "last"]
    assert pages == 4


async def test_what_a_job_has_used_in_more_minutes_than_a_page_tells_is_read_in_their_order(
    storage: RedisStorage, name: str, clock: Clock
) -> None:
    run = await start(storage, lease_ms=MAX_LEASE_MS)
    minutes = MAX_PAGE // 2
    for call in range(1, minutes + 1):
        await tell(storage, run, call, used=Usage("gpt", 10, 3, reasoning=1))
        clock.advance_ms(60_000)

    found = await pages(storage, 100)
    assert found == await pages(storage, 256)
    assert found == sorted(found)
    assert len(found) == 3 * minutes
    assert sum(tokens for *_, tokens in found) == 14 * minutes

    async with stores.redis(clock) as other:
        await move(storage, other)
        assert await pages(other, 256) == found
        assert await other.audit() == []


async def pages(storage: Storage, limit: int) -> list[tuple[int, str, int]]:
    found: list[tuple[int, str, int]] = []
    cursor: str | None = None
    while not found or cursor is not None:
        page = await storage.usage(UsageFilter(job_id="job"), cursor=cursor, limit=limit)
        found += [(row.minute_ms, row.category, row.tokens) for row in page.rows]
        cursor = page.cursor
    return found


async def test_nothing_is_left_of_the_use_of_a_job_that_is_gone(storage: RedisStorage, name: str, clock: Clock) -> None:
    run = await start(storage, lease_ms=MAX_LEASE_MS)
    for call in range(1, MAX_PAGE):
        await tell(storage, run, call, used=Usage("gpt", 10, 3))
        clock.advance_ms(60_000)
    await end(storage, run, BAD)
    assert (await storage.dead_groups(DeadQuery())).groups[0].group.tokens == 13 * (MAX_PAGE - 1)

    await storage.purge(["job"])

    assert server().ask("KEYS", f"{{aiq:{name}}}:usage*:job:*") == []


async def test_the_jobs_of_one_queue_are_counted_without_looking_at_others(storage: Storage) -> None:
    for number in range(20):
        await enqueue_one(storage, f"job {number}", queue=f"queue{number}")

    async def counted() -> None:
        assert await storage.count("queue7") == {"queue7": {State.READY: 1}}

    assert not (await commands_of(counted))["hgetall"]


async def crowd_behind_a_limit(storage: Storage) -> list[str]:
    """Hundreds of queues whose jobs wait for one limit, which a run has taken whole."""
    await storage.put_limits([LimitSpec(name="one", concurrency=1)])
    await start(storage, "first", limits=("one",))
    queues = [f"queue{number:03}" for number in range(2 * MAX_SWEEP + 10)]
    for queue in queues:
        await enqueue_one(storage, queue, queue=queue, limits=("one",))
    for first in range(0, len(queues), MAX_BATCH):
        assert await claim_some(storage, 1, *queues[first : first + MAX_BATCH]) == []
    return queues


async def given(storage: Storage, queues: list[str]) -> list[str]:
    parts = [queues[first : first + MAX_BATCH] for first in range(0, len(queues), MAX_BATCH)]
    return [run.id for part in parts for run in await claim_some(storage, 1, *part)]


async def test_what_waits_for_one_limit_in_hundreds_of_queues_is_opened_in_turns_by_upkeep(storage: Storage) -> None:
    queues = await crowd_behind_a_limit(storage)
    mark = await storage.wait([queue_topic(queues[-1])], after=None, timeout_ms=0)

    freed = await commands_of(lambda: storage.put_limits([LimitSpec(name="one", concurrency=1_000)]))
    assert freed["zrem"] <= MAX_SWEEP + SLACK
    assert (await storage.upkeep()).next_due_ms == 0
    assert (await storage.upkeep()).next_due_ms != 0

    assert await changed(storage, mark, queue_topic(queues[-1]))
    assert await given(storage, queues) == queues
    assert await storage.audit() == []


async def test_what_waits_for_one_limit_in_hundreds_of_queues_is_opened_in_turns_by_claims(storage: Storage) -> None:
    queues = await crowd_behind_a_limit(storage)

    # Freed again before all were opened, it is gone on with where the first time has stopped.
    for concurrency in (500, 1_000):
        await storage.put_limits([LimitSpec(name="one", concurrency=concurrency)])

    assert [queues[-1]] == await given(storage, queues[-1:])
    assert await given(storage, queues) == queues[:-1]


async def test_a_listing_that_finds_nothing_looks_at_a_few_hundred_jobs_a_step(storage: Storage) -> None:
    for first in range(0, 4 * MAX_BATCH, MAX_BATCH):
        await storage.enqueue([job(f"job {n}") for n in range(first, first + MAX_BATCH)])
    await enqueue_one(storage, "last", tenant="other")

    found, cursor, pages = [], None, 0

    async def page() -> None:
        nonlocal cursor
        answer = await storage.list(JobFilter(tenant="other"), cursor=cursor)
        found.extend(one.id for one in answer.jobs)
        cursor = answer.cursor

    while pages == 0 or cursor is not None:
        assert (await commands_of(page))["hgetall"] <= 512 / 128 + 1
        pages += 1

    assert found == ["last"]


async def test_children_are_redriven_without_a_look_at_all_that_are_left(storage: Storage) -> None:
    parent = await start(storage, "parent")
    for first in range(0, 3 * MAX_BATCH, MAX_BATCH):
        await spawn(storage, parent, *[f"{first + n}" for n in range(MAX_BATCH)], queue="children")
    await end(storage, parent, Waiting("children", None))
    await storage.cancel(["parent"])
    await keep_up(storage)

    assert reasons(await redrive(storage, "parent")) == ["redriven"]
    for done in range(1, 4):
        looked = await commands_of(storage.upkeep)
        assert looked["hmget"] <= MAX_BATCH / 128 + 3
        assert (await storage.count("children"))["children"][State.READY] == done * MAX_BATCH
    assert await storage.audit() == []


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So few rows in one purge that a test need not store thousands."""
    monkeypatch.setattr(bounds, "MAX_PURGED_ROWS", 8)
    monkeypatch.setattr(scripts, "_composed", {})
    scripts.script.cache_clear()
    yield
    scripts.script.cache_clear()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So few edges in one redrive that a test need not store thousands of children."""
    monkeypatch.setattr(bounds, "MAX_DEPENDENCIES", 4)
    monkeypatch.setattr(scripts, "_composed", {})
    scripts.script.cache_clear()
    yield
    scripts.script.cache_clear()


async def died_of(storage: Storage, parent_id: str, *children: str) -> None:
    """A parent that has died of children."""
    parent = await start(storage, parent_id)
    await spawn(storage, parent, *children, queue="children")
    await end(storage, parent, Waiting("children", None))
    for _ in children:
        await end_one(storage, BAD, "children")
    await end_one(storage, deadly(cause=Cause.CHILD))


@pytest.mark.usefixtures("narrow")
async def test_parents_whose_children_one_step_cannot_open_again_are_redriven_one_by_one(storage: Storage) -> None:
    await died_of(storage, "one", "a", "b")
    await died_of(storage, "other", "c", "d")

    with pytest.raises(TooLarge, match="several parts"):
        await redrive(storage, "one", "other")
    assert await states(storage, "one", "other") == [State.DEAD, State.DEAD]
    for parent_id in ("one", "other"):
        assert reasons(await redrive(storage, parent_id)) == ["redriven"]
    assert reasons(await redrive(storage, "one", "other", id="later")) == ["state", "state"]
    assert await storage.audit() == []


async def busy(storage: Storage, job_id: str, **options: Any) -> None:
    """A job that has ended, with more calls, and more that was sent to it, than one purge removes."""
    run = await start(storage, job_id, **options)
    for number in range(20):
        await tell(storage, run, number + 1, used=Usage("gpt", 1))
        await storage.send(job_id, "go", f"{number}", b"1")
    for number in range(12):
        await end(storage, run, Suspended(f"step {number}", "go"))
    await end(storage, run, GOOD)


@pytest.mark.usefixtures("tight")
async def test_a_job_with_many_rows_goes_by_several_upkeeps(storage: RedisStorage, name: str) -> None:
    await busy(storage, "busy", keep_ms=0)
    purged = []
    while not sum(purged):
        purged.append((await storage.upkeep()).purged)
        assert await storage.audit() == []

    assert len(purged) >= 40 / 8
    assert await storage.get(["busy"]) == [None]
    left = {key.partition("}:")[2] for key in server().ask("KEYS", f"{{aiq:{name}}}:*")}
    assert not [key for key in left if "signal" in key or "reserv" in key or "calls" in key]


@pytest.mark.usefixtures("tight")
async def test_jobs_with_many_rows_go_by_one_purge_of_a_person(storage: Storage) -> None:
    for job_id in ("one", "other"):
        await busy(storage, job_id)

    found = await storage.purge(["one", "unknown", "other", "one"])

    assert [(one.job_id, one.state, one.gone) for one in found] == [
        ("one", State.SUCCEEDED, True),
        ("unknown", None, False),
        ("other", State.SUCCEEDED, True),
        ("one", State.SUCCEEDED, True),
    ]
    assert await storage.audit() == []
