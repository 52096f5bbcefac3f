"""How long, and how many of, what is over is kept."""

from dataclasses import replace
from functools import partial

from aiq.admin.room import Room
from aiq.errors import InvalidInput
from aiq.job import until_known
from aiq.misuse import check_kind
from aiq.policy import Kept, keep_ms_of
from aiq.rules.retention import KINDS


class RetentionAdmin(Room):
    """The part of `Admin` that is about retention."""

    async def retention(self) -> dict[str, Kept]:
        """How long, and how many of, what is over is kept: by kind, and "ids" for the ids of jobs that are gone."""
        spec = await self._storage.get_retention()
        kept = {kind: Kept.of(getattr(spec, kind)) for kind in KINDS}
        return {**kept, "ids": Kept(spec.ids_ms / 1000)}

    async def put_retention(self, **kinds: Kept) -> dict[str, Kept]:
        """Say how long, and how many of, what is over is kept. What is not named stays as it is.

            await queue.admin.put_retention(
                succeeded=aiq.Kept(timedelta(days=1), count=100_000), dead=aiq.Kept(timedelta(days=90))
            )

        Kinds are `succeeded`, `dead` and `cancelled` jobs, with all that belongs to them; what may go before its job:
        `results`, `steps`, `signals` (taken, or of a job that has ended) and `streams`; `events`; `minutes` of metrics;
        `usage` by minute; and `ids` of jobs that are gone. Of a job whose result is gone, `Job.result` raises
        ResultGone; one that is redriven without its steps begins from its beginning.

        Raises:
            InvalidInput: there is no such kind, or a number is out of range.
        """
        unknown = sorted(kinds.keys() - {*KINDS, "ids"})
        if unknown:
            raise InvalidInput(f"Nothing of the kind {unknown[0]!r} is kept. There are: {', '.join((*KINDS, 'ids'))}.")
        for kept in kinds.values():
            check_kind("retention", kept, Kept, "aiq.Kept(timedelta(days=7), count=100_000)")
        spec = await self._storage.get_retention()
        ids = kinds.pop("ids", Kept(spec.ids_ms / 1000))
        if ids.period is None or ids.count is not None:
            raise InvalidInput("The ids of jobs that are gone are kept for a period: ids=aiq.Kept(timedelta(days=1)).")
        changed = replace(spec, ids_ms=keep_ms_of(ids.period), **{kind: kept.spec() for kind, kept in kinds.items()})
        await until_known(partial(self._storage.put_retention, changed))
        return await self.retention()
