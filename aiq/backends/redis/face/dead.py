"""Dead letters in Redis: each operation one call of the script of its name."""

from collections.abc import Sequence
from typing import Any

from aiq.backends.redis import wire
from aiq.backends.redis.door import Blobs, Door
from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import Conflict, NotFound
from aiq.model import AGES_MS, DeadQuery, GroupPage, GroupStatus, Purged, Redrive, Redriven, State, Target
from aiq.rules.deaths import after_group, group_cursor
from aiq.rules.redriving import check_redrive
from aiq.rules.validation import check_count, check_limit


class DeadLettersFace(Door):
    """See `aiq.storage.DeadLetters`."""

    async def dead_groups(self, query: DeadQuery, *, cursor: str | None = None, limit: int = MAX_PAGE) -> GroupPage:
        """See `aiq.storage.DeadLetters`."""
        check_limit(limit)
        after = None if cursor is None else after_group(cursor)
        args = {"by": query.by, "limit": limit, "ages": AGES_MS, "after": after, "fingerprint": query.fingerprint}
        found = (await self._step("dead_groups", _without_nothing(args))).value
        groups = tuple(wire.heard(GroupStatus, {"oldest_ms": None, **one}) for one in found["groups"])
        return GroupPage(groups, group_cursor(query, groups[-1].group) if found["more"] else None)

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """See `aiq.storage.DeadLetters`."""
        check_redrive(request)
        said, blobs = wire.said(request), Blobs()
        targets = said.pop("targets")
        if request.payload is not None:
            said["blob"] = blobs.add(request.payload)
        found = (await self._step("redrive", {"request": said, "targets": targets}, blobs)).value
        return [_redriven(target, one) for target, one in zip(request.targets, found, strict=True)]

    async def purge(self, job_ids: Sequence[str]) -> Sequence[Purged]:
        """See `aiq.storage.DeadLetters`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        found: dict[str, Any] = {}
        left = list(job_ids)
        while left:
            told = (await self._step("purge", {"ids": left})).value
            found.update(zip(left, told, strict=True))
            left = [job_id for job_id, one in zip(left, told, strict=True) if one.get("again")]
        return [_purged(job_id, found[job_id]) for job_id in job_ids]


def _purged(job_id: str, one: Any) -> Purged:  # Any: as the script says
    return Purged(job_id, State(one["state"]) if "state" in one else None, gone=one["gone"])


def _without_nothing(args: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if value is not None}


def _redriven(target: Target, one: Any) -> Redriven | Conflict | NotFound:  # Any: as the script says
    if not one:
        return NotFound(target.job_id)
    if "conflict" in one:
        return Conflict(**one["conflict"])
    return Redriven(target.job_id, State(one["state"]), one["generation"], existed=one.get("existed", False))
