"""Jobs whose task this worker does not have: during a deploy another worker may."""

from collections import OrderedDict
from collections.abc import Iterable
from random import Random
from typing import Final

from aiq.engine.timing import BootClock
from aiq.errors import UnknownTask
from aiq.model import Cause, Died, JobRecord, Released
from aiq.rules.retry import job_error

AGAIN_MS: Final = (1_000, 5_000)
REMEMBERED: Final = 4_096
"""Jobs whose first sight is remembered; the oldest are forgotten, and get their grace again."""


class Unroutable:
    """Gives such jobs back, and after `grace_ms` since this worker first saw one, lets it die.

    The time is this worker's own: a job may be days old, and yet have met no worker without its task before.
    """

    def __init__(self, grace_ms: int, *, clock: BootClock, rng: Random) -> None:
        self._grace_ms, self._clock, self._rng = grace_ms, clock, rng
        self._first_seen_ms: OrderedDict[str, int] = OrderedDict()

    def outcome(self, record: JobRecord, known: Iterable[str]) -> Released | Died:
        """What to do with a job whose task is not among those known."""
        now_ms = self._clock()
        first_ms = self._first_seen_ms.setdefault(record.id, now_ms)
        if now_ms - first_ms >= self._grace_ms:
            del self._first_seen_ms[record.id]
            return Died(job_error(UnknownTask(record.task, known), Cause.UNROUTABLE))
        if len(self._first_seen_ms) > REMEMBERED:
            self._first_seen_ms.popitem(last=False)
        return Released(delay_ms=self._rng.randint(*AGAIN_MS))
