"""An independent model of ordered keys: who holds each, and who may go next, by what the log of events tells.

It knows the clauses of chapter 18 and nothing of any store. Small rather than fast: a line is sorted whenever it is
asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from aiq.model import Event, JobRecord, State

Spot: TypeAlias = tuple[str, str]
"""Queue and key."""

_WAITS = frozenset({State.WAITING, State.SUSPENDED, State.SCHEDULED})


@dataclass(slots=True)
class _Job:
    """A job: its number, that of the job at the top of its tree, how deep it is, and when it last began."""

    number: int
    root: int
    depth: int
    turn: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Spec: KEY-2, KEY-13"""
        return (self.root, -self.depth, self.turn) if self.depth else (self.turn, 0, self.turn)


@dataclass(slots=True)
class _Key:
    per_key: int = 0
    places: int = 0
    holders: set[str] = field(default_factory=set)
    line: set[str] = field(default_factory=set)
    paused: bool = False

    @property
    def room(self) -> int:
        return 0 if self.paused else self.places - len(self.holders)


class Lines:
    """All keys, as the events of a storage tell of them."""

    def __init__(self) -> None:
        self.keys: defaultdict[Spot, _Key] = defaultdict(_Key)
        self._jobs: dict[str, _Job] = {}
        self._numbers = 0

    def step(self, events: Iterable[Event], records: Mapping[str, JobRecord]) -> None:
        """Follow the events of one step; `records` are the jobs as it left them."""
        told = False
        for event in events:
            if event.row == "T3" and not told:
                self._call_up(records)
                told = True
            self._follow(event, records[event.job_id])
        self._call_up(records)

    def may_start(self, record: JobRecord) -> bool:
        """Whether a ready job stands in a lane, or a running one has come from there. Spec: KEY-1, KEY-11"""
        key = self.keys[spot_of(record)]
        return not record.ordered or (record.id in key.holders and not key.paused)

    def check(self, records: Iterable[JobRecord]) -> None:
        """What holds after every step. Spec: KEY-1, KEY-8, KEY-9"""
        for key in self.keys.values():
            assert len(key.holders) <= key.places, "more jobs hold a key than it has places"
        for record in records:
            if record.ordered and record.state is State.RUNNING:
                assert record.id in self.keys[spot_of(record)].holders, f"{record.id} runs, and does not hold its key"
            if record.ordered and (record.state.terminal or record.state is State.HELD):
                key = self.keys[spot_of(record)]
                assert record.id not in key.holders | key.line

    def _follow(self, event: Event, record: JobRecord) -> None:
        begins = event.source is None or event.row == "T17"
        if begins:
            self._begin(event, record)
        if not record.ordered:
            return
        key, name, state = self.keys[spot_of(record)], record.id, event.target
        if event.source is None:
            key.per_key, key.places = record.per_key, max(record.per_key, len(key.holders))
        elif not (key.holders or key.line or key.paused):
            key.per_key = key.places = record.per_key
        held = name in key.holders
        key.holders.discard(name)
        key.line.discard(name)
        self._stand(key, record, state, held=held, begins=begins)
        key.places = max(key.per_key, min(key.places, len(key.holders)))

    def _begin(self, event: Event, record: JobRecord) -> None:
        if event.source is None or record.ordered:
            self._numbers += 1
        if event.source is not None:
            self._jobs[record.id].turn = self._numbers
            if record.parent_id is None:
                self._jobs[record.id].depth = 0
            return
        root, depth = self._numbers, 0
        if record.parent_id is not None:
            above = self._jobs[record.parent_id]
            root, depth = (above.root if above.depth else above.number), above.depth + 1
        self._jobs[record.id] = _Job(self._numbers, root, depth, self._numbers)

    def _stand(self, key: _Key, record: JobRecord, state: State, *, held: bool, begins: bool) -> None:
        """Spec: KEY-2, KEY-4 to KEY-9"""
        if state.terminal or state is State.HELD:
            return
        if state in _WAITS and record.wait_key:
            if record.while_parked == "hold":
                key.line.add(record.id)
        elif (held and not begins) or (state is State.READY and not key.line and key.room > 0):
            key.holders.add(record.id)
        else:
            key.line.add(record.id)

    def _call_up(self, records: Mapping[str, JobRecord]) -> None:
        """Spec: KEY-3, KEY-6"""
        for key in self.keys.values():
            for name in sorted(key.line, key=lambda name: self._jobs[name].place)[: max(0, key.room)]:
                # In the step of a claim one may run by now that was ready when the claim looked.
                if records[name].state in (State.READY, State.RUNNING):
                    key.line.remove(name)
                    key.holders.add(name)
                elif not records[name].wait_key:
                    break


def spot_of(record: JobRecord) -> Spot:
    """The key of a job, ordered or not."""
    return (record.queue, record.key or "")
