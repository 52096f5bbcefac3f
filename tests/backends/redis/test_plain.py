"""Records in Redis, and the short way on which plain jobs go there: what comes of it is what comes of the long one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiq.backends.redis import head, scripts, storing
from aiq.backends.redis.door import Blobs
from aiq.model import (
    Enqueued,
    JobFilter,
    JobSpec,
    MinuteFilter,
    Released,
    Settled,
    Settlement,
    State,
    Succeeded,
    TimeRange,
)
from aiq.storage import Storage
from aiq.testing.actions import claim_some, enqueue_one, failed, job, wish
from aiq.testing.clock import Clock
from tests import stores
from tests.backends.lives import Course, live
from tests.backends.redis.cases import MANY, many, maybe, near
from tests.backends.redis.lua import run

STEPS = 150
LONG = 300
"""More bytes than stand behind a record, or in its head."""


def numbers(*over: int) -> st.SearchStrategy[int]:
    return near(*over, low=0, high=2**53)


RECORDS = st.fixed_dictionaries(
    {
        "state": st.sampled_from(list(State)),
        "task": st.sampled_from(["work", "t" * 128]),
        "queue": st.sampled_from(["default", "bulk"]),
        "band": st.integers(0, 3),
        "lane": st.integers(0, 1),
        "n": numbers(2**40),
        "created_at_ms": numbers(2**48),
        "lease_ms": numbers(2**32),
        "events": numbers(2**16),
        "fence": numbers(2**16),
        "position": near(0, 2**47, -(2**47), low=-(2**52), high=2**52),
    },
    optional={
        "started_at_ms": numbers(2**48),
        "finished_at_ms": numbers(2**48),
        "expires_at_ms": numbers(2**48),
        "lease_id": st.sampled_from(["", "lease", "l" * LONG]),
        "owner": st.sampled_from(["", "worker", "w" * LONG]),
        "history": st.lists(numbers(2**40).filter(lambda number: number < 2**48), min_size=1, max_size=32),
        "digest": st.sampled_from(["d" * 64, "D" * 64, "d"]),
        "due_ms": numbers(),
        "late": st.just(True),
    },
)


@MANY
@given(many(RECORDS))
def test_a_record_is_read_as_it_was_written_whether_there_is_room_in_its_head_or_not(
    cases: list[dict[str, Any]],
) -> None:
    body = "local job = setmetatable(case, defaults.JobRecord) return (records.read(nil, records.pack(job)))"

    for case, (found,) in zip(cases, run(body, cases), strict=True):
        assert {name: found.get(name) for name in case} == case
        assert found.keys() - case.keys() == set()


@MANY
@given(many(RECORDS))
def test_state_and_number_are_read_without_the_rest_of_a_record(cases: list[dict[str, Any]]) -> None:
    body = (
        "local text = records.pack(setmetatable(case, defaults.JobRecord))"
        " local fresh = records.fresh(1, 2, 3, case.n, 5, 6)"
        " local state, n = records.standing(text) local state_, n_ = records.standing(fresh)"
        " return state, n, state_, n_"
    )

    for case, found in zip(cases, run(body, cases), strict=True):
        # One for which there is no room there is 0.
        n = case["n"] if case["n"] < 2**40 else 0
        assert found[:2] == [case["state"], n]
        assert not n or found[2:] == ["ready", n]


SETTLED = st.tuples(
    numbers(2**16),
    st.sampled_from(["lease", "l" * LONG]),
    st.sampled_from(["", "id"]),
    st.sampled_from(list(State)),
    st.booleans(),
)


@MANY
@given(many(st.tuples(SETTLED, maybe(st.just("a step")))))
def test_the_last_settlement_is_read_as_it_was_written(cases: list[tuple[tuple[Any, ...], str | None]]) -> None:
    body = (
        "local job = setmetatable({state = 'ready', task = 'work', n = 1, settled = case}, defaults.JobRecord) "
        "return (records.read(nil, records.pack(job))).settled"
    )
    settled = [[*one, *([step] if step else [])] for one, step in cases]

    assert [found for (found,) in run(body, settled)] == settled


def test_python_and_lua_agree_on_what_is_small() -> None:
    assert f"contents.INLINE_BYTES = {head.INLINE_BYTES}\n" in scripts.source("_contents")


def test_a_job_is_plain_as_long_as_it_says_nothing_of_its_own() -> None:
    assert "simple" in storing.told([job("a"), job("b", digest="d", lease_ms=1_000)], None, Blobs())
    assert "simple" not in storing.told([job("a"), job("b", tenant="acme")], None, Blobs())
    assert "simple" not in storing.told([job("a", lease_ms=2**32)], None, Blobs())


async def lived(storage: Storage, clock: Clock) -> None:
    """Jobs that are stored, run and succeed, each with small or large contents."""
    await storage.enqueue([job("small", payload=b"p", digest="d"), job("large", payload=b"p" * LONG, band=2)])
    clock.advance_ms(70)
    runs = await claim_some(storage, 2)
    clock.advance_ms(7)
    results = {"small": b"r" * LONG, "large": b"r"}
    done = [Settlement(run.lease, f"of {run.id}", Succeeded(results[run.id])) for run in runs]
    answer = await storage.exchange(done, wish(1))
    assert [settled.state for settled in answer.settled if not isinstance(settled, Exception)] == [State.SUCCEEDED] * 2


async def told(storage: Storage) -> list[object]:
    """All that a storage tells of its jobs."""
    page, events = await storage.list(JobFilter()), await storage.read_events()
    minutes = await storage.metrics(MinuteFilter())
    log = [replace(event, cursor="") for event in events.events]
    return [*page.jobs, *log, *minutes.rows, await storage.count()]


async def lived_together(storage: Storage, clock: Clock) -> None:
    """Batches that are alike and not: in tasks, leases, digests, contents, when they were stored, and how they end."""
    for first in (0, 6):
        await storage.enqueue([various(n) for n in range(first, first + 6)])
        clock.advance_ms(70)
    runs = await claim_some(storage, 4) + await claim_some(storage, 5)
    clock.advance_ms(1_000)
    stranger = replace(runs[2].lease, lease_id=runs[4].lease.lease_id)
    done = [Settlement(run.lease, "s" * (n + 1), Succeeded(b"r" * (n % 3 * 200))) for n, run in enumerate(runs)]
    lost = Settlement(stranger, "x", Succeeded(b""))
    answer = await storage.exchange([done[1], *done[4:], lost, *done[:4]], wish(7))
    clock.advance_ms(1)
    await storage.exchange([*done, *(Settlement(run.lease, "last", Succeeded(b"")) for run in answer.claimed)])


def various(n: int) -> JobSpec:
    """One of two kinds, which follow each other in pairs."""
    kind = n // 2 % 2
    one = job(f"{n:032x}", lease_ms=900 if n == 7 else 60_000, payload=b"p" * (n * 60))
    return replace(one, task="other", digest="abcdef01" * 8) if kind else one


@pytest.mark.parametrize("life", [lived, lived_together], ids=["two", "many"])
async def test_a_plain_life_is_told_as_the_model_tells_it(life: Callable[[Storage, Clock], Awaitable[None]]) -> None:
    found = []
    for opened in (stores.memory, stores.redis):
        clock = Clock()
        async with opened(clock) as storage:
            await life(storage, clock)
            found.append(await told(storage))
            assert await storage.audit() == []

    assert found[0] == found[1]


async def test_jobs_whose_events_have_just_been_listed_apart_succeed_together(storage: Storage) -> None:
    await storage.enqueue([job(name) for name in "abc"])
    for _ in range(32):
        runs = await claim_some(storage, 3)
        await storage.exchange([Settlement(run.lease, "r", Released()) for run in runs])

    runs = await claim_some(storage, 3)
    answer = await storage.exchange([Settlement(run.lease, "s", Succeeded(b"")) for run in runs])

    assert [one.state for one in answer.settled if isinstance(one, Settled)] == [State.SUCCEEDED] * 3


QUERIES = (
    JobFilter(),
    JobFilter(tenant="t"),
    JobFilter(queue="q", task="work"),
    JobFilter(states=frozenset({State.SUCCEEDED, State.DEAD})),
    JobFilter(ended=TimeRange(since_ms=1)),
    JobFilter(due=TimeRange(since_ms=1)),
)


@pytest.mark.parametrize("rare", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("called", ["job {}", "{:032x}"], ids=["long ids", "short ids"])
async def test_lives_that_are_plain_now_and_then_are_told_as_the_model_tells_them(rare: float, called: str) -> None:
    clock = Clock()
    async with stores.memory(clock) as ours, stores.redis(clock) as theirs:
        course = Course(clock, Random(7), rare=rare, deeds=rare, called=called)
        await live(course, STEPS, ours, theirs)

        assert await told(theirs) == await told(ours)
        for query in QUERIES:
            assert await theirs.list(query, limit=200) == await ours.list(query, limit=200)
        assert await theirs.audit() == []


async def test_leases_are_renewed_to_lengths_of_their_own_and_others_are_not(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(f"{n:032x}", lease_ms=1_000 * (n + 1)) for n in range(3)])
    runs = await claim_some(storage, 3)
    clock.advance_ms(900)

    found = await storage.renew([*(run.lease for run in runs), replace(runs[0].lease, fence=7)])

    assert [getattr(one, "lease_ms", None) for one in found] == [1_000, 2_000, 3_000, None]
    records = await storage.get([run.id for run in runs])
    assert [one and one.expires_at_ms for one in records] == [clock() + 1_000 * n for n in (1, 2, 3)]
    assert [one and replace(one, expires_at_ms=None) for one in records] == [
        replace(run, expires_at_ms=None) for run in runs
    ]


@pytest.fixture
async def storage(clock: Clock) -> AsyncIterator[Storage]:
    async with stores.redis(clock) as made:
        yield made


async def test_a_job_that_stops_being_plain_goes_the_long_way_and_in_its_turn(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c"), job("d")])
    (failing,) = await claim_some(storage, 1)
    await storage.exchange([Settlement(failing.lease, "1", failed())])
    await enqueue_one(storage, "e")

    runs = await claim_some(storage, 9)

    assert [run.id for run in runs] == ["b", "c", "d", "a", "e"]
    assert [run.fence for run in runs] == [1, 1, 1, 2, 1]


async def test_a_batch_of_plain_jobs_one_of_which_is_stored_already_is_answered_job_by_job(storage: Storage) -> None:
    await enqueue_one(storage, "a", digest="1")

    found = await storage.enqueue([job("b", payload=b"p" * LONG), job("a", digest="1"), job("b", payload=b"p" * LONG)])

    assert found == [
        Enqueued("b", State.READY),
        Enqueued("a", State.READY, existed=True, by="id"),
        Enqueued("b", State.READY, existed=True, by="id"),
    ]
    assert [one and one.payload for one in await storage.get(["b"])] == [b"p" * LONG]


@pytest.mark.parametrize(("counter", "room"), [("jobs", 2**40), ("positions", 2**47)])
def test_jobs_for_whose_numbers_a_head_has_no_room_go_the_long_way(counter: str, room: int) -> None:
    body = f"counters.put('{counter}', case) return plain.enqueue({{{{'default', 'work', 1, 0, 1, {{'a'}}}}}})"
    pieces = {"step": scripts.source("_step") + "\nfunction step.blob() return '' end\n"}

    (found,) = run(body, [room - 1], now_ms=1, pieces=pieces)
    assert found == [False]


def test_at_an_instant_that_a_head_has_for_none_jobs_go_the_long_way() -> None:
    assert run("return plain.enqueue({})", [0], now_ms=0) == [[False]]
    assert run("return plain.enqueue({})", [0], now_ms=1) == [[True]]
