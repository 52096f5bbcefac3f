"""Moving in Redis: each operation one call of the script of its name."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.redis import moves
from aiq.backends.redis.door import Blobs, Door
from aiq.bounds import MAX_PAGE, MAX_PAGE_BYTES
from aiq.model import moving
from aiq.rules.moving import cursor_at, place_of_cursor
from aiq.rules.validation import check_count, check_limit, check_opaque

_WALKS: Final = 1_000
"""More than there are: the script knows how many."""


class MovingFace(Door):
    """See `aiq.storage.Moving`."""

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """See `aiq.storage.Moving`."""
        args = {"move_id": move_id} if moved_to is None else {"moved_to": moved_to, "move_id": move_id}
        name: str = (await self._step("retire", args)).value
        return name

    async def dump(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> moving.Dumped:
        """See `aiq.storage.Moving`."""
        check_limit(limit)
        walk, place = place_of_cursor(cursor, _WALKS)
        args = {"walk": walk, "place": place, "limit": limit, "bytes": MAX_PAGE_BYTES}
        answer = await self._step("dump", args)
        told = answer.value
        records = tuple(moves.heard(answer, found, told["storage_id"]) for found in told["records"])
        return moving.Dumped(records, cursor_at(told["walk"], told["place"]) if "walk" in told else None)

    async def load(self, move_id: str, records: Sequence[moving.Record], *, last: bool = False) -> None:
        """See `aiq.storage.Moving`."""
        check_opaque("id of a move", move_id)
        check_count("list of records", len(records), MAX_PAGE)
        blobs = Blobs()
        told = [moves.told(record, blobs) for record in records]
        await self._step("load", {"move_id": move_id, "records": told, "last": last}, blobs)
