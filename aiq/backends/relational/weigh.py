"""Giving a tenant a share."""

from aiq.backends.relational.admission import admission
from aiq.backends.relational.transaction import Transaction


def weigh(tx: Transaction, tenant: str, weight: int) -> None:
    """Set the weight of a tenant, per mille of the usual one, from its next job on. Spec: FAIR-5"""
    admission(tx).ledger.weights.put(tenant, weight)
