"""Who may write in the name of a run."""

from aiq.backends.memory.transition import Transaction
from aiq.errors import LeaseLost
from aiq.model import JobRecord, Lease
from aiq.rules.leases import lost, lost_or_expired


def held(tx: Transaction, lease: Lease) -> JobRecord | LeaseLost:
    """The job that a run owns, though its lease may have expired. Spec: LEASE-1, LEASE-2, LEASE-5"""
    record = tx.tables.jobs.get(lease.job_id)
    gone = lost(record, lease)
    if gone is not None:
        return gone
    assert record is not None
    return record


def held_live(tx: Transaction, lease: Lease) -> JobRecord | LeaseLost:
    """The job that a run owns by a lease that is live. Spec: LEASE-4, LEASE-6"""
    gone = lost_or_expired(tx.tables.jobs.get(lease.job_id), lease, tx.now_ms)
    return gone if gone is not None else held(tx, lease)


def owned(tx: Transaction, lease: Lease) -> JobRecord:
    """As `held`, and a lost lease is raised."""
    record = held(tx, lease)
    if isinstance(record, LeaseLost):
        raise record
    return record
