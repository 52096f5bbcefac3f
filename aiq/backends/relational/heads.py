"""The first jobs of lines, read ahead while a claim goes on: whole records, many in one statement. Spec: BAND-4

What leaves or enters a lane meanwhile is told here, so that a lane which was read stays true without another look.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from aiq.backends.relational.rows import SQL as JOBS
from aiq.backends.relational.rows import ids, whole_records
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES
from aiq.model import Band, JobRecord

SQL: Final = load("heads")

LineKey: TypeAlias = tuple[str, str, Band, str]
"""Queue, pool, band, tenant; the plain pool has one line in a band, of no tenant."""
Place: TypeAlias = tuple[int, int, str]
"""Lane, position and id: the order of a line."""
_BEFORE_ALL: Final[Place] = (-1, 0, "")
_Row: TypeAlias = tuple[int, int, int, str, int, int]
"""Which line was asked for; lane, position, id and number of a job; the size of its payload."""


@dataclass(slots=True)
class _Lane:
    """What is known of one line's lanes."""

    places: list[Place] = field(default_factory=list)
    """Those that were read and are there still, in order."""
    ahead: Place | None = _BEFORE_ALL
    """Up to which place the jobs were read; None: all."""


class Heads:
    """The lanes that a step has looked into."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._lanes: dict[LineKey, _Lane] = {}
        self._records: dict[str, JobRecord] = {}
        self._numbers: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        """The bytes of payloads, of jobs that were read or found."""
        self.fresh: list[JobRecord] = []
        """The jobs that were read since somebody asked last."""

    def wants(self, key: LineKey) -> bool:
        """Whether the first job of a line is to be read yet, if there is one."""
        lane = self._lanes.get(key)
        return lane is None or (not lane.places and lane.ahead is not None)

    def take_fresh(self) -> list[JobRecord]:
        """`fresh`, which is empty from then on."""
        fresh, self.fresh = self.fresh, []
        return fresh

    def first(self, key: LineKey) -> JobRecord | None:
        """The first job of a line."""
        lane = self._lanes.get(key)
        if lane is None or not lane.places:
            lane = self._lane(key)
            if not lane.places:
                return None
        job_id = lane.places[0][2]
        if job_id not in self._records:
            self._tx.flush()
            if job_id not in self._numbers:
                self._numbers[job_id] = self._tx.numbers(JOBS["numbers"], {"ids": ids([job_id])})[0]
            self._read_records([self._numbers[job_id], *self._unread(job_id)])
        return self._records[job_id]

    def place(self, key: LineKey) -> Place | None:
        """The place of the first job of a line."""
        places = self._lane(key).places
        return places[0] if places else None

    def n(self, job_id: str) -> int:
        """The number of a job that was read."""
        return self._numbers[job_id]

    def empty(self, key: LineKey, but: str = "") -> bool:
        """Whether no job stands in the lanes of a line, but for one that is on its way from another."""
        lane = self._lane(key)
        while lane.ahead is not None and all(place[2] == but for place in lane.places):
            self._read([key], 1)
        return all(place[2] == but for place in lane.places)

    def read_ahead(self, keys: Iterable[LineKey], chunk: int, whole: int | None = None) -> None:
        """Read the first jobs of lines that nobody has looked into yet; of each line the records of `whole` of them."""
        fresh = [key for key in keys if key not in self._lanes]
        if fresh:
            self._read(fresh, chunk, whole)

    def read_on(self, key: LineKey, chunk: int, whole: int) -> None:
        """Read on in a line of which all that was read has left."""
        if self.wants(key):
            self._read([key], chunk, whole)

    def enter(self, key: LineKey, place: Place) -> None:
        """A job has come into a lane. If that was not read so far, it will be found; it may have been found already."""
        lane = self._lanes.get(key)
        if lane is not None and (lane.ahead is None or place <= lane.ahead) and place not in lane.places:
            insort(lane.places, place)

    def leave(self, key: LineKey, place: Place) -> None:
        """A job has left a lane."""
        lane = self._lanes.get(key)
        self._records.pop(place[2], None)
        if lane is not None and place in lane.places:
            lane.places.remove(place)

    def _lane(self, key: LineKey) -> _Lane:
        while self.wants(key):
            self._read([key], 1)
        return self._lanes[key]

    def _unread(self, but: str) -> list[int]:
        """The first jobs of other lines that were found and not read: where one of them is wanted, others are soon."""
        found: list[int] = []
        left = MAX_BATCH_BYTES - self._sizes.get(but, 0)
        firsts = [lane.places[0][2] for lane in self._lanes.values() if lane.places]
        for job_id in firsts:
            if job_id != but and job_id in self._sizes and job_id not in self._records and len(found) < MAX_BATCH:
                left -= self._sizes[job_id]
                if left < 0:
                    break
                found.append(self._numbers[job_id])
        return found

    def _read(self, keys: Sequence[LineKey], chunk: int, whole: int | None = None) -> None:
        """Read on in some lines, as far as the payloads of one claim may go."""
        for key in keys:
            self._lanes.setdefault(key, _Lane())
        asked = [(*key, *(self._lanes[key].ahead or _BEFORE_ALL)[:2]) for key in keys]
        self._tx.flush()
        parameters = {"lines": msgspec.json.encode(asked).decode(), "count": chunk}
        rows = sorted(self._tx.peek(SQL["next"], parameters, decoder_of(_Row)))
        taken = _within(rows)
        places: dict[int, list[Place]] = {}
        for at, lane, position, job_id, _, _ in taken:
            places.setdefault(at, []).append((lane, position, job_id))
        for at, key in enumerate(keys):
            self._add(self._lanes[key], places.get(at, []), chunk, whole=len(taken) == len(rows))
        self._numbers.update((job_id, n) for _, _, _, job_id, n, _ in taken)
        self._sizes.update((job_id, size) for _, _, _, job_id, _, size in taken)
        first = [job_id for found in places.values() for _, _, job_id in found[:whole]]
        self._read_records(self._numbers[job_id] for job_id in first)

    def _add(self, lane: _Lane, places: Sequence[Place], chunk: int, *, whole: bool) -> None:
        lane.places += places
        if places:
            lane.ahead = places[-1]
        if whole and len(places) < chunk:
            lane.ahead = None

    def _read_records(self, ns: Iterable[int]) -> None:
        for record in whole_records(self._tx.connection, list(ns)):
            self._records[record.id] = record
            self.fresh.append(record)


def _within(rows: Sequence[_Row]) -> Sequence[_Row]:
    """The first rows, as far as their payloads go into one claim; one at least. Spec: CLAIM-11"""
    left = MAX_BATCH_BYTES
    for place, (*_, size) in enumerate(rows):
        left -= size
        if left < 0 and place:
            return rows[:place]
    return rows
