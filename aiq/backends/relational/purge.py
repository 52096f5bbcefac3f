"""Letting jobs go whose time is over, the oldest first. Spec: KEEP-1, KEEP-2, KEEP-9."""

from aiq.backends.relational.gone import anything_remains, clear_remains, gone, may_go, question_of_remains, that_fit
from aiq.backends.relational.retention import SQL, get_retention
from aiq.backends.relational.rows import numbers
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PURGED, MAX_PURGED_BYTES, PUT_OFF_MS
from aiq.model import Keep, RetentionSpec, State
from aiq.rules.retention import ENDED, excess, is_over, of_state, since_ms


def purge(tx: Transaction, limit: int) -> int:
    """Look at no more than `limit` jobs (and MAX_PURGED) whose time is over, and let those go that nobody needs.

    Says how many went.

    Spec: GONE-4, GONE-5, GONE-8
    """
    limit = min(limit, MAX_PURGED)
    done, size = clear_remains(tx, limit)
    over = _over(tx, get_retention(tx), limit - done)
    may = may_go(tx, [n for n, had_its_time in over.items() if had_its_time])
    stay = over.keys() - may.keys()
    if stay:
        tx.run(SQL["put_off"], {"ns": numbers(sorted(stay)), "until_ms": tx.now_ms + PUT_OFF_MS})
    going = that_fit(may, len(may), MAX_PURGED_BYTES - size)
    gone(tx, going)
    return done + len(going)


def anything_over(tx: Transaction) -> bool:
    """Whether the next upkeep has a job to look at."""
    ended = [(SQL["ended"], {"state": state, "limit": 1}) for state in ENDED]
    tx.foresee([question_of_remains(tx), (SQL["apart"], {"now_ms": tx.now_ms, "limit": 1}), *ended])
    return anything_remains(tx) or bool(_over(tx, get_retention(tx), 1))


def forget_ids(tx: Transaction, limit: int) -> None:
    """Forget ids of which nothing else is kept. Spec: GONE-3"""
    free = tx.numbers(SQL["ids"], {"now_ms": tx.now_ms, "limit": limit})
    if free:
        tx.run(SQL["forget_ids"], {"ns": numbers(free)})


def any_free_id(tx: Transaction) -> bool:
    """Whether the next upkeep has an id to forget."""
    return bool(tx.numbers(SQL["ids"], {"now_ms": tx.now_ms, "limit": 1}))


def _over(tx: Transaction, retention: RetentionSpec, limit: int) -> dict[int, bool]:
    """Those with an instant of their own that has come, and then those of each state, each from the oldest on; and
    whether they have had their time: one that was put off may have another one by now."""
    found: dict[int, bool] = {}
    for _, n, state, finished_ms, keep_ms in sorted(tx.table(SQL["apart"], {"now_ms": tx.now_ms, "limit": limit})):
        found[n] = is_over(retention, keep_ms, State(state), finished_ms, tx.now_ms) or (
            keep_ms is None and _excess(tx, of_state(retention, State(state)), State(state)) > 0
        )
    for state in ENDED:
        keep = of_state(retention, state)
        many, over_ms, left = _excess(tx, keep, state), since_ms(keep, tx.now_ms), limit - len(found)
        rows = sorted(tx.table(SQL["ended"], {"state": state, "limit": left})) if many or over_ms >= 0 else ()
        found |= {n: True for place, (at_ms, n) in enumerate(rows) if place < many or at_ms <= over_ms}
    return found


def _excess(tx: Transaction, keep: Keep, state: State) -> int:
    """How many jobs ended in a state are kept more than the bound. Only where there is one are they counted."""
    if keep.count is None:
        return 0
    return excess(keep, tx.rows(SQL["count_ended"], {"state": state})[0][0])
