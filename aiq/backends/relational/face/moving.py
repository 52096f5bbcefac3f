"""Moving: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.door import Door
from aiq.backends.relational.dump import dump
from aiq.backends.relational.load import load
from aiq.backends.relational.retire import retire
from aiq.bounds import MAX_PAGE
from aiq.model import moving
from aiq.rules.validation import check_count, check_limit, check_opaque


class MovingFace(Door):
    """See `aiq.storage.Moving`."""

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """See `aiq.storage.Moving`."""
        return await self._move(retire, moved_to, move_id)

    async def dump(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> moving.Dumped:
        """See `aiq.storage.Moving`."""
        check_limit(limit)
        return await self._read(dump, cursor, limit)

    async def load(self, move_id: str, records: Sequence[moving.Record], *, last: bool = False) -> None:
        """See `aiq.storage.Moving`."""
        check_opaque("id of a move", move_id)
        check_count("list of records", len(records), MAX_PAGE)
        await self._move(load, move_id, records, last=last)
