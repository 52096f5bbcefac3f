"""Remembered steps: what a run saved, and what the store keeps of a wait that is over."""

from typing import Final

from aiq.backends.relational.connection import Row
from aiq.backends.relational.rows import Job
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import Step, StepKind

SQL: Final = load("steps")


def find_step(tx: Transaction, job: Job, key: str) -> Step | None:
    """What stands under a key."""
    if not job.steps:
        return None
    row = tx.row(SQL["find"], {"n": job.n, "key": key})
    return step_from_row(row) if row else None


def step_from_row(row: Row) -> Step:
    """Read a row of `find` or `page`."""
    key, kind, digest, fence, value = row
    return Step(key, StepKind(kind), value, digest, fence)


def remember(tx: Transaction, job: Job, step: Step) -> None:
    """Keep a step under a key that is free; whoever writes the job next writes the count too. Spec: STEP-6, STEP-7"""
    tx.later(
        SQL["add"],
        {
            "n": job.n,
            "key": step.key,
            "kind": step.kind,
            "digest": step.digest,
            "fence": step.fence,
        },
        value=step.value,
    )
    job.steps += 1
