"""The connection to a Redis server."""

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from aiq.backends.redis.scripts import script


class Client:
    """One server. Nothing is retried here: whoever repeats a call does it with the same ids."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0))

    async def run(self, name: str, prefix: str, arguments: Sequence[bytes]) -> Sequence[bytes]:
        """Run the script of an operation, and load it first where the server does not know it."""
        wanted = script(name)
        try:
            found: Sequence[bytes] = await self._redis.evalsha(wanted.sha, 1, prefix, *arguments)
        except NoScriptError:
            await self._redis.script_load(wanted.text)
            found = await self._redis.evalsha(wanted.sha, 1, prefix, *arguments)
        return found

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()
