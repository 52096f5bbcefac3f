"""Ordered keys as they stand in a step: who holds each, and how many stand in its line. Spec: chapter 18

Where its jobs stand is in rows of theirs; of a key itself a step knows counts alone, so that it reads one row a key.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.relational.rows import Job, KeyedRow, key_state
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import JobSpec, State
from aiq.rules.keys import Branch, KeyState, Stand, arrived, follows

SQL: Final = load("keys")

Spot: TypeAlias = tuple[str, str]
"""Queue and key."""
_KEY: Final[Any] = tuple[str, str, list[int]]


def spot_of(job: JobSpec) -> Spot:
    """The key of an ordered job."""
    return (job.queue, job.key or "")


class Keys:
    """The rows that a step has looked at."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._states: dict[Spot, KeyState] = {}
        self._changed: dict[Spot, None] = {}
        self.open: set[Spot] = set()
        """Keys with room for the first of their line, to be looked at before the step ends."""

    def fetch(self, spots: Iterable[Spot]) -> None:
        """Read keys that will be asked for, all at once."""
        unknown = [spot for spot in dict.fromkeys(spots) if spot not in self._states]
        if unknown:
            self._states.update(dict.fromkeys(unknown, KeyState()))
            asked = {"keys": msgspec.json.encode(unknown).decode()}
            for queue, key, columns in self._tx.peek(SQL["keys"], asked, decoder_of(_KEY)):
                self._states[queue, key] = key_state(*columns)

    def learn(self, spot: Spot, key: KeyState | None) -> None:
        """Take in a key that was read with one of its jobs, unless it is known."""
        self._states.setdefault(spot, key or KeyState())

    def state(self, spot: Spot) -> KeyState:
        """A key, or one of which nothing is known."""
        if spot not in self._states:
            self.fetch([spot])
        return self._states[spot]

    def put(self, spot: Spot, key: KeyState) -> None:
        """Change a key."""
        if key.waits:
            self.open.add(spot)
        if key != self._states[spot]:
            self._states[spot] = KeyState() if key.forgotten else key
            self._changed[spot] = None

    def write(self) -> None:
        """Write what was changed."""
        for spot in self._changed:
            key = self._states[spot]
            if key.forgotten:
                self._tx.later(SQL["forget"], spot)
            else:
                self._tx.later(SQL["put"], (*spot, key))
        self._changed.clear()


def keys_of(tx: Transaction) -> Keys:
    """Those of a step; made when they are first asked for."""
    if tx.keys is None:
        tx.keys = Keys(tx)
    return tx.keys


def arrive(tx: Transaction, n: int, spec: JobSpec, state: State, branch: Branch | None) -> bool:
    """Let a new ordered job hold its key or stand in the line; say whether it may stand in a lane.

    Spec: KEY-2, KEY-4, KEY-10, KEY-13
    """
    keys, spot = keys_of(tx), spot_of(spec)
    key = keys.state(spot).told(spec.per_key)
    stand = arrived(key, state, spec.while_parked, parks=False)
    tx.later(SQL["add"], (n, *spot, stand, *(branch or (n, 0)), spec.per_key, spec.while_parked))
    keys.put(spot, key.moved(Stand.AWAY, stand))
    in_lane = stand is Stand.HOLDS
    if state is State.READY and not in_lane:
        tx.later(SQL["keep_out"], (n,))
    return in_lane


def follow(tx: Transaction, job: Job, keyed: KeyedRow, state: State, *, parks: bool) -> bool:
    """Let an ordered job stand where its move takes it; say whether it may stand in a lane.

    Spec: KEY-4 to KEY-10, KEY-16
    """
    record, spot, keys = job.record, spot_of(job.record), keys_of(tx)
    keys.learn(spot, keyed.key)
    key = keys.state(spot).known(record.per_key)
    turn, branch = keyed.turn, keyed.branch
    if record.state.terminal:
        turn = tx.next_number()
        branch = Branch(turn, 0) if record.parent_id is None else branch
        stand = arrived(key, state, record.while_parked, parks=parks)
    else:
        stand = follows(keyed.stand, key, record.while_parked, state, parks=parks)
    if stand is not keyed.stand or turn != keyed.turn:
        put_stand(tx, job.n, stand, turn, branch)
    keys.put(spot, key.moved(keyed.stand, stand))
    return stand is Stand.HOLDS and not key.paused


def put_stand(tx: Transaction, n: int, stand: Stand, turn: int, branch: Branch) -> None:
    """Write where a job stands."""
    tx.later(SQL["stand"], (n, stand, turn, *branch), key=n)


def keep_out(tx: Transaction, n: int) -> None:
    """Write that a ready job stands in no lane; whatever else is written of it comes before."""
    tx.later(SQL["keep_out"], (n,))
