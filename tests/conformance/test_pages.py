"""STORE-13 to STORE-16: how much of what is stored one answer holds, and what a listing is narrowed by."""

from typing import Any

import pytest

from aiq.bounds import (
    MAX_BATCH,
    MAX_CHUNK_BYTES,
    MAX_LOOKED,
    MAX_PAGE,
    MAX_PAGE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_STEP_BYTES,
)
from aiq.errors import InvalidInput
from aiq.model import Band, Edit, JobFilter, NewChunk, State, TimeRange, UsageFilter
from aiq.storage import Storage, all_records, append, read
from aiq.testing import Clock
from aiq.testing.actions import GOOD, end, enqueue_one, job, start, value
from aiq.testing.burials import die
from aiq.testing.marks import clause

JOBS = MAX_PAGE_BYTES // MAX_PAYLOAD_BYTES
STEPS = MAX_PAGE_BYTES // MAX_STEP_BYTES
ITEMS = MAX_PAGE_BYTES // MAX_CHUNK_BYTES


@clause("STORE-13")
async def test_a_page_of_jobs_ends_with_the_one_that_fills_it_and_says_that_more_are_there(storage: Storage) -> None:
    names = [f"{number:02}" for number in range(JOBS + 2)]
    for name in names:
        await storage.enqueue([job(name, payload=b"1" * (MAX_PAYLOAD_BYTES - 1))])

    first = await storage.list(JobFilter())
    second = await storage.list(JobFilter(), cursor=first.cursor)

    # One byte is lacking to each, so one job more goes into the page.
    assert [found.id for found in first.jobs] == names[: JOBS + 1]
    assert [found.id for found in second.jobs] == names[JOBS + 1 :]
    assert (first.cursor is None, second.cursor) == (False, None)


@clause("STORE-14")
async def test_a_listing_goes_on_behind_what_it_has_looked_at(storage: Storage) -> None:
    for first in range(0, MAX_LOOKED + 1, MAX_BATCH):
        await storage.enqueue([job(str(first + n)) for n in range(MAX_BATCH)])
    await storage.enqueue([job("last", queue="rare")])
    pages = [await storage.list(JobFilter(queue="rare"))]

    while pages[-1].cursor is not None:
        pages.append(await storage.list(JobFilter(queue="rare"), cursor=pages[-1].cursor))

    assert [found.id for page in pages for found in page.jobs] == ["last"]
    assert len(pages) <= (MAX_LOOKED + MAX_BATCH + 1) // MAX_PAGE + 1


async def named(storage: Storage, query: JobFilter) -> list[str]:
    return [found.id for found in await storage.list(query)]


@clause("STORE-15")
async def test_a_listing_is_narrowed_by_tenant(storage: Storage) -> None:
    await storage.enqueue([job("ours", tenant="acme", queue="q"), job("theirs", tenant="other"), job("nobody's")])
    await storage.enqueue([job("also ours", tenant="acme")])

    assert await named(storage, JobFilter(tenant="acme")) == ["ours", "also ours"]
    assert await named(storage, JobFilter(tenant="acme", queue="q")) == ["ours"]
    assert await named(storage, JobFilter(tenant="")) == ["nobody's"]


@clause("STORE-15")
# Any: what people write, whatever its type.
@pytest.mark.parametrize("states", ["ready", State.READY, {"ready"}, ["ready"], (State.READY,)])
async def test_states_may_be_told_in_words_and_one_alone(storage: Storage, states: Any) -> None:
    await end(storage, await start(storage, "ended"), GOOD)
    await storage.enqueue([job("waits")])
    query = JobFilter(states=states)

    assert query == JobFilter(states=frozenset({State.READY}))
    assert await named(storage, query) == ["waits"]


@clause("STORE-15")
async def test_a_listing_is_narrowed_by_when_jobs_were_enqueued(storage: Storage, clock: Clock) -> None:
    start_ms = clock()
    for name in ("first", "second", "third"):
        await storage.enqueue([job(name)])
        clock.advance_ms(10)

    assert await named(storage, JobFilter(created=TimeRange(since_ms=start_ms + 10))) == ["second", "third"]
    assert await named(storage, JobFilter(created=TimeRange(until_ms=start_ms + 20))) == ["first", "second"]
    assert await named(storage, JobFilter(created=TimeRange(start_ms + 10, start_ms + 20))) == ["second"]
    assert await named(storage, JobFilter(created=TimeRange(start_ms + 10, start_ms + 10))) == []


@clause("STORE-15")
async def test_a_listing_is_narrowed_by_when_jobs_have_ended(storage: Storage, clock: Clock) -> None:
    for name in ("early", "late"):
        await end(storage, await start(storage, name), GOOD)
        clock.advance_ms(10)
    await storage.enqueue([job("not yet")])
    ended_ms = clock() - 10

    assert await named(storage, JobFilter(ended=TimeRange(since_ms=ended_ms))) == ["late"]
    assert await named(storage, JobFilter(ended=TimeRange(until_ms=ended_ms))) == ["early"]
    assert await named(storage, JobFilter(ended=TimeRange())) == ["early", "late"]


