"""Ordered keys: who holds each, who stands in its line, and which ready jobs stand in no lane for it. Chapter 18"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeAlias

from msgspec import structs

from aiq.backends.memory.index import Index
from aiq.model import JobRecord, State
from aiq.rules.keys import KeyState, Stand, arrived, follows

Spot: TypeAlias = tuple[str, str]
"""Queue and key."""
InLine: TypeAlias = tuple[int, int, str]
"""Part of the line, turn, id: the order of a line. Spec: KEY-2"""


@dataclass(slots=True)
class Keyed:
    """An ordered job that has not ended. `turn` is its place in the order of enqueueing; when it began there, its fence
    was `since_fence`."""

    turn: int
    stand: Stand
    since_fence: int


def spot_of(record: JobRecord) -> Spot:
    """The key of an ordered job."""
    return (record.queue, record.key or "")


class Keys:
    """All keys of a storage."""

    def __init__(self) -> None:
        self.states: dict[Spot, KeyState] = {}
        self.jobs: dict[str, Keyed] = {}
        self.lines: defaultdict[Spot, Index[InLine]] = defaultdict(Index[InLine])
        self.holders: defaultdict[Spot, Index[tuple[int, str]]] = defaultdict(Index[tuple[int, str]])
        """By turn."""
        self.aside: set[str] = set()
        """Ready jobs that stand in no lane."""
        self.open: set[Spot] = set()
        """Keys with room for the first of their line, to be looked at before the step ends."""
        self._turn = 0

    def state(self, spot: Spot) -> KeyState:
        """A key, or one of which nothing is known."""
        return self.states.get(spot, KeyState())

    def keeps_out(self, record: JobRecord) -> bool:
        """Whether a ready job may stand in no lane. Spec: KEY-1, KEY-11"""
        if not record.ordered:
            return False
        return self.jobs[record.id].stand is not Stand.HOLDS or self.state(spot_of(record)).paused

    def follow(self, before: JobRecord | None, after: JobRecord) -> None:
        """Let an ordered job stand where its move takes it. Spec: KEY-2, KEY-4 to KEY-10, KEY-16"""
        spot, keyed = spot_of(after), self.jobs.get(after.id)
        key = self.state(spot)
        if before is None:
            key = key.told(after.per_key)
        if keyed is None or before is None:
            self._turn += 1
            keyed = self.jobs[after.id] = Keyed(self._turn, Stand.AWAY, after.fence)
            key = key.known(after.per_key)
            stand = arrived(key, after.state)
        else:
            sleeps = after.state is State.SCHEDULED and after.wait_key is not None
            begun = after.fence > keyed.since_fence
            key = key.known(after.per_key)
            stand = follows(keyed.stand, key, before, after.state, sleeps=sleeps, begun=begun)
        self._put(spot, after.id, keyed, key, stand)
        if after.state.terminal:
            del self.jobs[after.id]

    def first(self, spot: Spot) -> str | None:
        """The first job of a line."""
        return next((job_id for *_, job_id in self.lines[spot].first(1)), None) if spot in self.lines else None

    def first_holder(self, spot: Spot) -> str | None:
        """Of the jobs that hold a key the one that was enqueued first."""
        return next((job_id for _, job_id in self.holders[spot].first(1)), None) if spot in self.holders else None

    def take(self, spot: Spot, job_id: str) -> None:
        """Let a job of the line hold the key. Spec: KEY-3"""
        self.aside.discard(job_id)
        self._put(spot, job_id, self.jobs[job_id], self.state(spot), Stand.HOLDS)

    def restore(self, record: JobRecord, keyed: Keyed) -> None:
        """Let a job that comes from another storage stand where it stood there; its key has come before it."""
        spot = spot_of(record)
        self.jobs[record.id] = keyed
        self._turn = max(self._turn, keyed.turn)
        if keyed.stand.in_line:
            self.lines[spot].add((keyed.stand, keyed.turn, record.id))
        elif keyed.stand is Stand.HOLDS:
            self.holders[spot].add((keyed.turn, record.id))

    def pause(self, spot: Spot, *, paused: bool) -> None:
        """Pause a key, known or not, or resume it. Spec: KEY-11"""
        self._keep(spot, structs.replace(self.state(spot), paused=paused))

    def _put(self, spot: Spot, job_id: str, keyed: Keyed, key: KeyState, stand: Stand) -> None:
        if keyed.stand.in_line:
            self.lines[spot].remove((keyed.stand, keyed.turn, job_id))
        elif keyed.stand is Stand.HOLDS:
            self.holders[spot].remove((keyed.turn, job_id))
        if stand.in_line:
            self.lines[spot].add((stand, keyed.turn, job_id))
        elif stand is Stand.HOLDS:
            self.holders[spot].add((keyed.turn, job_id))
        self._keep(spot, key.moved(keyed.stand, stand))
        keyed.stand = stand

    def _keep(self, spot: Spot, key: KeyState) -> None:
        self.states[spot] = key
        if key.waits:
            self.open.add(spot)
        if key.forgotten:
            for table in (self.states, self.lines, self.holders):
                table.pop(spot, None)
