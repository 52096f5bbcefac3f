"""What is particular to the storage in memory: siblings by one lock, sharing by name, no trace of a cancelled call."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from aiq.backends import open_storage
from aiq.backends.memory.storage import MemoryStorage, open_memory
from aiq.errors import InvalidInput, Misconfigured, Unavailable
from aiq.model import Capability, ClaimRequest, JobFilter, JobSpec, NewChunk, State, UsageFilter, Want
from aiq.rules.streams import Range
from aiq.storage import append, read


@pytest.fixture
async def storage() -> AsyncIterator[MemoryStorage]:
    opened = await open_memory("memory://")
    yield opened
    await opened.close()


def job(job_id: str) -> JobSpec:
    return JobSpec(id=job_id, task="t", queue="q")


def claim_of(worker: str, count: int) -> ClaimRequest:
    return ClaimRequest(worker, 1, f"lease of {worker}", (Want("q", count),))


async def test_siblings_in_many_threads_share_every_job_and_no_lease(storage: MemoryStorage) -> None:
    await storage.enqueue([job(f"j{n:03}") for n in range(200)])
    siblings = [await storage.sibling() for _ in range(4)]
    given: list[str] = []

    async def drain(sibling: MemoryStorage, worker: str) -> None:
        number = 0
        while True:
            number += 1
            request = ClaimRequest(worker, number, f"{worker}.{number}", (Want("q", 3),))
            claimed = (await sibling.exchange((), request)).claimed
            if not claimed:
                return
            given.extend(record.id for record in claimed)

    threads = [
        threading.Thread(target=lambda s=sibling, n=number: asyncio.run(drain(s, f"w{n}")))
        for number, sibling in enumerate(siblings)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)

    assert sorted(given) == [f"j{n:03}" for n in range(200)]
    assert await storage.audit() == []


async def test_a_job_enqueued_by_a_sibling_in_another_thread_ends_a_wait_here(storage: MemoryStorage) -> None:
    sibling = await storage.sibling()
    mark = await storage.wait(["queue:q"], after=None, timeout_ms=0)
    waiting = asyncio.create_task(storage.wait(["queue:q"], after=mark, timeout_ms=60_000))
    await asyncio.sleep(0)

    threading.Thread(target=lambda: asyncio.run(sibling.enqueue([job("a")]))).start()

    async with asyncio.timeout(5):
        assert await waiting != mark


async def test_closing_one_sibling_leaves_the_others_open(storage: MemoryStorage) -> None:
    sibling = await storage.sibling()
    await sibling.close()
    await sibling.close()

    await storage.enqueue([job("a")])

    with pytest.raises(Unavailable, match="closed"):
        await sibling.get(["a"])


async def test_each_storage_without_a_name_is_a_new_one(storage: MemoryStorage) -> None:
    await storage.enqueue([job("a")])
    other = await open_storage("memory://")

    assert await other.get(["a"]) == [None]


async def test_storages_of_one_name_are_one_until_the_last_is_closed() -> None:
    first = await open_storage("memory://shared")
    await first.enqueue([job("a")])
    second = await open_storage("memory://shared")
    await first.close()

    assert [record.id for record in (await second.list(JobFilter())).jobs] == ["a"]

    await second.close()
    third = await open_storage("memory://shared")
    assert await third.get(["a"]) == [None]
    await third.close()


async def test_a_sibling_keeps_a_named_storage_alive() -> None:
    first = await open_storage("memory://kept")
    sibling = await first.sibling()
    await first.close()
    await first.close()
    again = await open_storage("memory://kept")

    await sibling.enqueue([job("a")])

    assert (await again.get(["a"])) != [None]
    await sibling.close()
    await again.close()


async def test_one_name_has_one_clock() -> None:
    first = await open_storage("memory://timed", clock=lambda: 1)

    with pytest.raises(Misconfigured, match="another clock"):
        await open_storage("memory://timed", clock=lambda: 2)
    await first.close()


@pytest.mark.parametrize("url", ["memory://a/b", "memory:///jobs.db", "memory://?x=1", "memory://a b"])
async def test_an_address_with_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="memory://NAME"):
        await open_storage(url)


async def test_it_says_what_it_is(storage: MemoryStorage) -> None:
    assert storage.url == "memory://"
    assert storage.capabilities == {Capability.PUSH_WAKEUPS}


async def test_a_call_gives_others_a_turn_and_is_cancelled_before_it_begins(storage: MemoryStorage) -> None:
    call = asyncio.create_task(storage.enqueue([job("a")]))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])

    assert call.cancelled()
    assert await storage.get(["a"]) == [None]


async def test_reading_and_failing_leave_no_trace_in_the_tables(storage: MemoryStorage) -> None:
    await storage.enqueue([job("a")])
    await storage.exchange((), claim_of("w", 1))
    before = repr(storage._home.tables)

    await read(storage, "a")
    await storage.get_steps("a")
    await storage.count()
    await storage.list(JobFilter(states=frozenset({State.READY})))
    await storage.exchange((), ClaimRequest("v", 1, "l", (Want("q", 1), Want("none", 1))))
    await storage.audit()
    await storage.explain("a")
    await storage.get_queue("q")
    await storage.get_limits()
    await storage.get_budgets()
    await storage.get_prices("m")
    await storage.usage(UsageFilter())
    with pytest.raises(InvalidInput):
        await storage.enqueue([job("b"), job("")])

    assert repr(storage._home.tables) == before


async def test_a_cursor_that_no_page_gave_is_refused(storage: MemoryStorage) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        await storage.list(JobFilter(), cursor="-1")
    for cursor in ("", "60000", "-1 input m", "60000 input"):
        with pytest.raises(InvalidInput, match="cursor"):
            await storage.usage(UsageFilter(), cursor=cursor)


async def test_an_append_looks_at_the_newest_range_alone(storage: MemoryStorage) -> None:
    class Ranges(list[Range]):
        def __iter__(self) -> Iterator[Range]:
            raise AssertionError("all ranges were read")

    await storage.enqueue([job("a")])
    (run,) = (await storage.exchange((), claim_of("w", 1))).claimed
    await append(storage, run.lease, [NewChunk(1, b"one", step="a"), NewChunk(2, b"two", step="b")])
    stream = storage._home.tables.streams["a"]
    stream.ranges = Ranges(stream.ranges)

    await append(storage, run.lease, [NewChunk(3, b"three", step="a"), NewChunk(4, b"four", step="a")])

    assert [(r.first, r.last) for r in stream.ranges[:]] == [(1, 1), (2, 2), (3, 4)]
