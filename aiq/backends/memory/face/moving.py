"""Moving of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.door import Door
from aiq.backends.memory.dump import dump
from aiq.backends.memory.load import load
from aiq.backends.memory.retire import retire
from aiq.bounds import MAX_PAGE
from aiq.model import moving


class MovingFace(Door):
    """See `aiq.storage.Moving`."""

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """See `aiq.storage.Moving`."""
        name = await self._look(retire, moved_to, move_id)
        # Whoever waits for anything is to hear of it. Spec: MOVE-8
        self._home.wakeups.notify_all()
        return name

    async def dump(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> moving.Dumped:
        """See `aiq.storage.Moving`."""
        return await self._look(dump, cursor, limit)

    async def load(self, move_id: str, records: Sequence[moving.Record], *, last: bool = False) -> None:
        """See `aiq.storage.Moving`."""
        await self._look(load, move_id, records, last=last)
