"""The ready jobs of one queue, as a claim looks at them. Spec: chapter 12."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from aiq.backends.memory.ending import end
from aiq.backends.memory.holding import keep
from aiq.backends.memory.sweeps import reroute
from aiq.backends.memory.transition import Transaction
from aiq.model import Amounts, Band, HeldFor, JobError, JobRecord, State
from aiq.rules.books import Front, Line, Pool, Yard
from aiq.rules.failures import appended
from aiq.rules.offers import front_of


class MemoryYard:
    """One queue within one claim. See `aiq.rules.books.Yard`; `lease` is what the claim does with a job it is given."""

    def __init__(self, tx: Transaction, queue: str, lease: Callable[[JobRecord], None]) -> None:
        self._tx = tx
        self._queue = queue
        self._lanes = tx.tables.lanes[queue]
        self._lease = lease

    @property
    def queue(self) -> str:
        """Its name."""
        return self._queue

    def fronts(self) -> Sequence[Front]:
        """Those of the pools with jobs in lanes that are not parked."""
        found = [self.front(pool.name) for pool in self._lanes.open_pools()]
        return [front for front in found if front is not None]

    def front(self, pool: str) -> Front | None:
        """That of an open pool."""
        return front_of(self, pool)

    def pool(self, name: str) -> Pool:
        """One whose turn it may be."""
        return self._lanes.pool(name)

    def put_pool(self, pool: Pool) -> None:
        """Write one."""
        self._lanes.put_pool(pool)

    def bands(self, pool: str) -> Sequence[Band]:
        """The bands of a pool with jobs in lanes."""
        return self._lanes.bands(pool)

    def line(self, pool: str, band: Band, after: tuple[int, str] | None = None) -> Line | None:
        """The next open line."""
        return self._lanes.least(pool, band, after)

    def put_line(self, line: Line) -> None:
        """Write one."""
        self._lanes.put_line(line)

    def head(self, line: Line) -> JobRecord | None:
        """The first job of a line."""
        place = self._lanes.first((line.pool, int(line.band), line.tenant))
        return None if place is None else self._tx.tables.jobs[place[2]]

    def queue_credits(self) -> tuple[int, int, int, int]:
        """The queue's credits, by band."""
        return self._lanes.credits

    def put_queue_credits(self, credits: tuple[int, int, int, int]) -> None:
        """Write them."""
        self._lanes.credits = credits

    def give(self, record: JobRecord) -> None:
        """Lease a job to the claim."""
        self._lease(record)

    def hold(self, record: JobRecord, reason: HeldFor, by: str, need: Amounts) -> None:
        """Hold a ready job (T21)."""
        keep(self._tx, record, replace(record, held=reason, held_by=by), need)

    def refuse(self, record: JobRecord, error: JobError) -> None:
        """End a ready job (T25). No failure is counted: it did not run. Spec: BUDGET-14, HOLD-5"""
        errors = appended(record, error, self._tx.now_ms)
        end(self._tx, "T25", record, replace(record, state=State.DEAD, cause=error.cause, errors=errors))

    def reroute(self, record: JobRecord, route: int) -> None:
        """Let a ready job take another route (T19)."""
        reroute(self._tx, record, route)

    def set_aside(self, record: JobRecord, limit: str, key: str, wake_at_ms: int) -> None:
        """Take a ready job out of its lane."""
        self._lanes.set_aside(record, self._tx.tables.pool(record), limit, key, wake_at_ms)


def _conforms(yard: MemoryYard) -> Yard:
    return yard
