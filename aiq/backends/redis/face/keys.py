"""Ordered keys in Redis: each operation one call of the script of its name."""

from aiq.backends.redis.door import Door
from aiq.rules.validation import check_name, check_opaque


class KeysFace(Door):
    """See `aiq.storage.Keys`."""

    async def pause_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        await self._turn("pause_key", queue, key)

    async def resume_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        await self._turn("resume_key", queue, key)

    async def _turn(self, operation: str, queue: str, key: str) -> None:
        check_name("queue", queue)
        check_opaque("key", key)
        await self._step(operation, {"queue": queue, "key": key})
