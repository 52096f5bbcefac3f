"""The ready jobs of one queue: their lanes, lines and pools, and what of them stands aside. Spec: chapter 12.

A job is in its lane, or behind a gate: the jobs of one line that one limit by key refuses share one. Through a gate
that opens goes its first job alone, and when that has left its lane, the next: of thousands with one key, no more than
one at a time stands in the way of the jobs behind them. Spec: LIMIT-16
"""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Final, TypeAlias

from msgspec import structs

from aiq.backends.memory.idle import Idle
from aiq.backends.memory.index import Index, Parked, TimeKey
from aiq.bounds import MAX_INSTANT_MS
from aiq.model import Band, JobRecord
from aiq.rules.batches import Wakes
from aiq.rules.books import Line, Pool
from aiq.rules.fairness import PLAIN, Credits, digest, lifted, with_credit

LineKey: TypeAlias = tuple[str, int, str]
"""Pool, band, tenant."""
Place: TypeAlias = tuple[int, int, str]
"""Lane, position, id: the order of a line. Spec: BAND-4."""
GateKey: TypeAlias = tuple[str, int, str, str, str]
"""Pool, band, tenant; limit and key."""
Turn: TypeAlias = tuple[int, str, str]
"""Service, digest, tenant: the order of lines. Spec: FAIR-1."""

NO_CREDITS: Final[Credits] = (0, 0, 0, 0)
_AT_ONCE_MS: Final = 0
"""Until when a gate is shut that was told to open."""


def line_of(record: JobRecord, pool: str) -> LineKey:
    """The line of a ready job."""
    return (pool, int(record.band), record.tenant)


def place_of(record: JobRecord) -> Place:
    """The place of a ready job in its line."""
    return (record.lane, record.position, record.id)


class Patience:
    """Until when jobs that are ready wait for the pool of their route. Spec: ROUTE-5"""

    def __init__(self) -> None:
        self.ends: Index[TimeKey] = Index()
        self._by_pool: defaultdict[str, Index[TimeKey]] = defaultdict(Index[TimeKey])
        self._by_job: dict[str, tuple[int, str]] = {}

    def begin(self, job_id: str, pool: str, end_ms: int) -> None:
        """Let a job have patience until an instant, in the place of what it had."""
        self.end(job_id)
        self._by_job[job_id] = (end_ms, pool)
        for index in (self.ends, self._by_pool[pool]):
            index.add((end_ms, job_id))

    def end(self, job_id: str) -> None:
        """Forget a job's patience, if it has any."""
        if job_id in self._by_job:
            end_ms, pool = self._by_job.pop(job_id)
            for index in (self.ends, self._by_pool[pool]):
                index.remove((end_ms, job_id))
            if not self._by_pool[pool]:
                del self._by_pool[pool]

    def of(self, job_id: str) -> int | None:
        """When the patience of a job ends, if it has any."""
        return self._by_job[job_id][0] if job_id in self._by_job else None

    def next_ms(self, pool: str) -> int | None:
        """When the first patience with a pool ends."""
        index = self._by_pool.get(pool)
        return None if index is None else index.first(1)[0][0]


