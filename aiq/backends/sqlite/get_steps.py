"""Reading what a job remembers."""

from operator import attrgetter

from aiq.backends.sqlite.read import number_of
from aiq.backends.sqlite.steps import SQL, step_from_row
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import Step


def get_steps(tx: Transaction, job_id: str, after: str, limit: int) -> list[Step]:
    """Read steps in the order of their keys, by code point. Spec: STEP-5"""
    n, _ = number_of(tx, job_id)
    rows = tx.table(SQL["page"], {"n": n, "after": after, "limit": limit})
    return sorted(map(step_from_row, rows), key=attrgetter("key"))
