"""Ordered keys: checked here, and made one step of the store."""

from aiq.backends.relational.door import Door
from aiq.backends.relational.pause_key import pause_key, resume_key
from aiq.rules.validation import check_name, check_opaque


class KeysFace(Door):
    """See `aiq.storage.Keys`."""

    async def pause_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        check_name("queue", queue)
        check_opaque("key", key)
        await self._write(pause_key, queue, key)

    async def resume_key(self, queue: str, key: str) -> None:
        """See `aiq.storage.Keys`."""
        check_name("queue", queue)
        check_opaque("key", key)
        await self._write(resume_key, queue, key)
