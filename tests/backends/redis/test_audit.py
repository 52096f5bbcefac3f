"""What the audit says of a namespace in Redis in which something does not agree. Each test breaks one thing by hand."""

from collections.abc import AsyncIterator
from itertools import count

import msgspec
import pytest

from aiq.backends.redis import auditing
from aiq.backends.redis.storage import RedisStorage, open_redis
from aiq.model import Estimate, LimitSpec
from aiq.storage import append
from aiq.testing.actions import GOOD, chunks, claim_some, end, enqueue_one, job, start
from aiq.testing.clock import Clock
from tests.servers import PASSWORD, USER, server

MANY = 150
"""More jobs than one slice looks at."""
_names = count(1)


@pytest.fixture
def name() -> str:
    return f"audit{next(_names)}"


@pytest.fixture
async def storage(name: str) -> AsyncIterator[RedisStorage]:
    """A job that is over, one that waited for it, one that is scheduled, and one of a flow that runs."""
    url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{server().port}/0?namespace={name}"
    opened = await open_redis(url, Clock())
    run = await start(opened, "over")
    await append(opened, run.lease, chunks("one"))
    await opened.enqueue([job("after", depends_on=("over",)), job("later", delay_ms=1_000)])
    await start(opened, "running", flow="flow", queue="other")
    await end(opened, run, GOOD)
    yield opened
    await opened.close()


def ask(name: str, command: str, key: str, *words: str | int | bytes) -> None:
    server().ask(command, f"{{aiq:{name}}}:{key}", *words)


async def told(storage: RedisStorage) -> set[tuple[str, str]]:
    return {(one.clause, one.job_id) for one in await storage.audit()}


async def test_nothing_is_wrong_with_what_operations_have_made(storage: RedisStorage) -> None:
    assert await storage.audit() == []


@pytest.mark.parametrize(
    ("command", "key", "words", "violation"),
    [
        ("ZREM", "scheduled", ("later",), ("STATE-3", "later")),
        ("ZADD", "leases", (5, "after"), ("STATE-3", "after")),
        ("ZADD", "graces", (5, "over"), ("STATE-3", "over")),
        ("ZREM", "shelf:lane:default:2:::3", ("after",), ("STATE-3", "after")),
        ("ZREM", "ended:succeeded", ("00000000000001",), ("STATE-3", "over")),
        ("SREM", "needed_by:over", ("after\0",), ("FLOW-7", "after")),
        ("DEL", "edges_in:after\0", (), ("FAN-1", "after")),
        ("DEL", "events", (), ("STATE-4", "over")),
        ("DEL", "stream:over", (), ("STREAM-1", "over")),
        ("HDEL", "numbers:0", ("1",), ("STATE-3", "")),
        ("HDEL", "streams", ("over",), ("STREAM-1", "over")),
    ],
)
async def test_a_job_that_is_not_where_its_state_says_is_named(
    storage: RedisStorage, name: str, command: str, key: str, words: tuple[str | int, ...], violation: tuple[str, str]
) -> None:
    ask(name, command, key, *words)

    assert violation in await told(storage)


@pytest.mark.parametrize(
    ("command", "key", "words"),
    [
        ("ZADD", "shelf:lane:default:2:::3", (77, "over")),
        ("ZADD", "ended:dead", (1, "00000000000002")),
        ("HSET", "counts", ("default ready", msgspec.msgpack.encode(9))),
        ("HSET", "unstarted", ("default", msgspec.msgpack.encode(9))),
        ("HSET", "flows", ("flow", msgspec.msgpack.encode(2))),
        ("HSET", "outbox_jobs", ("over", msgspec.msgpack.encode(1))),
    ],
)
async def test_what_lists_or_counts_jobs_that_are_not_there_is_named(
    storage: RedisStorage, name: str, command: str, key: str, words: tuple[str | int | bytes, ...]
) -> None:
    ask(name, command, key, *words)

    assert await told(storage) == {("STATE-3", "")}


