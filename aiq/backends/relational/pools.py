"""The pools of queues as they stand in a step. Spec: chapter 12

A row counts the jobs in its pool's lanes by band. The plain pool is the exception: its jobs have nothing to do with
admission, most of them, so it is counted nowhere and its row is there only while it says something.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec

from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Band
from aiq.rules.books import Pool
from aiq.rules.fairness import PLAIN, Credits

SQL: Final = load("lanes")

NO_CREDITS: Final[Credits] = (0, 0, 0, 0)


def question_behind(limit: str) -> Question:
    """What finds the pools that a limit has parked."""
    return SQL["pools_behind"], {"name": limit}


class PoolRow(msgspec.Struct, array_like=True):
    """A pool, and how many jobs stand in its lanes by band. `Pools` changes it."""

    pool: Pool
    ready: list[int]


_ROW: Final[Any] = tuple[str, str, PoolRow]


class Pools:
    """Rows of pools, read once and written once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._rows: dict[tuple[str, str], PoolRow] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._whole: set[str] = set()
        """Queues of which all pools with jobs are known."""

    def row(self, queue: str, name: str) -> PoolRow:
        """A pool, or a new one."""
        if (queue, name) not in self._rows:
            self.fetch([(queue, name)])
        return self._rows[queue, name]

    def fetch(self, keys: Iterable[tuple[str, str]]) -> None:
        """Read pools that will be asked for."""
        unknown = self._unknown(keys)
        for sql, parameters in self.questions(unknown):
            self._learn(sql, parameters)
        for queue, name in unknown:
            self._rows.setdefault((queue, name), PoolRow(Pool(queue=queue, name=name), [0] * len(Band)))

    def questions(self, keys: Iterable[tuple[str, str]]) -> list[Question]:
        """What `fetch` will ask, for `foresee`."""
        unknown = self._unknown(keys)
        return [(SQL["pools"], {"keys": msgspec.json.encode(unknown).decode()})] if unknown else []

    def put(self, pool: Pool) -> None:
        """Write a pool. The service of the plain one's only line is nobody's concern."""
        if pool.name == PLAIN and pool.served != NO_CREDITS:
            pool = replace(pool, served=NO_CREDITS)
        self.row(pool.queue, pool.name).pool = pool
        self._changed[pool.queue, pool.name] = None

    def count(self, queue: str, name: str, band: Band, more: int) -> int:
        """Count jobs that enter or leave the lanes of a band, and say how many there are."""
        ready = self.row(queue, name).ready
        ready[band] += more
        self._changed[queue, name] = None
        return ready[band]

    def of_queue(self, queue: str) -> list[PoolRow]:
        """The pools of a queue with jobs in lanes, by name, but for the plain one."""
        if queue not in self._whole:
            self._learn(SQL["pools_of_queue"], {"queue": queue})
            self._whole.add(queue)
        return [row for (owner, _), row in sorted(self._rows.items()) if owner == queue and any(row.ready)]

    def behind(self, limit: str) -> list[Pool]:
        """The pools that a limit has parked."""
        self._learn(*question_behind(limit))
        return [pool for pool in self._parked() if pool.parked_by == limit]

    def due(self, queue: str, limit: int) -> list[Pool]:
        """At most `limit` parked pools of a queue whose instant has come, in the order of (instant, name)."""
        self._learn(*self.question_due(queue, limit))
        due = [pool for pool in self._parked() if pool.queue == queue and pool.wake_at_ms <= self._tx.now_ms]
        return sorted(due, key=lambda pool: (pool.wake_at_ms, pool.name))[:limit]

    def question_due(self, queue: str, limit: int) -> Question:
        """What `due` will ask, for `foresee`."""
        # Of those that are stored as due this step may have opened some already: as many as it knows.
        return SQL["due_pools"], {"queue": queue, "now_ms": self._tx.now_ms, "limit": limit + len(self._rows)}

    def wake(self, pool: Pool) -> None:
        """Open a parked pool."""
        self.put(replace(pool, wake_at_ms=0, parked_by=""))

    def write(self) -> None:
        """Write what was changed."""
        for key in self._changed:
            row = self._rows[key]
            if key[1] == PLAIN and row.pool == Pool(queue=key[0], name=PLAIN):
                self._tx.later(SQL["drop_pools"], key)
            else:
                pool = row.pool
                self._tx.later(SQL["put_pools"], (*key, pool.wake_at_ms, pool.parked_by, sum(row.ready), row))
        self._changed.clear()

    def _parked(self) -> Iterator[Pool]:
        return (row.pool for row in list(self._rows.values()) if row.pool.wake_at_ms)

    def _unknown(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        return [key for key in dict.fromkeys(keys) if key not in self._rows]

    def _learn(self, sql: str, parameters: Parameters) -> None:
        for queue, name, row in self._tx.peek(sql, parameters, decoder_of(_ROW)):
            self._rows.setdefault((queue, name), row)
