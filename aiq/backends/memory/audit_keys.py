"""What the audit finds about ordered keys. Spec: STATE-3"""

from collections import Counter
from collections.abc import Iterator

from aiq.backends.memory.data import Tables
from aiq.backends.memory.keys import Spot, spot_of
from aiq.backends.memory.pause_key import may_go_on
from aiq.model import JobRecord, State, Violation
from aiq.rules.keys import KeyState, Stand, fits, parked


def of_key(tables: Tables, record: JobRecord) -> Iterator[tuple[str, str]]:
    """An ordered job stands where its state allows, and in a lane only if it holds its key and that is not paused."""
    if not record.ordered:
        return
    keyed, key = tables.keys.jobs.get(record.id), tables.keys.state(spot_of(record))
    if record.state.terminal:
        if keyed is not None:
            yield "KEY-8", f"it is {record.state}, and its key knows it yet"
        return
    if keyed is None:
        yield "KEY-1", "its key does not know it"
        return
    parks = parked(record.state, record.wait_key)
    if not fits(keyed.stand, record.state, parks=parks, while_parked=record.while_parked):
        yield "KEY-1", f"it is {record.state}, and as to its key {keyed.stand.name}"
    in_lane = record.state is State.READY and record.id not in tables.keys.aside
    if in_lane and (keyed.stand is not Stand.HOLDS or key.paused):
        yield "KEY-11" if key.paused else "KEY-1", "it stands in a lane, and its key forbids that"


def of_keys(tables: Tables) -> Iterator[Violation]:
    """The counts of each key are those of its jobs, within its places, and nobody waits for whom there is room."""
    keys = tables.keys
    counts: dict[Spot, Counter[str]] = {}
    for job_id, keyed in keys.jobs.items():
        count = counts.setdefault(spot_of(tables.jobs[job_id]), Counter())
        count["holders"] += keyed.stand is Stand.HOLDS
        count["line"] += keyed.stand is Stand.LINE
    for spot in sorted(keys.states.keys() | counts.keys()):
        key, count = keys.state(spot), counts.get(spot, Counter())
        found = _of_counts(key, count["holders"], count["line"]) or _of_first(tables, spot)
        if found:
            yield Violation(found[0], "", f"key {spot[1]!r} of queue {spot[0]!r}: {found[1]}")


def _of_counts(key: KeyState, holders: int, line: int) -> tuple[str, str] | None:
    if (key.holders, key.line) != (holders, line):
        text = f"it counts {key.holders} that hold it and {key.line} in line, and there are {holders} and {line}"
        return "KEY-1", text
    if holders > key.places:
        return "KEY-1", f"{holders} jobs hold it, and it has {key.places} places"
    return None


def _of_first(tables: Tables, spot: Spot) -> tuple[str, str] | None:
    found = next(may_go_on(tables, spot), None)
    return None if found is None else ("KEY-3", f"job {found.id} is ready and may go on, and stands in its line")