@pytest.mark.parametrize("score", [-5, 77])
async def test_a_shelf_that_is_listed_and_not_there_is_named(storage: RedisStorage, name: str, score: int) -> None:
    ask(name, "ZADD", "shelves:lane:default:2::", score, score)

    assert [one.text for one in await storage.audit()] == [
        f"shelf {score} of lane:default:2:: is listed, and is not there"
    ]


async def test_jobs_on_a_shelf_that_is_not_listed_are_named(storage: RedisStorage, name: str) -> None:
    ask(name, "DEL", "shelves:lane:default:2::")

    assert ("STATE-3", "after") in await told(storage)


@pytest.mark.parametrize(("shelf", "score"), [(131, 5), (3, 190)])
async def test_what_stands_on_the_shelf_of_another_score_is_named(
    storage: RedisStorage, name: str, shelf: int, score: int
) -> None:
    await storage.enqueue([job(f"job {number}") for number in range(MANY)])
    ask(name, "ZADD", f"shelf:lane:default:2:::{shelf}", score, "astray")

    texts = [one.text for one in await storage.audit()]
    assert f"shelf {shelf} of lane:default:2:: has 1 that belong on another one" in texts


async def test_shelves_are_looked_at_a_slice_at_a_time(
    storage: RedisStorage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "SLICE", 1)
    await storage.enqueue([job(f"job {number}") for number in range(MANY)])
    assert await storage.audit() == []

    ask(name, "ZADD", "shelf:lane:default:2:::131", 200, "nobody")
    assert await told(storage) == {("STATE-3", "")}


@pytest.mark.parametrize("model", ["x::", "default:2::", "ft:a::"])
async def test_no_name_of_a_model_makes_its_lane_look_like_one_of_shelves(storage: RedisStorage, model: str) -> None:
    await storage.put_limits([LimitSpec(name="narrow", requests=100)])
    await enqueue_one(storage, "of a model", limits=("narrow",), estimate=Estimate(model=model, input=10))

    assert await storage.audit() == []


async def test_what_belongs_to_a_job_that_is_not_stored_is_named(storage: RedisStorage, name: str) -> None:
    ask(name, "HSET", "results", "nobody", "1")

    assert await told(storage) == {("GONE-1", "nobody")}


async def test_a_row_that_cannot_be_read_hides_no_other(storage: RedisStorage, name: str) -> None:
    ask(name, "HSET", "errors", "nobody", "1")
    ask(name, "HSET", "schedules", "broken", msgspec.msgpack.encode(7))

    found = await told(storage)

    assert {("STATE-3", "broken"), ("GONE-1", "nobody")} <= found


async def test_a_job_behind_many_others_is_looked_at_too(storage: RedisStorage, name: str) -> None:
    await storage.enqueue([job(f"job {number}") for number in range(MANY)])
    assert await storage.audit() == []

    ask(name, "ZREM", "shelf:lane:default:2:::131", f"job {MANY - 1}")

    assert ("STATE-3", f"job {MANY - 1}") in await told(storage)


async def test_no_more_is_named_than_is_asked_for(storage: RedisStorage, name: str) -> None:
    await enqueue_one(storage, "one more")
    ask(name, "DEL", "events")

    assert len(await storage.audit(2)) == 2


async def test_lanes_lines_and_gates_of_many_queues_are_looked_at_a_slice_at_a_time(
    storage: RedisStorage, name: str
) -> None:
    await storage.put_limits([LimitSpec(name="each", by="key", concurrency=1)])
    for number in range(MANY):
        options = {"queue": f"queue{number}", "tenant": f"tenant {number}", "limits": ("each",), "key": f"k{number}"}
        await storage.enqueue([job(f"{number} {place}", per_key=0, **options) for place in range(3)])
        await claim_some(storage, 3, f"queue{number}")
    assert await storage.audit() == []

    ask(name, "DEL", "limit_states")

    found = [one for one in await storage.audit() if one.clause == "LIMIT-16"]
    assert len(found) == MANY
