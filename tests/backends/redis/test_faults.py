"""What breaks in one Redis server, what callers hear of it, and that everything goes on when it is mended."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import redis

from aiq.errors import AiqError, Corrupt, Misconfigured, StorageError, StorageFull, Unavailable
from aiq.model import Append, Capability, ChunkKind, JobFilter, Renewed, Settlement, State, Suspended
from aiq.storage import Storage, append, read
from aiq.testing.actions import (
    GOOD,
    chunks,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    get_one,
    job,
    keep_up,
    start,
    states,
    value,
)
from aiq.testing.clock import Clock
from tests.backends.redis.repeating import repeated
from tests.chaos.notes import until
from tests.servers import PASSWORD, USER, Server
from tests.stores import opened

Start = Callable[..., Server]


async def test_scripts_that_are_flushed_again_and_again_are_sent_again(started: Start) -> None:
    one, over = started(), threading.Event()

    def flush() -> None:
        with redis.Redis(port=one.port) as owner:
            while not over.is_set():
                owner.script_flush()

    flushing = threading.Thread(target=flush)
    flushing.start()
    try:
        async with opened(one.url(), Clock()) as storage:
            for n in range(10):
                await enqueue_one(storage, f"{n}")
                run = await claim_one(storage)
                await end(storage, run, GOOD)
            assert (await storage.count())["default"] == {State.SUCCEEDED: 10}
    finally:
        over.set()
        flushing.join()


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
async def test_a_server_with_a_log_that_is_killed_loses_nothing_that_was_acknowledged(
    started: Start, fsync: str
) -> None:
    one = started("--appendonly", "yes", "--appendfsync", fsync)
    async with opened(one.url(), Clock()) as storage:
        assert Capability.DURABLE in storage.capabilities
        await storage.enqueue([job(f"{n}") for n in range(100)])
        runs = await claim_some(storage, 50)
        for run in runs[:25]:
            await end(storage, run, GOOD)
        one.kill()
        with pytest.raises(Unavailable):
            await storage.count()
        one.start()

        counted = (await storage.count())["default"]
        assert counted == {State.READY: 50, State.RUNNING: 25, State.SUCCEEDED: 25}
        await end(storage, runs[25], GOOD)
        assert await storage.audit() == []


async def test_a_server_without_a_log_that_is_killed_forgets_and_says_that_it_would(started: Start) -> None:
    one = started("--appendonly", "no")
    async with opened(one.url(), Clock()) as storage:
        assert Capability.DURABLE not in storage.capabilities
        told = {fact.name: fact for fact in await storage.facts()}
        assert told["durability"].level.value == "warn"
        run = await start(storage)
        one.kill()
        one.start()

        (answer,) = await repeated(lambda: storage.renew([run.lease], lease_ms=1_000))
        assert not isinstance(answer, Renewed)
        assert await states(storage, run.id) == [None]
        await enqueue_one(storage, "next")
        assert (await claim_one(storage)).id == "next"


async def test_a_full_server_takes_no_jobs_and_lets_those_that_are_there_end(started: Start) -> None:
    one = started("--appendonly", "no")
    async with opened(one.url(), Clock()) as storage:
        await storage.enqueue([job(f"{n}") for n in range(4)])
        run, other = await claim_some(storage, 2)
        one.ask("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StorageFull, match="no memory left"):
            await enqueue_one(storage, "more")
        with pytest.raises(StorageFull):
            await storage.send(run.id, "go", "1", b"yes")

        (renewed,) = await storage.renew([run.lease], lease_ms=90_000)
        assert isinstance(renewed, Renewed)
        exchanged = await storage.exchange([Settlement(run.lease, "1", GOOD)])
        assert len(exchanged.settled) == 1
        assert (await claim_one(storage)).id == "2"
        await storage.cancel(["3", other.id])
        await storage.upkeep()
        assert await states(storage, run.id, "3", "more") == [State.SUCCEEDED, State.CANCELLED, None]
        assert await storage.audit() == []

        one.ask("CONFIG", "SET", "maxmemory", 0)
        await enqueue_one(storage, "more")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_throws_keys_away_is_refused(started: Start, policy: str) -> None:
    one = started("--maxmemory-policy", policy)
    with pytest.raises(Misconfigured, match=f"{policy}.*noeviction"):
        async with opened(one.url(), Clock()):
            pass


async def test_a_server_that_may_not_be_asked_is_warned_of(started: Start, caplog: pytest.LogCaptureFixture) -> None:
    one = started()
    one.ask("ACL", "SETUSER", USER, "-info", "-config|get")
    async with opened(one.url(), Clock()) as storage:
        assert "noeviction" in caplog.text
        assert {fact.name: fact.level.value for fact in await storage.facts()}["server"] == "warn"
        await enqueue_one(storage)


async def test_a_server_that_stands_still_is_given_up_after_the_deadline_and_used_again(started: Start) -> None:
    one = started()
    async with opened(one.url(more="&timeout=0.3"), Clock()) as storage:
        run = await start(storage)
        one.send(signal.SIGSTOP)
        try:
            async with asyncio.timeout(2):
                with pytest.raises(Unavailable, match=r"within 0\.3 s"):
                    await storage.renew([run.lease], lease_ms=90_000)
        finally:
            one.send(signal.SIGCONT)

        await end(storage, run, GOOD)
        assert await states(storage, run.id) == [State.SUCCEEDED]


async def test_a_server_that_takes_no_writes_for_a_while_is_unavailable(started: Start) -> None:
    one = started()
    async with opened(one.url(more="&timeout=0.2"), Clock()) as storage:
        one.ask("CLIENT", "PAUSE", 60_000, "WRITE")
        with pytest.raises(Unavailable):
            await enqueue_one(storage)
        one.ask("CLIENT", "UNPAUSE")

        # What was waiting at the server may be done or not: the same id is one job.
        await enqueue_one(storage)
        assert (await storage.count())["default"] == {State.READY: 1}


async def test_a_foreign_script_that_does_not_end_makes_a_server_unavailable(started: Start) -> None:
    one = started("--busy-reply-threshold", "50")
    async with opened(one.url(), Clock()) as storage:

        def block() -> None:
            with suppress(redis.ResponseError), redis.Redis(port=one.port) as owner:
                owner.eval("while true do end", 0)

        blocking = threading.Thread(target=block)
        blocking.start()
        try:
            await until(lambda: refused(storage), "the server is busy")
        finally:
            one.ask("SCRIPT", "KILL")
            blocking.join()

        await enqueue_one(storage)


async def test_connections_that_are_killed_again_and_again_cost_a_repetition(started: Start) -> None:
    one, over = started(), threading.Event()

    def kill() -> None:
        with redis.Redis(port=one.port) as owner:
            while not over.wait(0.002):
                owner.client_kill_filter(_type="normal", skipme=True)

    killing = threading.Thread(target=kill)
    async with opened(one.url(), Clock()) as storage:
        killing.start()
        try:
            for n in range(100):
                await repeated(lambda n=n: enqueue_one(storage, f"{n}"))
        finally:
            over.set()
            killing.join()

        assert (await repeated(storage.count))["default"] == {State.READY: 100}
        assert await repeated(storage.audit) == []


async def refused(storage: Storage) -> bool:
    """Whether a storage says that its server is busy."""
    try:
        await storage.count()
    except Unavailable as error:
        return "BUSY" in str(error)
    return False


async def test_a_server_that_loads_its_file_is_unavailable_until_it_has(started: Start) -> None:
    one = started("--appendonly", "yes")
    async with opened(one.url(), Clock()) as storage:
        await storage.enqueue([job(f"{n}", queue=f"q{n}") for n in range(60)])
        one.ask("BGREWRITEAOF")
        one.until(lambda: one.info("aof_rewrite_in_progress") == 0 and one.info("aof_rewrites") >= 1)
        one.kill()
        one.start("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024", ready=False)
        seen = set()
        async with asyncio.timeout(20):
            while True:
                try:
                    await storage.count()
                    break
                except Unavailable as error:
                    seen.add("loading" in str(error))

        assert True in seen
        assert (await get_one(storage, "59")).state is State.READY


async def test_a_row_that_is_removed_by_hand_stops_nobody_for_ever(started: Start) -> None:
    one = started()
    async with opened(one.url(), Clock()) as storage:
        await storage.enqueue([job("gone"), job("next")])
        one.ask("HDEL", "{aiq:default}:jobs", "gone")
        found = []
        for _ in range(3):
            with suppress(Corrupt):
                found += [run.id for run in await claim_some(storage, 2)]

        assert found == ["next"]


async def to_run(storage: Storage) -> None:
    await start(storage, "gone")


async def to_run_asked_to_stop(storage: Storage) -> None:
    await start(storage, "gone")
    await storage.cancel(["gone"])


async def to_be_scheduled(storage: Storage) -> None:
    await enqueue_one(storage, "gone", delay_ms=1_000)


async def to_be_suspended(storage: Storage) -> None:
    run = await start(storage, "gone")
    await end(storage, run, Suspended("go", signal="go", timeout_ms=1_000))


async def to_have_a_deadline(storage: Storage) -> None:
    await enqueue_one(storage, "gone", deadline_ms=1_000)


async def to_be_over(storage: Storage) -> None:
    run = await start(storage, "gone")
    await storage.save_step(run.lease, value("a"))
    await append(storage, run.lease, chunks("b"))
    await end(storage, run, GOOD)


async def to_be_waited_for(storage: Storage) -> None:
    run = await start(storage, "gone")
    await enqueue_one(storage, "after", depends_on=("gone",))
    await end(storage, run, GOOD)


@pytest.mark.parametrize(
    "begin",
    [
        to_run, to_run_asked_to_stop, to_be_scheduled, to_be_suspended, to_have_a_deadline, to_be_over,
        to_be_waited_for,
    ],
)  # fmt: skip
async def test_a_row_that_is_removed_by_hand_stops_no_upkeep_and_is_named(
    started: Start, begin: Callable[[Storage], Awaitable[None]]
) -> None:
    one, clock = started(), Clock()
    async with opened(one.url(), clock) as storage:
        await begin(storage)
        await enqueue_one(storage, "later", delay_ms=2_000)
        one.ask("HDEL", "{aiq:default}:jobs", "gone")
        assert await storage.audit() != []
        clock.advance_ms(90 * 86_400_000)
        for _ in range(3):
            await storage.upkeep()

        assert (await claim_one(storage)).id in ("later", "after")
        assert [one.id for one in (await storage.list(JobFilter())).jobs][-1] == "later"
        assert await storage.audit() != []


@pytest.mark.parametrize("broken", ["minutes", "leases", "counts"])
async def test_a_step_that_stumbles_leaves_no_item_behind_and_is_made_once_it_can_be(
    started: Start, broken: str
) -> None:
    one = started()
    async with opened(one.url(), Clock()) as storage:
        run = await start(storage)
        await append(storage, run.lease, chunks("a"))
        name, aside = f"{{aiq:default}}:{broken}", "{aiq:default}:aside by hand"
        one.ask("RENAME", name, aside)
        one.ask("SET", name, "no table")
        with pytest.raises(Corrupt):
            await end(storage, run, GOOD)
        one.ask("RENAME", aside, name)
        await end(storage, run, GOOD)

        kinds = [chunk.kind for chunk in (await read(storage, run.id, after=0)).chunks]
        assert kinds == [ChunkKind.DATA, ChunkKind.END]
        assert await storage.audit() == []


DAMAGES = {
    "another type": ("stream:bad", [("DEL",), ("SET", "x")]),
    "an item too many": ("stream:bad", [("XADD", "9-0", "m", "x", "d", "y")]),
    "its row": ("streams", [("HSET", "bad", b"\xc1")]),
    "its record": ("jobs", [("HSET", "bad", b"\0x")]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("how", ["append", "append twice", "exchange"])
async def test_a_damaged_stream_leaves_those_of_others_as_they_were(started: Start, damage: str, how: str) -> None:
    one = started()
    async with opened(one.url(), Clock()) as storage:
        await storage.enqueue([job("good"), job("bad")])
        good, bad = sorted(await claim_some(storage, 2), key=lambda run: run.id, reverse=True)
        await storage.append([Append(run.lease, chunks("a")) for run in (good, bad)])
        key, commands = DAMAGES[damage]
        for command, *words in commands:
            one.ask(command, f"{{aiq:default}}:{key}", *words)

        more = [Append(run.lease, chunks("b", first=2)) for run in (good, bad)]
        work: Awaitable[object]
        if how == "exchange":
            work = storage.exchange([Settlement(run.lease, run.id, GOOD) for run in (good, bad)])
        else:
            work = storage.append([more[0], *more] if how == "append twice" else more)
        with pytest.raises(Corrupt, match="audit"):
            await work

        assert (await append(storage, good.lease, chunks("b", first=2))).last == 2
        await end(storage, good, GOOD)
        assert [chunk.number for chunk in (await read(storage, "good")).chunks] == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 1, 255, 65_536])
async def test_bytes_come_back_as_they_went_in(started: Start, size: int) -> None:
    payload = bytes(n % 256 for n in range(size))
    async with opened(started().url(), Clock()) as storage:
        await enqueue_one(storage, payload=payload)

        assert (await get_one(storage)).payload == payload


async def test_only_errors_of_ours_leave_a_storage_whose_server_is_gone(started: Start) -> None:
    one = started()
    async with opened(one.url(more="&timeout=0.3"), Clock()) as storage:
        run = await start(storage)
        one.kill()
        calls = (
            storage.count(),
            storage.get(["a"]),
            storage.renew([run.lease], lease_ms=1_000),
            storage.exchange([Settlement(run.lease, "1", GOOD)]),
            storage.wait(["queue:default"], after=None, timeout_ms=0),
            storage.facts(),
            storage.audit(),
        )
        for call in calls:
            with pytest.raises(StorageError) as told:
                await call
            assert isinstance(told.value, AiqError)
            assert PASSWORD not in str(told.value)


async def test_a_storage_whose_jobs_are_gone_keeps_nothing_of_them(started: Start) -> None:
    one, clock, kept = started(), Clock(), []
    async with opened(one.url(), clock) as storage:
        for turn in range(3):
            await storage.enqueue([job(f"{turn} {n}", key=f"{n % 3}") for n in range(30)])
            while runs := await claim_some(storage, 30):
                for run in runs:
                    await storage.save_step(run.lease, value("a"))
                    await append(storage, run.lease, chunks("b"))
                    await end(storage, run, GOOD)
            clock.advance_ms(YEAR_MS)
            await keep_up(storage)
            kept.append(sizes(one))

    assert kept[1] == kept[2]
    assert "jobs" not in kept[2]


YEAR_MS = 366 * 86_400_000


def sizes(one: Server) -> dict[str, int]:
    """How much stands in each key of the namespace."""
    found = {}
    for name in one.ask("KEYS", "*"):
        kind = one.ask("TYPE", name)
        size = {"hash": "HLEN", "zset": "ZCARD", "set": "SCARD", "list": "LLEN", "stream": "XLEN"}[kind]
        found[name.partition("}:")[2]] = one.ask(size, name)
    # The stream of wake-ups is as long as it may be, or as there were any.
    return {name: size for name, size in found.items() if name != "wakeups"}
