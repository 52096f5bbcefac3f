"""Pausing limits after a provider's 429."""

from collections.abc import Sequence

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.transition import Transaction
from aiq.model import Throttle
from aiq.rules.closing import throttle
from aiq.rules.validation import check_throttles


def throttled(tx: Transaction, throttles: Sequence[Throttle]) -> None:
    """Pause limits for everybody, and slow them down. Spec: LIMIT-10, LIMIT-11"""
    check_throttles(throttles)
    for one in throttles:
        throttle(MemoryBooks(tx), one)
