"""What is over goes: jobs that have ended, and everything that belongs to them (T18)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiq.backends.sqlite.graves import forget_deaths
from aiq.backends.sqlite.retention import get_retention
from aiq.backends.sqlite.rows import ids, numbers
from aiq.backends.sqlite.sql import load
from aiq.backends.sqlite.transaction import Parameters, Transaction
from aiq.bounds import MAX_PURGED_ROWS, MAX_SWEEP, PUT_OFF_MS
from aiq.rules.retention import tombstone_ms
from aiq.storage import job_topic, stream_topic

SQL: Final = load("gone")

_ROWS: Final = (
    *("forget_chunks", "forget_ranges", "forget_steps", "forget_signals", "forget_waits"),
    *("forget_edges_in", "forget_edges_out", "forget_calls"),
)
"""What removes rows of which a job may have many."""
_FEW: Final = ("forget_errors", "forget_results", "forget_terms", "forget_keyed", "forget_specs", "forget_jobs")


@dataclass(frozen=True, slots=True)
class _Remains:
    """A job that is gone, and has left something."""

    n: int
    job_id: str
    parent_id: str | None
    flow: str | None


def may_go(tx: Transaction, ns: Iterable[int]) -> list[int]:
    """Those of some jobs that have ended and that nobody needs any more. Spec: GONE-4, GONE-5"""
    asked = list(ns)
    if not asked:
        return []
    free = set(tx.numbers(SQL["may_go"], {"ns": numbers(asked)}))
    return [n for n in asked if n in free]


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
    names = tx.names(SQL["ids"], asked)
    tx.topics.update(topic(name) for name in names for topic in (job_topic, stream_topic))
    tx.run(SQL["entomb"], asked)
    tx.run(SQL["leave"], asked)
    forget_deaths(tx, ns)
    for statement in _FEW:
        tx.run(SQL[statement], asked)
    for name in names:
        known = tx.known(name)
        if known is not None:
            tx.forget(known)
    _clear(tx, _due(tx, MAX_SWEEP))


def clear_remains(tx: Transaction, limit: int) -> int:
    """Let the children of jobs that are gone go too, and remove what these have left; say how many went.

    Spec: GONE-6, GONE-8
    """
    due = _due(tx, limit)
    if not due:
        return 0
    children = sorted(tx.table(SQL["children"], {"ids": ids(one.job_id for one in due)}))
    place_of = {n: place for place, n in children}
    going = may_go(tx, place_of)[:limit]
    gone(tx, going)
    _clear(tx, due)
    if len(going) < limit:
        busy = {place_of[n] for n in going}
        waiting = {due[place].job_id for place in place_of.values() if place not in busy}
        _put_off(tx, waiting)
    return len(going)


def anything_remains(tx: Transaction) -> bool:
    """Whether upkeep has something to go on with of jobs that are gone."""
    return bool(tx.rows(SQL["anything_due"], {"now_ms": tx.now_ms})[0][0])


def _due(tx: Transaction, limit: int) -> list[_Remains]:
    rows = sorted(tx.table(SQL["due"], {"now_ms": tx.now_ms, "limit": limit}))
    return [_Remains(*rest) for _, _, *rest in rows]


def _clear(tx: Transaction, remains: Sequence[_Remains]) -> None:
    """Remove rows of jobs that are gone; of those that have none left and no family, budget and use too."""
    if not remains:
        return
    asked = {"ns": numbers(one.n for one in remains), "ids": ids(one.job_id for one in remains)}
    room = MAX_PURGED_ROWS
    for statement in _ROWS:
        room -= _removed(tx, statement, {**asked, "room": room})
        if room <= 0:
            return
    alone = set(tx.names(SQL["without_family"], asked))
    _finish(tx, [one for one in remains if one.job_id in alone], room)


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
    return tx.connection.execute(SQL[statement], parameters).rowcount
