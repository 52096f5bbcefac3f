"""A Redis server that loses what it held, its disk, its replicas or its time, with jobs under way."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aiq
from aiq.errors import LeaseLost, NotFound, StorageFull, Unavailable
from aiq.model import TERMINAL, JobFilter, Settled, Settlement, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, get_one, job, states, value
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from tests.backends.redis.repeating import repeated
from tests.chaos.notes import until
from tests.chaos.proxy import proxied
from tests.servers import PASSWORD, USER, Server, Watched, free_port
from tests.stores import opened

pytestmark = pytest.mark.faults

LEASE_S = 1.0


@pytest.fixture
def started() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(*options))
        return servers[-1].start()

    try:
        yield start
    finally:
        for one in servers:
            one.end()


Start = Callable[..., Server]


# -- The server loses what it held


async def lived(one: Server) -> None:
    """Let a bit of everything happen, so that the log ends in the middle of many things."""
    async with opened(one.url(), Clock()) as storage:
        await storage.enqueue([job(f"{n}", payload=b"x" * 100) for n in range(30)])
        await storage.enqueue([job("last", depends_on=("0", "1")), job("keyed", key="k"), job("unique", unique="u")])
        runs = await claim_some(storage, 20)
        for run in runs[:10]:
            await storage.save_step(run.lease, value("a"))
            await storage.exchange([Settlement(run.lease, f"of {run.id}", GOOD)])
        await storage.cancel([run.id for run in runs[15:]], force=True)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a server that has kept a log of all that."""
    one = Server("--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0").start()
    asyncio.run(lived(one))
    one.kill()
    yield one.folder
    one.end()


