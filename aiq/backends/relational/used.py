"""What a step counts as used: added up, and written once for all whose use is the same. Spec: USAGE-1, METRIC-3

The jobs of a task have mostly used the same when nobody says what they have used, so that their use is one value in the
step: it is written as its lines, and the names of those who have it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, TypeAlias

from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.rules.alike import Counted, Lines
from aiq.rules.books import UsageOf
from aiq.rules.metrics import count_use

SQL: Final = load("ledger")

Place: TypeAlias = tuple[str, str, int]
"""Scope, owner and minute."""
_Times: TypeAlias = tuple[Lines, int]


class Used:
    """The use of one step."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._lines: dict[int, Lines] = {}
        """Those that were counted, by their identity: a value that is kept here has it to itself."""
        self._by_job: defaultdict[int, dict[tuple[str, int], int]] = defaultdict(dict)
        """Who has used them, and in which minute, how many times."""
        self._by_owner: defaultdict[int, dict[tuple[str, str | None, str, str, int], int]] = defaultdict(dict)
        """The same by tenant, flow, queue and task."""

    def add(self, owner: UsageOf, more: Lines) -> None:
        """Count use for its job, flow, tenant and minute, and with what its task does."""
        which = id(more)
        self._lines[which] = more
        jobs, owners = self._by_job[which], self._by_owner[which]
        job = (owner.job_id, owner.minute_ms)
        jobs[job] = jobs.get(job, 0) + 1
        others = (owner.tenant, owner.flow, owner.queue, owner.task, owner.minute_ms)
        owners[others] = owners.get(others, 0) + 1

    def write(self) -> None:
        """Write what was counted."""
        if not self._lines:
            return
        alike: dict[tuple[str, int, int], list[str]] = {}
        for (scope, owner, minute_ms), entries in self._places().items():
            lines = _summed(entries)
            self._lines[id(lines)] = lines
            alike.setdefault((scope, minute_ms, id(lines)), []).append(owner)
        for (scope, minute_ms, which), owners in alike.items():
            rows = [(*line, *counted) for line, counted in self._lines[which].items()]
            self._tx.later(SQL["add_usage"], (scope, minute_ms, rows, owners))
        for known in (self._lines, self._by_job, self._by_owner):
            known.clear()

    def _places(self) -> dict[Place, list[_Times]]:
        """What each has used, and how many times. Tasks are counted on the way."""
        found: defaultdict[Place, list[_Times]] = defaultdict(list)
        for which, jobs in self._by_job.items():
            lines = self._lines[which]
            for (job_id, minute_ms), times in jobs.items():
                found["job", job_id, minute_ms].append((lines, times))
            for (tenant, flow, queue, task, minute_ms), times in self._by_owner[which].items():
                found["tenant", tenant, minute_ms].append((lines, times))
                found["all", "", minute_ms].append((lines, times))
                if flow is not None:
                    found["flow", flow, minute_ms].append((lines, times))
                if task:
                    self._count(queue, task, lines, times)
        return found

    def _count(self, queue: str, task: str, lines: Lines, times: int) -> None:
        figures = self._tx.figures(queue, task)
        for counted in lines.values():
            count_use(figures, counted.tokens * times, counted.usd_micros * times)


def _summed(entries: Sequence[_Times]) -> Lines:
    """All entries together. Those of a job are mostly one."""
    if len(entries) == 1 and entries[0][1] == 1:
        return entries[0][0]
    sums: dict[tuple[str, str], list[int]] = {}
    for entry, times in entries:
        for line, counted in entry.items():
            known = sums.setdefault(line, [0, 0, 0, 0])
            for place, more in enumerate(counted):
                known[place] += more * times
    return {line: Counted(*counts) for line, counts in sums.items()}
