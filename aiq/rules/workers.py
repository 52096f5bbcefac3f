"""What a storage thinks of its workers, and what they may say of themselves."""

from collections.abc import Iterable

from aiq.bounds import MAX_BATCH, MAX_INSTANT_MS, MAX_LEVEL, WORKER_GONE_MS
from aiq.model import Beat, WorkerState, WorkerStatus
from aiq.policy.figures import check_name
from aiq.rules.checks import check_count, check_opaque, check_range


def status_of(beat: Beat, started_at_ms: int, beat_at_ms: int, now_ms: int) -> WorkerStatus:
    """Judge a worker by its last beat. A clock that was put back makes nobody older. Spec: WORK-2"""
    silent_ms = max(0, now_ms - beat_at_ms)
    state = WorkerState.BLOCKED if beat.blocked else WorkerState.ALIVE
    if silent_ms >= WORKER_GONE_MS:
        state = WorkerState.GONE
    return WorkerStatus(beat=beat, state=state, started_at_ms=started_at_ms, beat_at_ms=beat_at_ms, silent_ms=silent_ms)


def check_beat(beat: Beat) -> None:
    """Refuse a beat whose names or numbers are out of range, or that names too many queues. Spec: WORK-7"""
    check_opaque("name of a worker", beat.worker)
    check_count("list of queues of a worker", len(beat.slots), MAX_BATCH)
    for slot in beat.slots:
        check_name("queue", slot.queue)
        _check_numbers((("number of slots", slot.total), ("number of slots in use", slot.used)))
    for kind, text in (("host", beat.host), ("version", beat.version), ("version of Python", beat.python)):
        if text:
            check_opaque(kind, text)
    check_range("age of a worker in ms", beat.up_ms, 0, MAX_INSTANT_MS)
    _check_numbers((("process id", beat.pid), ("number of slots lent", beat.lent), ("lag in ms", beat.lag_ms)))


def _check_numbers(numbers: Iterable[tuple[str, int]]) -> None:
    for kind, number in numbers:
        check_range(kind, number, 0, MAX_LEVEL)
