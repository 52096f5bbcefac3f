"""Reserving for the calls of running jobs."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.backends.memory.books import MemoryBooks
from aiq.backends.memory.holder import held_live
from aiq.backends.memory.transition import Transaction
from aiq.errors import LeaseLost
from aiq.model import Acquired, Admitted, CallRequest
from aiq.rules import booking
from aiq.rules.validation import check_calls


def acquire(tx: Transaction, calls: Sequence[CallRequest]) -> list[Acquired]:
    """Reserve for each call by itself, in order; one that must wait stands in line. Spec: CALL-1 to CALL-8"""
    check_calls(calls)
    return [_acquire(tx, call) for call in calls]


def _acquire(tx: Transaction, call: CallRequest) -> Acquired:
    record = held_live(tx, call.lease)
    if isinstance(record, LeaseLost):
        return record
    answer = booking.acquire(MemoryBooks(tx), record, call)
    if isinstance(answer, Admitted) and not record.opened_calls:
        tx.tables.put(replace(record, opened_calls=True))
    return answer