@clause("STORE-15")
async def test_a_listing_is_narrowed_by_when_jobs_are_due(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("now"), job("soon", delay_ms=10), job("later", delay_ms=20)])

    assert await named(storage, JobFilter(due=TimeRange(until_ms=clock() + 11))) == ["soon"]
    assert await named(storage, JobFilter(due=TimeRange(since_ms=clock() + 11))) == ["later"]


@clause("STORE-15")
async def test_the_dead_and_the_running_are_narrowed_like_all_others(storage: Storage, clock: Clock) -> None:
    await die(storage, "dead of acme", tenant="acme")
    await die(storage, "dead")
    await start(storage, "running of acme", tenant="acme")
    await start(storage, "running")

    for state in (State.DEAD, State.RUNNING):
        states: Any = {state}  # a set is as good as one that is frozen
        assert await named(storage, JobFilter(states=states)) == [f"{state} of acme", str(state)]
        assert await named(storage, JobFilter(states=states, tenant="acme")) == [f"{state} of acme"]
        assert await named(storage, JobFilter(states=states, created=TimeRange(until_ms=clock()))) == []


@clause("STORE-15")
async def test_an_instant_that_is_none_is_refused(storage: Storage) -> None:
    for at_ms in (-1, 2**63):
        with pytest.raises(InvalidInput):
            await storage.list(JobFilter(ended=TimeRange(until_ms=at_ms)))


@clause("STORE-13")
async def test_a_page_of_steps_ends_with_the_one_that_fills_it(storage: Storage) -> None:
    run = await start(storage)
    keys = [f"{number:02}" for number in range(STEPS + 1)]
    for key in keys:
        await storage.save_step(run.lease, value(key, b"1" * MAX_STEP_BYTES))

    first = await storage.get_steps(run.id)
    second = await storage.get_steps(run.id, after=first[-1].key)

    assert [step.key for step in first] == keys[:STEPS]
    assert [step.key for step in second] == keys[STEPS:]


@clause("STORE-13")
async def test_a_page_of_a_stream_ends_with_the_item_that_fills_it_and_says_that_more_are_there(
    storage: Storage,
) -> None:
    run = await start(storage)
    for seq in range(1, ITEMS + 2):
        await append(storage, run.lease, [NewChunk(seq, b"1" * MAX_CHUNK_BYTES)])

    first = await read(storage, run.id)
    second = await read(storage, run.id, after=first.chunks[-1].number)

    assert (len(first.chunks), first.more) == (ITEMS, True)
    assert (len(second.chunks), second.more) == (1, False)


@clause("STORE-13")
async def test_a_page_that_its_limit_ends_says_that_more_is_there(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, [NewChunk(seq, b"1") for seq in (1, 2)])

    pages = [await read(storage, run.id, after=after, limit=1) for after in (0, 1, 2)]

    assert [(len(page.chunks), page.more) for page in pages] == [(1, True), (1, False), (0, False)]


@clause("STORE-16")
async def test_jobs_that_are_asked_for_by_id_are_answered_as_far_as_one_answer_goes(storage: Storage) -> None:
    names = await large(storage)

    found = await storage.get(["missing", *names])

    assert [one and one.id for one in found] == [None, *names[: JOBS + 1]]
    assert [one and one.id for one in await all_records(storage, names, found[1:])] == names


@clause("STORE-16")
async def test_what_is_held_let_go_or_edited_is_all_of_it_and_answered_as_far_as_one_answer_goes(
    storage: Storage,
) -> None:
    names = await large(storage)
    held = await storage.hold(names)
    assert len(held) == JOBS + 1
    assert (await storage.count())["default"] == {State.HELD: JOBS + 2}

    edited = await storage.update([Edit(job_id=name, band=Band.HIGH) for name in names])
    assert len(edited) == JOBS + 1
    assert {one and one.band for one in await all_records(storage, names)} == {Band.HIGH}

    let_go = await storage.unhold(names)
    assert len(let_go) == JOBS + 1
    assert (await storage.count())["default"] == {State.READY: JOBS + 2}


async def large(storage: Storage) -> list[str]:
    """Jobs of which one is left over when an answer is full: one byte is lacking to each, so one more goes into it."""
    names = [f"{number:02}" for number in range(JOBS + 2)]
    for name in names:
        await storage.enqueue([job(name, payload=b"1" * (MAX_PAYLOAD_BYTES - 1))])
    return names


@clause("STORE-13")
async def test_a_cursor_beyond_every_number_is_the_end(storage: Storage) -> None:
    await enqueue_one(storage)

    assert (await storage.list(JobFilter(), cursor="9" * 30)).jobs == ()
    assert (await storage.usage(UsageFilter(), cursor="9" * 30 + " output model")).rows == ()
