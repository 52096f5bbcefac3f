"""Whose turn it is: the lines of one band of a pool, by service, as they stand in a step. Spec: FAIR-1 to FAIR-4

There may be a line for each of ten thousand tenants. Those whose turn is next are read ahead; what a step changes is
kept here, in order, and written once. A line that was not read stands as it is stored, behind all that were read ahead.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Band
from aiq.rules.books import Line
from aiq.rules.fairness import digest

SQL: Final = load("lanes")

Turn: TypeAlias = tuple[int, str]
"""Service and digest."""
FEW: Final = 4
"""Of bands of pools in which fewer lines are known what lines are lifted by is read together."""
_FIRST: Final[Turn] = (-(2**62), "")
"""Before every turn."""


class LineRow(msgspec.Struct, array_like=True, gc=False):
    """One line. `jobs` counts those in its lanes."""

    tenant: str
    digest: str
    service: int = 0
    jobs: int = 0
    wake_at_ms: int = 0
    parked_by: str = ""


class Turns:
    """The lines of one band of a pool."""

    def __init__(self, tx: Transaction, queue: str, pool: str, band: Band) -> None:
        self._tx = tx
        self._place: Mapping[str, object] = {"queue": queue, "pool": pool, "band": int(band)}
        self.key = (queue, pool, band)
        self._rows: dict[str, LineRow] = {}
        self._open: list[tuple[int, str, str]] = []
        """Service, digest and tenant of the lines in `_rows` that are open and have jobs."""
        self._busy: list[tuple[int, str]] = []
        """The same of all that have jobs."""
        self._changed: dict[str, None] = {}
        self._ahead: Turn | None = _FIRST
        """Up to which turn open lines were read ahead; None: all."""
        self._floor: tuple[int, str] | None = None
        """The least service of the lines that were not read, and whose it is."""
        self._floor_known = False

    def unknown(self, tenants: Iterable[str]) -> list[str]:
        """Those of which nobody has asked yet."""
        return [tenant for tenant in dict.fromkeys(tenants) if tenant not in self._rows]

    def learn(self, row: LineRow) -> None:
        """Take in a line as it is stored, unless it is known."""
        if row.tenant not in self._rows:
            self._rows[row.tenant] = row
            self._sort(row)

    def learn_first(self, rows: Sequence[LineRow], count: int) -> None:
        """Take in the `count` lines whose turn is first, or all that there are."""
        for row in rows:
            self.learn(row)
        if self._ahead == _FIRST:
            self._ahead = max((row.service, row.digest) for row in rows) if len(rows) == count else None

    def row(self, tenant: str) -> LineRow:
        """A line, or a new one. It is changed by `put` alone."""
        if tenant not in self._rows:
            fetch_lines(self._tx, {self: [tenant]})
        return self._rows[tenant]

    def put(self, tenant: str, service: int, wake_at_ms: int, parked_by: str) -> None:
        """Change what is kept of a line."""
        row = self.row(tenant)
        self._unsort(row)
        row.service, row.wake_at_ms, row.parked_by = service, wake_at_ms, parked_by
        self._sort(row)
        self._changed[tenant] = None

    def serve(self, tenant: str, service: int) -> None:
        """Change the service of a line."""
        row = self.row(tenant)
        self._unsort(row)
        row.service = service
        self._sort(row)
        self._changed[tenant] = None

    def count(self, tenant: str, more: int) -> None:
        """Count a job that enters the lanes of a line, or leaves them."""
        row = self.row(tenant)
        if row.jobs + more and row.jobs:
            # It stays where it is: the order does not ask how many there are.
            row.jobs += more
        else:
            self._unsort(row)
            row.jobs += more
            self._sort(row)
        self._changed[tenant] = None

    def least(self) -> int | None:
        """The least service of the lines with jobs, parked ones too. Spec: FAIR-3"""
        if not self._floor_known or (self._floor is not None and self._floor[1] in self._rows):
            self._find_floor()
        known = [self._busy[0][0]] if self._busy else []
        if self._floor is not None:
            known.append(self._floor[0])
        return min(known, default=None)

    def next(self, after: Turn | None, chunk: int) -> LineRow | None:
        """The open line with jobs whose turn is next after another. Lines are read ahead by `chunk`."""
        # Behind the one line of this digest, and before all others: no digest has a "g" in it.
        start = None if after is None else (after[0], f"{after[1]}g")
        while True:
            place = 0 if start is None else bisect_left(self._open, start)
            found = self._open[place] if place < len(self._open) else None
            if self._ahead is None or (found is not None and found[:2] <= self._ahead):
                return None if found is None else self._rows[found[2]]
            self._read_ahead(chunk)

    def questions(self, chunk: int) -> list[Question]:
        """What `next` will ask where no line was read ahead yet, for `foresee`."""
        return [self._question_ahead(chunk)] if self.begins else []

    def upcoming(self, count: int) -> list[LineRow]:
        """The open lines whose turns are next, as far as they were read ahead."""
        return [self._rows[tenant] for _, _, tenant in self._open[:count]]

    def line(self, row: LineRow) -> Line:
        """A line as rules know it."""
        _, pool, band = self.key
        return Line(
            pool=pool,
            band=band,
            tenant=row.tenant,
            digest=row.digest,
            service=row.service,
            wake_at_ms=row.wake_at_ms,
            parked_by=row.parked_by,
        )

    def known(self) -> list[LineRow]:
        """The lines that were read or made so far."""
        return list(self._rows.values())

    def write(self) -> None:
        """Write what was changed."""
        queue, pool, band = self.key
        for tenant in self._changed:
            self._tx.later(SQL["put_lines"], (queue, pool, band, self._rows[tenant]))
        self._changed.clear()

    def _unsort(self, row: LineRow) -> None:
        if row.jobs:
            self._busy.remove((row.service, row.tenant))
            if not row.wake_at_ms:
                self._open.remove((row.service, row.digest, row.tenant))

    def _sort(self, row: LineRow) -> None:
        if row.jobs:
            insort(self._busy, (row.service, row.tenant))
            if not row.wake_at_ms:
                insort(self._open, (row.service, row.digest, row.tenant))

    def _question_ahead(self, chunk: int) -> Question:
        service, behind = self._ahead or _FIRST
        return SQL["next_lines"], {**self._place, "service": service, "digest": behind, "count": chunk}

    def _learn(self, sql: str, parameters: Parameters) -> list[LineRow]:
        found: list[LineRow] = self._tx.peek(sql, parameters, decoder_of(LineRow))
        for row in found:
            self.learn(row)
        return found

    @property
    def may_be_lifted(self) -> bool:
        """Whether a line without jobs is known, and few others, and not yet by what it would be lifted."""
        few = len(self._rows) < FEW and not self._floor_known
        return few and any(not row.jobs for row in self._rows.values())

    def learn_floor(self, least: Sequence[tuple[int, str]]) -> None:
        """Take in the lines with the least service, more of them than are known."""
        self._floor = next((one for one in sorted(least) if one[1] not in self._rows), None)
        self._floor_known = True

    @property
    def begins(self) -> bool:
        """Whether no line was read ahead yet."""
        return self._ahead == _FIRST

    def _read_ahead(self, chunk: int) -> None:
        sql, asked = self._question_ahead(chunk)
        found = self._learn(sql, asked)
        # Some may stand elsewhere by now; how far was read is a matter of what is stored.
        self._ahead = max((row.service, row.digest) for row in found) if len(found) == chunk else None

    def _find_floor(self) -> None:
        decoder = decoder_of(tuple[int, str])
        asked = {**self._place, "count": len(self._rows) + 1}
        self.learn_floor(self._tx.peek(SQL["least_lines"], asked, decoder))


def fetch_lines(tx: Transaction, wanted: Mapping[Turns, Iterable[str]]) -> None:
    """Read lines that will be asked for, by whose turns they are among: all at once."""
    asked = _unknown(wanted)
    for sql, parameters in question_of_lines(wanted):
        for place, row in tx.peek(sql, parameters, decoder_of(tuple[int, LineRow])):
            asked[place][0].learn(row)
    for turns, tenant in asked:
        turns.learn(LineRow(tenant, digest(tenant)))


def question_of_lines(wanted: Mapping[Turns, Iterable[str]]) -> list[Question]:
    """What `fetch_lines` will ask, for `foresee`."""
    keys = [(*turns.key, tenant) for turns, tenant in _unknown(wanted)]
    return [(SQL["lines"], {"keys": msgspec.json.encode(keys).decode()})] if keys else []


def _unknown(wanted: Mapping[Turns, Iterable[str]]) -> list[tuple[Turns, str]]:
    return [(turns, tenant) for turns, tenants in wanted.items() for tenant in turns.unknown(tenants)]


def read_first(tx: Transaction, wanted: Sequence[Turns], count: int) -> None:
    """Read the first lines of bands of pools in which nobody has looked for a turn yet."""
    asked = [turns for turns in wanted if turns.begins]
    if not asked:
        return
    keys = msgspec.json.encode([turns.key for turns in asked]).decode()
    found: list[list[LineRow]] = [[] for _ in asked]
    for place, row in tx.peek(SQL["first_lines"], {"keys": keys, "count": count}, decoder_of(tuple[int, LineRow])):
        found[place].append(row)
    for turns, rows in zip(asked, found, strict=True):
        turns.learn_first(rows, count)


def read_floors(tx: Transaction, wanted: Iterable[Turns]) -> None:
    """Read by what lines will be lifted that get their first jobs, where that concerns several bands of pools."""
    asked = [turns for turns in wanted if turns.may_be_lifted]
    if len(asked) < 2:
        return
    keys = msgspec.json.encode([turns.key for turns in asked]).decode()
    found: list[list[tuple[int, str]]] = [[] for _ in asked]
    decoder = decoder_of(tuple[int, tuple[int, str]])
    for place, least in tx.peek(SQL["floors"], {"keys": keys, "count": FEW}, decoder):
        found[place].append(least)
    for turns, floor in zip(asked, found, strict=True):
        turns.learn_floor(floor)
