"""What is stored of queues themselves: their settings, their credits, and how many jobs stand against a bound."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.pools import NO_CREDITS
from aiq.backends.relational.shelf import Shelf
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import QueueSettings
from aiq.rules.fairness import Credits
from aiq.storage import room_topic

SQL: Final = load("queues")

UNBOUNDED: Final = QueueSettings()


class QueueRow(msgspec.Struct, array_like=True, frozen=True):
    """One queue. `fresh` counts the jobs that its bound counts, where it has one."""

    settings: QueueSettings | None = None
    credits: Credits | None = None
    fresh: int = 0


_ROW: Final[Any] = tuple[str, QueueRow]


class Queues:
    """The rows as they stand in a step."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._rows = Shelf[str, QueueRow](tx, SQL["queues"], SQL["put_queues"], _ROW)
        self._more: Counter[str] = Counter()
        """Jobs that have come under a bound in this step, or left it; most queues have none."""

    def fetch(self, names: Iterable[str]) -> None:
        """Read rows that will be asked for."""
        self._rows.fetch(names)

    def questions(self, names: Iterable[str]) -> list[Question]:
        """What `fetch` will ask, for `foresee`."""
        return self._rows.questions(names)

    def row(self, name: str) -> QueueRow:
        """A queue, or one of which nothing is stored."""
        if name in self._more:
            self._count(name, self._more.pop(name))
        return self._rows.get(name) or QueueRow()

    def settings(self, name: str) -> QueueSettings:
        """What bounds a queue. It is asked of each job, and whom its bound counts does not matter to it."""
        row = self._rows.get(name)
        return UNBOUNDED if row is None or row.settings is None else row.settings

    def credits(self, name: str) -> Credits:
        """A queue's credits, by band. Spec: BAND-3"""
        return self.row(name).credits or NO_CREDITS

    def put_credits(self, name: str, credits: Credits) -> None:
        """Write them."""
        if credits != self.credits(name):
            kept = None if credits == NO_CREDITS else credits
            self._rows.put(name, msgspec.structs.replace(self.row(name), credits=kept))

    def put_settings(self, name: str, settings: QueueSettings, fresh: int) -> None:
        """Write what bounds a queue, and how many jobs its bound counts."""
        kept = None if settings == UNBOUNDED else settings
        self._rows.put(name, msgspec.structs.replace(self.row(name), settings=kept, fresh=fresh))

    def count(self, name: str, more: int) -> None:
        """Count jobs that come under the bound of a queue, or leave it. Spec: QUEUE-1"""
        self._more[name] += more

    def write(self) -> None:
        """Write what was changed."""
        for name in list(self._more):
            self._count(name, self._more.pop(name))
        self._rows.write()

    def _count(self, name: str, more: int) -> None:
        """Where there is a bound, count, and tell who waits for room."""
        row = self._rows.get(name)
        if row is None or row.settings is None or row.settings.max_ready is None:
            return
        self._rows.put(name, msgspec.structs.replace(row, fresh=row.fresh + more))
        if more < 0 and row.fresh + more < row.settings.max_ready:
            self._tx.tell(room_topic(name))
