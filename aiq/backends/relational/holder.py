"""Who may write in the name of a run."""

from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import Transaction
from aiq.errors import LeaseLost
from aiq.model import Lease
from aiq.rules.leases import lost, lost_or_expired


def held(tx: Transaction, lease: Lease) -> Job | LeaseLost:
    """The job that a run owns, though its lease may have expired. Spec: LEASE-1, LEASE-2, LEASE-5"""
    job = tx.job(lease.job_id)
    gone = lost(job.record if job else None, lease)
    if gone is not None:
        return gone
    assert job is not None
    return job


def held_live(tx: Transaction, lease: Lease) -> Job | LeaseLost:
    """The job that a run owns by a lease that is live. Spec: LEASE-4, LEASE-6"""
    job = held(tx, lease)
    if isinstance(job, LeaseLost):
        return job
    return lost_or_expired(job.record, lease, tx.now_ms) or job


def owned(tx: Transaction, lease: Lease) -> Job:
    """As `held`, and a lost lease is raised."""
    job = held(tx, lease)
    if isinstance(job, LeaseLost):
        raise job
    return job
