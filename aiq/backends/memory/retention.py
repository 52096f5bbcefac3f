"""What the storage keeps of what is over, as it was set."""

from aiq.backends.memory.transition import Transaction
from aiq.model import RetentionSpec
from aiq.rules.retention import check_retention


def put_retention(tx: Transaction, spec: RetentionSpec) -> RetentionSpec:
    """Set it, in the place of what was set before. Spec: KEEP-3"""
    check_retention(spec)
    tx.tables.retention = spec
    return spec


def get_retention(tx: Transaction) -> RetentionSpec:
    """Read it. Spec: KEEP-3"""
    return tx.tables.retention
