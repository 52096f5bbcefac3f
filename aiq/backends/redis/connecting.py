"""One connection to a server, and one exchange on it.

The driver is used for what it does well: the handshake, TLS, the protocol. Pools, retries and time-outs of its own are
not: a driver that repeats a command runs it twice (docs/decisions.md), and a time-out belongs to a whole operation.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

from hiredis import pack_command
from redis import exceptions as driver
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aiq.backends.redis.address import Address, Place

_SOCKET: Final = 0


async def connected(address: Address, place: Place, *, sentinel: bool = False) -> AbstractConnection:
    """Connect to a server, or to a sentinel, and say who we are."""
    async with AsyncExitStack() as failing:
        made = _made(address, place, sentinel=sentinel)
        failing.push_async_callback(let_go, made)
        await made.connect()  # type: ignore[no-untyped-call]
        failing.pop_all()
    return made


async def let_go(connection: AbstractConnection) -> None:
    """Close a connection without a word to the server, which may not listen any more."""
    writer = getattr(connection, "_writer", None)
    if writer is not None:
        # Else TLS would wait for the other side to agree to the end.
        writer.transport.abort()
    await connection.disconnect(nowait=True)
    # The socket is closed in the next turn of the loop, which may be its last.
    await asyncio.sleep(0)


def _made(address: Address, place: Place, *, sentinel: bool) -> AbstractConnection:
    options: dict[str, Any] = {
        "username": address.sentinel_username if sentinel else address.username,
        "password": address.sentinel_password if sentinel else address.password,
        "db": 0 if sentinel else address.database,
        # Neither reads nor writes have a time of their own: the operation has one, with all that it takes.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        # It would be two more commands at each connection, and a right that a user need not have.
        "driver_info": None,
    }
    if place.port == _SOCKET:
        return UnixDomainSocketConnection(path=place.host, **options)
    if address.tls is not None:
        options.update(address.tls)
        return SSLConnection(host=place.host, port=place.port, **options)
    return Connection(host=place.host, port=place.port, **options)


async def exchange(connection: AbstractConnection, *command: bytes | str | int) -> Any:  # Any: what Redis answers
    """Send a command and wait for its answer. Whatever interrupts that closes the connection, so that no later command
    ever reads the answer of an earlier one."""
    # Not the driver's own packing, which is Python, and takes four times as long.
    packed = pack_command(command)  # type: ignore[arg-type]  # its stub says a tuple of one
    await connection.send_packed_command([packed], check_health=False)
    return await connection.read_response(disable_decoding=True)


async def fresh(connection: AbstractConnection) -> bool:
    """Whether nothing has come on a connection that lay idle: its end, or an answer that nobody asked for."""
    try:
        return connection.is_connected and not await connection.can_read()
    except driver.ConnectionError:
        return False
