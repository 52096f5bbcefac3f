"""Settling what is done and claiming what is next, in one step."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.admission import admission, foresee_runs
from aiq.backends.relational.claim import any_ready, claim, claimed_before, question_last, question_ready
from aiq.backends.relational.fan_in import look_ahead
from aiq.backends.relational.holding import let_go_on_room
from aiq.backends.relational.settle import close_succeeded, settle
from aiq.backends.relational.sweeps import next_due_ms, question_next
from aiq.backends.relational.transaction import Transaction
from aiq.model import ClaimRequest, Exchanged, Settlement, State

_AT_ONCE_MS: Final = 1
"""When to claim again after a claim that has looked at as many jobs as one may. Not 0: that is for upkeep to do."""


def exchange(tx: Transaction, settlements: Sequence[Settlement], request: ClaimRequest | None) -> Exchanged:
    """Record outcomes in their order, then lease jobs. A refused settlement is a value in its place.

    Spec: LEASE-1, STATE-6, STORE-11, TIME-7, POOL-4
    """
    runs = [(settlement.lease.job_id, settlement.lease.fence) for settlement in settlements]
    if runs:
        foresee_runs(tx, runs)
    jobs = tx.fetch(job_id for job_id, _ in runs)
    look_ahead(tx, jobs)
    if jobs:
        admission(tx).ledger.fetch_ends([job.record for job in jobs if job.record.state is State.RUNNING])
    settled = tuple([settle(tx, settlement) for settlement in settlements])
    if jobs:
        close_succeeded(tx)
    claimed, more = claim(tx, request) if request is not None else ((), False)
    let_go_on_room(tx)
    due_ms = next_due_ms(tx)
    return Exchanged(settled, claimed, _AT_ONCE_MS if more and due_ms != 0 else due_ms)


def nothing_to_exchange(tx: Transaction, request: ClaimRequest | None) -> Exchanged | None:
    """Look whether an exchange without settlements would write, and answer it if not: an idle worker takes no lock.

    A repeat that is given jobs is left to the step, though it writes nothing: what a look has seen need not be on disk.

    Spec: STORE-5
    """
    if request is None:
        return Exchanged((), (), next_due_ms(tx))
    tx.foresee([question_next(tx), question_last(tx, request), question_ready(tx, request.wants)])
    next_ms = next_due_ms(tx)
    again = claimed_before(tx, request)
    if again or (again is None and (next_ms == 0 or any_ready(tx, request.wants))):
        return None
    return Exchanged((), (), next_ms)
