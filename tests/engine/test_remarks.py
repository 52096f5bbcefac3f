"""Lines of the log and progress: a part of the stream is theirs, and what is over is left out without an error."""

import asyncio
from random import Random

import pytest

import aiq
from aiq.bounds import ITEM_OVERHEAD_BYTES, LOG_ROOM_BYTES, MAX_CHUNK_BYTES, MAX_STREAM_BYTES, PROGRESS_ROOM_BYTES
from aiq.engine.appends import Appends
from aiq.engine.remarks import CUT
from aiq.engine.streams import Emitter
from aiq.errors import TooLarge
from aiq.model import Chunk, ChunkKind, Released, State
from aiq.storage import read
from aiq.testing import Delay
from aiq.testing.actions import claim_one, end, get_one
from tests.engine.handlers import finished
from tests.engine.test_streams import Counting, Listener, emit, emitter
from tests.engine.world import World, virtually

LINE = b"y" * 16_000


async def items(world: World, job_id: str = "job") -> list[Chunk]:
    found: list[Chunk] = []
    while chunks := (await read(world.storage, job_id, after=found[-1].number if found else 0)).chunks:
        found += chunks
    return found


def room(chunks: list[Chunk]) -> int:
    return sum(len(chunk.data) + ITEM_OVERHEAD_BYTES for chunk in chunks)


async def next_run(world: World) -> tuple[Emitter, Counting]:
    await end(world.storage, await get_one(world.storage), Released())
    run, storage = await claim_one(world.storage), Counting(world)
    appends = Appends(storage)  # type: ignore[arg-type]  # it asks for this one only
    return Emitter(appends, run.lease, Listener(), outage=world.outage, rng=Random(1)), storage


@virtually
async def test_a_job_that_logs_more_than_a_stream_holds_succeeds_with_its_output(world: World) -> None:
    @aiq.task
    async def talker(ctx: aiq.Context) -> str:
        for _ in range(17_000):
            await ctx.log("y" * 1_000)
        await ctx.emit("the work")
        return "done"

    [job] = await world.enqueue(talker.job())
    record = await finished(world, job, talker)

    chunks = await items(world, record.id)
    assert (record.state, record.attempt) == (State.SUCCEEDED, 1)
    assert [chunk.data for chunk in chunks[-3:-1]] == [CUT, b"the work"]
    assert LOG_ROOM_BYTES - 2_000 < room(chunks[:-3]) <= LOG_ROOM_BYTES


@virtually
async def test_progress_without_end_fails_nobody_and_leaves_room_for_output(world: World) -> None:
    e, _, _ = await emitter(world)
    for n in range(1_000):
        await e.put(ChunkKind.PROGRESS, LINE + str(n).encode(), None)
        await e.flush()

    await emit(e, b"the work")
    await e.flush()

    chunks = await items(world)
    assert chunks[-1].data == b"the work"
    assert PROGRESS_ROOM_BYTES - 20_000 < room(chunks[:-1]) <= PROGRESS_ROOM_BYTES


@virtually
async def test_progress_goes_on_when_the_log_is_cut(world: World) -> None:
    e, _, _ = await emitter(world)
    for _ in range(LOG_ROOM_BYTES // len(LINE) + 1):
        await e.put(ChunkKind.LOG, LINE, None)
    await e.put(ChunkKind.PROGRESS, b"1", None)
    await e.flush()

    assert [chunk.data for chunk in (await items(world))[-2:]] == [CUT, b"1"]


@virtually
async def test_a_later_run_knows_how_full_the_stream_is_before_it_logs(world: World) -> None:
    first, _, _ = await emitter(world)
    for _ in range(PROGRESS_ROOM_BYTES // MAX_CHUNK_BYTES):
        await emit(first, b"x" * MAX_CHUNK_BYTES)
    await first.flush()
    before = len(await items(world))
    second, counting = await next_run(world)

    await second.put(ChunkKind.LOG, b"short", None)
    await second.put(ChunkKind.PROGRESS, b"0", None)
    await emit(second, b"the work")
    await second.flush()

    kinds = [(chunk.kind, chunk.data) for chunk in (await items(world))[before:] if chunk.kind is not ChunkKind.RESET]
    assert kinds == [(ChunkKind.DATA, b"the work")]
    assert counting.sizes == [0, 1]


@virtually
async def test_a_run_that_only_emits_asks_for_nothing(world: World) -> None:
    first, _, _ = await emitter(world)
    await emit(first, b"a")
    await first.flush()
    second, counting = await next_run(world)

    await emit(second, b"b")
    await second.flush()

    assert counting.sizes == [1]


@virtually
async def test_a_line_for_a_stream_that_data_has_filled_raises_nothing(world: World) -> None:
    e, _, _ = await emitter(world)
    for _ in range(MAX_STREAM_BYTES // (MAX_CHUNK_BYTES + ITEM_OVERHEAD_BYTES) + 1):
        await emit(e, b"x" * MAX_CHUNK_BYTES)
    with pytest.raises(TooLarge, match="stream"):
        await e.flush()

    await e.put(ChunkKind.LOG, b"a line", None)
    await e.put(ChunkKind.PROGRESS, b"1", None)
    await e.flush()

    with pytest.raises(TooLarge, match="stream"):
        await emit(e, b"more")


@virtually
async def test_of_progress_that_waits_only_the_newest_is_stored(world: World) -> None:
    e, storage, _ = await emitter(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))
    await emit(e, b"a")
    await asyncio.sleep(1)

    for n in range(1_000):
        await e.put(ChunkKind.PROGRESS, str(n).encode(), None)
    await emit(e, b"b")
    gate.set()
    await e.flush()

    assert [chunk.data for chunk in await items(world)] == [b"a", b"999", b"b"]
    assert storage.sizes == [1, 2]
