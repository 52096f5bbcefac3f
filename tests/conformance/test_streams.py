"""Chapter 8: the numbered output of a job."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, LeaseLost, NotFound, TooLarge
from aiq.model import (
    Append,
    Appended,
    Cancelled,
    Chunk,
    ChunkKind,
    Died,
    JobError,
    JobRecord,
    NewChunk,
    Outcome,
    Released,
    State,
    Succeeded,
)
from aiq.storage import Storage, append, read
from aiq.testing.actions import (
    GOOD,
    chunks,
    claim_one,
    end,
    enqueue_one,
    failed,
    get_one,
    keep_up,
    look,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S, K = State, ChunkKind


async def run_again(storage: Storage, run: JobRecord) -> JobRecord:
    await end(storage, run, Released())
    return await claim_one(storage)


async def append_large(storage: Storage, run: JobRecord, texts: Sequence[str]) -> None:
    """As many appends as so many bytes take."""
    fitting = bounds.MAX_BATCH_BYTES // bounds.MAX_CHUNK_BYTES
    for start_at in range(0, len(texts), fitting):
        await append(storage, run.lease, chunks(*texts[start_at : start_at + fitting], first=start_at + 1))


async def the_items(storage: Storage, after: int = 0) -> list[tuple[int, ChunkKind, bytes]]:
    return [(chunk.number, chunk.kind, chunk.data) for chunk in (await read(storage, "job", after=after)).chunks]


@clause("STREAM-1")
async def test_items_of_every_kind_and_run_share_one_sequence_of_numbers(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    assert await append(storage, run.lease, chunks("a", "b")) == Appended(
        2, cancel_requested=False, stream_bytes=2 * (1 + bounds.ITEM_OVERHEAD_BYTES)
    )
    clock.advance_ms(1)
    await append(storage, run.lease, chunks("note", first=3, kind=K.LOG))
    run = await run_again(storage, run)
    await append(storage, run.lease, chunks("c", step="plan"))

    page = await read(storage, "job")

    assert page.state is S.RUNNING
    assert list(page.chunks) == [
        Chunk(1, K.DATA, b"a", fence=1, at_ms=clock() - 1),
        Chunk(2, K.DATA, b"b", fence=1, at_ms=clock() - 1),
        Chunk(3, K.LOG, b"note", fence=1, at_ms=clock()),
        Chunk(4, K.RESET, b'{"void":[[1,2]]}', fence=2, at_ms=clock()),
        Chunk(5, K.DATA, b"c", fence=2, at_ms=clock(), step="plan"),
    ]
    assert (await get_one(storage)).chunks == 5


@clause("STREAM-2")
async def test_an_append_sent_again_changes_nothing(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    first = await append(storage, run.lease, chunks("a", "b"))
    before = await look(storage)
    clock.advance_ms(1)

    assert await append(storage, run.lease, chunks("a", "b")) == first
    assert await append(storage, run.lease, chunks("b", first=2)) == first
    assert await look(storage) == before


@clause("STREAM-2")
async def test_an_append_that_is_partly_known_adds_the_rest(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a", "b"))

    assert (await append(storage, run.lease, chunks("b", "c", first=2))).last == 3

    assert [data for *_, data in await the_items(storage)] == [b"a", b"b", b"c"]


@clause("STREAM-2")
async def test_each_run_counts_from_one(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a", kind=K.LOG))
    run = await run_again(storage, run)

    assert (await append(storage, run.lease, chunks("b", kind=K.LOG))).last == 2
    assert [data for *_, data in await the_items(storage)] == [b"a", b"b"]


@clause("STREAM-2")
async def test_appending_nothing_changes_nothing(storage: Storage) -> None:
    run = await start(storage)
    assert (await append(storage, run.lease, [])).last == 0
    await append(storage, run.lease, chunks("a"))
    before = await look(storage)

    assert (await append(storage, run.lease, [])).last == 1
    assert await look(storage) == before


CONFLICTS = {
    "another text": (chunks("x"), "chunk"),
    "another kind": (chunks("a", kind=K.LOG), "chunk"),
    "another step": (chunks("a", step="s"), "chunk"),
    "a gap": (chunks("d", first=4), "gap"),
    "a gap behind what is known": ([*chunks("b", first=2), *chunks("d", first=4)], "gap"),
    "backwards": ([*chunks("c", first=3), *chunks("b", first=2), *chunks("x", first=1)], "chunk"),
}


@clause("STREAM-3")
@pytest.mark.parametrize("case", CONFLICTS)
async def test_a_number_with_other_content_or_a_gap_is_a_conflict_and_nothing_is_stored(
    storage: Storage, case: str
) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a", "b"))
    before = await look(storage)
    items, reason = CONFLICTS[case]

    with pytest.raises(Conflict) as conflict:
        await append(storage, run.lease, items)

    assert conflict.value.reason == reason
    assert await look(storage) == before


@clause("STREAM-3")
async def test_a_run_begins_at_one(storage: Storage) -> None:
    run = await start(storage)

    with pytest.raises(Conflict) as conflict:
        await append(storage, run.lease, chunks("b", first=2))

    assert conflict.value.reason == "gap"


@clause("STREAM-8")
@pytest.mark.parametrize(
    ("outcome", "kind", "data"),
    [
        (Succeeded(b"r"), K.END, b""),
        (Died(JobError(type="E", message="bäd")), K.ERROR, "bäd".encode()),
        (Cancelled(), K.CANCELLED, b""),
    ],
)
async def test_the_terminal_step_closes_the_stream(
    storage: Storage, outcome: Outcome, kind: ChunkKind, data: bytes
) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a"))
    await end(storage, run, outcome)

    page = await read(storage, "job")

    assert [(chunk.number, chunk.kind, chunk.data, chunk.fence) for chunk in page.chunks[1:]] == [(2, kind, data, 1)]
    assert page.state.terminal


@clause("STREAM-8")
async def test_a_job_that_fails_and_may_try_again_leaves_its_stream_open(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a"))

    await end(storage, run, failed())

    assert [kind for _, kind, _ in await the_items(storage)] == [K.DATA]


@clause("STREAM-8")
@pytest.mark.parametrize("how", ["cancelled at once", "cancelled by force", "stalled", "upstream"])
async def test_a_stream_is_closed_whoever_ends_the_job(storage: Storage, clock: Clock, how: str) -> None:
    run = await start(storage, max_attempts=1)
    await append(storage, run.lease, chunks("a"))
    if how == "cancelled at once":
        await end(storage, run, Released())
        await storage.cancel(["job"])
    elif how == "cancelled by force":
        await storage.cancel(["job"], force=True)
    else:
        clock.advance_ms(run.lease_ms)
        await keep_up(storage)

    dead = how in ("stalled", "upstream")
    assert (await the_items(storage))[-1][1] is (K.ERROR if dead else K.CANCELLED)


@clause("STREAM-8")
async def test_a_job_without_items_ends_by_its_state_alone(storage: Storage) -> None:
    await end(storage, await start(storage), GOOD)

    page = await read(storage, "job")

    assert (page.chunks, page.state) == ((), S.SUCCEEDED)
    assert (await get_one(storage)).chunks == 0


@clause("STREAM-8", "LEASE-1")
async def test_nothing_follows_the_last_item(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("a"))
    await end(storage, run, GOOD)

    with pytest.raises(LeaseLost):
        await append(storage, run.lease, chunks("b", first=2))
    assert len(await the_items(storage)) == 2


@clause("STREAM-9")
async def test_a_stream_is_read_from_any_number_a_page_at_a_time(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks(*(str(n) for n in range(1, 8))))

    seen: list[int] = []
    for size in (3, 3, 1, 0):
        page = (await read(storage, "job", after=seen[-1] if seen else 0, limit=3)).chunks
        assert len(page) == size
        seen += [chunk.number for chunk in page]

    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert await the_items(storage, after=5) == [(6, K.DATA, b"6"), (7, K.DATA, b"7")]
    assert await the_items(storage, after=99) == []


@clause("STREAM-9")
async def test_the_stream_of_a_job_that_is_not_stored_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await read(storage, "ghost")
    await enqueue_one(storage, delay_ms=1)
    assert (await read(storage, "job")).state is S.SCHEDULED


@clause("STREAM-9", "STORE-9")
@pytest.mark.parametrize(("limit", "error"), [(0, InvalidInput), (bounds.MAX_PAGE + 1, TooLarge)])
async def test_a_page_of_a_stream_has_bounds(storage: Storage, limit: int, error: type[Exception]) -> None:
    await enqueue_one(storage)

    with pytest.raises(error):
        await read(storage, "job", limit=limit)


@clause("STREAM-10", "STORE-9")
async def test_a_chunk_that_is_too_large_is_refused_with_its_batch(storage: Storage) -> None:
    run = await start(storage)
    exact, over = "x" * bounds.MAX_CHUNK_BYTES, "x" * (bounds.MAX_CHUNK_BYTES + 1)

    for items in (chunks("a", over), chunks(*("a" for _ in range(bounds.MAX_BATCH + 1)))):
        with pytest.raises(TooLarge):
            await append(storage, run.lease, items)

    assert await the_items(storage) == []
    await append(storage, run.lease, chunks(exact))


@clause("STREAM-10")
async def test_a_full_stream_takes_no_more_and_the_job_can_still_succeed(storage: Storage) -> None:
    run = await start(storage)
    full = "x" * bounds.MAX_CHUNK_BYTES
    fitting = bounds.MAX_STREAM_BYTES // (bounds.MAX_CHUNK_BYTES + bounds.ITEM_OVERHEAD_BYTES)
    assert fitting <= bounds.MAX_BATCH
    await append_large(storage, run, [full] * fitting)
    before = await get_one(storage)

    with pytest.raises(TooLarge):
        await append(storage, run.lease, chunks(full, first=fitting + 1))

    assert await get_one(storage) == before
    await end(storage, run, GOOD)
    assert await states(storage, "job") == [S.SUCCEEDED]
    assert [kind for _, kind, _ in await the_items(storage, after=fitting)] == [K.END]


@clause("STREAM-10")
async def test_an_item_without_data_takes_room_in_the_stream_too(storage: Storage) -> None:
    run = await start(storage)
    fitting, rest = divmod(bounds.MAX_STREAM_BYTES, bounds.MAX_CHUNK_BYTES + bounds.ITEM_OVERHEAD_BYTES)
    texts = [*("x" * bounds.MAX_CHUNK_BYTES for _ in range(fitting)), "x" * (rest - 2 * bounds.ITEM_OVERHEAD_BYTES)]
    await append_large(storage, run, texts)
    await append(storage, run.lease, chunks("", first=fitting + 2))

    with pytest.raises(TooLarge):
        await append(storage, run.lease, chunks("", first=fitting + 3))

    assert (await get_one(storage)).chunks == fitting + 2


@clause("STREAM-11")
async def test_an_append_tells_of_a_cancel(storage: Storage) -> None:
    run = await start(storage)
    assert not (await append(storage, run.lease, chunks("a"))).cancel_requested
    await storage.cancel(["job"])

    assert (await append(storage, run.lease, chunks("b", first=2))).cancel_requested
    assert (await append(storage, run.lease, [])).cancel_requested


@clause("STREAM-13", "STREAM-2")
async def test_an_append_tells_how_full_the_stream_is_over_all_runs(storage: Storage) -> None:
    run = await start(storage)
    item = bounds.ITEM_OVERHEAD_BYTES
    assert (await append(storage, run.lease, [])).stream_bytes == 0
    assert (await append(storage, run.lease, chunks("four"))).stream_bytes == item + 4
    assert (await append(storage, run.lease, chunks("four"))).stream_bytes == item + 4

    again = await run_again(storage, run)

    assert (await append(storage, again.lease, [])).stream_bytes == item + 4
    assert (await append(storage, again.lease, chunks("six", kind=K.LOG))).stream_bytes == 2 * item + 7


@clause("STREAM-12")
async def test_the_newest_progress_is_the_jobs(storage: Storage) -> None:
    run = await start(storage)
    assert run.progress is None
    await append(storage, run.lease, [*chunks("1", "2", kind=K.PROGRESS), *chunks("text", first=3)])
    assert (await get_one(storage)).progress == b"2"
    await append(storage, run.lease, chunks("3", first=4, kind=K.PROGRESS))
    await end(storage, run, GOOD)

    assert (await get_one(storage)).progress == b"3"


@clause("STREAM-4", "STREAM-8")
@pytest.mark.parametrize("kind", [K.RESET, K.END, K.ERROR, K.CANCELLED])
async def test_a_run_cannot_write_what_the_storage_writes(storage: Storage, kind: ChunkKind) -> None:
    run = await start(storage)

    with pytest.raises(InvalidInput):
        await append(storage, run.lease, [NewChunk(1, b"", kind)])

    assert await the_items(storage) == []


@clause("STREAM-4", "LEASE-1")
async def test_readers_never_see_an_old_run_after_a_new_one(storage: Storage, clock: Clock) -> None:
    old = await start(storage)
    await append(storage, old.lease, chunks("old"))
    clock.advance_ms(old.lease_ms)
    new = await claim_one(storage, worker="other")
    await append(storage, new.lease, chunks("new"))

    for items in (chunks("old"), chunks("zombie", first=2)):
        with pytest.raises(LeaseLost):
            await append(storage, old.lease, items)

    fences = [chunk.fence for chunk in (await read(storage, "job")).chunks]
    assert fences == sorted(fences) == [1, 2, 2]


def two(one: JobRecord, other: JobRecord) -> list[Append]:
    return [Append(one.lease, chunks("a", "b")), Append(other.lease, chunks("c", kind=K.PROGRESS))]


@clause("STREAM-14", "STREAM-2")
async def test_one_append_takes_what_several_runs_emitted_and_sent_again_adds_nothing(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")

    first = await storage.append(two(one, other))

    assert first == [
        Appended(2, cancel_requested=False, stream_bytes=2 * (1 + bounds.ITEM_OVERHEAD_BYTES)),
        Appended(1, cancel_requested=False, stream_bytes=1 + bounds.ITEM_OVERHEAD_BYTES),
    ]
    assert await storage.append(two(one, other)) == first
    assert [data for *_, data in await the_items(storage)] == [b"a", b"b"]
    assert (await get_one(storage, "other")).progress == b"c"


@clause("STREAM-14")
async def test_what_one_run_says_twice_in_an_append_comes_in_order(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")

    answers = await storage.append([*two(one, other), Append(one.lease, chunks("d", first=3)), Append(other.lease)])

    assert [answer.last for answer in answers if isinstance(answer, Appended)] == [2, 1, 3, 1]
    assert [data for *_, data in await the_items(storage)] == [b"a", b"b", b"d"]


@clause("STREAM-14")
@pytest.mark.parametrize(
    ("refused", "why"),
    [("lost", LeaseLost), ("unknown", LeaseLost), ("gap", Conflict), ("other text", Conflict), ("full", TooLarge)],
)
async def test_a_run_that_is_refused_changes_nothing_of_the_others(
    storage: Storage, refused: str, why: type[Exception]
) -> None:
    one, other, third = [await start(storage, name) for name in ("job", "other", "third")]
    much = "x" * bounds.MAX_CHUNK_BYTES
    count = bounds.MAX_STREAM_BYTES // bounds.MAX_CHUNK_BYTES - 4 if refused == "full" else 4
    await append_large(storage, third, [much] * count)
    lease, items = third.lease, chunks("y", first=count + 1)
    if refused == "lost":
        await end(storage, third, Released())
    elif refused == "unknown":
        lease = replace(lease, job_id="nobody")
    elif refused == "full":
        items = chunks(*[much] * 4, first=count + 1)
    else:
        items = chunks("y", first=count + 2 if refused == "gap" else 1)
    before = await get_one(storage, "third")
    first, last = two(one, other)

    told = await storage.append([first, Append(lease, items), last])

    assert [type(answer) for answer in told] == [Appended, why, Appended]
    assert await get_one(storage, "third") == before
    assert [data for *_, data in await the_items(storage)] == [b"a", b"b"]
    assert (await get_one(storage, "other")).progress == b"c"


@clause("STREAM-10", "STORE-9")
async def test_an_append_has_bounds_over_all_its_runs(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")
    half = chunks(*"x" * (bounds.MAX_BATCH // 2))
    too_many = [Append(one.lease, half), Append(other.lease, [*half, NewChunk(len(half) + 1, b"")])]

    for many in ([Append(one.lease)] * (bounds.MAX_BATCH + 1), too_many):
        with pytest.raises(TooLarge):
            await storage.append(many)

    assert await the_items(storage) == []
    assert len(await storage.append([Append(one.lease, half), Append(other.lease, half)])) == 2


@clause("STORE-9")
async def test_an_append_has_a_bound_in_bytes_over_all_its_runs(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")
    half = ["x" * bounds.MAX_CHUNK_BYTES] * (bounds.MAX_BATCH_BYTES // bounds.MAX_CHUNK_BYTES // 2)

    with pytest.raises(TooLarge):
        await storage.append([Append(one.lease, chunks(*half)), Append(other.lease, chunks(*half, "x"))])

    assert await the_items(storage) == []
    told = await storage.append([Append(one.lease, chunks(*half)), Append(other.lease, chunks(*half))])
    assert [type(answer) for answer in told] == [Appended, Appended]


@clause("STREAM-4", "STREAM-14")
async def test_each_run_of_an_append_has_its_own_resets(storage: Storage) -> None:
    one, other = await start(storage), await start(storage, "other")
    await storage.append([Append(one.lease, chunks("a", "b")), Append(other.lease, chunks("c", step="s"))])
    await end(storage, one, Released())
    again = await claim_one(storage)

    await storage.append([Append(again.lease, chunks("d")), Append(other.lease, chunks("e", first=2, step="s"))])

    assert [kind for _, kind, _ in await the_items(storage)] == [K.DATA, K.DATA, K.RESET, K.DATA]
    assert [chunk.data for chunk in (await read(storage, "other")).chunks] == [b"c", b"e"]
