"""Steps: checked here, and made one step of the store."""

from aiq.backends.relational.door import Door
from aiq.backends.relational.get_steps import get_steps
from aiq.backends.relational.save_step import save_step
from aiq.bounds import MAX_PAGE
from aiq.errors import NotFound
from aiq.model import Lease, Saved, Step
from aiq.rules.validation import check_limit, check_step


class StepsFace(Door):
    """See `aiq.storage.Steps`."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        check_step(step)
        return await self._go_on(save_step, lease, step)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        check_limit(limit)
        try:
            return await self._read_beside(get_steps, job_id, after, limit)
        except NotFound:
            return await self._read(get_steps, job_id, after, limit)
