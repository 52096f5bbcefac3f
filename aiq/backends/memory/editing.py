"""Changing a job that does not run (T19). It keeps its position, so that it stands between the same others."""

from dataclasses import replace

from aiq.backends.memory.transition import Transaction, begin_patience, log_event, move
from aiq.model import JobRecord, State
from aiq.rules.states import check
from aiq.storage import job_topic, queue_topic


def edit_job(tx: Transaction, before: JobRecord, after: JobRecord) -> None:
    """Write a job as it was edited. Spec: EDIT-2, EDIT-3"""
    tx.topics.add(queue_topic(after.queue))
    if after.state is not before.state:
        move(tx, "T19", before, after)
        return
    check("T19", before.state, after.state)
    edited = replace(after, events=before.events + 1)
    log_event(tx, "T19", before.state, edited)
    in_another_line = tx.tables.line(before) != tx.tables.line(edited)
    tx.tables.put(edited)
    if edited.state is State.READY and in_another_line:
        begin_patience(tx, edited)
    tx.topics.add(job_topic(edited.id))
