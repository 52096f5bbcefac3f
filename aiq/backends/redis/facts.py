"""What a namespace in Redis stands on: the server, what it keeps of what it holds, its memory, the way to it.

Each judgement is a pure function of what was found, so that it can be tested without such a server.
"""

from collections.abc import Iterator
from typing import Final

from aiq.backends.redis.address import Address, Kind
from aiq.backends.redis.server import Server
from aiq.model import Fact, Level

_MENDED: Final = ((7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2))
"""Lines into which the correction of CVE-2025-49844 was taken over; from 8.2.2 on every version has it."""
_FSYNC: Final = {
    "always": "appendfsync always: what is acknowledged survives a loss of power.",
    "everysec": "appendfsync everysec: what is acknowledged survives the end of the server, and a loss of power takes "
    "the last second or two.",
    "no": "appendfsync no: what is acknowledged survives the end of the server, and a loss of power takes what the "
    "system had not written yet, mostly half a minute.",
}
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def server_facts(server: Server, address: Address) -> Iterator[Fact]:
    """What doctor tells of a server, but for its clock and where the storage has moved. Spec: FACT-1"""
    if not server.info:
        advice = "Grant +info and +config|get, and see to it that maxmemory-policy is noeviction."
        yield Fact("server", Level.WARN, "This user may not ask the server what it is and how it is set up.", advice)
    else:
        yield version_fact(server)
        yield memory_fact(server)
        yield durability_fact(server)
        yield replicas_fact(server)
    yield transport_fact(address)


def version_fact(server: Server) -> Fact:
    """Warn of versions in which a script may break out; scripts of strangers only, but they share the server."""
    found, told = server.version, ".".join(map(str, server.version))
    name = f"Valkey {server.info['valkey_version']} ({told})" if "valkey_version" in server.info else f"Redis {told}"
    mended = found >= _MENDED[-1] or any(found[:2] == line[:2] and found >= line for line in _MENDED)
    if mended or "valkey_version" in server.info:
        return Fact("server", Level.OK, f"{name}.")
    return Fact(
        "server",
        Level.WARN,
        f"{name}: unless its distributor has mended it, whoever may run scripts there can take the server over "
        "(CVE-2025-49844).",
        "Use 7.2.11, 7.4.6, 8.0.4, 8.2.2 or newer, and let nobody else run scripts on it.",
    )


def memory_fact(server: Server) -> Fact:
    """A limit tells enqueues no before the machine is out of memory; eviction would throw jobs away."""
    policy = server.info.get("maxmemory_policy", "noeviction")
    used, bound = (int(server.info.get(name, "0")) for name in ("used_memory", "maxmemory"))
    told = f"{_mb(used)} MB are used"
    if policy != "noeviction":
        text = f"{told}, and keys are thrown away when memory is full (maxmemory-policy {policy})."
        return Fact("memory", Level.FAIL, text, "Set maxmemory-policy noeviction.")
    if not bound:
        advice = "Set maxmemory to what the server may take: a full one refuses new jobs, and goes on with the rest."
        return Fact("memory", Level.WARN, f"{told}, and maxmemory sets no bound.", advice)
    level = Level.FAIL if used >= bound else Level.WARN if used >= 0.8 * bound else Level.OK
    advice = "" if level is Level.OK else "Raise maxmemory, or keep ended jobs for less long; a full one takes no jobs."
    return Fact("memory", level, f"{told} of {_mb(bound)} MB.", advice)


def durability_fact(server: Server) -> Fact:
    """Say what the end of the server, or a loss of power, may take."""
    if not server.keeps:
        return Fact(
            "durability",
            Level.WARN,
            "appendonly no: what was acknowledged since the last snapshot is gone when the server ends.",
            "Set appendonly yes if an acknowledged job must survive that.",
        )
    failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if
              server.info.get(name, "ok") != "ok"]  # fmt: skip
    if failed:
        text = f"The log cannot be written ({', '.join(failed)}): every write is refused."
        return Fact("durability", Level.FAIL, text, "Look at the log of the server, and at the space on its disk.")
    return Fact("durability", Level.OK, _FSYNC.get(server.settings.get("appendfsync", ""), "appendonly yes."))


def replicas_fact(server: Server) -> Fact:
    """A primary that stands on the wrong side of a split goes on, unless it is told not to."""
    if server.info.get("role") == "slave":
        return Fact("replicas", Level.FAIL, "This server is a replica.", "Name the primary, or its sentinels.")
    count = int(server.info.get("connected_slaves", "0"))
    needed = server.settings.get("min-replicas-to-write")
    if count and needed == "0":
        return Fact(
            "replicas",
            Level.WARN,
            f"{count} in step, and the primary takes writes without them: a failover may lose what was acknowledged.",
            "Set min-replicas-to-write 1 and min-replicas-max-lag 10: a primary that is cut off then takes no writes.",
        )
    return Fact("replicas", Level.OK, f"{count} in step." if count else "None.")


def transport_fact(address: Address) -> Fact:
    """Warn of passwords and payloads that go over a network in clear."""
    if address.tls is not None or address.kind is Kind.SOCKET or all(one.host in _LOCAL for one in address.places):
        how = "TLS" if address.tls is not None else "this machine only"
        return Fact("transport", Level.OK, f"Over {how}.")
    advice = "Use rediss:// where others can listen on the network."
    return Fact("transport", Level.WARN, "Passwords and payloads go over the network in clear.", advice)


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.1f}"
