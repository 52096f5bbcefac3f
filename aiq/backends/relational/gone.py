"""What is over goes: jobs that have ended, and everything that belongs to them (T18)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.graves import forget_deaths
from aiq.backends.relational.retention import get_retention
from aiq.backends.relational.rows import ids, numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PURGED_BYTES, MAX_PURGED_ROWS, MAX_SWEEP, PUT_OFF_MS
from aiq.rules.batches import page_length
from aiq.rules.retention import tombstone_ms
from aiq.storage import job_topic, stream_topic

SQL: Final = load("gone")

_LONG: Final = (("chunks_left", "forget_chunks"), ("steps_left", "forget_steps"), ("signals_left", "forget_signals"))
"""What finds, and removes, rows of which a job may have many, and which may be long."""
_ROWS: Final = ("forget_ranges", "forget_waits", "forget_edges_in", "forget_edges_out", "forget_calls")
"""What removes rows of which a job may have many, and which are short."""
_SOME: Final = ("forget_errors", "forget_terms", "forget_keyed")
"""What removes rows that few jobs have, in the order in which `own` says whether a job has some."""
_EACH: Final = ("forget_results", "forget_specs", "forget_jobs")


@dataclass(frozen=True, slots=True)
class _Remains:
    """A job that is gone, and has left something."""

    n: int
    job_id: str
    parent_id: str | None
    flow: str | None


def may_go(tx: Transaction, ns: Iterable[int]) -> dict[int, int]:
    """Those of some jobs that have ended and that nobody needs any more, in their order, with the bytes of their
    payloads and results. Spec: GONE-4, GONE-5"""
    asked = list(ns)
    if not asked:
        return {}
    free = dict(tx.table(SQL["may_go"], {"ns": numbers(asked)}))
    return {n: free[n] for n in asked if n in free}


def that_fit(may: Mapping[int, int], limit: int, room: int) -> list[int]:
    """Of jobs that may go those that do in one upkeep, with room for so many, and for so many bytes. Spec: KEEP-9"""
    return list(may)[: min(limit, page_length(may.values(), room))]


def gone(tx: Transaction, ns: Sequence[int]) -> None:
    """Remove jobs that may go, with all that is their own, and remember their ids.

    Their children are left to upkeep, and rows over MAX_PURGED_ROWS: nobody sees what is left of a job that is not
    stored. The step must be done with what it knows of these jobs, of limits and of budgets.

    Spec: GONE-1, GONE-2, GONE-6
    """
    if not ns:
        return
    if tx.admission is not None:
        tx.admission.write()
    asked = {"ns": numbers(ns), "now_ms": tx.now_ms, "until_ms": tx.now_ms + tombstone_ms(get_retention(tx))}
    rows = tx.table(SQL["own"], asked)
    names = [row[0] for row in rows]
    tx.topics.update(topic(name) for name in names for topic in (job_topic, stream_topic))
    tx.run(SQL["entomb"], asked)
    tx.run(SQL["leave"], asked)
    forget_deaths(tx, ns)
    for place, statement in enumerate(_SOME, start=1):
        if any(row[place] for row in rows):
            tx.run(SQL[statement], asked)
    for statement in _EACH:
        tx.run(SQL[statement], asked)
    for name in names:
        known = tx.known(name)
        if known is not None:
            tx.forget(known)
    _clear(tx, _due(tx, MAX_SWEEP))


def clear_remains(tx: Transaction, limit: int) -> tuple[int, int]:
    """Let the children of jobs that are gone go too, and remove what these have left; say how many went, and how many
    bytes with them.

    Spec: GONE-6, GONE-8
    """
    due = _due(tx, limit)
    if not due:
        return 0, 0
    children = sorted(tx.table(SQL["children"], {"ids": ids(one.job_id for one in due)}))
    place_of = {n: place for place, n in children}
    may = may_go(tx, place_of)
    going = that_fit(may, limit, MAX_PURGED_BYTES)
    gone(tx, going)
    _clear(tx, due)
    busy = {place_of[n] for n in may}
    _put_off(tx, {due[place].job_id for place in place_of.values() if place not in busy})
    return len(going), sum(may[n] for n in going)


def anything_remains(tx: Transaction) -> bool:
    """Whether upkeep has something to go on with of jobs that are gone."""
    return bool(tx.rows(*question_of_remains(tx))[0][0])


def question_of_remains(tx: Transaction) -> Question:
    """What `anything_remains` will ask, for `foresee`."""
    return SQL["anything_due"], {"now_ms": tx.now_ms}


def _due(tx: Transaction, limit: int) -> list[_Remains]:
    rows = sorted(tx.table(SQL["due"], {"now_ms": tx.now_ms, "limit": limit}))
    return [_Remains(*rest) for _, _, *rest in rows]


def _clear(tx: Transaction, remains: Sequence[_Remains]) -> None:
    """Remove rows of jobs that are gone; of those that have none left and no family, budget and use too."""
    if not remains:
        return
    asked = {"ns": numbers(one.n for one in remains), "ids": ids(one.job_id for one in remains)}
    room, size = MAX_PURGED_ROWS, MAX_PURGED_BYTES
    for found, forget in _LONG:
        removed, bytes_removed, more = remove_long(tx, (SQL[found], SQL[forget]), {**asked, "room": room}, size)
        room, size = room - removed, size - bytes_removed
        if more or room <= 0:
            return
    for statement in _ROWS:
        room -= _removed(tx, statement, {**asked, "room": room})
        if room <= 0:
            return
    alone = set(tx.names(SQL["without_family"], asked))
    _finish(tx, [one for one in remains if one.job_id in alone], room)


def remove_long(tx: Transaction, statements: tuple[str, str], asked: Parameters, size: int) -> tuple[int, int, bool]:
    """Remove the rows that the first statement finds, by the second, up to the one that takes them to `size` bytes.

    Says how many went, their bytes, and whether some were left.
    """
    rows = sorted(tx.table(statements[0], asked))
    going = rows[: page_length((length for _, length in rows), size)]
    if going:
        tx.run(statements[1], {"places": numbers(place for place, _ in going)})
    return len(going), sum(length for _, length in going), len(going) < len(rows)


def _finish(tx: Transaction, remains: Sequence[_Remains], room: int) -> None:
    """Forget the budgets and the use of jobs of which no child is left, and of their flows with the last of these."""
    if not remains:
        return
    names = [one.job_id for one in remains]
    if _removed(tx, "forget_usage", {"scope": "job", "ids": ids(names), "room": room}) >= room:
        return
    _forget_budgets(tx, "job", names)
    tx.run(SQL["forget_remains"], {"ids": ids(names)})
    parents = [one.parent_id for one in remains if one.parent_id is not None]
    if parents:
        tx.run(SQL["call_parents"], {"ids": ids(parents), "now_ms": tx.now_ms})
    flows = {one.flow for one in remains if one.flow is not None}
    if flows:
        over = tx.names(SQL["flows_over"], {"flows": ids(sorted(flows))})
        # Without a bound: the use of a flow is a few rows for each minute in which any of its jobs ran.
        _removed(tx, "forget_usage", {"scope": "flow", "ids": ids(over), "room": -1})
        _forget_budgets(tx, "flow", over)


def _forget_budgets(tx: Transaction, scope: str, owners: Sequence[str]) -> None:
    found = tx.names(SQL["budgets"], {"scope": scope, "ids": ids(owners)})
    if found:
        for statement in ("forget_grants", "forget_balances", "forget_budgets"):
            tx.run(SQL[statement], {"budgets": ids(found)})


def _put_off(tx: Transaction, job_ids: Iterable[str]) -> None:
    names = sorted(job_ids)
    if names:
        tx.run(SQL["put_off_remains"], {"ids": ids(names), "until_ms": tx.now_ms + PUT_OFF_MS})


def _removed(tx: Transaction, statement: str, parameters: Parameters) -> int:
    tx.flush()
    return tx.connection.run(SQL[statement], parameters)
