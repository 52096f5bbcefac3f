"""Steps, of which most are saved a shorter way."""

from aiq.backends.postgres.door import ServerDoor
from aiq.backends.postgres.plain.save_step import save_step
from aiq.backends.relational.face.steps import StepsFace
from aiq.model import Lease, Saved, Step
from aiq.rules.validation import check_step


class ServerSteps(ServerDoor, StepsFace):
    """As all stores in SQL have them. A function of the schema is asked first, and answers nothing where it cannot."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        check_step(step)
        answer = await self._plain(save_step, lease, step)
        return await super().save_step(lease, step) if answer is None else answer