@given(lost=st.integers(0, 40_000))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_log_that_is_cut_anywhere_gives_a_storage_as_it_was_at_an_earlier_instant(log: Path, lost: int) -> None:
    one = Server("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
    try:
        shutil.copytree(log / "appendonlydir", one.folder / "appendonlydir")
        (tail,) = (one.folder / "appendonlydir").glob("*.incr.aof")
        with tail.open("rb+") as file:
            file.truncate(max(0, tail.stat().st_size - lost))
        one.start()
        asyncio.run(is_whole(one))
    finally:
        one.end()


async def is_whole(one: Server) -> None:
    """Whether nothing contradicts itself, every job that is listed is there, and work goes on."""
    async with opened(one.url(), Clock()) as storage:
        assert await storage.audit() == []
        page = await storage.list(JobFilter(), limit=100)
        counted = sum(number for states_ in (await storage.count()).values() for number in states_.values())
        assert len(page.jobs) == counted
        assert len(await storage.get([one.id for one in page.jobs])) == counted
        await enqueue_one(storage, "afterwards")
        await claim_some(storage, 50)
        assert await storage.audit() == []


async def test_a_failover_loses_what_the_replica_had_not_seen_and_no_run_of_before_ends_a_job_of_after(
    started: Start,
) -> None:
    primary = started("--repl-diskless-sync-delay", "0")
    async with proxied(primary.port) as line:
        replica = started("--replicaof", "127.0.0.1", str(line.port))
        await until(lambda: replica.info("master_link_status") == "up", "the replica follows")
        async with opened(primary.url(), Clock()) as before:
            await enqueue_one(before, "seen")
            await until(lambda: replica.ask("EXISTS", "{aiq:default}:jobs") == 1, "the job is seen")
            line.go_dark()
            lost = await claim_one(before)
            await enqueue_one(before, "unseen")
            unseen = await claim_one(before)
            replica.ask("REPLICAOF", "NO", "ONE")

            async with opened(replica.url(), Clock()) as after:
                assert await states(after, "seen", "unseen") == [State.READY, None]
                run = await claim_one(after)
                assert (run.id, run.fence) == (lost.id, lost.fence)

                # The same number, of another history: the random name of the lease tells them apart.
                found = await after.exchange([Settlement(lost.lease, "1", GOOD), Settlement(unseen.lease, "2", GOOD)])
                assert not any(isinstance(one, Settled) for one in found.settled)
                assert (await get_one(after, "seen")).state is State.RUNNING
                assert await states(after, "unseen") == [None]
                with pytest.raises((LeaseLost, NotFound)):
                    await after.save_step(unseen.lease, value("a"))
                await end(after, run, GOOD)
                assert await after.audit() == []


async def test_the_old_side_of_a_split_takes_no_writes_where_it_must_have_a_replica(started: Start) -> None:
    primary = started(
        "--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"
    )  # fmt: skip
    async with proxied(primary.port) as line:
        replica = started("--replicaof", "127.0.0.1", str(line.port))
        await until(lambda: replica.info("master_link_status") == "up", "the replica follows")
        async with opened(primary.url(), Clock()) as storage:
            await repeated(lambda: enqueue_one(storage, "before"))
            line.go_dark()

            async def refused() -> bool:
                try:
                    await enqueue_one(storage, "after")
                except Unavailable as error:
                    return "NOREPLICAS" in str(error)
                return False

            await until(refused, "the primary misses its replica")


async def test_sentinels_are_asked_again_when_the_primary_is_gone() -> None:
    pair = Watched().start()
    try:
        async with opened(pair.url("jobs", "&timeout=2"), Clock()) as storage:
            await enqueue_one(storage, "before")
            mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
            await until(lambda: pair.replica.ask("EXISTS", "{aiq:jobs}:jobs") == 1, "the replica has it")
            pair.lose_the_primary()
            async with asyncio.timeout(60):
                run = await repeated(lambda: claim_one(storage))
            assert run.id == "before"

            # Whoever listened at the old one hears the new one.
            waiting = asyncio.create_task(storage.wait(["queue:default"], after=mark, timeout_ms=60_000))
            await enqueue_one(storage, "after")
            async with asyncio.timeout(10):
                await waiting

            # The old one comes back, and follows: nobody writes to it.
            await asyncio.to_thread(pair.switched)
            pair.primary.start()
            # The sentinel looks every ten seconds, and lets it be a primary for eight before it says that it is none.
            await asyncio.to_thread(pair.primary.until, lambda: pair.primary.info("role") == "slave", 60)
            assert pair.replica.info("role") == "master"
            await end(storage, run, GOOD)
            assert await storage.audit() == []
    finally:
        pair.end()


async def test_a_primary_that_was_put_back_is_left() -> None:
    pair = Watched().start()
    try:
        async with opened(pair.url("jobs"), Clock()) as storage:
            await enqueue_one(storage, "before")
            await until(lambda: pair.replica.ask("EXISTS", "{aiq:jobs}:jobs") == 1, "the replica has it")
            pair.sentinel.ask("SENTINEL", "FAILOVER", pair.SERVICE)
            await asyncio.to_thread(pair.switched)
            await asyncio.to_thread(pair.primary.until, lambda: pair.primary.info("role") == "slave", 60)

            async with asyncio.timeout(20):
                await repeated(lambda: enqueue_one(storage, "after"))
            assert pair.replica.ask("HLEN", "{aiq:jobs}:jobs") == 2
    finally:
        pair.end()


# -- The server has no room on its disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes. Only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


async def test_a_full_disk_refuses_writes_and_loses_nothing(small_disk: Path, started: Start) -> None:
    one = started("--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(small_disk))
    try:
        async with opened(one.url(), Clock()) as storage:
            stored = await fill(storage)
            assert sum((await storage.count())["default"].values()) == stored

            await asyncio.to_thread(grow, small_disk)
            await until(lambda: takes(storage, "more"), "there is room again")
            assert await storage.audit() == []
    finally:
        one.end()


async def fill(storage: Storage) -> int:
    """Store jobs until there is no room, and tell how many were."""
    for number in range(10_000):
        try:
            await storage.enqueue([job(f"{number}", payload=b"x" * 10_000)])
        except StorageFull as error:
            assert "No space left" in str(error)  # noqa: PT017 - the others are stored
            return number
    raise AssertionError("the disk is never full")


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)


async def takes(storage: Storage, name: str) -> bool:
    """Whether a storage takes a job."""
    try:
        await enqueue_one(storage, name)
    except StorageFull:
        return False
    return True


# -- Workers go on


@aiq.task(lease=LEASE_S)
async def quick(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def test_workers_whose_connections_are_killed_again_and_again_do_every_job(started: Start) -> None:
    one = started()
    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[quick], slots=8):
        jobs = await queue.enqueue_many([quick.job(n) for n in range(200)])
        for _ in range(20):
            one.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            results = [await repeated(job.result) for job in jobs]

    assert results == list(range(200))


async def test_a_job_whose_server_stands_still_for_longer_than_its_lease_ends_once(started: Start) -> None:
    one = started()
    began, over = asyncio.Event(), asyncio.Event()

    @aiq.task(lease=LEASE_S)
    async def long() -> str:
        began.set()
        await over.wait()
        return "done"

    async with aiq.Queue(one.url(more="&timeout=0.3")) as queue, aiq.Worker(queue, tasks=[long]):
        job = await queue.enqueue(long.job())
        await began.wait()
        one.send(signal.SIGSTOP)
        await asyncio.sleep(1.5 * LEASE_S)  # the lease is a time of the server's own clock, which nobody can turn
        one.send(signal.SIGCONT)
        over.set()

        async with asyncio.timeout(60):
            assert await repeated(lambda: job.result(timeout=60)) == "done"
        events = await repeated(lambda: queue.storage.events_of(job.id))
        assert [event.target for event in events if event.target in TERMINAL] == [State.SUCCEEDED]


@clause("OUTAGE-1", "OUTAGE-2")
async def test_a_worker_waits_for_a_server_that_follows_another_for_a_while_and_its_run_ends_and_pays_once(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = started()
    began, read_only, paid = asyncio.Event(), asyncio.Event(), list[str]()

    @aiq.task(lease=60)
    async def long(ctx: aiq.Context) -> str:
        began.set()
        await read_only.wait()
        return await ctx.step("pay", lambda: paid.append("once") or "paid", returns=str)  # type: ignore[func-returns-value]

    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[long, quick]):
        jobs = [await queue.enqueue(long.job()), await queue.enqueue(quick.job(1))]
        await began.wait()
        # It keeps what it has: the port leads to no server that it could copy.
        one.ask("REPLICAOF", "127.0.0.1", free_port())
        read_only.set()
        told = ("What runs ask", "housekeeping", "Leases")
        await until(lambda: all(what in caplog.text for what in told), "each part has met it")
        one.ask("REPLICAOF", "NO", "ONE")

        async with asyncio.timeout(60):
            assert [await repeated(partial(job.result, 60)) for job in jobs] == ["paid", 1]
        run = await get_one(queue.storage, jobs[0].id)
    assert (paid, run.fence, run.errors) == (["once"], 1, ())


async def test_a_worker_lives_through_a_server_that_forgets_everything(started: Start) -> None:
    one = started("--appendonly", "no")
    async with aiq.Queue(one.url()) as queue, aiq.Worker(queue, tasks=[quick], slots=4):
        lost = await queue.enqueue_many([quick.job(n) for n in range(50)])
        one.kill()
        one.start()
        assert len(lost) == 50

        async def works() -> bool:
            job = await repeated(lambda: queue.enqueue(quick.job(7)))
            return await repeated(lambda: job.result(timeout=20)) == 7

        async with asyncio.timeout(30):
            assert await works()


def test_the_users_of_these_servers_have_the_least_rights(started: Start) -> None:
    told = str(started().ask("ACL", "GETUSER", USER))

    assert "+@all" not in told
    assert PASSWORD not in told
