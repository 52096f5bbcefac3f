"""Remembered sub-results."""

from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import Lease, Saved, Step


class Steps(Protocol):
    """Remembered sub-results."""

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """Remember a value under a key; the first one stands. `step.fence` is set by the store.

        Raises:
            LeaseLost: nothing was saved.
            Conflict("step"): the key is taken with another digest.
            TooLarge: over MAX_STEP_BYTES, or MAX_STEPS keys.
        Spec: STEP-1, STEP-2, STEP-4, LEASE-5
        """
        ...

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """Read steps in the order of their keys, those after `after`, as many as go into a page. One with fewer
        than `limit`, and less than MAX_PAGE_BYTES of values, is the last. Spec: STEP-5, STORE-13

        Raises:
            NotFound: no such job.
        """
        ...
