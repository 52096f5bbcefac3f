"""Who owns a job, and what an expired lease may still do."""

from aiq.errors import LeaseLost, LostReason
from aiq.model import JobRecord, Lease, State


def expired(record: JobRecord, now_ms: int) -> bool:
    """Whether a running job's lease is over: live while now < expires_at, expired from then on. Spec: LEASE-9."""
    return record.expires_at_ms is not None and now_ms >= record.expires_at_ms


def lost(record: JobRecord | None, lease: Lease) -> LeaseLost | None:
    """Why `lease` does not own the job, or None when it does. Expiry alone takes nothing.

    Spec: LEASE-1, LEASE-2, LEASE-11
    """
    if record is None:
        return LeaseLost(lease.job_id, LostReason.TERMINAL)
    if record.state is State.RUNNING and (record.fence, record.lease_id) == (lease.fence, lease.lease_id):
        return None
    if record.state is State.CANCELLED:
        return LeaseLost(lease.job_id, LostReason.CANCELLED)
    return LeaseLost(lease.job_id, LostReason.TERMINAL if record.state.terminal else LostReason.TAKEN)


def lost_or_expired(record: JobRecord | None, lease: Lease, now_ms: int) -> LeaseLost | None:
    """As `lost`, and an expired lease counts as lost too: for renewals and whatever starts something new.

    Spec: LEASE-4, LEASE-6
    """
    gone = lost(record, lease)
    if gone is None and record is not None and expired(record, now_ms):
        return LeaseLost(lease.job_id, LostReason.EXPIRED)
    return gone
