"""What a step knows of admission: its books, its lanes, and what is stored of queues. Most steps know nothing of it."""

from aiq.backends.relational.holds import Holds
from aiq.backends.relational.lanes import Lanes
from aiq.backends.relational.ledger import Ledger, limits_of
from aiq.backends.relational.queues import Queues
from aiq.backends.relational.transaction import Transaction
from aiq.model import JobRecord


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
