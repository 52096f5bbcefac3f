"""What a server is and how it is set up: asked when a storage is opened, and again for `aiq doctor`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiq.backends.redis.client import Client
from aiq.errors import Misconfigured

_log = logging.getLogger("aiq.redis")

LEAST: Final = (7, 0)
"""The version from which on scripts say what they are: `#!lua flags=…`."""
_SETTINGS: Final = ("appendfsync", "min-replicas-to-write")


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself; nothing of what this user may not ask."""

    info: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis whose commands it has. Valkey tells two, and this is the first of them."""
        return tuple(int(part) for part in self.info.get("redis_version", "").split(".") if part.isdecimal())

    @property
    def keeps(self) -> bool:
        """Whether what is acknowledged outlives the process of the server."""
        return self.info.get("aof_enabled") == "1"


async def ask(client: Client) -> Server:
    """Ask a server what it is. What the user may not ask stays open."""
    info = await _allowed(client, "INFO")
    settings = await _allowed(client, "CONFIG", "GET", *_SETTINGS)
    pairs = [word.decode() for word in settings or ()]
    return Server(_parsed(info or b""), dict(zip(pairs[::2], pairs[1::2], strict=True)))


async def _allowed(client: Client, *command: str) -> Any:  # Any: what Redis answers
    try:
        return await client.ask(*command)
    except Misconfigured as error:
        _log.debug("%s", error)
        return None


def _parsed(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def check(server: Server, url: str) -> None:
    """Refuse a server that cannot hold jobs.

    Raises:
        Misconfigured: it is too old, or throws away keys when its memory is full.
    """
    if not server.info:
        _log.warning(
            "The user of %s may not ask INFO, so that nobody knows whether keys are thrown away there when memory is "
            "full. Grant +info, or see to it that maxmemory-policy is noeviction.", url
        )  # fmt: skip
        return
    if server.version < LEAST:
        told = ".".join(map(str, server.version))
        raise Misconfigured(f"{url} is Redis {told}, and aiq needs 7.0 or newer. Bring the server up to date.")
    policy = server.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Misconfigured(
            f"{url} throws away keys when its memory is full (maxmemory-policy {policy}), and jobs with them. "
            "Set `maxmemory-policy noeviction`, or use a server that is no cache."
        )
