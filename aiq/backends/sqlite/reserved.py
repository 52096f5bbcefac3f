"""Reservations as they stand in a step: the open calls of runs, and single ones by their number."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.sqlite.shelf import decoder_of
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.terms import plain
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import CallState, Reservation

SQL: Final = load("reserved")

Run: TypeAlias = tuple[str, int]
"""A job and a fence."""
CallKey: TypeAlias = tuple[str, int, int]
"""Job, fence and number."""

_encoder: Final = msgspec.json.Encoder(enc_hook=plain)


class Reserved:
    """Each is read once and written once. A run may have made thousands of calls, of which few are open."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._known: dict[CallKey, Reservation | None] = {}
        self._open: dict[Run, tuple[int, ...]] = {}
        """The numbers of the open calls of runs of which all are known: mostly none, or that of the first."""
        self._changed: dict[CallKey, Reservation] = {}

    def new_run(self, run: Run) -> None:
        """Say that a run is about to begin, of which nothing is stored."""
        self._open.setdefault(run, ())
        self._known.setdefault((*run, 0), None)

    def fetch_open(self, runs: Iterable[Run]) -> None:
        """Read the open calls of many runs at once."""
        unknown = [run for run in dict.fromkeys(runs) if run not in self._open]
        if unknown:
            self._open.update(dict.fromkeys(unknown, ()))
            self._learn("open", unknown)

    def fetch(self, keys: Iterable[CallKey]) -> None:
        """Read calls that will be asked for by number."""
        unknown = [key for key in dict.fromkeys(keys) if key not in self._known]
        if unknown:
            self._learn("calls", unknown)
            for key in unknown:
                self._known.setdefault(key, None)

    def open(self, run: Run) -> Sequence[Reservation]:
        """The open calls of a run, by number."""
        if run not in self._open:
            self.fetch_open([run])
        calls = self._open[run]
        return [one for call in calls if (one := self._known[*run, call]) is not None] if calls else ()

    def get(self, key: CallKey) -> Reservation | None:
        """One call, open or closed."""
        if key not in self._known:
            self.fetch([key])
        return self._known[key]

    def put(self, reservation: Reservation) -> None:
        """Write one."""
        run, call = (reservation.job_id, reservation.fence), reservation.call
        if run not in self._open:
            self.fetch_open([run])
        key = (*run, call)
        self._known[key] = self._changed[key] = reservation
        self._count(run, call, is_open=reservation.state is CallState.OPEN)

    def write(self) -> None:
        """Write what was changed."""
        for key, one in self._changed.items():
            self._tx.later_text(SQL["put"], (*key, one.closed_at_ms), _encoder.encode(one))
        self._changed.clear()

    def _learn(self, name: str, asked: Sequence[tuple[Any, ...]]) -> None:
        keys = {"keys": msgspec.json.encode(asked).decode()}
        found: list[Reservation] = self._tx.peek(SQL[name], keys, decoder_of(Reservation))
        for one in found:
            run = (one.job_id, one.fence)
            self._known.setdefault((*run, one.call), one)
            if one.state is CallState.OPEN and run in self._open:
                self._count(run, one.call, is_open=True)

    def _count(self, run: Run, call: int, *, is_open: bool) -> None:
        known = self._open[run]
        if is_open and call not in known:
            self._open[run] = tuple(sorted((*known, call)))
        elif not is_open and call in known:
            self._open[run] = tuple([other for other in known if other != call])
