"""Messages to a job from outside."""

from typing import Protocol

from aiq.model import Sent


class Signals(Protocol):
    """Messages to a job from outside."""

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """Hand a signal to the wait that stands open for it (T13), or keep it for the next one.

        Raises:
            NotFound: no such job.
            Conflict("terminal"): the job has ended.
            Conflict("signal"): this id was sent with another name or payload.
            TooLarge: over MAX_SIGNAL_BYTES, or MAX_KEPT_SIGNALS are kept.
        Spec: SIG-1, SIG-2, SIG-4, SIG-5, SIG-11
        """
        ...
