"""Codecs of a queue: what the storage sees, what programs see, and what happens where a codec lacks."""

import asyncio
import base64
import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

import pytest

import aiq
from aiq.backends.memory.storage import MemoryStorage, open_memory
from aiq.bounds import MAX_DECODED_BYTES, MAX_PAYLOAD_BYTES
from aiq.codecs import Codec, Value
from aiq.coded import Chain, CodedStorage
from aiq.errors import Conflict, InvalidInput, JobDead, ResultInvalid, TooLarge, Unavailable
from aiq.model import (
    Cause,
    ChunkKind,
    Content,
    DeadQuery,
    Edit,
    JobSpec,
    NewChunk,
    Redrive,
    ScheduleSpec,
    State,
    Target,
)
from aiq.rules.coding import MAGIC, Unreadable, coded, parted
from aiq.storage import Storage, append
from aiq.testing.actions import job as spec
from aiq.testing.actions import start, value

K1, K2 = b"1" * 32, base64.b64encode(b"2" * 16).decode()
SECRET = "the secret of the house, and again: the secret of the house"
PAYLOAD = Value("payload", "job")


def aes(current: str = "k1", **keys: bytes | str) -> aiq.AESGCM:
    return aiq.AESGCM(keys=keys or {"k1": K1}, current=current)


BOTH = (aiq.Zlib(min_bytes=0), aes())


@aiq.task
async def shout(ctx: aiq.Context, text: str) -> str:
    await ctx.emit(text)
    await ctx.log(text)
    await ctx.progress(text)
    return await ctx.step("loud", str.upper, text, returns=str)


@aiq.task
async def both(ctx: aiq.Context, text: str) -> list[str | aiq.Failure]:
    return await ctx.gather("parts", [shout.job(text), shout.job(text + "!")])


@aiq.task
async def join(first: str, second: str) -> str:
    return first + second


GO = aiq.Signal("go", str)


@aiq.task
async def waits(ctx: aiq.Context) -> str:
    return await ctx.wait_for(GO)


TASKS = [shout, both, join, waits]


def everything(storage: MemoryStorage) -> Iterator[bytes]:
    """Every value that is stored."""
    tables = storage._home.tables
    for record in tables.jobs.values():
        yield from (one for one in (record.payload, record.result, record.progress) if one is not None)
        yield from (step.value for step in tables.steps[record.id].values())
        yield from (chunk.data for chunk in tables.streams[record.id].chunks if chunk.kind is not ChunkKind.END)
        yield from (signal.payload for signal in tables.signals[record.id].values())


async def worked(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=TASKS).run_until_idle()


@pytest.mark.parametrize("codecs", [BOTH, (aes(),), (aiq.Zlib(min_bytes=10),)])
async def test_everything_a_job_does_works_behind_codecs(codecs: tuple[Codec, ...]) -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=codecs) as queue:
        one = await queue.enqueue(shout.job(SECRET))
        children = await queue.enqueue(both.job(SECRET))
        flow = aiq.Flow("f")
        parts = [flow.add(shout.job(SECRET)), flow.add(shout.job("b"))]
        joined = flow.add(join.job(parts[0].output, parts[1].output))
        run = await queue.run(flow)
        waiting = await queue.enqueue(waits.job())
        await waiting.send(GO, SECRET, id="1")
        late = await queue.enqueue(waits.job())
        await worked(queue)
        await late.send(GO, SECRET)
        await worked(queue)

        assert await one.result(0) == SECRET.upper()
        assert await children.result(0) == [SECRET.upper(), SECRET.upper() + "!"]
        assert await run[joined].result(0) == SECRET.upper() + "B"
        assert [await waiting.result(0), await late.result(0)] == [SECRET, SECRET]
        assert await one.step("loud", str) == SECRET.upper()
        assert await one.progress() == SECRET
        said = [chunk.text async for chunk in one.stream(kinds={ChunkKind.DATA, ChunkKind.LOG})]
        assert said == [SECRET, SECRET]
        page = await queue.list()
        assert all(not isinstance(record.payload, Unreadable) for record in page)
        assert await storage.audit() == []


async def test_an_encrypting_queue_stores_nothing_that_can_be_read() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=BOTH) as queue:
        one = await queue.enqueue(shout.job(SECRET))
        waiting = await queue.enqueue(waits.job())
        await waiting.send(GO, SECRET)
        await worked(queue)

    stored = list(everything(storage))
    assert len(stored) >= 8
    assert all(parted(data) is not None for data in stored)
    assert not any(b"secret" in data.lower() for data in stored)
    async with aiq.Queue(storage) as plain:
        with pytest.raises(ResultInvalid, match=r"encoded with .*aesgcm=k1; name the codecs"):
            await plain.job(one.id, shout).result(0)
        with pytest.raises(ResultInvalid, match="encoded with"):
            await plain.job(one.id).result(0)
        with pytest.raises(ResultInvalid, match="encoded with"):
            await plain.job(one.id).progress()
        with pytest.raises(ResultInvalid, match="Item 1 of the stream cannot be read"):
            [text async for text in plain.job(one.id).text()]


