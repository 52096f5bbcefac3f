"""STORE-13: how much of what is stored one answer holds."""

from aiq.bounds import MAX_CHUNK_BYTES, MAX_PAGE_BYTES, MAX_PAYLOAD_BYTES, MAX_STEP_BYTES
from aiq.model import JobFilter, NewChunk
from aiq.storage import Storage
from aiq.testing.actions import job, start, value
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
        await storage.append(run.lease, [NewChunk(seq, b"1" * MAX_CHUNK_BYTES)])

    first = await storage.read(run.id)
    second = await storage.read(run.id, after=first.chunks[-1].number)

    assert (len(first.chunks), first.more) == (ITEMS, True)
    assert (len(second.chunks), second.more) == (1, False)


@clause("STORE-13")
async def test_a_page_that_its_limit_ends_says_that_more_is_there(storage: Storage) -> None:
    run = await start(storage)
    await storage.append(run.lease, [NewChunk(seq, b"1") for seq in (1, 2)])

    pages = [await storage.read(run.id, after=after, limit=1) for after in (0, 1, 2)]

    assert [(len(page.chunks), page.more) for page in pages] == [(1, True), (1, False), (0, False)]
