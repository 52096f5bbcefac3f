"""Ordered keys of the reference: each operation one transition under the lock."""

from aiq.backends.memory.door import Door
from aiq.backends.memory.pause_key import pause_key, resume_key


class KeysFace(Door):
    """See `aiq.storage.Keys`."""

    async def pause_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        await self._run(pause_key, queue, key)

    async def resume_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        await self._run(resume_key, queue, key)
