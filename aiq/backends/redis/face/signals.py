"""Signals in Redis: each operation one call of the script of its name."""

from aiq.backends.redis.door import Blobs, Door
from aiq.model import Sent
from aiq.rules.validation import check_signal


class SignalsFace(Door):
    """See `aiq.storage.Signals`."""

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        check_signal(name, signal_id, payload)
        blobs = Blobs()
        args = {"id": job_id, "name": name, "signal": signal_id, "payload": blobs.add(payload)}
        answer = await self._step("send", args, blobs)
        return Sent(**answer.value)
