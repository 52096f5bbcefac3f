"""A PostgreSQL server without room, one that its replica takes over from, and a process that stands still in a step."""

import asyncio
import os
import pwd
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiq.backends.postgres.migrate import migrate, migrations
from aiq.errors import LeaseLost, NotFound, ReadOnly, StorageFull, StorageMismatch, Unavailable
from aiq.model import Settled, Settlement, State
from aiq.storage import Storage
from aiq.testing.actions import GOOD, claim_one, end, enqueue_one, get_one, job, states, value
from aiq.testing.clock import Clock
from tests.chaos.notes import until
from tests.chaos.proxy import proxied
from tests.postgres_servers import SUPERUSER, USER, Postgres, processes, programs, set_up, unprivileged
from tests.stores import opened

pytestmark = pytest.mark.faults


@pytest.fixture
def made() -> Iterator[Callable[[], Postgres]]:
    servers: list[Postgres] = []

    def make() -> Postgres:
        servers.append(Postgres())
        return servers[-1]

    try:
        yield make
    finally:
        for one in servers:
            one.end()


@pytest.fixture
async def one(made: Callable[[], Postgres]) -> Postgres:
    """A server with a schema."""
    server = made()
    await asyncio.to_thread(server.start)
    await migrate(server.url())
    return server


# -- The server has no room on its disk


@pytest.fixture
def small_disk(made: Callable[[], Postgres]) -> Iterator[tuple[Postgres, Path]]:
    """A server, and a small file system for its tables. Only root can mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    server = made()
    disk = server.folder / "disk"
    disk.mkdir()
    owner = pwd.getpwnam(unprivileged())
    options = f"size=8m,mode=700,uid={owner.pw_uid},gid={owner.pw_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        server.start()
        server.tell(f"CREATE TABLESPACE small LOCATION '{disk}'")
        server.tell(f"GRANT CREATE ON TABLESPACE small TO {USER}; ALTER ROLE {USER} SET default_tablespace = 'small'")
        yield server, disk
    finally:
        server.kill()
        subprocess.run(["umount", disk], check=True)


async def test_a_full_disk_refuses_what_is_too_much_for_it_and_loses_nothing(
    small_disk: tuple[Postgres, Path],
) -> None:
    server, disk = small_disk
    await migrate(server.url())
    async with opened(server.url(), Clock()) as storage:
        stored = await fill(storage)
        assert sum((await storage.count())["default"].values()) == stored
        assert await states(storage, f"{stored}") == [None]

        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=64m", disk], check=True)
        await enqueue_one(storage, f"{stored}")
        await end(storage, await claim_one(storage), GOOD)
        assert await storage.audit() == []


async def fill(storage: Storage) -> int:
    """Store jobs until there is no room, and tell how many were."""
    dice = random.Random(7)
    for first in range(0, 10_000, 20):
        try:
            await storage.enqueue([job(f"{first + n}", payload=dice.randbytes(10_000)) for n in range(20)])
        except StorageFull as error:
            assert "its disk is full" in str(error)  # noqa: PT017 - the others are stored
            return first
    raise AssertionError("the disk is never full")


# -- A replica takes over


async def replica_of(port: int, replica: Postgres) -> None:
    """Copy a server, and let the copy follow it."""
    data = str(replica.folder / "data")
    copy = [str(programs() / "pg_basebackup"), "-h", "127.0.0.1", "-p", str(port), "-U", SUPERUSER, "-D", data]
    said = await asyncio.to_thread(set_up, [*copy, "-R", "-c", "fast"])
    assert not said, said
    await asyncio.to_thread(replica.start)


async def test_a_failover_loses_what_the_replica_had_not_seen_and_no_run_of_before_ends_a_job_of_after(
    one: Postgres, made: Callable[[], Postgres]
) -> None:
    async with proxied(one.port) as line, opened(one.url(), Clock()) as before:
        replica = made()
        await replica_of(line.port, replica)
        await enqueue_one(before, "seen")
        async with opened(replica.url(), Clock()) as after:
            await until(lambda: sees(after, "seen"), "the replica has it")
            with pytest.raises(ReadOnly, match="a standby"):
                await claim_one(after)
            line.go_dark()
            lost = await claim_one(before)
            await enqueue_one(before, "unseen")
            unseen = await claim_one(before)
            assert replica.ask("SELECT pg_promote(true, 60)") == [(True,)]

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


async def test_a_write_that_is_refused_goes_to_the_host_of_the_address_that_takes_writes_when_it_is_repeated(
    one: Postgres, made: Callable[[], Postgres]
) -> None:
    replica = made()
    await replica_of(one.port, replica)
    hosts = f"127.0.0.1:{one.port},127.0.0.1:{replica.port}"
    address = one.url(more="&target_session_attrs=read-write").replace(f"127.0.0.1:{one.port}", hosts)
    async with opened(address, Clock()) as storage, opened(replica.url(), Clock()) as after:
        await enqueue_one(storage, "before")
        await until(lambda: sees(after, "before"), "the replica has it")
        assert replica.ask("SELECT pg_promote(true, 60)") == [(True,)]
        one.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        one.ask("SELECT pg_reload_conf()")
        one.until(lambda: one.ask("SHOW default_transaction_read_only") == [("on",)])

        with pytest.raises(ReadOnly):
            await enqueue_one(storage, "after")
        await enqueue_one(storage, "after")

        assert await states(after, "before", "after") == [State.READY, State.READY]
        assert await storage.audit() == []


async def sees(storage: Storage, job_id: str) -> bool:
    """Whether a job is there."""
    return await states(storage, job_id) != [None]


# -- A process stands still in the midst of a step


PROGRAM = """
import asyncio, signal, sys, threading
from aiq.backends import open_storage
from aiq.backends.postgres import atomic, beginning
from aiq.errors import Unavailable
from aiq.testing.actions import enqueue_one

