"""Signals of the reference: each operation one transition under the lock."""

from aiq.backends.memory.door import Door
from aiq.backends.memory.send import send
from aiq.model import Sent


class SignalsFace(Door):
    """See `aiq.storage.Signals`."""

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        return await self._run(send, job_id, name, signal_id, payload)
