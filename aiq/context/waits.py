"""Waits: the run leaves its worker, unless what it waits for is there already."""

from typing import NoReturn

from aiq.context.points import Points
from aiq.context.run import Parked, Run
from aiq.errors import StepChanged
from aiq.model import Deferred, Held, Sleeping, Step, StepKind, Suspended, Waiting


class Waits:
    """The waits of one run."""

    def __init__(self, run: Run, points: Points) -> None:
        self._run, self._points = run, points

    async def over(self, outcome: Suspended | Waiting | Sleeping, *kinds: StepKind) -> Step:
        """The step that a wait has left when it is over. Until then Parked unwinds the handler.

        Raises:
            StepChanged: something of another kind is remembered under its key.
        """
        step = self._run.steps.get(outcome.key)
        if step is None:
            async with self._points.quiet():
                step = await self._run.park(outcome)
        if step.kind not in kinds:
            raise StepChanged(outcome.key)
        return step

    async def leave(self, outcome: Held | Deferred) -> NoReturn:
        """Give the job back, and unwind the handler; the next run begins from the top."""
        async with self._points.quiet():
            await self._run.park(outcome)
        raise Parked
