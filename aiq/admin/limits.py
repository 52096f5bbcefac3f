"""Limits, as operators set and see them."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from aiq.admin.room import Room
from aiq.bounds import MAX_PAGE
from aiq.job import until_known
from aiq.misuse import check_kind
from aiq.model import LimitSpec
from aiq.needs import limits_in, parts
from aiq.policy import Limit
from aiq.reports import LimitReport
from aiq.task import Task


class LimitAdmin(Room):
    """The part of `Admin` that is about limits."""

    async def put_limit(self, limit: Limit) -> Limit:
        """Store a limit, in the place of one of its name, and answer with what stands. What is left of that goes along.

        Raises:
            Conflict("by"): the stored one goes `by` something else; make one of another name.
        """
        return (await self.put_limits([limit]))[0]

    async def put_limits(self, limits: Iterable[Limit]) -> list[Limit]:
        """Store any number of limits, as `put_limit` does."""
        return await self._put(_in_code(limits))

    # Any: tasks of all signatures.
    async def reset_limits(self, code: Iterable[Limit | Task[Any, object]]) -> list[Limit]:
        """Give up what an operator changed: store the limits, or those of tasks, as code names them."""
        return await self._put(_in_code(code))

    async def limits(self, *names: str) -> list[LimitReport]:
        """Limits with what is left of them, by name: those named, if they are stored, or all."""
        found: list[LimitReport] = []
        after = ""
        while page := await self._storage.get_limits(names, after=after):
            found += map(LimitReport.of, page)
            after = page[-1].spec.name
            if names or len(page) < MAX_PAGE:
                break
        return found

    async def _put(self, specs: Sequence[LimitSpec]) -> list[Limit]:
        stands: list[LimitSpec] = []
        for batch in parts(specs):
            stands += await until_known(partial(self._storage.put_limits, batch))
        return [Limit.of(spec) for spec in stands]


# Any: as above.
def _in_code(code: Iterable[Limit | Task[Any, object]]) -> list[LimitSpec]:
    """The limits of a list, which may name tasks for theirs; each name once."""
    found: dict[str, LimitSpec] = {}
    check_kind("list of limits", code, Iterable, "[GPT]")
    for one in code:
        check_kind("limit", one, Limit | Task, 'aiq.Limit("gpt", requests=600)')
        for limit in limits_in(one) if isinstance(one, Task) else (one,):
            found.setdefault(limit.name, limit.spec())
    return list(found.values())
