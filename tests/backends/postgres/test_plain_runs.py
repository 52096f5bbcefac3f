"""What runs send most: by a function of the schema it is written and answered as the step in Python does it."""

import random
from dataclasses import replace

import pytest

from aiq.backends.postgres.plain.append import append as append_plainly
from aiq.backends.postgres.plain.append import may_be_plain
from aiq.backends.postgres.plain.renew import renew
from aiq.backends.postgres.plain.save_step import save_step
from aiq.bounds import ITEM_OVERHEAD_BYTES, MAX_STEPS, MAX_STREAM_BYTES
from aiq.errors import Conflict, LeaseLost, TooLarge
from aiq.model import Append, Appended, ChunkKind, ClaimRequest, Lease, NewChunk, Renewed, Want
from aiq.storage import Storage, append, claim, stream_topic
from aiq.testing.actions import chunks, job, value
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from tests.backends.postgres.whole_tables import Stepwise, opened, tables
from tests.postgres_servers import postgres_server

LEASE_MS = 10_000


async def runs(storage: Storage) -> list[Lease]:
    """Leases of three jobs that run, one of which is to stop. They are the same in every storage."""
    await storage.enqueue([job(name, lease_ms=LEASE_MS + place) for place, name in enumerate("abc")])
    claimed = await claim(storage, ClaimRequest("worker", 1, "lease", (Want("default", 3),)))
    await storage.cancel(["b"])
    return [record.lease for record in claimed]


@pytest.mark.parametrize("seed", range(3))
async def test_every_row_and_answer_is_that_of_the_step_in_python(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    async with opened(clock) as (short, here), opened(clock, Stepwise) as (long, there):
        leases = await runs(short)
        assert await runs(long) == leases
        for number in range(10):
            some, lease_ms, shrink = rng.choices(leases, k=2), rng.choice((None, 5_000, 20_000)), rng.random() < 0.5
            told = await short._plain(renew, some, lease_ms, shrink=shrink)
            assert told == await long.renew(some, lease_ms=lease_ms, shrink=shrink)
            step = value(f"step {number}", rng.randbytes(3), rng.choice(("", "d")))
            assert await short._plain(save_step, some[0], step) == await long.save_step(some[0], step)
            if number == 5:
                await short.pause("default")
                await long.pause("default")
            clock.advance_ms(rng.choice((0, 1, 100)))

        assert tables(here) == tables(there)


@pytest.mark.parametrize("seed", range(4))
async def test_every_item_and_range_is_that_of_the_step_in_python(seed: int) -> None:
    rng, clock = random.Random(seed), Clock()
    async with opened(clock) as (short, here), opened(clock, Stepwise) as (long, there):
        leases, lasts = await runs(short), dict.fromkeys("abc", 0)
        await runs(long)
        for _ in range(12):
            chosen = rng.sample(leases, rng.randint(1, 3))
            some = [Append(lease, some_items(rng, lasts[lease.job_id] + 1)) for lease in chosen]
            assert may_be_plain(some)
            assert await short._plain(append_plainly, some) == await long.append(some)
            lasts.update({one.lease.job_id: one.chunks[-1].seq for one in some})
            clock.advance_ms(1_000)

        assert tables(here) == tables(there)


def some_items(rng: random.Random, first: int) -> list[NewChunk]:
    """Items that follow each other."""
    kinds = rng.choices([ChunkKind.DATA, ChunkKind.DATA, ChunkKind.LOG, ChunkKind.PROGRESS], k=rng.choice((1, 1, 3, 6)))
    return [NewChunk(first + n, rng.randbytes(n), kind, rng.choice((None, "a", "b"))) for n, kind in enumerate(kinds)]


async def test_where_one_run_is_refused_nothing_is_added_before_the_step_tells_why() -> None:
    async with opened(Clock()) as (storage, schema):
        first, _, last = await runs(storage)
        before = tables(schema)
        some = [Append(first, chunks("a")), Append(replace(last, fence=7), chunks("a"))]

        assert await storage._plain(append_plainly, some) is None
        assert tables(schema) == before
        assert [type(one) for one in await storage.append(some)] == [Appended, LeaseLost]


async def test_items_of_another_run_that_a_reset_may_name_are_left_to_the_step() -> None:
    clock = Clock()
    async with opened(clock) as (storage, schema):
        first, *_ = await runs(storage)
        await append(storage, first, chunks("lost"))
        clock.advance_ms(2 * LEASE_MS)
        await storage.upkeep()
        (again,) = await claim(storage, ClaimRequest("worker", 2, "again", (Want("default", 1),)))
        before = tables(schema)

        assert await storage._plain(append_plainly, [Append(again.lease, chunks("anew"))]) is None
        assert tables(schema) == before
        assert (await append(storage, again.lease, chunks("anew"))).last == 3


@pytest.mark.parametrize("first", [1, 4])
async def test_items_that_come_twice_or_leave_a_gap_are_left_to_the_step(first: int) -> None:
    async with opened(Clock()) as (storage, schema):
        lease, *_ = await runs(storage)
        await append(storage, lease, chunks("a", "b"))
        before = tables(schema)

        assert await storage._plain(append_plainly, [Append(lease, chunks("a", first=first))]) is None
        assert tables(schema) == before


async def test_a_stream_takes_as_much_as_it_has_room_for_and_the_rest_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, schema):
        lease, *_ = await runs(storage)
        full = MAX_STREAM_BYTES - ITEM_OVERHEAD_BYTES - 1
        postgres_server().tell(f"UPDATE {schema}.aiq_jobs SET stream_bytes = {full} WHERE id = 'a'")

        assert await storage._plain(append_plainly, [Append(lease, chunks("12"))]) is None
        assert await storage._plain(append_plainly, [Append(lease, chunks("1"))]) is not None
        with pytest.raises(TooLarge):
            await append(storage, lease, chunks("2", first=2))


