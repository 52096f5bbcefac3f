"""Workers that tell of themselves."""

from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import Beat, WorkerStatus


class Workers(Protocol):
    """A register of workers, for those who look. No decision about a job is made by it. Spec: WORK-6"""

    async def beat(self, beat: Beat) -> None:
        """Write down what a worker says of itself, in the place of what it said before.

        Raises:
            InvalidInput: a name or a number is out of range.
            TooLarge: it names more than MAX_BATCH queues.
        Spec: WORK-1
        """
        ...

    async def leave(self, worker: str) -> None:
        """Strike a worker off, because it has stopped in order. One that is not known does not matter. Spec: WORK-3"""
        ...

    async def workers(self, *, after: str = "", limit: int = MAX_PAGE) -> list[WorkerStatus]:
        """Read workers in the order of their names, those after `after`, each as alive, blocked or gone.

        Spec: WORK-2, WORK-5
        """
        ...


async def every_worker(storage: Workers) -> list[WorkerStatus]:
    """All workers that are known, page by page."""
    found: list[WorkerStatus] = []
    while page := await storage.workers(after=found[-1].beat.worker if found else ""):
        found += page
        if len(page) < MAX_PAGE:
            break
    return found
