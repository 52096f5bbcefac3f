"""Moving in Redis: each operation one call of the script of its name."""

from aiq.backends.redis.door import Door


class MovingFace(Door):
    """See `aiq.storage.Moving`."""

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """See `aiq.storage.Moving`."""
        args = {"move_id": move_id} if moved_to is None else {"moved_to": moved_to, "move_id": move_id}
        name: str = (await self._step("retire", args)).value
        return name
