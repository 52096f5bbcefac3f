"""Reservations as they stand in a step: the open calls of runs, and single ones by their number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import plain
from aiq.backends.relational.transaction import Transaction
from aiq.model import CallState, Draw, Need, Part, Reservation, Usage, none

SQL: Final = load("reserved")

Run: TypeAlias = tuple[str, int]
"""A job and a fence."""
CallKey: TypeAlias = tuple[str, int, int]
"""Job, fence and number."""
_OWN: Final = ""
"""The id under which the draw on a job's own budget is kept, so that the texts of calls that are alike are the same."""
_BUDGET: Final = b'"budget":'
_OWN_DRAW: Final = _BUDGET + b'""'


class _Body(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a reservation has no column for. It names no job, so that one text often stands for many calls."""

    need: Need
    parts: tuple[Part, ...]
    draws: tuple[Draw, ...]
    prices: Mapping[str, int]
    cost: int
    cost_limit: str | None
    state: CallState
    used: tuple[Usage, ...]


_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_decoder: Final = msgspec.json.Decoder(_Body)


class Bodies:
    """The texts of reservations, each read once: those of calls that are alike are the same."""

    def __init__(self) -> None:
        self._known: dict[str, _Body] = {}

    def reservation(self, key: CallKey, opened_at_ms: int, closed_at_ms: int | None, text: str) -> Reservation:
        """Put a reservation together again."""
        body = self._known.get(text)
        if body is None:
            body = self._known[text] = _decoder.decode(text)
        job_id, fence, call = key
        return Reservation(
            job_id=job_id,
            fence=fence,
            call=call,
            need=body.need,
            parts=body.parts,
            draws=_named(body.draws, job_id),
            prices=body.prices or none(),
            cost=body.cost,
            cost_limit=body.cost_limit,
            state=body.state,
            used=body.used,
            opened_at_ms=opened_at_ms,
            closed_at_ms=closed_at_ms,
        )


def _text(one: Reservation) -> bytes:
    body = _Body(one.need, one.parts, one.draws, one.prices, one.cost, one.cost_limit, one.state, one.used)
    # In JSON no text within another one has quotes of its own, so this finds the draw on the job's own budget alone.
    return _encoder.encode(body).replace(_BUDGET + _encoder.encode(f"job:{one.job_id}"), _OWN_DRAW)


def _named(draws: tuple[Draw, ...], job_id: str) -> tuple[Draw, ...]:
    """Draws as they were read, with the id of the job's own budget."""
    for draw in draws:
        if draw.budget == _OWN:
            own = f"job:{job_id}"
            return tuple([replace(one, budget=own) if one.budget == _OWN else one for one in draws])
    return draws


class Reserved:
    """Each is read once and written once. A run may have made thousands of calls, of which few are open."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._bodies = Bodies()
        self._open: dict[Run, tuple[Reservation, ...]] = {}
        """The open calls, by number, of runs of which all are known: mostly none, or the first."""
        self._known: dict[CallKey, Reservation | None] = {}
        """Single ones."""
        self._changed: dict[CallKey, Reservation] = {}

    def new_run(self, run: Run) -> None:
        """Say that a run is about to begin, of which nothing is stored."""
        self._open.setdefault(run, ())

    def fetch_open(self, runs: Iterable[Run]) -> None:
        """Read the open calls of many runs at once."""
        unknown = [run for run in dict.fromkeys(runs) if run not in self._open]
        if unknown:
            self._open.update(dict.fromkeys(unknown, ()))
            for one in self._read("open", unknown):
                run = (one.job_id, one.fence)
                self._open[run] = _with(self._open[run], one)

    def fetch(self, keys: Iterable[CallKey]) -> None:
        """Read calls that will be asked for by number."""
        unknown = [key for key in dict.fromkeys(keys) if key not in self._known]
        if unknown:
            self._known.update(dict.fromkeys(unknown))
            for one in self._read("calls", unknown):
                self._known[one.job_id, one.fence, one.call] = one

    def questions(self, runs: Iterable[Run], keys: Iterable[CallKey]) -> list[Question]:
        """What `fetch_open` and `fetch` will ask, for `foresee`."""
        unknown = [run for run in dict.fromkeys(runs) if run not in self._open]
        calls = [key for key in dict.fromkeys(keys) if key not in self._known]
        return [(SQL[name], _asked(some)) for name, some in (("open", unknown), ("calls", calls)) if some]

    def open(self, run: Run) -> Sequence[Reservation]:
        """The open calls of a run, by number."""
        if run not in self._open:
            self.fetch_open([run])
        return self._open[run]

    def get(self, key: CallKey) -> Reservation | None:
        """One call, open or closed."""
        if key in self._known:
            return self._known[key]
        for one in self._open.get(key[:2], ()):
            if one.call == key[2]:
                return one
        self.fetch([key])
        return self._known[key]

    def put(self, reservation: Reservation) -> None:
        """Write one."""
        run = (reservation.job_id, reservation.fence)
        key = (*run, reservation.call)
        self._known[key] = self._changed[key] = reservation
        if run not in self._open:
            self.fetch_open([run])
        self._open[run] = _with(self._open[run], reservation)

    def write(self) -> None:
        """Write what was changed."""
        alike: dict[tuple[tuple[int, int, int, int | None], bytes], list[str]] = {}
        for (job_id, fence, call), one in self._changed.items():
            place = (fence, call, one.opened_at_ms, one.closed_at_ms)
            alike.setdefault((place, _text(one)), []).append(job_id)
        for (place, text), jobs in alike.items():
            self._tx.later_text(SQL["put"], place, text, jobs)
        self._changed.clear()

    def _read(self, name: str, asked: Sequence[tuple[Any, ...]]) -> Iterator[Reservation]:
        """Read calls, each on a line: which of those that were asked for, its number, instants, and body."""
        for line in self._tx.lines(SQL[name], _asked(asked)):
            at, call, opened_at_ms, closed_at_ms, text = line.split(" ", 4)
            job_id, fence = asked[int(at)][:2]
            closed = int(closed_at_ms) if closed_at_ms else None
            yield self._bodies.reservation((job_id, fence, int(call)), int(opened_at_ms), closed, text)


def _asked(keys: Sequence[tuple[Any, ...]]) -> Parameters:
    return {"keys": msgspec.json.encode(keys).decode()}


def _with(known: Sequence[Reservation], one: Reservation) -> tuple[Reservation, ...]:
    """The open calls of a run, by number, once one of them stands so."""
    if not known:
        return (one,) if one.state is CallState.OPEN else ()
    calls = {other.call: other for other in known}
    calls[one.call] = one
    return tuple([calls[call] for call in sorted(calls) if calls[call].state is CallState.OPEN])
