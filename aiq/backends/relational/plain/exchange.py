"""Which exchanges may be plain."""

from collections.abc import Sequence

from aiq.bounds import MAX_RESULT_BYTES
from aiq.model import ClaimRequest, Settlement, Succeeded


def may_be_plain(settlements: Sequence[Settlement], request: ClaimRequest | None) -> bool:
    """Whether all of these jobs succeed, and none of them and no queue is named twice."""
    queues = () if request is None else [want.queue for want in request.wants]
    jobs = [settlement.lease.job_id for settlement in settlements if _is_plain(settlement)]
    return len(jobs) == len(settlements) == len(set(jobs)) and len(queues) == len(set(queues))


def _is_plain(settlement: Settlement) -> bool:
    outcome, lease = settlement.outcome, settlement.lease
    # A lease may be any text. In one with a NUL, SQLite would read another, which ends there.
    return (
        isinstance(outcome, Succeeded)
        and len(outcome.result) <= MAX_RESULT_BYTES
        and "\0" not in lease.job_id
        and "\0" not in lease.lease_id
    )
