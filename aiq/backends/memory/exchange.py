"""Settling what is done and claiming what is next, in one step."""

from collections.abc import Sequence

from aiq.backends.memory.claim import claim
from aiq.backends.memory.settle import settle
from aiq.backends.memory.sweeps import next_due_ms
from aiq.backends.memory.transition import Transaction
from aiq.model import ClaimRequest, Exchanged, Settlement
from aiq.rules.validation import check_claim, check_settlements


def exchange(tx: Transaction, settlements: Sequence[Settlement], request: ClaimRequest | None) -> Exchanged:
    """Record outcomes in their order, then lease jobs. A refused settlement is a value in its place.

    Spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7
    """
    check_settlements(settlements)
    if request is not None:
        check_claim(request)
    settled = tuple([settle(tx, settlement) for settlement in settlements])
    claimed = claim(tx, request) if request is not None else ()
    return Exchanged(settled, claimed, next_due_ms(tx))
