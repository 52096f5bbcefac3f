"""Making the jobs of schedules: at their slots, and beside them."""

from collections.abc import Sequence

from aiq.backends.memory.cancel import cancel_job
from aiq.backends.memory.enqueue import enqueue
from aiq.backends.memory.transition import Transaction
from aiq.model import Fire, Fired, JobSpec, Overlap, ScheduleStatus
from aiq.rules.schedules import check_fires, check_free, check_run, fired, is_repeat, is_stale, jobs_to_make, ran


def fire(tx: Transaction, fires: Sequence[Fire]) -> list[Fired]:
    """Fire what is due as it was computed. Jobs come first: one that is refused leaves nothing behind.

    Spec: SCHED-7 to SCHED-15
    """
    check_fires(fires)
    standing = tx.tables.calendar.standing
    made = {one.name: _jobs(tx, standing[one.name], one) for one in fires if _takes(tx, one)}
    stored = iter(enqueue(tx, [job for jobs in made.values() for job in jobs], None))
    ids = {name: tuple(next(stored).job_id for _ in jobs) for name, jobs in made.items()}
    return [_fire(tx, one, ids[one.name]) if one.name in ids else _refused(tx, one) for one in fires]


def run_schedule(tx: Transaction, name: str, job: JobSpec) -> Fired:
    """Make a job beside the slots. Spec: SCHED-18"""
    check_run(name, job)
    if job.id in tx.tables.jobs:
        return Fired(name, (enqueue(tx, [job], None)[0].job_id,), existed=True)
    status = tx.tables.calendar.standing.get(name)
    status = check_free(status, name, busy=status is not None and _is_busy(tx, status))
    job_id = enqueue(tx, [job], None)[0].job_id
    _cancel_last(tx, status)
    tx.tables.calendar.put(ran(status, job_id, tx.now_ms, ended=_ended(tx, job_id)))
    return Fired(name, (job_id,))


def _takes(tx: Transaction, one: Fire) -> bool:
    return not is_stale(tx.tables.calendar.standing.get(one.name), one, tx.now_ms)


def _jobs(tx: Transaction, status: ScheduleStatus, one: Fire) -> Sequence[JobSpec]:
    return jobs_to_make(status, one.jobs, busy=_is_busy(tx, status))


def _fire(tx: Transaction, one: Fire, made: Sequence[str]) -> Fired:
    status = tx.tables.calendar.standing[one.name]
    if made:
        _cancel_last(tx, status)
    last = made[-1] if made else status.last_job_id
    tx.tables.calendar.put(fired(status, one, made, tx.now_ms, ended=_ended(tx, last)))
    return Fired(one.name, tuple(made))


def _refused(tx: Transaction, one: Fire) -> Fired:
    if not is_repeat(tx.tables.calendar.standing.get(one.name), one):
        return Fired(one.name, stale=True)
    made = tuple(job.id for job in one.jobs if job.id in tx.tables.jobs)
    return Fired(one.name, made, existed=True)


def _cancel_last(tx: Transaction, status: ScheduleStatus) -> None:
    """Cancel the last job if the next one takes its place. Spec: SCHED-13"""
    if status.spec.overlap is Overlap.CANCEL and _is_busy(tx, status):
        cancel_job(tx, tx.tables.jobs[status.last_job_id or ""])


def _is_busy(tx: Transaction, status: ScheduleStatus) -> bool:
    return not _ended(tx, status.last_job_id)


def _ended(tx: Transaction, job_id: str | None) -> bool:
    """Whether a job has ended. One that is not stored any more has."""
    record = tx.tables.jobs.get(job_id or "")
    return record is None or record.state.terminal
