"""What doctor says of a Redis server, of every kind there is."""

import pytest

from aiq.backends.redis.address import parse
from aiq.backends.redis.facts import server_facts
from aiq.backends.redis.server import Server, check
from aiq.errors import Misconfigured
from aiq.model import Fact, Level

INFO = {
    "redis_version": "8.2.2",
    "maxmemory": "1000000",
    "used_memory": "100000",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "role": "master",
    "connected_slaves": "0",
}
HERE = parse("redis://localhost")


def told(
    info: dict[str, str], settings: dict[str, str] | None = None, url: str = "redis://localhost"
) -> dict[str, Fact]:
    server = Server({**INFO, **info}, {"appendfsync": "always", **(settings or {})})
    return {fact.name: fact for fact in server_facts(server, parse(url))}


def test_of_a_server_that_is_set_up_well_nothing_is_to_be_done() -> None:
    assert {fact.level for fact in told({}).values()} == {Level.OK}
    assert not any(fact.advice for fact in told({}).values())


@pytest.mark.parametrize(
    ("name", "level", "word", "info", "settings"),
    [
        ("server", Level.WARN, "CVE-2025-49844", {"redis_version": "7.2.10"}, {}),
        ("server", Level.OK, "Redis 7.2.11", {"redis_version": "7.2.11"}, {}),
        ("server", Level.OK, "Redis 8.4.0", {"redis_version": "8.4.0"}, {}),
        ("server", Level.OK, "Valkey 8.1.4", {"redis_version": "7.2.4", "valkey_version": "8.1.4"}, {}),
        ("memory", Level.WARN, "no bound", {"maxmemory": "0"}, {}),
        ("memory", Level.WARN, "of 1.0 MB", {"used_memory": "850000"}, {}),
        ("memory", Level.FAIL, "of 1.0 MB", {"used_memory": "1000000"}, {}),
        ("memory", Level.FAIL, "allkeys-lru", {"maxmemory_policy": "allkeys-lru"}, {}),
        ("durability", Level.WARN, "appendonly no", {"aof_enabled": "0"}, {}),
        ("durability", Level.OK, "last second or two", {}, {"appendfsync": "everysec"}),
        ("durability", Level.OK, "half a minute", {}, {"appendfsync": "no"}),
        ("durability", Level.FAIL, "aof_last_write_status", {"aof_last_write_status": "err"}, {}),
        ("replicas", Level.FAIL, "is a replica", {"role": "slave"}, {}),
        ("replicas", Level.WARN, "without them", {"connected_slaves": "1"}, {"min-replicas-to-write": "0"}),
        ("replicas", Level.OK, "2 in step", {"connected_slaves": "2"}, {"min-replicas-to-write": "1"}),
    ],
)
def test_each_thing_is_judged(
    name: str, level: Level, word: str, info: dict[str, str], settings: dict[str, str]
) -> None:
    fact = told(info, settings)[name]

    assert fact.level is level
    assert word in fact.text
    assert bool(fact.advice) == (level is not Level.OK)


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("redis://other", Level.WARN),
        ("redis+cluster://localhost,other", Level.WARN),
        ("redis://127.0.0.1", Level.OK),
        ("rediss://other", Level.OK),
        ("redis+unix:///run/redis.sock", Level.OK),
    ],
)
def test_what_goes_over_a_network_in_clear_is_warned_of(url: str, level: Level) -> None:
    assert told({}, url=url)["transport"].level is level


def test_of_a_server_that_may_not_be_asked_that_is_all_that_is_told() -> None:
    facts = {fact.name: fact for fact in server_facts(Server(), HERE)}

    assert set(facts) == {"server", "transport"}
    assert facts["server"].level is Level.WARN


@pytest.mark.parametrize("version", ["6.2.20", "5.0.0"])
def test_a_server_without_flags_of_scripts_is_refused(version: str) -> None:
    with pytest.raises(Misconfigured, match=f"Redis {version}, and aiq needs 7.0"):
        check(Server({**INFO, "redis_version": version}), HERE.url)


@pytest.mark.parametrize("version", ["7.0.15", "7.2.4", "8.0.0", "255.255.255"])
def test_a_server_with_them_is_taken(version: str) -> None:
    check(Server({**INFO, "redis_version": version}), HERE.url)
