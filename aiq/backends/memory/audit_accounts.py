"""Looking for anything that a clause forbids in limits, budgets, lines and holds. Spec: STATE-3, CALL-15, BUDGET-5"""

from collections import Counter
from collections.abc import Iterator

from aiq.backends.memory.data import Tables
from aiq.backends.memory.lanes import GateKey, Lanes, line_of
from aiq.bounds import MAX_INSTANT_MS
from aiq.model import CallState, JobRecord, Reservation, State, Violation
from aiq.rules.limits import status

_Text = tuple[str, str]


def of_hold(tables: Tables, record: JobRecord) -> Iterator[_Text]:
    """A job is held for what its row says, and has a row while it is."""
    hold = tables.accounts.holds.by_job.get(record.id)
    if (record.state is State.HELD) is not (hold is not None) or (record.held is None) is not (hold is None):
        yield "STATE-3", f"it is {record.state}, and what it is held for does not agree"
    elif hold is not None and (hold.reason, hold.by) != (record.held, record.held_by):
        yield "STATE-3", f"it is held by {record.held_by!r}, and stands in line for {hold.by!r}"


def of_reservations(tables: Tables) -> Iterator[Violation]:
    """What is open, or stands in line, belongs to a run that goes on."""
    for reservation in _open(tables):
        record = tables.jobs.get(reservation.job_id)
        if record is None or record.state is not State.RUNNING or record.fence != reservation.fence:
            text = f"call {reservation.call} of run {reservation.fence} is open, and the run is over"
            yield Violation("CALL-15", reservation.job_id, text)
    for call in tables.accounts.waiting.values():
        record = tables.jobs.get(call.job_id)
        if record is None or record.state is not State.RUNNING or record.fence != call.fence:
            text = f"call {call.call} of run {call.fence} stands in line, and the run is over"
            yield Violation("CALL-6", call.job_id, text)


def of_limits(tables: Tables) -> Iterator[Violation]:
    """What is held of a limit, and the units that are taken of it, are those of the open reservations."""
    accounts = tables.accounts
    held: Counter[tuple[str, str]] = Counter()
    units: Counter[tuple[str, str]] = Counter()
    for reservation in _open(tables):
        for part in reservation.parts:
            held[part.limit, part.key] += part.rest
            units[part.limit, part.key] += part.slot
    for place in accounts.states.keys() | held.keys():
        name, key = place
        spec = accounts.limits.get(name) or accounts.queue_limits[name]
        state = accounts.states.get(place)
        found = status(spec, key, state, 0 if state is None else state.at_ms, 0)
        if (found.tokens_held, found.running) != (held[place], units[place]):
            told = f"{found.tokens_held} tokens and {found.running} units are taken of limit {name!r} {key!r}"
            yield Violation("CALL-15", "", f"{told}, and open calls have {held[place]} and {units[place]}")


def of_budgets(tables: Tables) -> Iterator[Violation]:
    """What a budget holds is what open reservations hold of it."""
    held: Counter[tuple[str, int, str]] = Counter()
    for reservation in _open(tables):
        for draw in reservation.draws:
            held.update({(draw.budget, draw.window_ms, kind): amount for kind, amount in draw.held.items()})
    stored = Counter(
        {
            (name, window_ms, kind): amount
            for (name, window_ms), state in tables.accounts.balances.items()
            for kind, amount in state.held.items()
        }
    )
    for place in held.keys() | stored.keys():
        if held[place] != stored[place]:
            name, _, kind = place
            text = f"budget {name!r} holds {stored[place]} {kind}, and open calls {held[place]}"
            yield Violation("BUDGET-5", "", text)


def of_lanes(tables: Tables) -> Iterator[Violation]:
    """Every place in a lane, or behind a gate, is that of a ready job of this queue; bands without jobs have no credit.

    That each ready job has its place is looked for job by job.
    """
    for queue, lanes in tables.lanes.items():
        for line, job_id in _standing(lanes):
            record = tables.jobs.get(job_id)
            if record is None or record.state is not State.READY or record.queue != queue:
                yield Violation("STATE-3", job_id, f"it stands in queue {queue!r}, and is not ready there")
            elif line_of(record, tables.pool(record)) != line:
                yield Violation("STATE-3", job_id, f"it stands in the line {line}, which is not its own")
        yield from _of_credits(lanes)
        yield from _of_gates(tables, lanes)


def _of_credits(lanes: Lanes) -> Iterator[Violation]:
    for pool in lanes.pools.values():
        bands = lanes.bands(pool.name)
        if any(credit for band, credit in enumerate(pool.credits) if band not in bands):
            yield Violation("BAND-2", "", f"pool {pool.name!r} of queue {lanes.queue!r} has credit for an empty band")


def _of_gates(tables: Tables, lanes: Lanes) -> Iterator[Violation]:
    """A gate waits to be told only while a job that it let through is in a lane, or its limit gave something out."""
    for gate in lanes.gates:
        *line, limit, key = gate
        if lanes.shut.wake_ms(gate) == MAX_INSTANT_MS and not (
            _stands_in_lane(tables, lanes, gate) or _given_out(tables, limit, key)
        ):
            text = f"a gate of limit {limit!r} {key!r} in line {line} waits to be told, and nobody will"
            yield Violation("LIMIT-16", "", text)


def _stands_in_lane(tables: Tables, lanes: Lanes, gate: GateKey) -> bool:
    places = lanes.jobs[gate[:3]]
    records = (tables.jobs[job_id] for *_, job_id in places.first(len(places)))
    return any(gate[3] in record.taken_limits and record.key == gate[4] for record in records)


def _given_out(tables: Tables, limit: str, key: str) -> bool:
    state = tables.accounts.states.get((limit, key))
    return state is not None and (state.running > 0 or state.held > 0)


def _standing(lanes: Lanes) -> Iterator[tuple[tuple[str, int, str], str]]:
    for line, places in lanes.jobs.items():
        yield from ((line, job_id) for *_, job_id in places.first(len(places)))
    for gate, places in lanes.gates.items():
        yield from ((gate[:3], job_id) for *_, job_id in places.first(len(places)))


def _open(tables: Tables) -> Iterator[Reservation]:
    return (found for found in tables.accounts.reservations.values() if found.state is CallState.OPEN)
