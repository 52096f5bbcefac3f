"""Steps in Redis: each operation one call of the script of its name."""

from dataclasses import replace
from typing import Any

from aiq.backends.redis import wire
from aiq.backends.redis.door import Answer, Blobs, Door
from aiq.bounds import MAX_PAGE, MAX_PAGE_BYTES
from aiq.model import Lease, Saved, Step
from aiq.rules.validation import check_limit, check_step


class StepsFace(Door):
    """See `aiq.storage.Steps`."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        check_step(step)
        blobs = Blobs()
        value = blobs.add(step.value)
        args = {"lease": wire.said(lease), "key": step.key, "digest": step.digest, "value": value}
        answer = await self._step("save_step", args, blobs)
        found = answer.value.pop("step", None)
        saved = replace(step, fence=lease.fence) if found is None else _step(answer, found)
        return Saved(saved, existed=found is not None, **answer.value)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        check_limit(limit)
        args = {"id": job_id, "after": after, "limit": limit, "bytes": MAX_PAGE_BYTES}
        answer = await self._step("get_steps", args)
        return [_step(answer, found) for found in answer.value]


def _step(answer: Answer, found: dict[str, Any]) -> Step:  # Any: as the script says it
    return wire.heard(Step, {**found, "value": b""}, value=answer.blob(found["value"]) or b"")
