"""What a namespace in Redis stands on: the server, what it keeps of what it holds, its memory, the clock.

Each judgement is a pure function of what was found, so that it can be tested without such a server.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from aiq.model import Fact, Level

_LEAST: Final = (7, 0)
_FULL_PER_MILLE: Final = 850
"""From when on memory is nearly used up."""


def server_facts(text: str) -> Iterator[Fact]:
    """What INFO says of the server, judged."""
    found = parsed(text)
    yield version_fact(found.get("redis_version", ""))
    yield durability_fact(
        aof=found.get("aof_enabled") == "1",
        fine=found.get("aof_last_write_status", "ok") == "ok" and found.get("rdb_last_bgsave_status", "ok") == "ok",
    )
    yield eviction_fact(found.get("maxmemory_policy", "noeviction"), int(found.get("maxmemory", "0")))
    yield memory_fact(int(found.get("used_memory", "0")), int(found.get("maxmemory", "0")))


def parsed(text: str) -> Mapping[str, str]:
    """The lines of INFO, by name."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def version_fact(version: str) -> Fact:
    """Older servers do not know what the scripts use."""
    parts = version.split(".")
    known = tuple(int(part) for part in parts[:2] if part.isdecimal())
    if known >= _LEAST:
        return Fact("server", Level.OK, f"Redis {version}.")
    return Fact(
        "server", Level.FAIL, f"Redis {version or 'of an unknown version'} is too old.", "Use Redis 7.0 or newer."
    )


def durability_fact(*, aof: bool, fine: bool) -> Fact:
    """Say what the end of the server may take."""
    if not fine:
        return Fact(
            "durability",
            Level.FAIL,
            "The server could not write its file the last time it tried: what is acknowledged now may be lost.",
            "Look into the server's log, and make room on its disk.",
        )
    if aof:
        return Fact("durability", Level.OK, "The append-only file is on: what was written is there after a restart.")
    return Fact(
        "durability",
        Level.WARN,
        "The append-only file is off: the end of the server takes whatever is newer than its last snapshot.",
        "Set appendonly yes, and appendfsync always if not even a second may be lost.",
    )


def eviction_fact(policy: str, maxmemory: int) -> Fact:
    """A server that evicts takes rows out from under jobs."""
    if policy == "noeviction":
        return Fact("eviction", Level.OK, "Nothing is evicted: a full server refuses new jobs.")
    return Fact(
        "eviction",
        Level.FAIL if maxmemory else Level.WARN,
        f"maxmemory-policy is {policy}: with its memory full the server would remove parts of jobs.",
        "Set maxmemory-policy noeviction, or use a server of its own for jobs.",
    )


def memory_fact(used: int, maxmemory: int) -> Fact:
    """Warn before the memory is full: then nothing can be enqueued."""
    told = f"{used // 1_000_000:,} MB are used"
    if maxmemory and used * 1000 >= maxmemory * _FULL_PER_MILLE:
        text = f"{told}, of {maxmemory // 1_000_000:,} MB that may be."
        return Fact(
            "memory", Level.WARN, text, "Raise maxmemory, or keep less (aiq retention): a full server takes no jobs."
        )
    return Fact("memory", Level.OK, f"{told}.")
