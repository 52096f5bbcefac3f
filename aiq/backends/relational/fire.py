"""Making the jobs of schedules: at their slots, and beside them."""

from collections.abc import Mapping, Sequence

from aiq.backends.relational.calendar import named, write
from aiq.backends.relational.cancel import cancel_job
from aiq.backends.relational.enqueue import enqueue
from aiq.backends.relational.fan_in import look_ahead
from aiq.backends.relational.transaction import Transaction
from aiq.model import Fire, Fired, JobSpec, Overlap, ScheduleStatus
from aiq.rules.schedules import check_free, fired, is_repeat, is_stale, jobs_to_make, ran


def fire(tx: Transaction, fires: Sequence[Fire]) -> list[Fired]:
    """Fire what is due as it was computed. Jobs come first: one that is refused leaves nothing behind.

    Spec: SCHED-7 to SCHED-15
    """
    standing = named(tx, [one.name for one in fires])
    due = [one for one in fires if not is_stale(standing.get(one.name), one, tx.now_ms)]
    tx.fetch(job_id for one in due if (job_id := standing[one.name].last_job_id) is not None)
    made = {one.name: _jobs(tx, standing[one.name], one) for one in due}
    stored = iter(enqueue(tx, [job for jobs in made.values() for job in jobs], None))
    ids = {name: tuple(next(stored).job_id for _ in jobs) for name, jobs in made.items()}
    return [
        _fire(tx, standing[one.name], one, ids[one.name]) if one.name in ids else _refused(tx, standing, one)
        for one in fires
    ]


def run_schedule(tx: Transaction, name: str, job: JobSpec) -> Fired:
    """Make a job beside the slots. Spec: SCHED-18"""
    if tx.job(job.id) is not None:
        return Fired(name, (enqueue(tx, [job], None)[0].job_id,), existed=True)
    found = named(tx, [name]).get(name)
    status = check_free(found, name, busy=found is not None and not _ended(tx, found.last_job_id))
    job_id = enqueue(tx, [job], None)[0].job_id
    _cancel_last(tx, status)
    write(tx, ran(status, job_id, tx.now_ms, ended=_ended(tx, job_id)))
    return Fired(name, (job_id,))


def _jobs(tx: Transaction, status: ScheduleStatus, one: Fire) -> Sequence[JobSpec]:
    return jobs_to_make(status, one.jobs, busy=not _ended(tx, status.last_job_id))


def _fire(tx: Transaction, status: ScheduleStatus, one: Fire, made: Sequence[str]) -> Fired:
    if made:
        _cancel_last(tx, status)
    last = made[-1] if made else status.last_job_id
    write(tx, fired(status, one, made, tx.now_ms, ended=_ended(tx, last)))
    return Fired(one.name, tuple(made))


def _refused(tx: Transaction, standing: Mapping[str, ScheduleStatus], one: Fire) -> Fired:
    if not is_repeat(standing.get(one.name), one):
        return Fired(one.name, stale=True)
    made = {job.record.id for job in tx.fetch(job.id for job in one.jobs)}
    return Fired(one.name, tuple(job.id for job in one.jobs if job.id in made), existed=True)


def _cancel_last(tx: Transaction, status: ScheduleStatus) -> None:
    """Cancel the last job if the next one takes its place. Spec: SCHED-13"""
    job = tx.job(status.last_job_id or "")
    if status.spec.overlap is Overlap.CANCEL and job is not None and not job.record.state.terminal:
        look_ahead(tx, [job])
        cancel_job(tx, job)


def _ended(tx: Transaction, job_id: str | None) -> bool:
    """Whether a job has ended. One that is not stored any more has."""
    job = tx.job(job_id) if job_id is not None else None
    return job is None or job.record.state.terminal
