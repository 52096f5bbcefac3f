"""Steps of the reference: each operation one transition under the lock."""

from aiq.backends.memory.door import Door
from aiq.backends.memory.get_steps import get_steps
from aiq.backends.memory.save_step import save_step
from aiq.bounds import MAX_PAGE
from aiq.model import Lease, Saved, Step


class StepsFace(Door):
    """See `aiq.storage.Steps`."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        return await self._run(save_step, lease, step)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        return await self._look(get_steps, job_id, after, limit)
