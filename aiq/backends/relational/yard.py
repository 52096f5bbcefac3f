"""The ready jobs of one queue, as a claim looks at them. Spec: chapter 12

What a claim does to lines and pools is kept until it ends; the jobs that it gives are leased together then.
"""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.ending import end
from aiq.backends.relational.gates import Gate
from aiq.backends.relational.heads import LineKey, Place
from aiq.backends.relational.holding import held_for, keep
from aiq.backends.relational.moves import add_error, move, unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import Transaction
from aiq.model import Amounts, Band, HeldFor, JobError, JobRecord, State
from aiq.rules.books import Front, Line, Pool, Yard
from aiq.rules.fairness import PLAIN
from aiq.rules.settling import Change
from aiq.rules.states import check

_FIRST_LOOK: Final = 2
"""How many pools, lines, and jobs of a line, are read before any was given: most are only looked at."""


class StoredYard:
    """One queue within one claim. See `aiq.rules.books.Yard`.

    `given` are the jobs that the claim was given, in that order, with their numbers.
    """

    def __init__(self, tx: Transaction, queue: str, count: int) -> None:
        self._tx = tx
        self._queue = queue
        self._count = count
        self._admission = admission(tx)
        self._lanes = self._admission.lanes
        self._served: set[tuple[str, Band]] = set()
        """Pools and bands of which a job was given."""
        self._coming: list[Front] = []
        """Those of the pools that were open when the claim looked, in the order in which they may come."""
        self._opened: dict[str, None] = {PLAIN: None}
        """Pools that were looked at."""
        self.given: list[tuple[int, JobRecord]] = []

    @property
    def queue(self) -> str:
        """Its name."""
        return self._queue

    def fronts(self) -> Sequence[Front]:
        """Those of the pools with jobs in lanes that are not parked. What was given is leased when the claim ends, so
        those of pools that were looked at are not what is stored."""
        found = [front for front in self._lanes.fronts(self._queue) if front.pool not in self._opened]
        opened = [self.front(pool) for pool in self._opened if not self.pool(pool).wake_at_ms]
        found += [front for front in opened if front is not None]
        self._coming = sorted(found)
        return found

    def front(self, pool: str) -> Front | None:
        """That of an open pool that was looked at."""
        lines = [line for band in self.bands(pool) if (line := self.line(pool, band)) is not None]
        places = [(line.band, place[1]) for line in lines if (place := self._place(line)) is not None]
        return Front(places[0][0], min(position for _, position in places), pool) if places else None

    def pool(self, name: str) -> Pool:
        """One whose turn it may be. Those whose turn is next are read with it."""
        if name not in self._opened:
            self._open(name)
        return self._lanes.pools.row(self._queue, name).pool

    def put_pool(self, pool: Pool) -> None:
        """Write one."""
        self._lanes.pools.put(pool)
        if pool.wake_at_ms:
            self._lanes.parked(line=False)

    def bands(self, pool: str) -> Sequence[Band]:
        """The bands of a pool with jobs in lanes."""
        if pool == PLAIN:
            return self._lanes.plain_bands(self._queue)
        ready = self._lanes.pools.row(self._queue, pool).ready
        return [band for band in Band if ready[band]]

    def line(self, pool: str, band: Band, after: tuple[int, str] | None = None) -> Line | None:
        """The next open line."""
        turns = self._lanes.turns(self._queue, pool, band)
        if pool == PLAIN:
            only = turns.line(turns.row(""))
            last = after is not None and after >= (only.service, only.digest)
            return None if last or only.wake_at_ms or band not in self.bands(PLAIN) else only
        chunk = self._chunk(pool, band, 1)
        row = turns.next(after, chunk)
        # Of a line with jobs none is found where somebody else holds their rows: such a line is passed over.
        while row is not None and self._place(turns.line(row)) is None:
            row = turns.next((row.service, row.digest), chunk)
        return None if row is None else turns.line(row)

    def put_line(self, line: Line) -> None:
        """Write one."""
        turns = self._lanes.turns(self._queue, line.pool, line.band)
        turns.put(line.tenant, line.service, line.wake_at_ms, line.parked_by)
        if line.wake_at_ms:
            self._lanes.parked(line=True)

    def head(self, line: Line) -> JobRecord | None:
        """The first job of a line, and what it and those that were read with it will ask for."""
        heads = self._lanes.heads
        record = None if self._place(line) is None else heads.first(self._key(line))
        if heads.fresh:
            self._admission.ledger.fetch_starts(heads.take_fresh())
        return record

    def queue_credits(self) -> tuple[int, int, int, int]:
        """The queue's credits, by band."""
        return self._admission.queues.credits(self._queue)

    def put_queue_credits(self, credits: tuple[int, int, int, int]) -> None:
        """Write them."""
        self._admission.queues.put_credits(self._queue, credits)

    def give(self, record: JobRecord) -> None:
        """Lease a job to the claim (T3), with all the others when it ends."""
        check("T3", record.state, State.RUNNING)
        key = self._lanes.key_of(record)
        self.given.append((self._lanes.heads.n(record.id), record))
        self._served.add((key[1], record.band))
        self._lanes.leave(key, _place(record), record)
        if record.fence == 0 and record.parent_id is None:
            self._admission.queues.count(self._queue, -1)

    def hold(self, record: JobRecord, reason: HeldFor, by: str, need: Amounts) -> None:
        """Hold a ready job (T21)."""
        job = self._job(record)
        keep(self._tx, job, held_for(job, reason), by, need)

    def refuse(self, record: JobRecord, error: JobError) -> None:
        """End a ready job (T25). No failure is counted: it did not run. Spec: BUDGET-14, HOLD-5"""
        job = self._job(record)
        told = add_error(self._tx, job, error).message
        change = Change("T25", State.DEAD, failures=record.failures, stalls=record.stalls, cause=error.cause)
        end(self._tx, job, change, told=told)

    def reroute(self, record: JobRecord, route: int) -> None:
        """Let a ready job take another route (T19)."""
        move(self._tx, self._job(record), unchanged(record, "T19", State.READY), route=route)

    def set_aside(self, record: JobRecord, limit: str, key: str, wake_at_ms: int) -> None:
        """Take a ready job out of its lane."""
        gate = Gate(*self._lanes.key_of(record), limit, key)
        self._lanes.set_aside(_place(record), gate, wake_at_ms, record)

    def _job(self, record: JobRecord) -> Job:
        job = self._tx.job(record.id)
        assert job is not None
        return job

    def _open(self, name: str) -> None:
        """Look at a pool, and at as many of those behind it as the claim may come to."""
        coming = [front for front in self._coming if front.pool not in self._opened and front.pool != name]
        few = max(1, self._left()) if self.given else _FIRST_LOOK
        fronts = [front for front in self._coming if front.pool == name] + coming[: few - 1]
        self._opened.update(dict.fromkeys(front.pool for front in fronts))
        if len(fronts) > 1:
            self._lanes.read_first(fronts, self._queue, _FIRST_LOOK)
        else:
            pools, lines = self._lanes.pools, [self._lanes.turns(self._queue, one.pool, one.rank) for one in fronts]
            turns = [question for line in lines for question in line.questions(_FIRST_LOOK)]
            self._tx.foresee([*pools.questions([(self._queue, name)]), *turns])
            pools.fetch([(self._queue, name)])

    def _place(self, line: Line) -> Place | None:
        """Where the first job of a line stands. Those of the lines after it are read with it."""
        heads, key = self._lanes.heads, self._key(line)
        if heads.wants(key):
            upcoming = self._upcoming(key)
            chunk = self._chunk(line.pool, line.band, len(upcoming))
            # Of the last one of each line only the place is asked for, mostly.
            whole = max(1, chunk - 1)
            heads.read_ahead(upcoming, chunk, whole)
            heads.read_on(key, chunk, whole)
        return heads.place(key)

    def _key(self, line: Line) -> LineKey:
        return (self._queue, line.pool, line.band, line.tenant)

    def _upcoming(self, key: LineKey) -> list[LineKey]:
        """A line, and those whose turn is next."""
        queue, pool, band, _ = key
        if pool == PLAIN:
            return [key]
        rows = self._lanes.turns(queue, pool, band).upcoming(self._left())
        return [key, *((queue, pool, band, row.tenant) for row in rows if row.tenant != key[3])]

    def _chunk(self, pool: str, band: Band, lines: int) -> int:
        """How much to read of one line or more: little while nothing was given, then what the claim may still give."""
        return self._left() // lines + 1 if (pool, band) in self._served else _FIRST_LOOK

    def _left(self) -> int:
        return self._count - len(self.given)


def _place(record: JobRecord) -> Place:
    return (record.lane, record.position, record.id)


def _conforms(yard: StoredYard) -> Yard:
    return yard
