"""What replicas are asked for, and what becomes of a primary that has none."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from aiq.errors import ReadOnly, Unavailable
from aiq.model import Renewed, Settlement, State
from aiq.testing.actions import GOOD, claim_one, enqueue_one, states
from aiq.testing.clock import Clock
from tests.backends.redis.test_places import listening, naming
from tests.servers import PASSWORD, USER, Server
from tests.stores import opened

Start = Callable[..., Server]


async def test_a_full_server_goes_on_with_what_is_there_where_replicas_are_waited_for_too(started: Start) -> None:
    one = started("--appendonly", "no", "--repl-diskless-sync-delay", "0")
    one.ask("ACL", "SETUSER", USER, "+wait")
    other = started("--replicaof", "127.0.0.1", str(one.port))
    other.until(lambda: other.info("master_link_status") == "up")
    async with opened(one.url(more="&timeout=20&replicas=1"), Clock()) as storage:
        await enqueue_one(storage)
        run = await claim_one(storage)
        one.ask("CONFIG", "SET", "maxmemory", 1)

        (renewed,) = await storage.renew([run.lease], lease_ms=90_000)
        assert isinstance(renewed, Renewed)
        await storage.exchange([Settlement(run.lease, "1", GOOD)])

        assert await states(storage, run.id) == [State.SUCCEEDED]
        one.ask("CONFIG", "SET", "maxmemory", 0)


async def test_a_replica_takes_no_writes(started: Start) -> None:
    one, other = started(), started()
    async with opened(one.url(), Clock()) as storage:
        await enqueue_one(storage)
        one.ask("REPLICAOF", "127.0.0.1", other.port)
        with pytest.raises(ReadOnly, match="replica"):
            await enqueue_one(storage, "more")
        one.ask("REPLICAOF", "NO", "ONE")
        await enqueue_one(storage, "more")


async def test_a_primary_without_its_replicas_is_unavailable_where_it_must_have_some(started: Start) -> None:
    one = started("--min-replicas-to-write", "1")
    async with opened(one.url(), Clock()) as storage:
        with pytest.raises(Unavailable, match="NOREPLICAS"):
            await enqueue_one(storage)
        one.ask("CONFIG", "SET", "min-replicas-to-write", 0)
        await enqueue_one(storage)


async def test_a_write_that_must_have_a_replica_is_not_acknowledged_without_one(started: Start) -> None:
    one = started("--repl-diskless-sync-delay", "0")
    one.ask("ACL", "SETUSER", USER, "+wait")
    async with opened(one.url(more="&timeout=0.4&replicas=1"), Clock()) as storage:
        with pytest.raises(Unavailable, match="0 of 1 replicas") as told:
            await enqueue_one(storage)
        assert told.value.outcome_unknown
        # What only reads waits for nobody.
        assert (await storage.count())["default"] == {State.READY: 1}
    other = started("--replicaof", "127.0.0.1", str(one.port))
    other.until(lambda: other.info("master_link_status") == "up")
    async with opened(one.url(more="&timeout=20&replicas=1"), Clock()) as storage:
        await enqueue_one(storage)


@pytest.mark.parametrize("asked_of", ["the server", "the address"])
async def test_a_primary_without_replicas_is_left_for_the_one_that_the_sentinels_name(
    started: Start, asked_of: str
) -> None:
    old, new = started(), started()
    more = "&replicas=1" if asked_of == "the address" else ""
    for one in (old, new):
        one.ask("ACL", "SETUSER", USER, "+wait")
    named = bytearray(naming(old.port))
    async with listening(named) as sentinel:
        url = f"redis+sentinel://{USER}:{PASSWORD}@127.0.0.1:{sentinel}/jobs?timeout=1{more}"
        async with opened(url, Clock()) as storage:
            if not more:
                old.ask("CONFIG", "SET", "min-replicas-to-write", 1)
            named[:] = naming(new.port)
            with pytest.raises(Unavailable, match=r"NOREPLICAS|0 of 1 replicas"):
                await enqueue_one(storage)

            with suppress(Unavailable):
                await enqueue_one(storage)

    assert new.ask("DBSIZE") > 0


async def test_what_a_repeat_has_found_written_is_waited_for_like_what_it_writes_itself(started: Start) -> None:
    # Newer servers let a connection wait for nothing where it has written nothing itself.
    one = started()
    one.ask("ACL", "SETUSER", USER, "+wait")
    async with opened(one.url(more="&timeout=0.4&replicas=1"), Clock()) as storage:
        for _ in range(2):
            with pytest.raises(Unavailable, match="0 of 1 replicas"):
                await enqueue_one(storage)

        assert one.ask("HGET", "{aiq:default}:spread", "asked") == "1"
