"""Changing jobs before they run, by an operator or a producer."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.relational.admission import admission
from aiq.backends.relational.editing import SQL, edit_job
from aiq.backends.relational.get import get, get_whole
from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import Transaction
from aiq.model import Edit, JobRecord
from aiq.rules.booking import check_at_enqueue
from aiq.rules.editing import edited


def update(tx: Transaction, edits: Sequence[Edit]) -> list[JobRecord | None]:
    """Edit jobs (T19), all of them or none; what says nothing new changes nothing. Spec: EDIT-1 to EDIT-7"""
    names = [edit.job_id for edit in edits]
    jobs = {job.record.id: job for job in tx.fetch(names)}
    changes: list[tuple[Job, JobRecord]] = []
    for edit, whole in zip(edits, get_whole(tx, names), strict=True):
        if whole is not None:
            jobs[edit.job_id].record = whole
            after = edited(whole, edit, tx.now_ms)
            check_changed(tx, after)
            changes.append((jobs[edit.job_id], after))
    for job, after in changes:
        if after != job.record:
            content = (after.payload, after.estimate) != (job.record.payload, job.record.estimate)
            edit_job(tx, job, after, content=content)
    return get(tx, names)


def complete(tx: Transaction, job: Job) -> None:
    """Read what else must be known of a job that is to be changed, but its payload."""
    due_ms, timeout_ms = tx.rows(SQL["cold"], {"n": job.n})[0]
    job.record = replace(job.record, due_ms=due_ms, timeout_ms=timeout_ms)


def check_changed(tx: Transaction, after: JobRecord) -> None:
    """Refuse what could never run as it is to be. Spec: EDIT-6"""
    ledger = admission(tx).ledger
    ledger.fetch_specs([after])
    check_at_enqueue(ledger, after)
