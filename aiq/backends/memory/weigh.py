"""Giving a tenant a share."""

from aiq.backends.memory.transition import Transaction
from aiq.rules.validation import check_weight


def weigh(tx: Transaction, tenant: str, weight: int) -> None:
    """Set the weight of a tenant, per mille of the usual one, from its next job on. Spec: FAIR-5"""
    check_weight(tenant, weight)
    tx.tables.accounts.weights[tenant] = weight
