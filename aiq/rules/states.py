"""The one table of states. Everything that moves a job is a row of it, and no row is written elsewhere.

This file does not know which store it serves. `spec/01-jobs.md` shows the same rows, and a test compares
them; MemoryStorage moves jobs through `check`; the states are those of the stores' CHECK constraints.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiq.model import State

S = State


class Authority(StrEnum):
    """Who may make a transition."""

    PRODUCER = "producer"
    HOLDER = "holder"
    SWEEP = "sweep"
    """Any caller's maintenance: repeatable, and safe to run at the same time elsewhere."""
    ADMIN = "admin"
    STORE = "store"
    """The store itself, as part of another job's step or of a claim."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: `sources` is empty for a job that was not there before."""

    number: str
    name: str
    sources: frozenset[State]
    targets: frozenset[State]
    by: frozenset[Authority]


def _row(number: str, name: str, sources: set[State], targets: set[State], *by: Authority) -> Transition:
    return Transition(number, name, frozenset(sources), frozenset(targets), frozenset(by))


_P, _H, _S, _A, _B = Authority.PRODUCER, Authority.HOLDER, Authority.SWEEP, Authority.ADMIN, Authority.STORE
_PARKED: Final = {S.SCHEDULED, S.READY, S.WAITING, S.SUSPENDED, S.HELD}
_EDITABLE: Final = _PARKED - {S.SUSPENDED}

TRANSITIONS: Final[dict[str, Transition]] = {
    row.number: row
    for row in (
        _row("T1", "enqueue", set(), {S.READY, S.SCHEDULED, S.WAITING}, _P),
        _row("T2", "promote", {S.SCHEDULED}, {S.READY}, _S, _B),
        _row("T3", "claim", {S.READY}, {S.RUNNING}, _H),
        _row("T4", "renew", {S.RUNNING}, {S.RUNNING}, _H),
        _row("T5", "succeed", {S.RUNNING}, {S.SUCCEEDED}, _H),
        _row("T6", "retry", {S.RUNNING}, {S.SCHEDULED, S.READY}, _H),
        _row("T7", "die", {S.RUNNING}, {S.DEAD}, _H),
        _row("T8", "release", {S.RUNNING}, {S.READY}, _H),
        _row("T9", "expire", {S.RUNNING}, {S.READY, S.DEAD, S.CANCELLED}, _S, _B),
        _row("T10", "wait", {S.RUNNING}, {S.WAITING, S.READY}, _H),
        _row("T11", "suspend", {S.RUNNING}, {S.SUSPENDED, S.RUNNING, S.READY}, _H),
        _row("T12", "fan in", {S.WAITING}, {S.READY, S.SCHEDULED, S.DEAD}, _B, _S),
        _row("T13", "wake", {S.SUSPENDED}, {S.READY}, _A, _S, _B),
        _row("T14", "cancel", _PARKED, {S.CANCELLED}, _A, _S),
        _row("T15", "request cancel", {S.RUNNING}, {S.RUNNING}, _A, _S),
        _row("T16", "finish cancel", {S.RUNNING}, {S.CANCELLED}, _H, _S, _A),
        _row("T17", "redrive", {S.DEAD, S.CANCELLED}, {S.READY, S.SCHEDULED, S.WAITING}, _A, _S),
        _row("T18", "go", {S.SUCCEEDED, S.DEAD, S.CANCELLED}, set(), _S, _A),
        _row("T19", "edit", _EDITABLE, _EDITABLE, _P, _A, _S, _B),
        _row("T20", "defer", {S.RUNNING}, {S.SCHEDULED}, _H),
        _row("T21", "hold", {S.READY, S.RUNNING}, {S.HELD, S.READY}, _H, _A, _B),
        _row("T22", "unhold", {S.HELD}, {S.READY}, _A, _S, _B),
        _row("T23", "pass the deadline", {*_PARKED, S.RUNNING}, {S.DEAD}, _H, _S, _B),
        _row("T24", "spawn", {S.RUNNING}, {S.RUNNING}, _H),
        _row("T25", "refuse", {S.READY, S.HELD}, {S.DEAD}, _S, _B),
    )
}
"""Rows by number. A number that is missing belongs to a chapter that is not built yet."""


class ForbiddenTransition(AssertionError):
    """A store tried a move that is not in the table. This is a defect of the store, never of its caller."""


def check(number: str, source: State | None, target: State) -> None:
    """Raise `ForbiddenTransition` unless row `number` leads from `source` to `target`. Spec: STATE-1."""
    row = TRANSITIONS[number]
    fits = source in row.sources if source is not None else not row.sources
    if not fits or target not in row.targets:
        raise ForbiddenTransition(f"{number} ({row.name}) does not lead from {source} to {target}")