async def test_values_with_and_without_codecs_mix() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage) as plain, aiq.Queue(storage, codecs=BOTH) as hidden:
        jobs = [await queue.enqueue(shout.job(SECRET)) for queue in (plain, hidden)]
        await worked(hidden)

        assert [await hidden.job(job.id, shout).result(0) for job in jobs] == [SECRET.upper()] * 2


async def test_a_job_that_cannot_be_decoded_dies_at_once_and_keeps_its_bytes() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=[aes()]) as queue:
        one = await queue.enqueue(shout.job(SECRET))
    [before] = await storage.get([one.id])
    async with aiq.Queue(storage, codecs=[aes("k2", k2=K2)]) as other:
        fine = await other.enqueue(shout.job("fine"))
        await worked(other)

        with pytest.raises(JobDead, match='key "k1", which is not among the keys here'):
            await other.job(one.id, shout).result(0)
        assert await fine.result(0) == "FINE"
    [after] = await storage.get([one.id])
    assert before is not None
    assert after is not None
    assert (after.state, after.cause, after.failures, after.payload) == (State.DEAD, Cause.PAYLOAD, 1, before.payload)


async def test_a_worker_without_codecs_says_what_lacks() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=BOTH) as queue:
        one = await queue.enqueue(shout.job(SECRET))
    async with aiq.Queue(storage) as plain:
        await worked(plain)
        with pytest.raises(JobDead, match="encoded with zlib, then aesgcm=k1; name the codecs"):
            await plain.job(one.id, shout).result(0)


async def test_keys_rotate() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=[aes()]) as old:
        before = await old.enqueue(shout.job("before"))
    async with aiq.Queue(storage, codecs=[aes("k2", k1=K1, k2=K2)]) as new:
        after = await new.enqueue(shout.job("after"))
        await worked(new)

        assert [await new.job(one.id, shout).result(0) for one in (before, after)] == ["BEFORE", "AFTER"]
    [record] = await storage.get([after.id])
    assert record is not None
    found = parted(record.payload)
    assert found is not None
    assert found[0] == ("aesgcm=k2",)


async def test_the_same_content_is_the_same_job_whatever_encodes_it() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage) as plain, aiq.Queue(storage, codecs=BOTH) as hidden:
        await plain.enqueue(shout.job(SECRET), id="one")

        assert (await hidden.enqueue(shout.job(SECRET), id="one")).existed
        with pytest.raises(Conflict):
            await hidden.enqueue(shout.job("else"), id="one")


async def test_what_is_sent_again_is_the_same_bytes() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain(BOTH))
    run = await start(storage, "job")
    first = NewChunk(1, b"chunk")

    assert (await coder.send("job", "go", "1", b"yes")).existed is False
    assert (await coder.send("job", "go", "1", b"yes")).existed is True
    assert (await append(coder, run.lease, [first])) == (await append(coder, run.lease, [first]))
    assert (await coder.save_step(run.lease, value("plan", b"v"))).existed is False
    again = await coder.save_step(run.lease, value("plan", b"v"))
    assert (again.existed, again.step.value) == (True, b"v")


async def test_a_value_in_the_place_of_another_is_none() -> None:
    chain = Chain((aes(),))
    stored = await chain.encode(b"mine", PAYLOAD)

    assert await chain.decode(stored, PAYLOAD) == b"mine"
    for elsewhere in (Value("payload", "other"), Value("result", "job")):
        read = await chain.decode(stored, elsewhere)
        assert isinstance(read, Unreadable)
        assert read == stored
        assert "written in another place" in read.why


@pytest.mark.parametrize("place", [-1, -20, 20])
async def test_bytes_that_were_changed_are_found_out(place: int) -> None:
    chain = Chain((aes(),))
    stored = bytearray(await chain.encode(b"mine, and mine alone", PAYLOAD))
    stored[place] ^= 1

    assert isinstance(await chain.decode(bytes(stored), PAYLOAD), Unreadable)


async def test_two_values_have_two_nonces() -> None:
    chain = Chain((aes(),))
    made = {await chain.encode(b"%d" % n, Value("payload", str(n % 7))) for n in range(200)}
    bodies = [found[1] for one in made if (found := parted(one)) is not None]

    assert len({body[:12] for body in bodies}) == 200


