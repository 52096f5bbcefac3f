"""Codecs where somebody else may write to the storage, or where values are lost, or a codec fails."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

import aiq
from aiq.backends.memory.storage import MemoryStorage, open_memory
from aiq.codecs import Undecodable, Value
from aiq.coded import Chain, CodedStorage
from aiq.engine.calendar import Calendar
from aiq.errors import Conflict, JobDead, PayloadInvalid, Unavailable
from aiq.model import Cause, ChunkKind, JobSpec, NewChunk, ScheduleSpec, Step, StepKind, Suspended
from aiq.rules.coding import Unreadable, coded, parted
from aiq.schedule import ScheduleAdmin
from aiq.storage import append, read
from aiq.testing.actions import end, start, value
from aiq.testing.clock import Clock

KEY = {"k1": b"1" * 32}
PAYLOAD = Value("payload", "job")


def sealing(keys: Mapping[str, bytes] = KEY) -> aiq.AESGCM:
    return aiq.AESGCM(keys=keys, current=next(iter(keys)), plain="refuse")


@aiq.task
async def shout(ctx: aiq.Context, text: str) -> str:
    await ctx.emit(text)
    return await ctx.step("loud", str.upper, text, returns=str)


async def worked(queue: aiq.Queue) -> None:
    await aiq.Worker(queue, tasks=[shout]).run_until_idle()


async def test_a_plain_value_is_refused_where_encryption_is_required() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage) as plain, aiq.Queue(storage, codecs=[aiq.Zlib(), sealing()]) as queue:
        forged = await plain.enqueue(shout.job("forged"))
        fine = await queue.enqueue(shout.job("fine"))
        await worked(queue)

        assert await fine.result(0) == "FINE"
        assert [text async for text in fine.text()] == ["fine"]
        with pytest.raises(JobDead, match="stored without aesgcm, which is required here"):
            await queue.job(forged.id).result(0)
    assert (await forged.record()).cause is Cause.PAYLOAD


@pytest.mark.parametrize("forged", [b"[1]", bytes(coded((), b"[1]")), bytes(coded(("zlib",), b"[1]"))])
async def test_no_header_makes_up_for_a_key(forged: bytes) -> None:
    read = await Chain((aiq.Zlib(), sealing())).decode(forged, PAYLOAD)

    assert isinstance(read, Unreadable)
    assert not read.startswith(b"[1]")


async def test_what_the_storage_writes_itself_needs_no_key() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain((sealing(),)))
    run = await start(storage, "job")
    await append(coder, run.lease, [NewChunk(1, b"a")])
    await end(storage, run, Suspended("approval", "go", timeout_ms=0))
    await storage.upkeep()
    await storage.cancel(["job"])

    assert [step.kind for step in await coder.get_steps("job")] == [StepKind.TIMEOUT]
    *_, marker = (await read(coder, "job")).chunks
    assert (marker.kind, isinstance(marker.data, Unreadable)) == (ChunkKind.CANCELLED, False)


def test_another_word_for_plain_values_is_refused() -> None:
    with pytest.raises(aiq.InvalidInput, match='neither "read" nor "refuse"'):
        aiq.AESGCM(keys=KEY, current="k1", plain="forbid")  # type: ignore[arg-type]


async def test_a_step_in_the_place_of_another_is_none() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain((sealing(),)))
    run = await start(storage, "job")
    await coder.save_step(run.lease, value("approved", b"true"))
    [stored] = await storage.get_steps("job")
    await storage.save_step(run.lease, Step("paid", StepKind.VALUE, stored.value))

    read = {step.key: step.value for step in await coder.get_steps("job")}

    assert read["approved"] == b"true"
    assert isinstance(read["paid"], Unreadable)


async def test_a_line_of_the_log_is_no_data() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain((sealing(),)))
    run = await start(storage, "job")
    await append(coder, run.lease, [NewChunk(1, b"a line", ChunkKind.LOG)])
    [stored] = (await read(storage, "job")).chunks
    await append(storage, run.lease, [NewChunk(2, stored.data)])

    line, data = (chunk.data for chunk in (await read(coder, "job")).chunks)

    assert line == b"a line"
    assert isinstance(data, Unreadable)


async def stored_chunks(storage: MemoryStorage) -> list[bytes]:
    return [chunk.data for chunk in (await read(storage, "job")).chunks]


async def test_equal_tokens_of_a_stream_are_not_seen_to_be_equal() -> None:
    storage = await open_memory("memory://")
    coder = CodedStorage(storage, Chain((sealing(),)))
    run = await start(storage, "job")
    chunks = [NewChunk(seq, b" the") for seq in (1, 2, 3)]
    await append(coder, run.lease, chunks)
    await append(coder, run.lease, chunks)
    for signal_id in ("1", "2"):
        await coder.send("job", "go", signal_id, b"yes")
        assert (await coder.send("job", "go", signal_id, b"yes")).existed

    assert len(set(await stored_chunks(storage))) == 3
    signals = [signal.payload for signal in storage._home.tables.signals["job"].values()]
    assert len(set(signals)) == 2
    assert [chunk.data for chunk in (await read(coder, "job")).chunks] == [b" the"] * 3


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fails: type[Exception] | None = None

    async def put(self, key: str, data: bytes) -> None:
        if self.fails is not None:
            raise self.fails("no")
        self.held[key] = data

    async def get(self, key: str) -> bytes:
        self.asked.append(key)
        if self.fails is not None:
            raise self.fails("no")
        return self.held[key]

    def offload(self) -> aiq.Offload:
        return aiq.Offload(self.put, self.get, over=0)


async def test_a_storage_cannot_choose_what_a_bucket_is_asked_for() -> None:
    shelf = Shelf()
    shelf.held["../../etc/passwd"] = b"root"

    read = await Chain((shelf.offload(),)).decode(coded(("offload",), b"../../etc/passwd"), PAYLOAD)

    assert isinstance(read, Unreadable)
    assert (read.passing, shelf.asked) == (False, [])


async def test_what_was_changed_or_exchanged_in_a_bucket_is_found_out() -> None:
    shelf = Shelf()
    chain = Chain((shelf.offload(),))
    stored = await chain.encode(b"mine", PAYLOAD)
    assert await chain.decode(stored, PAYLOAD) == b"mine"
    assert isinstance(await chain.decode(stored, replace(PAYLOAD, owner="other")), Unreadable)

    shelf.held = dict.fromkeys(shelf.held, b"other")
    read = await chain.decode(stored, PAYLOAD)

    assert isinstance(read, Unreadable)
    assert (read.passing, "was changed" in read.why) == (False, True)


async def test_any_error_of_a_bucket_is_an_outage() -> None:
    class ClientError(Exception):
        """Not an OSError, as those of most clients."""

    shelf = Shelf()
    chain = Chain((shelf.offload(),))
    stored = await chain.encode(b"mine", PAYLOAD)
    shelf.fails = ClientError

    with pytest.raises(Unavailable, match="ClientError: no"):
        await chain.encode(b"other", PAYLOAD)
    read = await chain.decode(stored, PAYLOAD)
    assert isinstance(read, Unreadable)
    assert read.passing


@aiq.task
async def same(text: str) -> str:
    return text


class Broken:
    name = "broken"
    hides = required = False

    async def encode(self, data: bytes, value: Value) -> tuple[str, bytes] | None:
        return "", data

    async def decode(self, data: bytes, note: str, value: Value) -> bytes:
        raise ZeroDivisionError


async def test_a_codec_that_fails_keeps_no_other_job_from_its_worker() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=[Broken()]) as queue, aiq.Queue(storage) as plain:
        broken = await queue.enqueue(same.job("a"), attempts=1)
        fine = await plain.enqueue(same.job("b"))
        await aiq.Worker(queue, tasks=[same]).run_until_idle()

        with pytest.raises(JobDead, match='Codec "broken" failed at it'):
            await plain.job(broken.id).result(0)
        with pytest.raises(Unavailable, match='Codec "broken" failed at it'):
            await queue.job(fine.id, same).result(0)


async def test_a_header_that_names_a_codec_many_times_is_not_followed() -> None:
    read = await Chain((aiq.Zlib(),)).decode(coded(("zlib",) * 40, b""), PAYLOAD)

    assert isinstance(read, Unreadable)
    assert "names a codec twice" in read.why


FAILS = {"once": False}


@aiq.task(retry=aiq.Retry(attempts=3, first_delay=0))
async def remembers(ctx: aiq.Context) -> str:
    kept = await ctx.step("kept", str.upper, "kept", returns=str)
    if FAILS["once"]:
        FAILS["once"] = False
        raise ValueError("after the step")
    return kept


async def test_a_remembered_step_that_is_out_of_reach_for_a_while_kills_no_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FAILS, "once", True)
    shelf = Shelf()
    times = iter([ConnectionError("away")])
    get = shelf.get

    async def away_once(key: str) -> bytes:
        for error in times:
            raise error
        return await get(key)

    async with aiq.Queue("memory://", codecs=[aiq.Offload(shelf.put, away_once, over=5)]) as queue:
        job = await queue.enqueue(remembers.job())
        async with aiq.Worker(queue, tasks=[remembers]):
            async with asyncio.timeout(20):
                assert await queue.job(job.id, remembers).result() == "KEPT"


async def test_what_cannot_be_read_is_not_replayed() -> None:
    storage = await open_memory("memory://")
    async with aiq.Queue(storage, codecs=[sealing()]) as queue:
        done = await queue.enqueue(shout.job("a"))
        await worked(queue)
    for codecs in ([], [sealing({"k2": b"2" * 32})]):
        async with aiq.Queue(storage, codecs=codecs) as other:
            outcomes = await other.admin.replay(done.id)

            assert outcomes.done == ()
            [refused] = outcomes.refused
            assert (refused.reason, "k1" in refused.text) == ("unreadable", True)


async def test_a_schedule_that_cannot_be_read_is_left_to_those_who_can() -> None:
    storage = await open_memory("memory://", Clock())
    able, unable = (CodedStorage(storage, Chain((sealing(keys),))) for keys in (KEY, {"k2": b"2" * 32}))
    template = JobSpec(id="", task="shout", payload=b"[]")
    await able.put_schedules([ScheduleSpec(name="often", template=template, every_ms=1_000)])
    await Calendar(able).fire_due()

    for blind in (unable, storage):
        assert await Calendar(blind).fire_due() == 0
        with pytest.raises(PayloadInvalid, match="cannot be read"):
            await ScheduleAdmin(blind).run_now("often")
    assert await Calendar(able).fire_due() == 1
    [status] = await storage.get_schedules()
    assert (status.fires, status.skipped) == (1, 0)


async def test_a_schedule_that_is_put_again_is_encoded_with_the_new_key() -> None:
    storage = await open_memory("memory://")
    both = {"k1": b"1" * 32, "k2": b"2" * 32}
    for key in both:
        queue = aiq.Queue(storage, codecs=[aiq.AESGCM(keys=both, current=key)])
        report = await queue.admin.put_schedule(aiq.Schedule("often", shout.job("a"), every=1))

    [status] = await storage.get_schedules()
    found = parted(status.spec.template.payload)
    assert found is not None
    assert (report.revision, found[0]) == (1, ("aesgcm=k2",))


async def test_an_id_that_was_written_with_another_key_is_told_what_to_do() -> None:
    chain = Chain((sealing({"k2": b"2" * 32}),))
    read = await chain.decode(await Chain((sealing(),)).encode(b"mine", PAYLOAD), PAYLOAD)

    assert isinstance(read, Unreadable)
    assert "add it to AESGCM(keys=…) in every process" in read.why


def test_undecodable_is_permanent_unless_it_says_otherwise() -> None:
    assert not Undecodable("no").passing


async def test_a_signal_sent_again_after_a_change_of_keys_is_a_conflict() -> None:
    storage = await open_memory("memory://")
    both = {"k1": b"1" * 32, "k2": b"2" * 32}
    old, new = (CodedStorage(storage, Chain((aiq.AESGCM(keys=both, current=key),))) for key in both)
    await start(storage, "job")
    await old.send("job", "go", "1", b"yes")

    with pytest.raises(Conflict):
        await new.send("job", "go", "1", b"yes")
