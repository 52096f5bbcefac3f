"""Children that go where their parent's worker takes nothing from: usually a mistake, and the parent waits for ever."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from aiq.model import JobSpec

_log = logging.getLogger("aiq.worker")


class Unserved:
    """Warns of each queue that children went to and that the worker does not serve, once as long as it lives.

    It may be meant so: another worker serves the queue. Whether one does cannot be told from here.
    """

    def __init__(self, served: Collection[str]) -> None:
        self._known: Final = set(served)

    def look(self, spawned: Iterable[JobSpec], extra: Mapping[str, object]) -> None:
        """Look at children that a run has started. `extra` is what a log record says of the run."""
        for queue in sorted({spec.queue for spec in spawned} - self._known):
            self._known.add(queue)
            _log.warning(
                'Children have gone to queue "%s", which this worker does not serve; they wait for one that does. '
                "If none is meant to, give this one slots for it, or name another queue: using(queue=…), or queue=… "
                "in their task.",
                queue,
                extra=dict(extra),
            )
