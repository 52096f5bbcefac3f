"""The least that a queue in Redis can do: a hash and a place in a line, a lease, and then nothing. Nothing is kept."""

from itertools import count
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.ceiling.bare import PAYLOAD

PUT: Final = """
for place = 1, #ARGV, 2 do
    redis.call('HSET', ARGV[place], 'payload', ARGV[place + 1])
    redis.call('RPUSH', KEYS[1], ARGV[place])
end
"""
TURN: Final = """
for place = 2, #ARGV do
    if redis.call('ZREM', KEYS[2], ARGV[place]) == 1 then redis.call('DEL', ARGV[place]) end
end
local taken = redis.call('LPOP', KEYS[1], ARGV[1]) or {}
local told = {}
for place, name in ipairs(taken) do
    redis.call('ZADD', KEYS[2], 1, name)
    told[2 * place - 1], told[2 * place] = name, redis.call('HGET', name, 'payload')
end
return told
"""
LINE: Final = "line"
LEASES: Final = "leases"


class BareRedis:
    """See `benchmarks.ceiling.bare.Bare`."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._taken: list[bytes] = []

    async def open(self, url: str) -> None:
        """One connection, and the scripts on the server."""
        # Any: what scripts answer has no type.
        self._server: Any = Redis.from_url(url, single_connection_client=True)
        self._put, self._turn = await self._server.script_load(PUT), await self._server.script_load(TURN)

    async def put(self, jobs: int) -> None:
        """One script."""
        given = [value for _ in range(jobs) for value in (b"%x" % next(self._numbers), PAYLOAD)]
        await self._server.evalsha(self._put, 1, LINE, *given)

    async def turn(self, jobs: int) -> int:
        """One script."""
        told = await self._server.evalsha(self._turn, 2, LINE, LEASES, jobs, *self._taken)
        self._taken = told[::2]
        return len(self._taken)

    async def close(self) -> None:
        """Disconnect."""
        await self._server.aclose()