async def test_a_small_value_that_claims_to_be_huge_is_refused() -> None:
    chain = Chain((aiq.Zlib(),))
    bomb = coded(("zlib",), zlib.compress(bytes(MAX_DECODED_BYTES + 1), 9))
    read = await chain.decode(bytes(bomb), PAYLOAD)

    assert len(bomb) < 20_000
    assert isinstance(read, Unreadable)
    assert "more than the 16,777,216 bytes" in read.why
    with pytest.raises(TooLarge):
        await chain.encode(bytes(MAX_DECODED_BYTES + 1), PAYLOAD)


@pytest.mark.parametrize("data", [b"no zlib", zlib.compress(b"cut off" * 50)[:-6]])
async def test_compressed_data_that_is_damaged_is_refused(data: bytes) -> None:
    read = await Chain((aiq.Zlib(),)).decode(bytes(coded(("zlib",), data)), PAYLOAD)

    assert isinstance(read, Unreadable)


async def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    chain = Chain((aiq.Zlib(min_bytes=10),))

    assert await chain.encode(b"short", PAYLOAD) == b"short"
    assert await chain.encode(bytes(range(200)), PAYLOAD) == bytes(range(200))
    assert len(await chain.encode(b"long " * 50, PAYLOAD)) < 50


async def test_plain_bytes_that_look_like_coded_ones_come_back() -> None:
    chain = Chain((aiq.Zlib(),))
    data = MAGIC + b"\x00and so on"

    assert await chain.decode(await chain.encode(data, PAYLOAD), PAYLOAD) == data


async def test_a_payload_is_measured_as_it_is_stored() -> None:
    long = "a" * (2 * MAX_PAYLOAD_BYTES)
    async with aiq.Queue("memory://", codecs=[aiq.Zlib()]) as queue:
        one = await queue.enqueue(shout.job(long[:60_000]))
        [many] = await queue.enqueue_many([join.job(long, "")])
        flow = aiq.Flow("f")
        node = flow.add(join.job(long, "b"))
        run = await queue.run(flow)
        await worked(queue)

        assert await one.result(0) == "A" * 60_000
        assert await many.result(0) == long
        assert await run[node].result(0) == long + "b"
    async with aiq.Queue("memory://") as plain:
        with pytest.raises(TooLarge):
            await plain.enqueue(join.job(long, ""))


