"""What a step knows of admission: its books, its lanes, and what is stored of queues. Most steps know nothing of it."""

from collections.abc import Iterable, Mapping

from aiq.backends.sqlite.holds import Holds
from aiq.backends.sqlite.lanes import Lanes
from aiq.backends.sqlite.ledger import Ledger
from aiq.backends.sqlite.queues import Queues
from aiq.backends.sqlite.transaction import Transaction
from aiq.model import LimitSpec


class Admission:
    """Everything is read when it is first asked for, and written when the step ends."""

    def __init__(self, tx: Transaction) -> None:
        self.queues = Queues(tx)
        self.lanes = Lanes(tx, self.queues, self._limits)
        self.ledger = Ledger(tx, self.lanes, self.queues)
        self.holds = Holds(tx, self.ledger)

    def write(self) -> None:
        """Write what was changed: before a statement looks at it, and when the step ends."""
        self.holds.tidy()
        self.ledger.write()
        self.lanes.write()
        self.queues.write()

    def _limits(self, names: Iterable[str]) -> Mapping[str, LimitSpec]:
        found = ((name, self.ledger.limit(name)) for name in names)
        return {name: spec for name, spec in found if spec is not None}


def admission(tx: Transaction) -> Admission:
    """That of a step; made when it is first asked for."""
    if tx.admission is None:
        tx.admission = Admission(tx)
    return tx.admission
