"""Signals: checked here, and made one step of the store."""

from aiq.backends.relational.door import Door
from aiq.backends.relational.send import send
from aiq.model import Sent
from aiq.rules.validation import check_signal


class SignalsFace(Door):
    """See `aiq.storage.Signals`."""

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        check_signal(name, signal_id, payload)
        return await self._write(send, job_id, name, signal_id, payload)
