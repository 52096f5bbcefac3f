"""Changing jobs before they run, by an operator or a producer."""

from collections.abc import Sequence

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.editing import edit_job
from aiq.backends.memory.get import answered
from aiq.backends.memory.transition import Transaction
from aiq.model import Edit, JobRecord
from aiq.rules.booking import check_at_enqueue
from aiq.rules.editing import check_edits, edited


def update(tx: Transaction, edits: Sequence[Edit]) -> list[JobRecord | None]:
    """Edit jobs (T19), all of them or none; what says nothing new changes nothing. Spec: EDIT-1 to EDIT-7"""
    check_edits(edits)
    changes = []
    for edit in edits:
        before = tx.tables.jobs.get(edit.job_id)
        if before is not None:
            after = edited(before, edit, tx.now_ms)
            check_at_enqueue(MemoryBooks(tx), after)
            changes.append((before, after))
    for before, after in changes:
        if after != before:
            edit_job(tx, before, after)
    return answered(tx, [edit.job_id for edit in edits])
