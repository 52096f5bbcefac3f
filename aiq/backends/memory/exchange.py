"""Settling what is done and claiming what is next, in one step."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.memory.claim import claim
from aiq.backends.memory.holding import let_go_on_room
from aiq.backends.memory.settle import settle
from aiq.backends.memory.sweeps import next_due_ms
from aiq.backends.memory.transition import Transaction
from aiq.model import ClaimRequest, Exchanged, Settlement
from aiq.rules.validation import check_claim, check_settlements

_AT_ONCE_MS: Final = 1
"""When to claim again after a claim that has looked at as many jobs as one may. Not 0: that is for upkeep to do."""


def exchange(tx: Transaction, settlements: Sequence[Settlement], request: ClaimRequest | None) -> Exchanged:
    """Record outcomes in their order, then lease jobs. A refused settlement is a value in its place.

    Spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7
    """
    check_settlements(settlements)
    if request is not None:
        check_claim(request)
    settled = tuple([settle(tx, settlement) for settlement in settlements])
    claimed, more = claim(tx, request) if request is not None else ((), False)
    let_go_on_room(tx)
    due_ms = next_due_ms(tx)
    return Exchanged(settled, claimed, _AT_ONCE_MS if more and due_ms != 0 else due_ms)
