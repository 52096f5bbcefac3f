"""The register of workers."""

from bisect import bisect_right

from aiq.backends.memory.data import KnownWorker
from aiq.backends.memory.transition import Transaction
from aiq.bounds import WORKER_KEPT_MS
from aiq.model import Beat, WorkerStatus
from aiq.rules.checks import check_limit, check_opaque
from aiq.rules.workers import check_beat, status_of


def put_beat(tx: Transaction, beat: Beat) -> None:
    """Write down what a worker says of itself. Spec: WORK-1"""
    check_beat(beat)
    known = tx.tables.workers.get(beat.worker)
    started_at_ms = known.started_at_ms if known else tx.now_ms - beat.up_ms
    tx.tables.workers[beat.worker] = KnownWorker(beat, started_at_ms, tx.now_ms)


def remove_worker(tx: Transaction, worker: str) -> None:
    """Strike a worker off. Spec: WORK-3"""
    check_opaque("name of a worker", worker)
    tx.tables.workers.pop(worker, None)


def workers(tx: Transaction, after: str, limit: int) -> list[WorkerStatus]:
    """Read workers in the order of their names. Spec: WORK-2, WORK-5"""
    check_limit(limit)
    names = sorted(tx.tables.workers)
    page = names[bisect_right(names, after) :][:limit]
    found = [tx.tables.workers[name] for name in page]
    return [status_of(one.beat, one.started_at_ms, one.beat_at_ms, tx.now_ms) for one in found]


def forget_workers(tx: Transaction, limit: int) -> bool:
    """Forget at most `limit` workers that have long been silent, and say whether there are more. Spec: WORK-4"""
    since_ms = tx.now_ms - WORKER_KEPT_MS
    every = sorted((known.beat_at_ms, name) for name, known in tx.tables.workers.items())
    silent = [name for at_ms, name in every if at_ms <= since_ms]
    for name in silent[:limit]:
        del tx.tables.workers[name]
    return len(silent) > limit
