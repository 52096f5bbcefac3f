"""Counting jobs."""

from collections import Counter, defaultdict

from aiq.backends.memory.transition import Transaction
from aiq.model import Counts, State


def count(tx: Transaction, queue: str | None) -> Counts:
    """Count jobs by queue and state; what is not there is not named. Spec: STATE-3"""
    counts: defaultdict[str, Counter[State]] = defaultdict(Counter)
    for record in tx.tables.jobs.values():
        if queue is None or record.queue == queue:
            counts[record.queue][record.state] += 1
    return {name: dict(states) for name, states in counts.items()}
