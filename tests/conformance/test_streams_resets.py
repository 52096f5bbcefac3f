"""Chapter 8: what a new run takes back of what earlier runs emitted."""

import json
from dataclasses import replace

import pytest

from aiq import bounds
from aiq.model import Cancelled, ChunkKind, Died, JobError, JobRecord, Outcome, Released
from aiq.storage import Storage, append, read
from aiq.testing.actions import GOOD, chunks, claim_one, end, start, value
from aiq.testing.marks import clause

K = ChunkKind


async def run_again(storage: Storage, run: JobRecord) -> JobRecord:
    await end(storage, run, Released())
    return await claim_one(storage)


async def the_items(storage: Storage, after: int = 0) -> list[tuple[int, ChunkKind, bytes]]:
    return [(chunk.number, chunk.kind, chunk.data) for chunk in (await read(storage, "job", after=after)).chunks]


async def the_resets(storage: Storage) -> list[list[list[int]]]:
    return [json.loads(data)["void"] for _, kind, data in await the_items(storage) if kind is K.RESET]


@clause("STREAM-4")
async def test_a_new_run_voids_what_was_emitted_outside_of_a_saved_step(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1", "2"))
    await append(storage, run.lease, chunks("3", "4", first=3, step="unsaved"))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("6"))

    assert await the_items(storage, after=4) == [(5, K.RESET, b'{"void":[[1,4]]}'), (6, K.DATA, b"6")]


@clause("STREAM-4")
async def test_a_run_resets_once_and_before_its_first_data_only(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1"))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("log", kind=K.LOG))
    await append(storage, run.lease, [*chunks("50", first=2, kind=K.PROGRESS), *chunks("data", "more", first=3)])
    await append(storage, run.lease, chunks("end", first=5))

    assert [kind for _, kind, _ in await the_items(storage)] == [
        K.DATA,
        K.LOG,
        K.PROGRESS,
        K.RESET,
        K.DATA,
        K.DATA,
        K.DATA,
    ]


@clause("STREAM-4")
async def test_a_first_run_and_a_run_after_silent_ones_write_no_reset(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("log", kind=K.LOG))
    run = await run_again(storage, run)
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("a"))

    assert await the_resets(storage) == []


@clause("STREAM-4", "STREAM-7")
async def test_more_than_one_reset_can_name_within_the_bound_of_a_chunk_is_named_by_several(storage: Storage) -> None:
    run = await start(storage)
    for batch in range(43):
        pairs = [chunks("a", "b", first=seq) for seq in range(1 + 256 * batch, 256 * (batch + 1), 2)]
        await append(storage, run.lease, [item for a, b in pairs for item in (replace(a, step="saved"), b)])
    await storage.save_step(run.lease, value("saved"))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("again"))

    *resets, again = (await read(storage, "job", after=43 * 256)).chunks
    assert [item.kind for item in (*resets, again)] == [K.RESET, K.RESET, K.DATA]
    assert max(len(item.data) for item in resets) <= bounds.MAX_CHUNK_BYTES
    assert [pair for item in resets for pair in item.void] == [(n, n) for n in range(2, 43 * 256 + 1, 2)]


@clause("STREAM-5")
async def test_what_was_emitted_in_a_step_that_its_run_saved_is_never_voided(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1"))
    await append(storage, run.lease, chunks("2", "3", first=2, step="write"))
    await storage.save_step(run.lease, value("write"))
    await append(storage, run.lease, chunks("4", first=4))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("again"))

    assert await the_resets(storage) == [[[1, 1], [4, 4]]]


@clause("STREAM-4", "STREAM-5")
async def test_what_one_run_emitted_in_a_step_that_another_saved_is_void(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1", step="write"))
    run = await run_again(storage, run)
    await append(storage, run.lease, chunks("3", step="write"))
    await storage.save_step(run.lease, value("write"))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("4"))

    assert await the_resets(storage) == [[[1, 1]]]


@clause("STREAM-4", "STREAM-5")
async def test_a_step_saved_by_a_run_that_emitted_nothing_in_it_saves_nothing_of_an_earlier_run(
    storage: Storage,
) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1", step="write"))
    run = await run_again(storage, run)
    await storage.save_step(run.lease, value("write"))

    await append(storage, run.lease, chunks("3"))

    assert await the_resets(storage) == [[[1, 1]]]


@clause("STREAM-4")
async def test_a_log_line_between_them_does_not_save_data_from_being_void(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1"))
    await append(storage, run.lease, chunks("2", first=2, kind=K.LOG))
    await append(storage, run.lease, chunks("3", first=3))
    run = await run_again(storage, run)

    await append(storage, run.lease, chunks("again"))

    (void,) = await the_resets(storage)
    named = {number for first, last in void for number in range(first, last + 1)}
    assert {1, 3} <= named


@clause("STREAM-6")
@pytest.mark.parametrize(
    ("outcome", "marker"),
    [
        (GOOD, K.END),
        (Died(JobError(type="E", message="bad")), K.ERROR),
        (Cancelled(), K.CANCELLED),
    ],
)
async def test_a_terminal_step_of_a_run_without_data_writes_the_reset(
    storage: Storage, outcome: Outcome, marker: ChunkKind
) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1", "2"))
    run = await run_again(storage, run)
    await append(storage, run.lease, chunks("log", kind=K.LOG))

    await end(storage, run, outcome)

    assert [(number, kind) for number, kind, _ in await the_items(storage, after=3)] == [(4, K.RESET), (5, marker)]
    assert await the_resets(storage) == [[[1, 2]]]


@clause("STREAM-6")
async def test_a_run_that_appended_data_resets_no_more_when_it_ends(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1"))
    run = await run_again(storage, run)
    await append(storage, run.lease, chunks("3"))

    await end(storage, run, GOOD)

    assert [kind for _, kind, _ in await the_items(storage)] == [K.DATA, K.RESET, K.DATA, K.END]


@clause("STREAM-7")
async def test_no_item_is_voided_twice(storage: Storage) -> None:
    run = await start(storage)
    await append(storage, run.lease, chunks("1", "2"))
    for _ in range(2):
        run = await run_again(storage, run)
        await append(storage, run.lease, chunks("again"))
    run = await run_again(storage, run)
    await end(storage, run, GOOD)

    assert await the_resets(storage) == [[[1, 2]], [[4, 4]], [[6, 6]]]
