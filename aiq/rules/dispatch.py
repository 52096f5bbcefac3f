"""The order of a claim: which ready job of a queue is next, and what becomes of one that cannot be given.

Spec: chapter 12
"""

from collections.abc import Callable

from aiq.model import JobRecord
from aiq.rules.books import Books, Yard


def dispatch(yard: Yard, books: Books, count: int, takes: Callable[[JobRecord], bool]) -> bool:
    """Give up to `count` ready jobs of the yard's queue to the claim, in the order of chapter 12.

    `takes` is asked once about each job that is about to be given, and its first False ends the claim (CLAIM-11):
    nothing was taken for that job. The store's `Yard.give` leases it, lets the lines, pools and bands follow.
    Every candidate that must be refused is parked, held, refused, rerouted or set aside; at most MAX_REFUSED of them.
    The answer is whether the claim ended at that bound: then more may be had at once, and it must answer that it is
    due in 1 ms.
    """
    raise NotImplementedError
