"""Restarting leases: T4, which is no event."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from aiq.backends.relational.holder import held_live
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.errors import LeaseLost
from aiq.model import Lease, Renewed
from aiq.rules.states import check

SQL: Final = load("renew")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What all leases of a call are asked to become, and what their holders are told."""

    lease_ms: int | None
    shrink: bool
    paused: Collection[str]


def renew(tx: Transaction, leases: Sequence[Lease], lease_ms: int | None, *, shrink: bool) -> list[Renewed | LeaseLost]:
    """Restart each lease from now; one that is lost leaves the others alone.

    Spec: LEASE-3, LEASE-4, LEASE-8, LEASE-10, LEASE-12, TIME-5, STATE-5
    """
    tx.fetch([lease.job_id for lease in leases])
    wish = _Wish(lease_ms, shrink, set(tx.names(SQL["paused"])))
    return [_renew(tx, lease, wish) for lease in leases]


def _renew(tx: Transaction, lease: Lease, wish: _Wish) -> Renewed | LeaseLost:
    job = held_live(tx, lease)
    if isinstance(job, LeaseLost):
        return job
    record = job.record
    length_ms = record.lease_ms if wish.lease_ms is None else wish.lease_ms
    if not wish.shrink:
        length_ms = max(length_ms, record.lease_ms)
    check("T4", record.state, record.state)
    tx.later(SQL["extend"], {"n": job.n, "expires_at_ms": tx.now_ms + length_ms})
    return Renewed(length_ms, record.cancel_requested_at_ms is not None, record.queue in wish.paused)
