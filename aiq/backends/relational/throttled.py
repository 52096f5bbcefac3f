"""Pausing limits after a provider's 429."""

from collections.abc import Sequence

from aiq.backends.relational.admission import admission
from aiq.backends.relational.transaction import Transaction
from aiq.model import Throttle
from aiq.rules.closing import throttle


def throttled(tx: Transaction, throttles: Sequence[Throttle]) -> None:
    """Pause limits for everybody, and slow them down. Spec: LIMIT-10, LIMIT-11"""
    for one in throttles:
        throttle(admission(tx).ledger, one)
