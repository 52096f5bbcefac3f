"""What a step knows of admission: its books, its lanes, and what is stored of queues. Most steps know nothing of it."""

from collections.abc import Sequence
from typing import Final

from aiq.backends.relational.holds import Holds
from aiq.backends.relational.lanes import ANYTHING_ASIDE, Lanes
from aiq.backends.relational.ledger import Ledger, limits_of
from aiq.backends.relational.queues import Queues
from aiq.backends.relational.reserved import CallKey, Run
from aiq.backends.relational.transaction import COUNTERS, Transaction
from aiq.backends.relational.waiting import ANYBODY
from aiq.model import JobRecord

MAX_NUMBER: Final = 2**63 - 1
"""The largest number that a column holds."""
_USUAL: Final = (ANYBODY, ANYTHING_ASIDE, COUNTERS)
"""What nearly every step asks that changes what a limit has left."""


class Admission:
    """Everything is read when it is first asked for, and written when the step ends."""

    def __init__(self, tx: Transaction) -> None:
        self.queues = Queues(tx)
        limits = limits_of(tx)
        self.lanes = Lanes(tx, self.queues, limits)
        self.ledger = Ledger(tx, self.lanes, self.queues, limits)
        self.holds = Holds(tx, self.ledger)
        self.succeeded: list[JobRecord] = []
        """Runs that have ended, and of which what they have reserved is closed when the next thing looks at that; see
        `settle`."""

    def write(self) -> None:
        """Write what was changed: before a statement looks at it, and when the step ends."""
        self.holds.tidy()
        self.ledger.write()
        self.lanes.write()
        self.queues.write()


def admission(tx: Transaction) -> Admission:
    """That of a step; made when it is first asked for."""
    if tx.admission is None:
        tx.admission = Admission(tx)
    return tx.admission


def foresee_runs(tx: Transaction, runs: Sequence[Run], calls: Sequence[CallKey] = ()) -> None:
    """Say that a step is about to look at some runs and what they have reserved, and at some of their calls."""
    ledger = admission(tx).ledger
    runs, calls = [run for run in runs if _may_be(run)], [call for call in calls if _may_be(call)]
    jobs = tx.questions(job_id for job_id, _ in runs)
    tx.foresee([*jobs, *ledger.reserved.questions(runs, calls), *_USUAL])
    # Kept from here on: it is asked again after the first thing was written, when nothing foreseen holds any more.
    ledger.calls.any()


def _may_be(key: Run | CallKey) -> bool:
    """Whether a database can be asked for it. What no run can bear is not foreseen: the step finds that it is lost."""
    job_id, *numbers = key
    return job_id.isascii() and "\0" not in job_id and all(abs(number) <= MAX_NUMBER for number in numbers)
