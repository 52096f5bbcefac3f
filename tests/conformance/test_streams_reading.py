"""Chapter 8: reading the streams of several jobs at once."""

from collections.abc import Sequence

import pytest

from aiq import bounds
from aiq.errors import Gone, NotFound, TooLarge
from aiq.model import Keep, Read, RetentionSpec, State, StreamPage
from aiq.storage import Storage, append
from aiq.testing.actions import GOOD, chunks, end, enqueue_one, keep_up, start
from aiq.testing.marks import clause

S = State


async def sizes_of(storage: Storage, reads: Sequence[Read], limit: int = bounds.MAX_PAGE) -> list[tuple[int, bool]]:
    """Of each page how many items it has, and whether more are there. They are those that follow."""
    pages = await storage.read(reads, limit=limit)
    for one, page in zip(reads, pages, strict=True):
        assert isinstance(page, StreamPage)
        numbers = [chunk.number for chunk in page.chunks]
        assert numbers == list(range(one.after + 1, one.after + 1 + len(numbers)))
    return [(len(page.chunks), page.more) for page in pages if isinstance(page, StreamPage)]


async def fill(storage: Storage, name: str, count: int, text: str = "x") -> None:
    """A stream of so many items, in as many appends as that takes."""
    run = await start(storage, name)
    fitting = min(bounds.MAX_BATCH, bounds.MAX_BATCH_BYTES // max(1, len(text)))
    for first in range(1, count + 1, fitting):
        await append(storage, run.lease, chunks(*[text] * min(fitting, count + 1 - first), first=first))


@clause("STREAM-15", "STREAM-9", "STORE-11")
async def test_one_read_is_about_several_jobs_in_any_order_and_about_one_of_them_twice(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")
    await append(storage, one.lease, chunks("a", "b"))
    await append(storage, other.lease, chunks("c"))
    await end(storage, other, GOOD)
    await enqueue_one(storage, "silent", delay_ms=1)

    pages = await storage.read([Read("other"), Read("silent"), Read("job", 1), Read("other", 1), Read("job")])

    assert [(page.state, [chunk.data for chunk in page.chunks]) for page in pages if isinstance(page, StreamPage)] == [
        (S.SUCCEEDED, [b"c", b""]),
        (S.SCHEDULED, []),
        (S.RUNNING, [b"b"]),
        (S.SUCCEEDED, [b""]),
        (S.RUNNING, [b"a", b"b"]),
    ]
    assert await storage.read([]) == []


@clause("STREAM-15", "KEEP-5")
async def test_a_read_that_is_refused_takes_nothing_from_the_others(storage: Storage) -> None:
    await storage.put_retention(RetentionSpec(streams=Keep(for_ms=0)))
    old = await start(storage, "old")
    await append(storage, old.lease, chunks("a", "b"))
    await end(storage, old, GOOD)
    await keep_up(storage)
    await fill(storage, "job", 1)

    pages = await storage.read([Read("ghost"), Read("old", 1), Read("job"), Read("a\0x"), Read("old", 2)])

    assert [type(page) for page in pages] == [NotFound, Gone, StreamPage, NotFound, StreamPage]
    ghost, gone, page, _, last = pages
    assert isinstance(ghost, NotFound)
    assert isinstance(gone, Gone)
    assert (ghost.job_id, gone.job_id, gone.earliest) == ("ghost", "old", 3)
    assert [len(one.chunks) for one in (page, last) if isinstance(one, StreamPage)] == [1, 1]


@clause("STREAM-15")
async def test_pages_of_one_read_share_its_room_evenly_and_leave_what_they_do_not_need_to_the_others(
    storage: Storage,
) -> None:
    for name, count in (("long", bounds.MAX_PAGE), ("short", 10), ("longer", bounds.MAX_PAGE + 9)):
        await fill(storage, name, count)
    half = (bounds.MAX_PAGE - 10) // 2

    assert await sizes_of(storage, [Read("long"), Read("short"), Read("longer")]) == [
        (half, True),
        (10, False),
        (half, True),
    ]
    assert await sizes_of(storage, [Read("short", 9), Read("short", 10), Read("long", 1)]) == [
        (1, False),
        (0, False),
        (bounds.MAX_PAGE - 1, False),
    ]
    assert await sizes_of(storage, [Read("long"), Read("short")], limit=4) == [(4, True), (4, True)]


@clause("STREAM-15", "STORE-9")
async def test_as_many_jobs_as_a_read_takes_get_an_item_each(storage: Storage) -> None:
    await fill(storage, "job", 3)
    most = [Read("job", number % 3) for number in range(bounds.MAX_BATCH)]

    pages = await sizes_of(storage, most)

    assert [count for count, _ in pages] == [1] * bounds.MAX_BATCH
    with pytest.raises(TooLarge):
        await storage.read([*most, Read("job")])


@clause("STREAM-15", "STORE-13")
async def test_a_page_has_its_first_item_however_many_bytes_are_in_those_before_it(storage: Storage) -> None:
    fitting = bounds.MAX_PAGE_BYTES // bounds.MAX_CHUNK_BYTES
    await fill(storage, "large", fitting + 1, "x" * bounds.MAX_CHUNK_BYTES)
    await fill(storage, "small", 2)
    await fill(storage, "empty", 2, "")

    assert await sizes_of(storage, [Read("large"), Read("small"), Read("empty"), Read("small", 2)]) == [
        (fitting, True),
        (1, True),
        (1, True),
        (0, False),
    ]
    assert await sizes_of(storage, [Read("large", 1), Read("small"), Read("large", fitting)]) == [
        (fitting, False),
        (1, True),
        (1, False),
    ]
    assert await sizes_of(storage, [Read("small"), Read("large")]) == [(2, False), (fitting, True)]
