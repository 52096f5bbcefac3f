"""Where ready jobs stand: their pools, their lines, and what of these stands aside. Spec: chapter 12

Jobs that take part in admission join a line when they become ready, and leave it when they are no longer. All others
stand in the plain pool, whose lanes are nothing but an index of the table.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final

from aiq.backends.relational.connection import Question
from aiq.backends.relational.gates import Gate, Gates
from aiq.backends.relational.heads import Heads, LineKey, Place
from aiq.backends.relational.pools import Pools, question_behind
from aiq.backends.relational.queues import Queues
from aiq.backends.relational.shelf import Shelf, decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.backends.relational.turns import LineRow, Turns, fetch_lines, question_of_lines, read_first, read_floors
from aiq.model import Band, JobRecord, LimitSpec
from aiq.rules.batches import Wakes
from aiq.rules.books import Front
from aiq.rules.fairness import PLAIN, lifted, pool_of, with_credit
from aiq.storage import queue_topic

SQL: Final = load("lanes")

ANYTHING_ASIDE: Final[Question] = (SQL["anything_aside"], {})
"""What asks whether any pool, line or gate stands aside."""
_LINE: Final[Any] = tuple[str, str, Band, str]


class Lanes:
    """Pools and lines as they stand in a step."""

    def __init__(self, tx: Transaction, queues: Queues, limits: Shelf[str, LimitSpec]) -> None:
        self._tx, self._queues, self._limits = tx, queues, limits
        self.pools = Pools(tx)
        self.heads = Heads(tx)
        self._gates = Gates(tx)
        self._turns: dict[tuple[str, str, Band], Turns] = {}
        self._aside: list[bool] | None = None
        """Whether any pool, line or gate stands aside."""
        self._names: dict[tuple[tuple[str, ...], str, str], str] = {}
        self._last: JobRecord | None = None
        self._last_key: LineKey = ("", PLAIN, Band.NORMAL, "")
        """The job whose line was asked for last, and that line."""
        self._plain: dict[str, set[Band]] = {}
        """The bands of the plain pool of a queue in which jobs stood when somebody asked, or have come since."""

    def turns(self, queue: str, pool: str, band: Band) -> Turns:
        """The lines of a band of a pool."""
        key = (queue, pool, band)
        if key not in self._turns:
            self._turns[key] = Turns(self._tx, *key)
        return self._turns[key]

    def key_of(self, record: JobRecord) -> LineKey:
        """The line in which a job stands when it is ready, on its present route."""
        if record is self._last:
            # A claim asks of the same job twice.
            return self._last_key
        # What the name of a pool is made of. The jobs of a task share it.
        parts = (record.taken_limits, record.model, record.tenant)
        pool = self._names.get(parts)
        if pool is None:
            pool = self._names[parts] = pool_of(self._taken(record), record)
        self._last, self._last_key = record, (record.queue, pool, record.band, record.tenant)
        return self._last_key

    def fetch(self, keys: Iterable[LineKey], *, lifting: bool = False) -> None:
        """Read the pools and lines that jobs will join or leave, and by what those are lifted that get their first."""
        wanted = self._wanted(keys)
        self.pools.fetch(turns.key[:2] for turns in wanted)
        fetch_lines(self._tx, wanted)
        if lifting:
            read_floors(self._tx, wanted)

    def questions(self, keys: Iterable[LineKey], limits: Collection[str] = ()) -> list[Question]:
        """What `fetch` will ask, and what is asked where some limits get room, for `foresee`."""
        wanted = self._wanted(keys)
        found = [*self.pools.questions([turns.key[:2] for turns in wanted]), *question_of_lines(wanted)]
        return found + [question_behind(name) for name in limits if self._anything_aside()[0]]

    def questions_of_queue(self, queue: str, wakes: Wakes) -> list[Question]:
        """What a claim will ask of a queue, as long as it finds nothing that opens, for `foresee`."""
        due = [self.pools.question_due(queue, wakes.pools)] if self._anything_aside()[0] else []
        return [*due, *self._queues.questions([queue]), *self._questions_of_fronts(queue)]

    def _questions_of_fronts(self, queue: str) -> list[Question]:
        return [_fronts(queue), (SQL["plain_bands"], {"queue": queue}), *self.pools.questions([(queue, PLAIN)])]

    def fronts(self, queue: str) -> list[Front]:
        """Those of the pools of a queue that are not parked, but for the plain one."""
        self.write()
        self._tx.foresee(self._questions_of_fronts(queue))
        found: list[Front] = self._tx.peek(*_fronts(queue), decoder_of(Front))
        return found

    def read_first(self, fronts: Sequence[Front], queue: str, count: int) -> None:
        """Read pools, the first lines of each in the band of its front, and the first jobs of the first of these."""
        self.pools.fetch((queue, front.pool) for front in fronts)
        wanted = [self.turns(queue, front.pool, front.rank) for front in fronts]
        read_first(self._tx, wanted, count)
        firsts = [(turns, row) for turns in wanted for row in turns.upcoming(1)]
        self.heads.read_ahead([(*turns.key, row.tenant) for turns, row in firsts], count, whole=1)

    def join(self, key: LineKey, place: Place) -> None:
        """Let a ready job stand in its lane; a line that gets its first one is lifted. Spec: FAIR-3

        The most urgent one wakes its pool: what a less urgent head waits for may be far more than it needs. In the
        plain pool all need the same. Spec: POOL-1
        """
        queue, pool, band, tenant = key
        self.heads.enter(key, place)
        if pool == PLAIN:
            if queue in self._plain:
                self._plain[queue].add(band)
            return
        stood = self.pools.row(queue, pool)
        if stood.pool.wake_at_ms and not any(stood.ready[: band + 1]):
            self.pools.wake(stood.pool)
        turns = self.turns(queue, pool, band)
        row = turns.row(tenant)
        if not row.jobs:
            turns.serve(tenant, lifted(row.service, turns.least(), stood.pool.served[band]))
        turns.count(tenant, 1)
        self.pools.count(queue, pool, band, 1)

    def leave(self, key: LineKey, place: Place, record: JobRecord) -> None:
        """Let a job leave its lane; the next one with its limits and key may come into it. Spec: LIMIT-16"""
        self._exit(key, place)
        self._let_follow(record, key, None)

    def set_aside(self, place: Place, gate: Gate, wake_at_ms: int, record: JobRecord) -> None:
        """Let a job stand behind a gate, until an instant or until its limit has room. Spec: LIMIT-16"""
        key = self.key_of(record)
        self._exit(key, place)
        self._gates.shut(gate, self.heads.n(place[2]), wake_at_ms)
        self._anything_aside()[2] = True
        self._let_follow(record, key, gate)

    def leave_gate(self, gate: Gate, record: JobRecord) -> None:
        """Let a job leave that stood behind a gate, and was written to do so no more."""
        self._gates.drop_if_empty(gate)
        self._let_follow(record, _line_of(gate), gate)

    def parked(self, *, line: bool) -> None:
        """Note that a pool or a line was parked in this step."""
        self._anything_aside()[line] = True

    def wake_due(self, queue: str, wakes: Wakes) -> None:
        """Open the pools, lines and gates of a queue whose instant has come, as much as a claim still may.

        Spec: POOL-1, POOL-3, LIMIT-15, LIMIT-16
        """
        pools, lines, gates = self._anything_aside()
        if pools:
            due = self.pools.due(queue, wakes.pools)
            for pool in due:
                self.pools.wake(pool)
            wakes.pools -= len(due)
        if lines:
            wakes.lines -= self._wake_due_lines(queue, wakes.lines)
        if gates:
            opened = self._gates.due(queue, wakes.gates)
            self._open_gates(opened)
            wakes.gates -= len(opened)

    def wake_behind(self, name: str, part: str) -> None:
        """Open what a limit, or its part of one tenant or key, keeps aside, and tell the queues. Spec: POOL-1

        Gates are as many as there are lines with that key; the next claims open them.
        """
        pools, lines, gates = self._anything_aside()
        woken: set[str] = set()
        if pools and not part:
            for pool in self.pools.behind(name):
                self.pools.wake(pool)
                woken.add(pool.queue)
        if lines:
            self.fetch(self._tx.peek(SQL["lines_behind"], {"name": name, "part": part}, decoder_of(_LINE)))
            behind = [one for one in self._parked() if (one[1].parked_by, one[1].tenant) == (name, part)]
            woken |= self._wake_lines(behind)
        if gates:
            woken.update(self._gates.free(name, part))
        for queue in woken:
            self._tx.tell(queue_topic(queue))

    def is_parked(self, queue: str, pool: str) -> bool:
        """Whether a pool stands aside now."""
        return self.pools.row(queue, pool).pool.wake_at_ms > self._tx.now_ms

    def plain_bands(self, queue: str) -> list[Band]:
        """The bands in which jobs stand in the plain pool of a queue."""
        if queue not in self._plain:
            self._plain[queue] = set(map(Band, self._tx.numbers(SQL["plain_bands"], {"queue": queue})))
        return [band for band in sorted(self._plain[queue]) if not self.heads.empty((queue, PLAIN, band, ""))]

    def serve(self, record: JobRecord, rise: Callable[[int], int]) -> int:
        """Let the service of a job's line rise or fall, and say what it is. In the plain pool nobody asks for it."""
        queue, pool, band, tenant = self.key_of(record)
        if pool == PLAIN:
            return 0
        turns = self.turns(queue, pool, band)
        service = rise(turns.row(tenant).service)
        turns.serve(tenant, service)
        return service

    def write(self) -> None:
        """Write what was changed."""
        self.pools.write()
        for turns in self._turns.values():
            turns.write()

    def _exit(self, key: LineKey, place: Place) -> None:
        """Take a job out of its lane; a band that has no more of them loses its credit. Spec: BAND-2, BAND-3"""
        queue, pool, band, tenant = key
        self.heads.leave(key, place)
        if pool == PLAIN:
            credit = self.pools.row(queue, PLAIN).pool.credits[band] or self._queues.credits(queue)[band]
            if credit and self.heads.empty(key):
                self._lose_credit(queue, PLAIN, band, place[2])
            return
        turns = self.turns(queue, pool, band)
        turns.count(tenant, -1)
        if not self.pools.count(queue, pool, band, -1):
            self._lose_credit(queue, pool, band, place[2])

    def _lose_credit(self, queue: str, pool: str, band: Band, last: str) -> None:
        row = self.pools.row(queue, pool).pool
        if row.credits[band]:
            self.pools.put(replace(row, credits=with_credit(row.credits, band, 0)))
        purse = self._queues.credits(queue)
        if purse[band] and not self._stands(queue, band, last):
            self._queues.put_credits(queue, with_credit(purse, band, 0))

    def _stands(self, queue: str, band: Band, last: str) -> bool:
        """Whether any job of a queue stands in the lanes of a band, but for the one that has left its own last."""
        gated = any(row.ready[band] for row in self.pools.of_queue(queue))
        return gated or not self.heads.empty((queue, PLAIN, band, ""), last)

    def _let_follow(self, record: JobRecord, key: LineKey, gate: Gate | None) -> None:
        """A job has left its place, for behind a gate or from there: the next of its other limits and key may come into
        the lane. Spec: LIMIT-16"""
        if record.key is None or not record.taken_limits or not self._anything_aside()[2]:
            return
        limits = self._taken(record)
        gates = [Gate(*key, name, record.key) for name, spec in limits.items() if spec.by == "key"]
        self._open_gates([other for other in gates if other != gate])

    def _open_gates(self, gates: Iterable[Gate]) -> None:
        """Open gates, each for the first job behind it, in the order of these jobs, since each may lift a line."""
        opened = [(_line_of(gate), place) for gate, place in self._gates.open(gates)]
        self.fetch(key for key, _ in opened)
        for key, place in opened:
            self.join(key, place)

    def _wake_due_lines(self, queue: str, limit: int) -> int:
        # Of those that are stored as due this step may have opened some already: as many as it knows.
        count = limit + sum(len(turns.known()) for turns in self._turns.values())
        asked: dict[str, object] = {"queue": queue, "now_ms": self._tx.now_ms, "limit": count}
        self.fetch(self._tx.peek(SQL["due_lines"], asked, decoder_of(_LINE)))
        due = [
            (row.wake_at_ms, *turns.key, row.tenant, turns, row)
            for turns, row in self._parked()
            if turns.key[0] == queue and row.wake_at_ms <= self._tx.now_ms
        ]
        first = sorted(due, key=itemgetter(0, 1, 2, 3, 4))[:limit]
        self._wake_lines([(turns, row) for *_, turns, row in first])
        return len(first)

    def _taken(self, record: JobRecord) -> Mapping[str, LimitSpec]:
        """The limits that a job takes, as far as they are stored."""
        found = ((name, self._limits.get(name)) for name in record.taken_limits)
        return {name: spec for name, spec in found if spec is not None}

    def _wanted(self, keys: Iterable[LineKey]) -> dict[Turns, list[str]]:
        wanted: dict[Turns, list[str]] = {}
        for queue, pool, band, tenant in keys:
            wanted.setdefault(self.turns(queue, pool, band), []).append(tenant)
        return wanted

    def _parked(self) -> Iterator[tuple[Turns, LineRow]]:
        """The lines that stand aside, as far as they are known: this step may have parked some itself."""
        return ((turns, row) for turns in self._turns.values() for row in turns.known() if row.wake_at_ms)

    def _wake_lines(self, lines: Sequence[tuple[Turns, LineRow]]) -> set[str]:
        """Open parked lines, and say of which queues they are."""
        for turns, row in lines:
            turns.put(row.tenant, row.service, 0, "")
        return {turns.key[0] for turns, _ in lines}

    def _anything_aside(self) -> list[bool]:
        if self._aside is None:
            self._aside = [bool(some) for some in self._tx.rows(*ANYTHING_ASIDE)[0]]
        return self._aside


def _fronts(queue: str) -> Question:
    return SQL["fronts"], {"queue": queue}


def _line_of(gate: Gate) -> LineKey:
    """The line of which jobs stand behind a gate."""
    return (gate.queue, gate.pool, Band(gate.band), gate.tenant)