beginning.IDLE_MS = 500
make = atomic.make


def stand_still(tx, operation):
    answer = make(tx, operation)
    atomic.make = make
    # It is this thread that must not go on; one sent to the process reaches another thread first.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return answer


async def main():
    storage = await open_storage(sys.argv[1])
    atomic.make = stand_still
    try:
        await enqueue_one(storage, "stopped", tenant="acme")
    except Unavailable:
        print("refused", flush=True)
    sys.stdin.readline()
    await enqueue_one(storage, "stopped", tenant="acme")
    await storage.close()


asyncio.run(main())
"""


def started(command: list[str]) -> "subprocess.Popen[str]":
    """A process that is talked to by lines."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def test_a_process_that_stands_still_in_a_step_keeps_others_waiting_for_a_moment_and_has_done_nothing(
    one: Postgres,
) -> None:
    command = [sys.executable, "-c", PROGRAM, one.url()]
    async with opened(one.url(), Clock()) as storage:
        stopped = started(command)
        try:
            await until(lambda: processes()[stopped.pid][1] == "T", "it stands still")
            await enqueue_one(storage, "another")

            stopped.send_signal(signal.SIGCONT)
            assert stopped.stdout is not None
            assert await asyncio.to_thread(stopped.stdout.readline) == "refused\n"
            assert await states(storage, "another", "stopped") == [State.READY, None]

            await asyncio.to_thread(stopped.communicate, "go on\n", 30)
            assert stopped.returncode == 0
            assert await states(storage, "stopped") == [State.READY]
            assert await storage.audit() == []
        finally:
            stopped.kill()
            stopped.wait()


# -- Two releases at once


async def test_a_schema_that_a_later_release_has_added_to_goes_on_with_this_one(one: Postgres) -> None:
    async with opened(one.url(), Clock()) as storage:
        await enqueue_one(storage, "before")
        run = await claim_one(storage)
        await storage.audit()
        one.tell(
            "ALTER TABLE aiq.aiq_jobs ADD COLUMN later TEXT; ALTER TABLE aiq.aiq_specs ADD COLUMN later TEXT;"
            f"INSERT INTO aiq.aiq_migrations VALUES ({max(migrations()) + 1}, 0)"
        )

        await end(storage, run, GOOD)
        await storage.audit()
        async with opened(one.url(), Clock()) as opened_later:
            await enqueue_one(opened_later, "after")
            await end(storage, await claim_one(storage), GOOD)
            assert await states(opened_later, "before", "after") == [State.SUCCEEDED, State.SUCCEEDED]
            assert await opened_later.audit() == []
        assert {fact.name: fact.text for fact in await storage.facts()}["schema"].endswith("uses what it knows.")


async def test_a_schema_that_is_older_than_this_release_is_to_be_migrated(one: Postgres) -> None:
    one.tell("DELETE FROM aiq.aiq_migrations WHERE number = (SELECT max(number) FROM aiq.aiq_migrations)")

    with pytest.raises(StorageMismatch, match="aiq migrate"):
        async with opened(one.url(), Clock()):
            pass


async def test_a_server_that_is_killed_is_unavailable_until_it_is_back_and_has_lost_nothing(one: Postgres) -> None:
    async with opened(one.url(more="&timeout=5"), Clock()) as storage:
        await storage.enqueue([job(f"{n}") for n in range(20)])
        run = await claim_one(storage)
        await asyncio.to_thread(one.kill)
        with pytest.raises(Unavailable):
            await end(storage, run, GOOD)
        await asyncio.to_thread(one.start)

        await end(storage, run, GOOD)
        assert (await storage.count())["default"] == {State.READY: 19, State.SUCCEEDED: 1}
        assert await storage.audit() == []
