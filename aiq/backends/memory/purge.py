"""Letting jobs go whose time is over, the oldest first. Spec: KEEP-1, KEEP-2, KEEP-9."""

from aiq.backends.memory.gone import anything_remains, clear_remains, gone, may_go, that_fit
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PURGED, MAX_PURGED_BYTES, PUT_OFF_MS
from aiq.model import JobRecord
from aiq.rules.retention import ENDED, excess, is_over, of_state, since_ms


def purge(tx: Transaction, limit: int) -> int:
    """Look at no more than `limit` jobs (and MAX_PURGED) whose time is over, and let those go that nobody needs.

    Says how many went.

    Spec: GONE-4, GONE-5, GONE-8
    """
    limit = min(limit, MAX_PURGED)
    done, size = clear_remains(tx, limit)
    over = _over(tx, limit - done)
    may = [record for record in over if not _must_stay(tx, record)]
    for record in over:
        if record not in may:
            tx.tables.ended.put_off(tx.tables.numbers[record.id], record, tx.now_ms + PUT_OFF_MS)
    going = that_fit(may, MAX_PURGED_BYTES - size)
    for record in going:
        gone(tx, record)
    return done + len(going)


def anything_over(tx: Transaction) -> bool:
    """Whether the next upkeep has a job to look at."""
    return anything_remains(tx) or bool(_over(tx, 1))


def _over(tx: Transaction, limit: int) -> list[JobRecord]:
    """Those with an instant of their own that has come, and then those of each state, each from the oldest on."""
    ended, retention = tx.tables.ended, tx.tables.retention
    numbers = [number for at_ms, number in ended.apart.first(limit) if at_ms <= tx.now_ms]
    for state in ENDED:
        keep, index = of_state(retention, state), ended.by_state[state]
        many = max(index.place((since_ms(keep, tx.now_ms) + 1,)), excess(keep, ended.counts[state]))
        numbers += [number for _, number in index.first(min(many, limit - len(numbers)))]
    return [tx.tables.jobs[tx.tables.order[number]] for number in numbers]


def _must_stay(tx: Transaction, record: JobRecord) -> bool:
    """Whether a job is still needed; or its time is not over, since it was looked at under another retention."""
    return not (_has_had_its_time(tx, record) and may_go(tx, record))


def _has_had_its_time(tx: Transaction, record: JobRecord) -> bool:
    state, retention = record.state, tx.tables.retention
    assert record.finished_at_ms is not None
    if is_over(retention, record.keep_ms, state, record.finished_at_ms, tx.now_ms):
        return True
    return record.keep_ms is None and excess(of_state(retention, state), tx.tables.ended.counts[state]) > 0


def forget_ids(tx: Transaction, limit: int) -> bool:
    """Forget ids of which nothing else is kept; say whether there may be more. Spec: GONE-3"""
    over = [job_id for job_id, stone in tx.tables.tombstones.items() if stone.until_ms <= tx.now_ms]
    free = [job_id for job_id in over if job_id not in tx.tables.events]
    for job_id in free[:limit]:
        del tx.tables.tombstones[job_id]
    return len(free) > limit
