"""Reading what a job remembers."""

from operator import attrgetter

from aiq.backends.relational.read import place_of
from aiq.backends.relational.steps import SQL, step_from_row
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_PAGE_BYTES
from aiq.model import Step


def get_steps(tx: Transaction, job_id: str, after: str, limit: int) -> list[Step]:
    """Read steps in the order of their keys, by code point. Spec: STEP-5, STORE-13"""
    n = place_of(tx, job_id).n
    rows = tx.table(SQL["page"], {"n": n, "after": after, "limit": limit, "bytes": MAX_PAGE_BYTES})
    return sorted(map(step_from_row, rows), key=attrgetter("key"))
