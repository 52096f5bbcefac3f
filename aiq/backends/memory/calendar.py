"""Schedules as they stand, and where the ones are found that somebody has to fire or that wait for a job."""

from collections import defaultdict
from dataclasses import dataclass, field

from aiq.backends.memory.index import Index, TimeKey
from aiq.model import ScheduleStatus


@dataclass(slots=True)
class Calendar:
    """All schedules, by name. Every status goes through `put`, which keeps the indexes in step."""

    standing: dict[str, ScheduleStatus] = field(default_factory=dict)
    due: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Schedules by the instant from which on somebody has to plan or fire them."""
    awaited: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The schedules that wait for the end of a job, by the job."""

    def put(self, status: ScheduleStatus) -> ScheduleStatus:
        """Write a schedule in the place of the one of its name."""
        self.drop(status.name)
        self.standing[status.name] = status
        if status.due_ms is not None:
            self.due.add((status.due_ms, status.name))
        if status.awaited is not None:
            self.awaited[status.awaited].add(status.name)
        return status

    def drop(self, name: str) -> None:
        """Take out a schedule, if it is there."""
        before = self.standing.pop(name, None)
        if before is None:
            return
        if before.due_ms is not None:
            self.due.remove((before.due_ms, name))
        if before.awaited is not None:
            self.awaited[before.awaited].discard(name)
            if not self.awaited[before.awaited]:
                del self.awaited[before.awaited]
