"""What a run emits, on its way to the storage."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from aiq.bounds import ITEM_OVERHEAD_BYTES, MAX_BATCH, MAX_CHUNK_BYTES, MAX_STREAM_BYTES
from aiq.engine.appends import Appends
from aiq.engine.streams import BUFFER_BYTES, BUFFER_ITEMS, Emitter
from aiq.errors import LeaseLost, TooLarge
from aiq.model import Append, ChunkKind, JobSpec
from aiq.storage import claim, read
from aiq.testing import Delay, LoseReply, Refuse
from aiq.testing.actions import wish
from tests.engine.world import World, virtually


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def cancel_requested(self) -> None:
        self.heard.append("cancel")

    def refused(self, lost: LeaseLost) -> None:
        self.heard.append(lost.reason)


class Counting:
    """Counts appends, and lets them through."""

    def __init__(self, world: World) -> None:
        self._storage = world.faults
        self.sizes: list[int] = []

    async def append(self, appends: Sequence[Append]) -> object:
        self.sizes.append(sum([len(one.chunks) for one in appends]))
        return await self._storage.append(appends)


async def emitter(world: World) -> tuple[Emitter, Counting, Listener]:
    await world.storage.enqueue([JobSpec(id="job", task="work")])
    [record] = await claim(world.storage, wish())
    storage, listener = Counting(world), Listener()
    appends = Appends(storage)  # type: ignore[arg-type]  # it asks for this one only
    return Emitter(appends, record.lease, listener, outage=world.outage, rng=Random(1)), storage, listener


async def data_of(world: World) -> list[bytes]:
    """All data of the stream, page by page."""
    data: list[bytes] = []
    last = 0
    while chunks := (await read(world.storage, "job", after=last)).chunks:
        data += [chunk.data for chunk in chunks if chunk.kind is ChunkKind.DATA]
        last = chunks[-1].number
    return data


async def emit(e: Emitter, *items: bytes) -> None:
    for item in items:
        await e.put(ChunkKind.DATA, item, None)


@virtually
async def test_what_is_emitted_while_an_append_is_under_way_goes_with_the_next(world: World) -> None:
    e, storage, _ = await emitter(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))

    await emit(e, b"a")
    await asyncio.sleep(1)
    await emit(e, b"b", b"c", b"d")
    gate.set()
    await e.flush()

    assert storage.sizes == [1, 3]
    assert await data_of(world) == [b"a", b"b", b"c", b"d"]


@virtually
async def test_no_append_takes_more_items_than_one_batch(world: World) -> None:
    e, storage, _ = await emitter(world)

    await emit(e, *[b"x"] * (BUFFER_ITEMS - 1))
    await e.flush()

    assert max(storage.sizes) <= MAX_BATCH
    assert len(await data_of(world)) == BUFFER_ITEMS - 1


@virtually
async def test_an_emitter_that_is_far_ahead_of_the_storage_waits(world: World) -> None:
    e, _, _ = await emitter(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))
    chunk = b"x" * MAX_CHUNK_BYTES

    async def flood() -> None:
        await emit(e, *[chunk] * 12)

    flooding = asyncio.create_task(flood())
    await asyncio.sleep(60)
    assert not flooding.done()
    assert e._bytes <= BUFFER_BYTES + MAX_CHUNK_BYTES

    gate.set()
    await flooding
    await e.flush()
    assert await data_of(world) == [chunk] * 12


@virtually
async def test_a_flush_waits_for_what_was_emitted_before_it_and_not_for_what_comes_after(world: World) -> None:
    e, _, _ = await emitter(world)
    going = True

    async def chatter() -> None:
        while going:
            await emit(e, b"chatter")
            await asyncio.sleep(0)

    chattering = asyncio.create_task(chatter())
    await emit(e, b"mine")
    await e.flush()
    going = False

    assert b"mine" in await data_of(world)
    await chattering
    await e.flush()


@virtually
async def test_a_lost_reply_stores_nothing_twice(world: World) -> None:
    e, _, _ = await emitter(world)
    world.faults.plan(LoseReply("append"), Refuse("append"), LoseReply("append"))

    await emit(e, b"a", b"b")
    await e.flush()

    assert await data_of(world) == [b"a", b"b"]


@virtually
async def test_a_stream_that_is_full_ends_emitting_and_says_it_once(world: World) -> None:
    e, _, listener = await emitter(world)
    chunk = b"x" * MAX_CHUNK_BYTES
    for _ in range(MAX_STREAM_BYTES // (MAX_CHUNK_BYTES + ITEM_OVERHEAD_BYTES)):
        await emit(e, chunk)
    await e.flush()

    await emit(e, chunk)
    with pytest.raises(TooLarge, match="stream"):
        await e.flush()
    with pytest.raises(TooLarge, match="stream"):
        await emit(e, b"more")
    await e.flush()

    assert listener.heard == []


@virtually
async def test_an_item_that_is_too_large_is_refused_and_the_next_one_is_taken(world: World) -> None:
    e, _, _ = await emitter(world)

    with pytest.raises(TooLarge, match="chunk"):
        await emit(e, b"x" * (MAX_CHUNK_BYTES + 1))
    await emit(e, b"fits")
    await e.flush()

    assert await data_of(world) == [b"fits"]


@virtually
async def test_a_run_that_lost_its_job_adds_nothing_and_hears_of_it(world: World) -> None:
    e, _, listener = await emitter(world)
    await emit(e, b"a")
    await e.flush()
    await world.storage.cancel(["job"], force=True)

    await emit(e, b"b")
    await e.flush()

    assert listener.heard == ["cancelled"]
    with pytest.raises(LeaseLost):
        await emit(e, b"c")
    assert await data_of(world) == [b"a"]


@virtually
async def test_an_append_brings_word_of_a_cancel(world: World) -> None:
    e, _, listener = await emitter(world)
    await world.storage.cancel(["job"])

    await emit(e, b"a")
    await e.flush()

    assert listener.heard == ["cancel"]


@virtually
async def test_a_closed_emitter_leaves_nothing_running(world: World) -> None:
    e, _, _ = await emitter(world)
    world.faults.plan(*[Refuse("append")] * 100)

    await emit(e, b"a")
    await asyncio.sleep(20)
    e.close()
    await e.flush()
    await asyncio.sleep(0)

    assert await data_of(world) == []


@virtually
async def test_what_a_stray_branch_emits_after_the_end_is_not_taken(world: World) -> None:
    e, storage, _ = await emitter(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))
    stray = asyncio.create_task(emit(e, *[b"a"] * (BUFFER_ITEMS + 2)))
    await asyncio.sleep(1)
    assert not stray.done()
    e.close()
    await asyncio.wait({stray})
    gate.set()
    await asyncio.sleep(1)

    assert storage.sizes == [MAX_BATCH]


@virtually
async def test_cancelling_one_who_waits_does_not_cancel_the_append(world: World) -> None:
    e, _, _ = await emitter(world)
    gate = asyncio.Event()
    world.faults.plan(Delay("append", gate))
    await emit(e, b"a")

    flushing = asyncio.create_task(e.flush())
    await asyncio.sleep(1)
    flushing.cancel()
    await asyncio.wait({flushing})
    gate.set()
    await e.flush()

    assert await data_of(world) == [b"a"]
