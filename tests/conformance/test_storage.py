"""Chapter 9: what holds for every operation, listing, pausing, wake-ups, siblings."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import InvalidInput, NotFound, TooLarge
from aiq.model import (
    Capability,
    ChunkKind,
    JobFilter,
    Lease,
    NewChunk,
    Settlement,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.storage import Storage, append, read
from aiq.testing.actions import (
    BAD,
    GOOD,
    LONG_MS,
    changed,
    chunks,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    failed,
    get_one,
    job,
    look,
    spawn,
    start,
    states,
    value,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause, requires

S = State
EVERY_BYTE = bytes(range(256)) + "𝄞é\u2028".encode()
SOON_MS = 1


@clause("STORE-1", "STORE-11")
async def test_an_exchange_settles_in_order_and_then_claims_what_that_made_ready(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("last", depends_on=("a", "b"))])
    a, b = await claim_some(storage, 2)
    settlements = [Settlement(run.lease, "1", Succeeded(run.id.encode())) for run in (b, a)]

    answer = await storage.exchange(settlements, wish(5))

    assert [settled.state for settled in answer.settled] == [S.SUCCEEDED, S.SUCCEEDED]
    assert [run.id for run in answer.claimed] == ["last"]


@clause("STORE-11", "STORE-12", "LEASE-1")
async def test_a_refused_settlement_is_a_value_in_its_place_and_hides_no_other(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c"), job("next")])
    a, b, c = await claim_some(storage, 3)
    await end(storage, a, GOOD)
    too_large = Succeeded(b"x" * (bounds.MAX_RESULT_BYTES + 1))

    answer = await storage.exchange(
        [
            Settlement(a.lease, "1", failed()),
            Settlement(Lease("ghost", 1, "l"), "1", failed()),
            Settlement(b.lease, "1", too_large),
            Settlement(c.lease, "1", GOOD),
        ],
        wish(1),
    )

    assert [type(settled).__name__ for settled in answer.settled] == ["LeaseLost", "LeaseLost", "TooLarge", "Settled"]
    assert await states(storage, "a", "b", "c", "next") == [S.SUCCEEDED, S.RUNNING, S.SUCCEEDED, S.RUNNING]


@clause("STORE-11", "LEASE-1")
@pytest.mark.parametrize("part", ["job_id", "lease_id"])
async def test_a_lease_that_differs_only_after_a_nul_is_anothers(storage: Storage, part: str) -> None:
    await storage.enqueue([job("a"), job("b")])
    a, b = await claim_some(storage, 2)
    another = replace(a.lease, **{part: getattr(a.lease, part) + "\0x"})

    answer = await storage.exchange([Settlement(lease, "1", GOOD) for lease in (another, b.lease)])
    assert [type(settled).__name__ for settled in answer.settled] == ["LeaseLost", "Settled"]

    answer = await storage.exchange([Settlement(lease, "2", GOOD) for lease in (another, a.lease, another)])
    assert [type(settled).__name__ for settled in answer.settled] == ["LeaseLost", "Settled", "LeaseLost"]


@clause("STORE-10", "STREAM-9")
async def test_an_id_that_differs_only_after_a_nul_is_no_jobs(storage: Storage) -> None:
    await enqueue_one(storage, "a")

    assert await storage.get(["a\0x"]) == [None]
    with pytest.raises(NotFound):
        await read(storage, "a\0x")
    with pytest.raises(NotFound):
        await storage.get_steps("a\0x")


@clause("STORE-2", "STATE-6", "CLAIM-3")
async def test_an_exchange_sent_again_gives_both_its_answers_again(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b"), job("c")])
    run = await claim_one(storage)
    settlements, request = [Settlement(run.lease, "1", failed())], wish(1)
    first = await storage.exchange(settlements, request)
    before = await look(storage)

    assert await storage.exchange(settlements, request) == first
    assert await look(storage) == before


@clause("STORE-4")
async def test_a_paused_queue_gives_no_job_and_what_runs_goes_on(storage: Storage) -> None:
    run = await start(storage)
    await enqueue_one(storage, "next")
    await storage.pause("default")
    await storage.pause("default")
    await enqueue_one(storage, "later")

    assert await claim_some(storage, 5) == []
    await end(storage, run, GOOD)
    assert await claim_some(storage, 5) == []
    await storage.resume("default")

    assert [again.id for again in await claim_some(storage, 5)] == ["next", "later"]


@clause("STORE-4")
async def test_a_queue_may_be_paused_before_it_has_a_job_and_resumed_without_a_pause(storage: Storage) -> None:
    await storage.pause("empty")
    await storage.resume("default")
    await storage.enqueue([job("a", queue="empty"), job("b")])

    assert [run.id for run in await claim_some(storage, 5, "empty", "default")] == ["b"]


@clause("STORE-5")
async def test_an_exchange_of_nothing_changes_nothing(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b", queue="paused"), job("due", delay_ms=1), job("expired", queue="other")])
    await claim_one(storage, "other")
    await storage.pause("paused")
    clock.advance_ms(bounds.DEFAULT_LEASE_MS)
    before = await look(storage)

    assert (await storage.exchange(())).claimed == ()
    assert await look(storage) == before

    await storage.upkeep()
    before = await look(storage)
    assert await claim_some(storage, 0) == []
    assert await claim_some(storage, 5, "paused", "unknown") == []
    assert await look(storage) == before


CHANGES: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "enqueue": lambda storage: enqueue_one(storage, "new", queue="watched"),
    "settle": lambda storage: end_one(storage, GOOD, "queue"),
}


@clause("STORE-6", "LIVE-3")
async def test_a_mark_is_taken_at_once_and_nothing_new_lets_a_wait_time_out(storage: Storage) -> None:
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=LONG_MS)

    assert isinstance(await storage.wait(["queue:default"], after=mark, timeout_ms=SOON_MS), str)


@clause("STORE-6")
async def test_a_change_after_the_mark_ends_the_wait_though_it_came_before_it(storage: Storage) -> None:
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=LONG_MS)
    await enqueue_one(storage)

    assert await changed(storage, mark, "queue:default")


@clause("STORE-6")
async def test_a_change_ends_a_wait_that_is_under_way(storage: Storage) -> None:
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=LONG_MS)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(changed(storage, mark, "queue:other", "queue:default"))
        await asyncio.sleep(0)
        await enqueue_one(storage)

    assert waiting.result()


@clause("STORE-6")
async def test_whatever_happens_to_a_job_ends_a_wait_for_it(storage: Storage) -> None:
    await enqueue_one(storage)
    topic = "job:job"
    mark = await storage.wait([topic], after=None, timeout_ms=LONG_MS)

    run = await claim_one(storage)
    assert await changed(storage, mark, topic)
    mark = await storage.wait([topic], after=None, timeout_ms=LONG_MS)
    await end(storage, run, Suspended("wait", "go"))
    assert await changed(storage, mark, topic)
    mark = await storage.wait([topic], after=None, timeout_ms=LONG_MS)
    await storage.send("job", "go", "1", b"")
    assert await changed(storage, mark, topic)
    mark = await storage.wait([topic], after=None, timeout_ms=LONG_MS)
    await storage.cancel(["job"])
    assert await changed(storage, mark, topic)


@clause("STORE-6")
async def test_a_chunk_ends_a_wait_for_the_stream(storage: Storage) -> None:
    run = await start(storage)
    mark = await storage.wait(["stream:job"], after=None, timeout_ms=LONG_MS)

    await append(storage, run.lease, chunks("a"))

    assert await changed(storage, mark, "stream:job")


@clause("STORE-6")
async def test_a_queue_is_told_of_jobs_that_become_ready_by_themselves(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("due", delay_ms=1), job("upstream", queue="first")])
    await storage.enqueue([job("down", queue="second", depends_on=("upstream",))])
    mark = await storage.wait(["queue:default", "queue:second"], after=None, timeout_ms=LONG_MS)
    clock.advance_ms(1)
    await storage.upkeep()
    assert await changed(storage, mark, "queue:default")

    mark = await storage.wait(["queue:second"], after=None, timeout_ms=LONG_MS)
    await end_one(storage, GOOD, "first")
    assert await changed(storage, mark, "queue:second")


@clause("STORE-6", "STORE-3")
async def test_a_cancelled_wait_leaves_the_storage_at_work(storage: Storage) -> None:
    mark = await storage.wait(["queue:default"], after=None, timeout_ms=LONG_MS)
    waiting = asyncio.create_task(storage.wait(["queue:default"], after=mark, timeout_ms=LONG_MS))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await enqueue_one(storage)
    assert await changed(storage, mark, "queue:default")


@clause("STORE-6")
@requires(Capability.PUSH_WAKEUPS)
async def test_a_storage_that_pushes_wakes_a_sibling(storage: Storage) -> None:
    sibling = await storage.sibling()
    try:
        mark = await sibling.wait(["queue:default"], after=None, timeout_ms=LONG_MS)
        await enqueue_one(storage)
        assert await changed(sibling, mark, "queue:default")
    finally:
        await sibling.close()


@clause("STORE-7", "ENQ-1")
async def test_a_sibling_sees_the_same_jobs_at_once_and_closes_by_itself(storage: Storage) -> None:
    run = await start(storage)
    sibling = await storage.sibling()
    assert await get_one(sibling) == run

    await end(sibling, run, Succeeded(b"there"))
    await sibling.close()
    await sibling.close()

    assert (await get_one(storage)).result == b"there"


@clause("STORE-7")
async def test_a_sibling_works_in_another_thread_with_a_loop_of_its_own(storage: Storage) -> None:
    run = await start(storage, lease_ms=1_000)
    answers: list[object] = []

    async def renew_there() -> None:
        sibling = await storage.sibling()
        answers.extend(await sibling.renew([run.lease], lease_ms=5_000))
        await sibling.close()

    await asyncio.to_thread(lambda: asyncio.run(renew_there()))

    assert [getattr(answer, "lease_ms", answer) for answer in answers] == [5_000]
    assert (await get_one(storage)).expires_at_ms == (run.expires_at_ms or 0) + 4_000


@clause("STORE-8")
async def test_a_listing_goes_by_the_order_of_enqueueing_while_jobs_come_and_go(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}", queue=f"q{n % 2}") for n in (5, 3, 1, 4, 2)])
    first = await storage.list(JobFilter(), limit=2)
    await end_one(storage, GOOD, "q1")
    await enqueue_one(storage, "job 0")

    second = await storage.list(JobFilter(), cursor=first.cursor, limit=2)
    third = await storage.list(JobFilter(), cursor=second.cursor, limit=2)

    seen = [record.id for page in (first, second, third) for record in page.jobs]
    assert seen == ["job 5", "job 3", "job 1", "job 4", "job 2", "job 0"]
    assert third.cursor is None or (await storage.list(JobFilter(), cursor=third.cursor)).jobs == ()


@clause("STORE-8")
async def test_a_listing_can_be_narrowed(storage: Storage) -> None:
    await storage.enqueue([job("a", flow="f"), job("b", queue="q"), job("c", delay_ms=1)])
    parent = await claim_one(storage)
    await spawn(storage, parent, "child", queue="q", flow="f")

    async def named(query: JobFilter) -> list[str]:
        return [record.id for record in (await storage.list(query)).jobs]

    assert await named(JobFilter(queue="q")) == ["b", "child"]
    assert await named(JobFilter(states=frozenset({S.RUNNING, S.SCHEDULED}))) == ["a", "c"]
    assert await named(JobFilter(task="work")) == ["a", "b", "c", "child"]
    assert await named(JobFilter(task="play")) == []
    assert await named(JobFilter(flow="f")) == ["a", "child"]
    assert await named(JobFilter(parent_id="a")) == ["child"]
    assert await named(JobFilter(queue="q", flow="f", states=frozenset({S.READY}))) == ["child"]


@clause("STORE-8")
async def test_a_narrowed_listing_goes_page_by_page_too(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}", queue=f"q{n % 3}") for n in range(12)])
    query = JobFilter(queue="q1")

    first = await storage.list(query, limit=2)
    second = await storage.list(query, cursor=first.cursor, limit=2)

    assert [record.id for page in (first, second) for record in page.jobs] == ["job 1", "job 4", "job 7", "job 10"]
    assert second.cursor is None


@clause("STORE-8")
async def test_a_listing_shows_records_whole(storage: Storage) -> None:
    await end(storage, await start(storage, payload=b'["p"]'), Succeeded(b"r"))

    assert (await storage.list(JobFilter())).jobs == (await get_one(storage),)


@clause("STORE-9")
async def test_lists_over_their_bounds_are_refused_and_nothing_is_done(storage: Storage) -> None:
    run = await start(storage)
    names = [f"job {n}" for n in range(bounds.MAX_BATCH)] + ["job"]
    leases = [run.lease] * len(names)
    before = await look(storage)

    for refused in (
        storage.get(names),
        storage.cancel(names),
        storage.renew(leases),
        storage.exchange([Settlement(lease, str(n), GOOD) for n, lease in enumerate(leases)]),
        storage.list(JobFilter(), limit=bounds.MAX_PAGE + 1),
        storage.audit(bounds.MAX_PAGE + 1),
    ):
        with pytest.raises(TooLarge):
            await refused

    assert await look(storage) == before


@clause("STORE-9")
async def test_results_that_are_too_many_bytes_for_one_exchange_are_refused_and_nothing_is_settled(
    storage: Storage,
) -> None:
    count = bounds.MAX_BATCH_BYTES // bounds.MAX_RESULT_BYTES + 1
    await storage.enqueue([job(str(n)) for n in range(count)])
    runs = await claim_some(storage, count)
    large = Succeeded(b"x" * bounds.MAX_RESULT_BYTES)

    with pytest.raises(TooLarge):
        await storage.exchange([Settlement(run.lease, "1", large) for run in runs])

    assert await states(storage, *(run.id for run in runs)) == [S.RUNNING] * count


@clause("STORE-9", "STORE-12")
@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_of_nothing_is_refused(storage: Storage, limit: int) -> None:
    for refused in (storage.list(JobFilter(), limit=limit), storage.audit(limit)):
        with pytest.raises(InvalidInput):
            await refused


@clause("STORE-9")
async def test_batches_of_nothing_are_fine(storage: Storage) -> None:
    assert await storage.enqueue([]) == []
    assert await storage.get([]) == []
    assert await storage.cancel([]) == []
    assert await storage.renew([]) == []


@clause("STORE-10")
async def test_bytes_come_back_as_they_went_in(storage: Storage) -> None:
    run = await start(storage, payload=EVERY_BYTE)
    await storage.save_step(run.lease, value("plan", EVERY_BYTE))
    await append(storage, run.lease, [NewChunk(1, EVERY_BYTE), NewChunk(2, EVERY_BYTE, ChunkKind.PROGRESS)])
    await storage.send("job", "go", "1", EVERY_BYTE)
    taken = await end(storage, run, Suspended("wait", "go"))
    await end(storage, run, Succeeded(EVERY_BYTE))

    record = await get_one(storage)
    assert {record.payload, record.result, record.progress} == {EVERY_BYTE}
    assert [step.value for step in await storage.get_steps("job")] == [EVERY_BYTE] * 2
    assert taken.step is not None
    assert taken.step.value == EVERY_BYTE
    assert [chunk.data for chunk in (await read(storage, "job")).chunks][:2] == [EVERY_BYTE] * 2


@clause("STORE-10")
async def test_empty_bytes_are_not_nothing(storage: Storage) -> None:
    run = await start(storage, payload=b"")
    await append(storage, run.lease, [NewChunk(1, b"", ChunkKind.PROGRESS)])
    await end(storage, run, GOOD)

    record = await get_one(storage)
    assert (record.payload, record.result, record.progress) == (b"", b"", b"")


@clause("STORE-10")
async def test_opaque_texts_come_back_as_they_went_in(storage: Storage) -> None:
    odd = 'it\'s; -- "x" {y} %s 𝄞 \n'
    await enqueue_one(storage, odd, tenant=odd, key=odd, unique=odd, flow=odd, digest=odd)

    record = await get_one(storage, odd)

    assert {record.id, record.tenant, record.key, record.unique, record.flow, record.digest} == {odd}
    assert (await storage.list(JobFilter(flow=odd))).jobs == (record,)


@clause("STORE-11")
async def test_answers_come_in_the_order_of_the_question(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b")])

    records = await storage.get(["b", "ghost", "a", "b"])

    assert [record and record.id for record in records] == ["b", None, "a", "b"]
    assert [answer.job_id for answer in await storage.cancel(["b", "ghost", "a"])] == ["b", "ghost", "a"]


@clause("STORE-12")
async def test_an_error_leaves_a_storage_at_work(storage: Storage) -> None:
    for _ in range(3):
        with pytest.raises(InvalidInput):
            await enqueue_one(storage, lease_ms=0)

    await end(storage, await start(storage), GOOD)
    assert await states(storage, "job") == [S.SUCCEEDED]


@clause("STATE-3")
async def test_a_busy_storage_passes_its_audit(storage: Storage, clock: Clock) -> None:
    parent = await start(storage, "parent")
    await spawn(storage, parent, "a", "b", "c", queue="children")
    await append(storage, parent.lease, chunks("x", "y"))
    await storage.save_step(parent.lease, value("plan"))
    await end(storage, parent, Waiting("children", 3))
    await end_one(storage, BAD, "children")
    await storage.enqueue([job("later", delay_ms=5), job("stands"), job("waits", depends_on=("later", "b"))])
    await end(storage, await start(storage, "asks", queue="asks"), Suspended("wait", "go", 10))
    await storage.send("asks", "other", "1", b"")
    await storage.pause("children")

    assert await storage.audit() == []
    clock.advance_ms(10)
    await storage.upkeep()
    assert await storage.audit() == []


@clause("STORE-12")
async def test_a_storage_tells_its_address_and_what_it_can_do(storage: Storage) -> None:
    assert "://" in storage.url
    assert storage.capabilities <= frozenset(Capability)
