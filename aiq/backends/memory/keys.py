"""Ordered keys: who holds each, who stands in its line, and which ready jobs stand in no lane for it. Chapter 18"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeAlias

from msgspec import structs

from aiq.backends.memory.index import Index
from aiq.model import JobRecord
from aiq.rules.keys import Branch, KeyState, Place, Stand, arrived, follows, parked, place_in_line

Spot: TypeAlias = tuple[str, str]
"""Queue and key."""
InLine: TypeAlias = tuple[Place, str]
"""Place and id."""


@dataclass(slots=True)
class Keyed:
    """An ordered job that has not ended. `turn` is its place in the order of enqueueing."""

    turn: int
    place: Place
    stand: Stand


def spot_of(record: JobRecord) -> Spot:
    """The key of an ordered job."""
    return (record.queue, record.key or "")


class Keys:
    """All keys of a storage."""

    def __init__(self) -> None:
        self.states: dict[Spot, KeyState] = {}
        self.jobs: dict[str, Keyed] = {}
        self.lines: defaultdict[Spot, Index[InLine]] = defaultdict(Index[InLine])
        self.holders: defaultdict[Spot, Index[InLine]] = defaultdict(Index[InLine])
        self.aside: set[str] = set()
        """Ready jobs that stand in no lane."""
        self.open: set[Spot] = set()
        """Keys with room for the first of their line, to be looked at before the step ends."""

    def state(self, spot: Spot) -> KeyState:
        """A key, or one of which nothing is known."""
        return self.states.get(spot, KeyState())

    def keeps_out(self, record: JobRecord) -> bool:
        """Whether a ready job may stand in no lane. Spec: KEY-1, KEY-11"""
        if not record.ordered:
            return False
        return self.jobs[record.id].stand is not Stand.HOLDS or self.state(spot_of(record)).paused

    def arrive(self, record: JobRecord, turn: int, branch: Branch | None, *, new: bool) -> None:
        """Let an ordered job stand at its key that is new, or begins anew. Spec: KEY-2, KEY-4, KEY-10, KEY-16"""
        spot = spot_of(record)
        key = self.state(spot).told(record.per_key) if new else self.state(spot).known(record.per_key)
        keyed = self.jobs[record.id] = Keyed(turn, place_in_line(turn, branch), Stand.AWAY)
        parks = parked(record.state, record.wait_key)
        self._put(spot, record.id, keyed, key, arrived(key, record.state, record.while_parked, parks=parks))

    def follow(self, after: JobRecord) -> None:
        """Let an ordered job stand where its move takes it. Spec: KEY-4 to KEY-9"""
        spot, keyed = spot_of(after), self.jobs[after.id]
        key = self.state(spot).known(after.per_key)
        parks = parked(after.state, after.wait_key)
        self._put(spot, after.id, keyed, key, follows(keyed.stand, key, after.while_parked, after.state, parks=parks))
        if after.state.terminal:
            del self.jobs[after.id]

    def first(self, spot: Spot, count: int) -> list[str]:
        """The first jobs of a line."""
        return [job_id for _, job_id in self.lines[spot].first(count)] if spot in self.lines else []

    def first_holder(self, spot: Spot) -> str | None:
        """Of the jobs that hold a key the one that would stand first in its line."""
        return next((job_id for _, job_id in self.holders[spot].first(1)), None) if spot in self.holders else None

    def take(self, spot: Spot, job_id: str) -> None:
        """Let a job of the line hold the key. Spec: KEY-3"""
        self.aside.discard(job_id)
        self._put(spot, job_id, self.jobs[job_id], self.state(spot), Stand.HOLDS)

    def restore(self, record: JobRecord, keyed: Keyed) -> None:
        """Let a job that comes from another storage stand where it stood there; its key has come before it."""
        spot = spot_of(record)
        self.jobs[record.id] = keyed
        index = self._index(spot, keyed.stand)
        if index is not None:
            index.add((keyed.place, record.id))

    def pause(self, spot: Spot, *, paused: bool) -> None:
        """Pause a key, known or not, or resume it. Spec: KEY-11"""
        self._keep(spot, structs.replace(self.state(spot), paused=paused))

    def _put(self, spot: Spot, job_id: str, keyed: Keyed, key: KeyState, stand: Stand) -> None:
        before, after = self._index(spot, keyed.stand), self._index(spot, stand)
        if before is not None:
            before.remove((keyed.place, job_id))
        if after is not None:
            after.add((keyed.place, job_id))
        self._keep(spot, key.moved(keyed.stand, stand))
        keyed.stand = stand

    def _index(self, spot: Spot, stand: Stand) -> Index[InLine] | None:
        return {Stand.LINE: self.lines, Stand.HOLDS: self.holders}[stand][spot] if stand is not Stand.AWAY else None

    def _keep(self, spot: Spot, key: KeyState) -> None:
        self.states[spot] = key
        if key.waits:
            self.open.add(spot)
        if key.forgotten:
            for table in (self.states, self.lines, self.holders):
                table.pop(spot, None)
