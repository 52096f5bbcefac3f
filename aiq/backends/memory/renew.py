"""Restarting leases: T4, which is no event."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.holder import held_live
from aiq.backends.memory.transition import Transaction
from aiq.errors import LeaseLost
from aiq.model import Lease, Renewed
from aiq.rules.states import check
from aiq.rules.validation import check_renewal


def renew(tx: Transaction, leases: Sequence[Lease], lease_ms: int | None, *, shrink: bool) -> list[Renewed | LeaseLost]:
    """Restart each lease from now; one that is lost leaves the others alone.

    Spec: LEASE-3, LEASE-4, LEASE-8, LEASE-10, LEASE-12, TIME-5, STATE-5
    """
    check_renewal(leases, lease_ms)
    return [_renew(tx, lease, lease_ms, shrink=shrink) for lease in leases]


def _renew(tx: Transaction, lease: Lease, lease_ms: int | None, *, shrink: bool) -> Renewed | LeaseLost:
    record = held_live(tx, lease)
    if isinstance(record, LeaseLost):
        return record
    length_ms = record.lease_ms if lease_ms is None else lease_ms
    if not shrink:
        length_ms = max(length_ms, record.lease_ms)
    check("T4", record.state, record.state)
    tx.tables.put(replace(record, expires_at_ms=tx.now_ms + length_ms))
    return Renewed(length_ms, record.cancel_requested_at_ms is not None, record.queue in tx.tables.paused)
