"""Moving everything from one storage to another."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import moving


class Moving(Protocol):
    """Moving everything from one storage to another. Spec: chapter 20."""

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """Answer every write with `Moved` from now on, in every process, naming the address where to go on; None opens
        the storage again. Workers that run lose nothing by it: a run can be settled where its job has moved.

        `move_id` names the move. The answer is the name under which the storage was retired first, so that a move
        that broke off goes on under it.

        Raises:
            Conflict("moved"): it has moved to another address already.
            Unavailable: it is being loaded itself.
        Spec: MOVE-3, MOVE-6, MOVE-8, MOVE-9
        """
        ...

    async def dump(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> moving.Dumped:
        """Read everything, a page at a time, in the order in which it is to be loaded. Pages fit together when the
        storage was retired before the first.

        Raises:
            InvalidInput: the cursor is none of this storage's.
        Spec: MOVE-1, MOVE-7
        """
        ...

    async def load(self, move_id: str, records: Sequence[moving.Record], *, last: bool = False) -> None:
        """Take in records of a dump; with `last` these were all, and the storage opens. `move_id` names the move: any
        text that the caller has made once for it. A repeat changes nothing.

        Raises:
            Conflict("occupied"): the storage holds jobs of its own, or another move is under way.
            Moved: it was retired.
            TooLarge: more than MAX_PAGE records.
        Spec: MOVE-1, MOVE-2, MOVE-4, MOVE-5, MOVE-9
        """
        ...