class Lanes:
    """The ready jobs of a queue, and the rows of its pools and lines."""

    def __init__(self, queue: str, idle: Idle) -> None:
        self.queue = queue
        self._idle = idle
        self.pools: dict[str, Pool] = {}
        """Rows that say more than a new one."""
        self.lines: dict[LineKey, Line] = {}
        self.credits = NO_CREDITS
        self.jobs: defaultdict[LineKey, Index[Place]] = defaultdict(Index[Place])
        """In lanes."""
        self.gates: defaultdict[GateKey, Index[Place]] = defaultdict(Index[Place])
        """Behind gates."""
        self.aside: dict[str, GateKey] = {}
        """By job."""
        self.patience = Patience()
        self.parked_pools: Parked[tuple[str]] = Parked()
        self.parked_lines: Parked[LineKey] = Parked()
        self.shut: Parked[GateKey] = Parked()
        self._open_pools: Index[tuple[str]] = Index()
        """Pools with jobs in lanes that are not parked."""
        self._in_lanes: Counter[int] = Counter()
        """How many jobs stand in lanes, by band."""
        self._busy: defaultdict[tuple[str, int], Index[Turn]] = defaultdict(Index[Turn])
        """Lines with jobs in lanes, by pool and band."""
        self._open: defaultdict[tuple[str, int], Index[Turn]] = defaultdict(Index[Turn])
        """Of these, the lines that are not parked."""

    def pool(self, name: str) -> Pool:
        """A pool's row, or a new one."""
        return self.pools.get(name) or Pool(queue=self.queue, name=name)

    def line(self, key: LineKey) -> Line:
        """A line's row, or a new one."""
        pool, band, tenant = key
        return self.lines.get(key) or Line(pool=pool, band=Band(band), tenant=tenant, digest=digest(tenant))

    def put_pool(self, pool: Pool) -> None:
        """Write a pool's row, and park or open it. A band without jobs in lanes has no credit. Spec: BAND-2"""
        spot = (pool.name,)
        for band in set(Band).difference(self.bands(pool.name)):
            pool = replace(pool, credits=with_credit(pool.credits, band, 0))
        if pool == Pool(queue=self.queue, name=pool.name):
            self.pools.pop(pool.name, None)
        else:
            self.pools[pool.name] = pool
        if pool.wake_at_ms:
            self.parked_pools.park(spot, pool.wake_at_ms, pool.parked_by, "")
        else:
            self.parked_pools.wake(spot)
        self._sort_pool(pool.name)
        self._touch_pool(pool.name)

    def put_line(self, line: Line) -> None:
        """Write a line's row, and park or open it."""
        key = (line.pool, int(line.band), line.tenant)
        self._unsort(key)
        self.lines[key] = line
        if line.wake_at_ms:
            self.parked_lines.park(key, line.wake_at_ms, line.parked_by, line.tenant)
        else:
            self.parked_lines.wake(key)
        self._sort(key)
        self._touch_line(key)

    def forget_line(self, key: LineKey) -> None:
        """Keep nothing of a line without jobs in lanes. Spec: FAIR-6"""
        self.parked_lines.wake(key)
        self._idle.lines.drop((self.queue, *key))
        self.lines.pop(key, None)
        self.jobs.pop(key, None)

    def forget_pool(self, name: str) -> None:
        """Keep nothing of a pool without jobs in lanes, of which no line is left. Spec: FAIR-6"""
        self.parked_pools.wake((name,))
        self._idle.pools.drop((self.queue, name))
        self.pools.pop(name, None)
        for band in Band:
            self._busy.pop((name, band), None)
            self._open.pop((name, band), None)

    def least_service(self, pool: str, band: int) -> int | None:
        """The least service of the lines of a band with jobs in lanes, parked ones too. Spec: FAIR-3"""
        lines = self._busy.get((pool, band), Index[Turn]())
        return next((service for service, *_ in lines.first(1)), None)

    def has_lines(self, pool: str) -> bool:
        """Whether anything is kept of a line of a pool."""
        return any(key[0] == pool for key in self.lines)

    def open_pools(self) -> list[Pool]:
        """The pools with jobs in lanes that are not parked, by name."""
        return [self.pool(name) for (name,) in self._open_pools.first(len(self._open_pools))]

    def bands(self, pool: str) -> list[Band]:
        """The bands of a pool with jobs in lanes."""
        return [band for band in Band if self._busy.get((pool, band))]

    def least(self, pool: str, band: int, after: tuple[int, str] | None) -> Line | None:
        """The open line with jobs in lanes that is next after (service, digest). Spec: FAIR-1"""
        lines = self._open.get((pool, band), Index[Turn]())
        turn = lines.over(after) if after is not None else next(iter(lines.first(1)), None)
        return None if turn is None else self.line((pool, band, turn[2]))

    def first(self, key: LineKey) -> Place | None:
        """The place of the first job of a line. Spec: BAND-4"""
        return next(iter(self.jobs[key].first(1)), None)

    def holds(self, record: JobRecord, pool: str) -> bool:
        """Whether a job has its place in its lane, or behind a gate."""
        gate = self.aside.get(record.id)
        standing = self.jobs.get(line_of(record, pool), ()) if gate is None else self.gates[gate]
        return place_of(record) in standing

    def before(self, key: LineKey, place: Place) -> int:
        """How many jobs of a line go before a place."""
        return self.jobs[key].place(place)

    def less_served(self, key: LineKey) -> int:
        """How many lines of the same pool and band, with jobs in lanes, have less service than a line."""
        return self._busy[key[:2]].place((self.line(key).service,))

    def urgent(self, band: int) -> int:
        """How many jobs stand ready in more urgent bands."""
        standing = (self.jobs, self.gates)
        return sum(len(jobs) for all_jobs in standing for key, jobs in all_jobs.items() if key[1] < band)

    def join(self, record: JobRecord, pool: str) -> None:
        """Let a job that is ready stand in its lane."""
        self._enter(line_of(record, pool), place_of(record))

    def leave(self, record: JobRecord, pool: str) -> None:
        """Let a job that is no longer ready, or of another place, leave its lane, or its place behind a gate."""
        self.patience.end(record.id)
        self.step_out(record, pool)

    def step_out(self, record: JobRecord, pool: str) -> None:
        """Let a job that stays ready leave its lane, or its place behind a gate."""
        key, gate = line_of(record, pool), self.aside.pop(record.id, None)
        if gate is None:
            self._exit(key, place_of(record))
        else:
            self.gates[gate].remove(place_of(record))
            self._drop_empty(gate)
        self._let_follow(record, key, gate)

    def set_aside(self, record: JobRecord, pool: str, limit: str, key: str, wake_at_ms: int) -> None:
        """Let a job stand behind a gate, until an instant or until its limit has room. Spec: LIMIT-16"""
        line = line_of(record, pool)
        gate = (*line, limit, key)
        self._exit(line, place_of(record))
        self.gates[gate].add(place_of(record))
        self.aside[record.id] = gate
        first_ms = self.shut.wake_ms(gate)
        self.shut.park(gate, wake_at_ms if first_ms is None else min(first_ms, wake_at_ms), limit, key)
        self._let_follow(record, line, gate)

    def open_gate(self, gate: GateKey) -> None:
        """Let the first job behind a gate stand in its lane again, in its old place."""
        (place,) = self.gates[gate].first(1)
        self.gates[gate].remove(place)
        del self.aside[place[2]]
        pool, band, tenant, limit, key = gate
        self.shut.park(gate, MAX_INSTANT_MS, limit, key)
        self._drop_empty(gate)
        self._enter((pool, band, tenant), place)

    def is_parked(self, pool: str, now_ms: int) -> bool:
        """Whether a pool stands aside at an instant."""
        wake_at_ms = self.parked_pools.wake_ms((pool,))
        return wake_at_ms is not None and wake_at_ms > now_ms

    def wake_pool(self, name: str) -> None:
        """Open a parked pool."""
        self.put_pool(replace(self.pool(name), wake_at_ms=0, parked_by=""))

    def wake_line(self, key: LineKey) -> None:
        """Open a parked line."""
        self.put_line(structs.replace(self.line(key), wake_at_ms=0, parked_by=""))

    def wake_due(self, now_ms: int, wakes: Wakes) -> None:
        """Open what stands aside until now or earlier, as much as a claim still may. Spec: POOL-3"""
        pools = self.parked_pools.due(now_ms, wakes.pools)
        lines = self.parked_lines.due(now_ms, wakes.lines)
        gates = self.shut.due(now_ms, wakes.gates)
        for (name,) in pools:
            self.wake_pool(name)
        for key in lines:
            self.wake_line(key)
        self._open_gates(gates)
        wakes.pools -= len(pools)
        wakes.lines -= len(lines)
        wakes.gates -= len(gates)

    def wake_behind(self, limit: str, key: str) -> bool:
        """Open what a limit, or its part of one tenant or key, keeps aside; say whether that was anything.

        Gates are as many as there are lines with that key; the next claims open them.
        """
        pools, lines = self.parked_pools.behind(limit, key), self.parked_lines.behind(limit, key)
        gates = self.shut.behind(limit, key)
        for (name,) in pools:
            self.wake_pool(name)
        for line in lines:
            self.wake_line(line)
        for gate in gates:
            self.shut.park(gate, _AT_ONCE_MS, limit, key)
        return bool(pools or lines or gates)

    def next_ms(self, now_ms: int) -> list[int]:
        """When the first parked pool, line and gate open by time, as far as that is ahead, and when the first patience
        with a parked pool ends."""
        opens = [parked.next_ms(now_ms) for parked in (self.parked_pools, self.parked_lines, self.shut)]
        ends = [self.patience.next_ms(name) for (name,) in self.parked_pools if self.is_parked(name, now_ms)]
        return [at_ms for at_ms in (*opens, *ends) if at_ms is not None]

    def _let_follow(self, record: JobRecord, line: LineKey, gate: GateKey | None) -> None:
        """A job has left its place, for behind a gate or from there: the next of its other limits and key may come into
        the lane. Spec: LIMIT-16"""
        gates = [(*line, limit, record.key or "") for limit in record.taken_limits]
        self._open_gates([other for other in gates if other != gate and other in self.gates])

    def _open_gates(self, gates: list[GateKey]) -> None:
        """In the order of the jobs that go through them, since each may lift a line."""
        for gate in sorted(gates, key=lambda gate: self.gates[gate].first(1)[0][1]):
            self.open_gate(gate)

    def _enter(self, key: LineKey, place: Place) -> None:
        """Put a job into its lane; a line that gets its first one is lifted. Spec: FAIR-3

        The most urgent one wakes its pool: what a less urgent head waits for may be far more than it needs. In the
        plain pool all need the same. Spec: POOL-1
        """
        line = self.line(key)
        parked = line.pool != PLAIN and self.pool(line.pool).wake_at_ms
        if parked and all(line.band < band for band in self.bands(line.pool)):
            self.wake_pool(line.pool)
        if not self.jobs[key]:
            least = self.least_service(*key[:2])
            line = structs.replace(line, service=lifted(line.service, least, self.pool(line.pool).served[line.band]))
        self._unsort(key)
        self.jobs[key].add(place)
        self._in_lanes[key[1]] += 1
        self.lines[key] = line
        self._sort(key)
        self._touch_line(key)
        self._touch_pool(line.pool)

    def _exit(self, key: LineKey, place: Place) -> None:
        """Take a job out of its lane. When it was the last of its band, that loses its credit. Spec: BAND-2, BAND-3"""
        self._unsort(key)
        self.jobs[key].remove(place)
        self._sort(key)
        pool, band, _ = key
        if not self._busy[pool, band]:
            self.put_pool(self.pool(pool))
        self._in_lanes[band] -= 1
        if not self._in_lanes[band]:
            self.credits = with_credit(self.credits, band, 0)
        self._touch_line(key)
        self._touch_pool(pool)

    def _touch_line(self, key: LineKey) -> None:
        """Note when a line changed, for as long as it has no jobs in lanes."""
        spot = (self.queue, *key)
        if self.jobs.get(key):
            self._idle.lines.drop(spot)
        elif key[0] != PLAIN:
            self._idle.lines.touch(spot, self._idle.now_ms)

    def _touch_pool(self, name: str) -> None:
        """The same of a pool."""
        if self.bands(name):
            self._idle.pools.drop((self.queue, name))
        elif name != PLAIN:
            self._idle.pools.touch((self.queue, name), self._idle.now_ms)

    def _drop_empty(self, gate: GateKey) -> None:
        if not self.gates[gate]:
            del self.gates[gate]
            self.shut.wake(gate)

    def _unsort(self, key: LineKey) -> None:
        """Take a line out of the orders, before its row or its jobs change."""
        line = self.line(key)
        turn = (line.service, line.digest, line.tenant)
        for order in (self._busy[key[:2]], self._open[key[:2]]):
            if turn in order:
                order.remove(turn)

    def _sort(self, key: LineKey) -> None:
        """Put a line into the orders, and its pool among those that are open, if they have jobs to offer."""
        line = self.line(key)
        turn = (line.service, line.digest, line.tenant)
        if self.jobs[key]:
            self._busy[key[:2]].add(turn)
            if key not in self.parked_lines:
                self._open[key[:2]].add(turn)
        self._sort_pool(line.pool)

    def _sort_pool(self, name: str) -> None:
        spot = (name,)
        offers = bool(self.bands(name)) and spot not in self.parked_pools
        if offers is not (spot in self._open_pools):
            (self._open_pools.add if offers else self._open_pools.remove)(spot)
