"""A namespace in a cluster of three nodes: found wherever it is asked for, and whole while its slot moves."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from aiq.backends.redis.scripts import _HEAD
from aiq.errors import Misconfigured, Unavailable
from aiq.model import State
from aiq.testing.actions import GOOD, claim_one, claim_some, end, enqueue_one, job
from aiq.testing.clock import Clock
from tests import servers
from tests.backends.redis.repeating import repeated
from tests.servers import PASSWORD, USER, Cluster, Server
from tests.stores import opened


@pytest.fixture
def cluster() -> Cluster:
    """The cluster of this process. Each test has a namespace of its own, and mends what it breaks."""
    return servers.cluster()


def node_id(node: Server) -> str:
    return str(node.ask("CLUSTER", "MYID"))


def move(cluster: Cluster, namespace: str, *, stop_at: int | None = None) -> Iterator[int]:
    """Move the slot of a namespace to another node, key by key; what is told is how many have gone."""
    source = cluster.owner(namespace)
    target = next(node for node in cluster.nodes if node is not source)
    slot = int(source.ask("CLUSTER", "KEYSLOT", f"{{aiq:{namespace}}}"))
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    gone = 0
    while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
        yield gone
        source.ask("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5_000)
        gone += 1
    yield gone
    for node in (target, source, *cluster.nodes):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id(target))


async def test_a_namespace_stands_still_while_its_slot_moves_and_is_whole_when_it_has_come(cluster: Cluster) -> None:
    name = "moving"
    async with opened(cluster.url(name, "&timeout=1"), Clock()) as storage:
        await storage.enqueue([job(f"{n}") for n in range(10)])
        runs = await claim_some(storage, 4)
        steps = 0
        for gone in move(cluster, name):
            steps = gone
            if gone in (0, 1, 3):
                with pytest.raises(Unavailable) as told:
                    await enqueue_one(storage, "while it moves")
                assert not told.value.outcome_unknown

        assert steps > 5
        await end(storage, runs[0], GOOD)
        await enqueue_one(storage, "after it has moved")
        assert (await storage.count())["default"] == {State.READY: 7, State.RUNNING: 3, State.SUCCEEDED: 1}
        assert await storage.audit() == []


async def test_an_operation_waits_for_a_slot_that_comes_soon(cluster: Cluster) -> None:
    name = "soon"
    async with opened(cluster.url(name), Clock()) as storage:
        await enqueue_one(storage)
        moving = move(cluster, name)
        next(moving)
        asked = asyncio.create_task(claim_one(storage))
        await asyncio.to_thread(lambda: list(moving))

        assert (await asked).id == "job"


async def test_whoever_waits_hears_of_what_happens_at_the_new_node(cluster: Cluster) -> None:
    name = "heard"
    async with opened(cluster.url(name), Clock()) as storage, opened(cluster.url(name), Clock()) as other:
        await enqueue_one(storage)
        mark = await storage.wait(["queue:default"], after=None, timeout_ms=0)
        for _ in move(cluster, name):
            pass
        waiting = asyncio.create_task(storage.wait(["queue:default"], after=mark, timeout_ms=60_000))
        await enqueue_one(other, "new")

        async with asyncio.timeout(10):
            await waiting


async def test_namespaces_stand_on_different_nodes_and_know_nothing_of_each_other(cluster: Cluster) -> None:
    names = {cluster.owner(f"n{n}").port: f"n{n}" for n in range(50)}
    assert len(names) == 3
    for name in names.values():
        async with opened(cluster.url(name), Clock()) as storage:
            await enqueue_one(storage, "same")
            assert (await storage.count())["default"] == {State.READY: 1}


async def test_any_node_may_be_asked_first_and_those_that_are_gone_are_passed_over(cluster: Cluster) -> None:
    name = "found"
    owner = cluster.owner(name)
    for node in cluster.nodes:
        url = f"redis+cluster://{USER}:{PASSWORD}@127.0.0.1:1,127.0.0.1:{node.port}?namespace={name}"
        async with opened(url, Clock()) as storage:
            await enqueue_one(storage, f"from {node.port}")

    assert owner.ask("HLEN", f"{{aiq:{name}}}:jobs") == 3


async def test_a_cluster_that_is_addressed_as_one_server_is_told_how_to_write_it(cluster: Cluster) -> None:
    wrong = next(node for node in cluster.nodes if node is not cluster.owner("default"))
    with pytest.raises(Misconfigured, match=r"redis\+cluster://"):
        async with opened(wrong.url(), Clock()):
            pass


async def test_a_cluster_without_the_node_is_unavailable_until_that_is_back(cluster: Cluster) -> None:
    name = "down"
    async with opened(cluster.url(name, "&timeout=0.5"), Clock()) as storage:
        await enqueue_one(storage)
        owner = cluster.owner(name)
        owner.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await enqueue_one(storage, "while it is gone")
        owner.start()
        async with asyncio.timeout(15):
            await repeated(lambda: enqueue_one(storage, "when it is back"))


def test_a_script_that_reaches_for_another_slot_is_refused(cluster: Cluster) -> None:
    node = cluster.owner("one")
    script = f"#!lua\n{_HEAD}\ncall('SET', 'elsewhere', '1')"
    with pytest.raises(redis.ResponseError, match=r"non local key|undeclared|do not hash"):
        node.ask("EVAL", script, 1, "{aiq:one}")
