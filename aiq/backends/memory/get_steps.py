"""Reading what a job remembers."""

from itertools import islice

from aiq.backends.memory.transition import Transaction
from aiq.errors import NotFound
from aiq.model import Step
from aiq.rules.batches import page_length
from aiq.rules.validation import check_limit


def get_steps(tx: Transaction, job_id: str, after: str, limit: int) -> list[Step]:
    """Read steps in the order of their keys, by code point. Spec: STEP-5, STORE-13"""
    check_limit(limit)
    if job_id not in tx.tables.jobs:
        raise NotFound(job_id)
    steps = tx.tables.steps.get(job_id, {})
    found = [steps[key] for key in islice((key for key in sorted(steps) if key > after), limit)]
    return found[: page_length(len(step.value) for step in found)]
