"""Jobs in Redis: each operation one call of the script of its name."""

from collections import defaultdict
from collections.abc import Sequence

from aiq.backends.redis import wire
from aiq.backends.redis.door import Door
from aiq.bounds import MAX_PAGE, MAX_PAGE_BYTES
from aiq.model import Counts, JobRecord, State
from aiq.rules.validation import check_count


class JobsFace(Door):
    """See `aiq.storage.Jobs`."""

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        answer = await self._step("get", {"ids": list(job_ids), "bytes": MAX_PAGE_BYTES})
        return [wire.record(answer, place) if place else None for place in answer.value]

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        answer = await self._step("count", {"queue": queue} if queue is not None else {})
        counts: defaultdict[str, dict[State, int]] = defaultdict(dict)
        for name, state, number in answer.value:
            counts[name][State(state)] = number
        return dict(counts)