def test_items_with_gaps_and_a_run_that_comes_twice_are_not_plain() -> None:
    lease = Lease("a", 1, "lease")
    assert not may_be_plain([Append(lease, [*chunks("a"), *chunks("c", first=3)])])
    assert not may_be_plain([Append(lease, chunks("a")), Append(lease, chunks("b", first=2))])
    assert not may_be_plain([Append(lease)])
    assert not may_be_plain([])


async def test_who_reads_a_stream_is_told() -> None:
    async with opened(Clock()) as (storage, _):
        lease, *_ = await runs(storage)
        mark = await storage.wait({stream_topic("a")}, after=None, timeout_ms=0)

        await storage._plain(append_plainly, [Append(lease, chunks("new"))])

        assert await storage.wait({stream_topic("a")}, after=mark, timeout_ms=60_000) != mark


async def test_where_one_lease_is_lost_none_is_renewed_before_the_step_tells_why() -> None:
    clock = Clock()
    async with opened(clock) as (storage, schema):
        first, _, last = await runs(storage)
        before = tables(schema)
        lost = [replace(last, lease_id="another"), replace(last, fence=7), Lease("nobody", 1, "lease")]

        assert [await storage._plain(renew, [first, one], None, shrink=False) for one in lost] == [None] * 3
        assert tables(schema) == before
        told = await storage.renew([first, lost[0]])
        assert (type(told[0]), type(told[1])) == (Renewed, LeaseLost)


async def test_a_lease_that_no_database_could_store_is_lost_as_any_other() -> None:
    async with opened(Clock()) as (storage, _):
        first, *_ = await runs(storage)
        never = replace(first, fence=2**70)

        assert [type(one) for one in await storage.renew([never, first])] == [LeaseLost, Renewed]
        with pytest.raises(LeaseLost):
            await storage.save_step(never, value("k"))
        with pytest.raises(LeaseLost):
            await append(storage, never, chunks("a"))


async def test_a_lease_is_not_renewed_at_the_instant_at_which_it_ends() -> None:
    clock = Clock()
    async with opened(clock) as (storage, _):
        first, _, last = await runs(storage)
        clock.advance_ms(LEASE_MS)

        assert await storage._plain(renew, [first], None, shrink=False) is None
        assert await storage._plain(renew, [last], None, shrink=False) is not None


async def test_a_late_run_may_save_a_step_and_hears_that_it_is_late() -> None:
    clock = Clock()
    async with opened(clock) as (storage, _):
        first, *_ = await runs(storage)
        clock.advance_ms(LEASE_MS)

        saved = await storage._plain(save_step, first, value("k"))

        assert saved is not None
        assert saved.late


async def test_a_key_that_is_taken_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, schema):
        first, *_ = await runs(storage)
        await storage.save_step(first, value("k", digest="d"))
        before = tables(schema)

        assert await storage._plain(save_step, first, value("k", digest="d")) is None
        assert tables(schema) == before
        assert (await storage.save_step(first, value("k", digest="d"))).existed
        with pytest.raises(Conflict):
            await storage.save_step(first, value("k", digest="other"))


async def test_a_run_that_has_lost_its_job_writes_nothing() -> None:
    async with opened(Clock()) as (storage, _):
        first, *_ = await runs(storage)
        for lost in (replace(first, lease_id="another"), replace(first, fence=7), Lease("nobody", 1, "lease")):
            assert await storage._plain(save_step, lost, value("k")) is None
            assert await storage._plain(append_plainly, [Append(lost, chunks("a"))]) is None
        with pytest.raises(LeaseLost):
            await storage.save_step(replace(first, fence=7), value("k"))


async def test_a_job_with_as_many_steps_as_it_may_have_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, schema):
        first, *_ = await runs(storage)
        postgres_server().tell(f"UPDATE {schema}.aiq_jobs SET steps = {MAX_STEPS - 1} WHERE id = 'a'")

        assert await storage._plain(save_step, first, value("last")) is not None
        assert await storage._plain(save_step, first, value("one more")) is None
        with pytest.raises(TooLarge):
            await storage.save_step(first, value("one more"))


@clause("ENQ-11")
async def test_what_runs_do_is_plain_beside_jobs_that_were_left_in_transactions() -> None:
    async with opened(Clock()) as (storage, schema):
        first, *_ = await runs(storage)
        postgres_server().tell(f"INSERT INTO {schema}.aiq_inbox (content) VALUES ('[]')")

        assert await storage._plain(renew, [first], None, shrink=False) is not None
        assert await storage._plain(save_step, first, value("k")) is not None
        assert await storage._plain(append_plainly, [Append(first, chunks("a"))]) is not None


async def test_what_stands_against_any_step_is_left_to_the_step() -> None:
    async with opened(Clock()) as (storage, schema):
        first, *_ = await runs(storage)
        postgres_server().tell(f"INSERT INTO {schema}.aiq_moving VALUES ('moved', 'elsewhere')")

        assert await storage._plain(renew, [first], None, shrink=False) is None
        assert await storage._plain(save_step, first, value("k")) is None
        assert await storage._plain(append_plainly, [Append(first, chunks("a"))]) is None