class Bucket:
    """Keeps what is offloaded, and can be away, or lose something."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.away = False

    async def put(self, key: str, data: bytes) -> None:
        if self.away:
            raise ConnectionError("no route")
        self.held[key] = data

    async def get(self, key: str) -> bytes:
        if self.away:
            raise ConnectionError("no route")
        return self.held[key]

    def offload(self) -> aiq.Offload:
        return aiq.Offload(self.put, self.get, over=1_000)


async def test_large_values_are_kept_elsewhere() -> None:
    storage, bucket = await open_memory("memory://"), Bucket()
    long = "a" * 300_000
    async with aiq.Queue(storage, codecs=[aes(), bucket.offload()]) as queue:
        one = await queue.enqueue(join.job(long, "b"))
        await worked(queue)

        assert await one.result(0) == long + "b"
    assert len(bucket.held) == 2
    assert all(len(data) < 200 for data in everything(storage))
    assert not any(b"aaaa" in data for data in bucket.held.values())


async def test_what_is_gone_elsewhere_kills_the_job_that_needs_it() -> None:
    storage, bucket = await open_memory("memory://"), Bucket()
    async with aiq.Queue(storage, codecs=[bucket.offload()]) as queue:
        one = await queue.enqueue(join.job("a" * 2_000, ""))
        bucket.held.clear()
        await worked(queue)

        with pytest.raises(JobDead, match="is not there any more"):
            await one.result(0)
    assert (await one.record()).cause is Cause.PAYLOAD


async def test_an_outage_elsewhere_lets_a_job_be_tried_again() -> None:
    storage, bucket = await open_memory("memory://"), Bucket()
    async with aiq.Queue(storage, codecs=[bucket.offload()]) as queue:
        one = await queue.enqueue(join.job("a" * 2_000, ""), attempts=5)
        bucket.away = True
        async with aiq.Worker(queue, tasks=TASKS):
            while (await one.record()).failures == 0:  # noqa: ASYNC110 - the storage tells of no failure
                await asyncio.sleep(0.01)
            bucket.away = False
            assert await one.result(30) == "a" * 2_000


async def test_an_outage_elsewhere_stores_no_job() -> None:
    bucket = Bucket()
    bucket.away = True
    async with aiq.Queue("memory://", codecs=[bucket.offload()]) as queue:
        with pytest.raises(Unavailable, match='Codec "offload" could not keep a payload'):
            await queue.enqueue(join.job("a" * 2_000, ""))
        assert await queue.count() == {}


async def test_arguments_that_are_edited_are_encoded_too() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain(BOTH))
    await coder.enqueue([spec("job", payload=b"[1]")])
    [edited] = await coder.update([Edit(job_id="job", content=Content(task="work", payload=b"[2]"))])
    [stored] = await storage.get(["job"])

    assert edited is not None
    assert stored is not None
    assert (edited.payload, parted(stored.payload) is None) == (b"[2]", False)


async def test_a_sibling_is_behind_the_same_codecs() -> None:
    coder = CodedStorage(await open_memory("memory://"), Chain(BOTH))
    await coder.enqueue([spec("job", payload=b"[1]")])
    [record] = await (await coder.sibling()).get(["job"])

    assert record is not None
    assert record.payload == b"[1]"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: aiq.AESGCM(keys={"k": b"short"}, current="k"), "16, 24 or 32 bytes"),
        (lambda: aiq.AESGCM(keys={"k": "§"}, current="k"), "16, 24 or 32 bytes"),
        (lambda: aiq.AESGCM(keys={"k": K1}, current="j"), "names none of the keys"),
        (lambda: aiq.AESGCM(keys={"a,b": K1}, current="a,b"), "is not a name"),
        (lambda: aiq.Zlib(level=10), "level"),
        (lambda: aiq.Queue("memory://", codecs=[aiq.Zlib(), aiq.Zlib()]), "Two codecs"),
        (lambda: aiq.Queue("memory://", codecs=["zlib"]), "is no codec"),  # type: ignore[list-item]
    ],
)
def test_codecs_that_cannot_work_are_refused(make: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        make()


def test_keys_are_not_shown() -> None:
    assert "1" * 8 not in repr(aes())


def holds_values(kind: Any, seen: set[Any]) -> bool:
    """Whether bytes stand anywhere in a type."""
    if kind is bytes:
        return True
    if kind in seen:
        return False
    seen.add(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return any(holds_values(hints[field.name], seen) for field in fields(kind))
    return any(holds_values(one, seen) for one in get_args(kind) if one is not Ellipsis)


def test_every_operation_that_carries_values_is_behind_the_codecs() -> None:
    operations = [name for name in dir(Storage) if not name.startswith("_")]
    carrying = set()
    for name in operations:
        method = getattr(Storage, name)
        if callable(method) and any(holds_values(kind, set()) for kind in get_type_hints(method).values()):
            carrying.add(name)

    assert {"enqueue", "get", "send", "read"} <= carrying
    assert not carrying - set(vars(CodedStorage)), "Let CodedStorage encode and decode what these carry."


@aiq.task(retry=aiq.Retry(attempts=1))
async def fails(text: str) -> None:
    raise ValueError("no")


async def test_no_sample_of_an_encrypted_input_is_kept() -> None:
    for codecs, kept in (((aiq.Zlib(min_bytes=0),), 1), (BOTH, 0)):
        async with aiq.Queue("memory://", codecs=codecs) as queue:
            await queue.enqueue(fails.job(SECRET))
            await aiq.Worker(queue, tasks=[fails]).run_until_idle()
            [group] = (await queue.storage.dead_groups(DeadQuery())).groups

            assert len(group.samples) == kept


async def test_redriven_and_replayed_jobs_are_read_as_ever() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=BOTH) as queue:
        one = await queue.enqueue(fails.job(SECRET))
        done = await queue.enqueue(shout.job(SECRET))
        await aiq.Worker(queue, tasks=[fails, shout]).run_until_idle()
        again = Redrive(id="r", targets=(Target(one.id, 1),), payload=(await queue.list()).jobs[0].payload)
        await queue.storage.redrive(again)
        [stored] = await storage.get([one.id])
        assert stored is not None
        assert parted(stored.payload) is not None
        record = await done.record()
        await queue.storage.enqueue([JobSpec(id="replay", task="shout", payload=record.payload)])
        await aiq.Worker(queue, tasks=[fails, shout]).run_until_idle()

        assert await queue.job("replay", shout).result(0) == SECRET.upper()
        with pytest.raises(JobDead, match="ValueError: no"):
            await one.result(0)


async def test_templates_of_schedules_are_encoded_and_their_jobs_too() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain(BOTH))
    plan = ScheduleSpec(name="nightly", template=JobSpec(id="", task="work", payload=b"[1]"), every_ms=60_000)
    [put] = await coder.put_schedules([plan])
    [kept] = await storage.get_schedules()
    [read] = await coder.get_schedules()
    await coder.run_schedule("nightly", replace(read.spec.template, id="now"))
    [stored] = await storage.get(["now"])
    [record] = await coder.get(["now"])

    assert put.spec.template.payload == read.spec.template.payload == b"[1]"
    assert parted(kept.spec.template.payload) is not None
    assert stored is not None
    assert record is not None
    assert (parted(stored.payload) is None, record.payload) == (False, b"[1]")
