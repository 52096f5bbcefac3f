"""Jobs that stand one behind the other and ask for the same, admitted as if one by one.

What they take of their limits is one sum: as long as there is plenty, one part leaves room for the next, and nobody
looks at a limit in between. Their budgets are asked one by one, since most have one of their own.
"""

from collections.abc import Sequence

from aiq import bounds
from aiq.model import JobRecord, Part
from aiq.rules import charging, drawing, limits, planning, standing
from aiq.rules.books import Books
from aiq.rules.drawing import Fit
from aiq.rules.planning import Plan, Taking
from aiq.rules.standing import Bound


class Row:
    """Those who ask for what one has just been given. What they take of limits is written by `close`; until then
    nothing else may look at these."""

    def __init__(self, books: Books, given: JobRecord) -> None:
        self._books, self._given = books, given
        self._ask = planning.ask_of(books, given)
        self._takings: Sequence[Taking] = ()
        self._parts: tuple[Part, ...] = ()
        self._left: int | None = None
        """How many the limits have plenty for, once somebody is found to be alike."""
        self._taken = 0

    def plan(self, record: JobRecord) -> Plan | None:
        """What a job may be given, if it is alike and there is plenty of everything; else it has to be looked at by
        itself. Writes nothing."""
        books, ask = self._books, self._ask
        if record.resumes or planning.ask_of(books, record) is not ask:
            return None
        if self._left is None:
            self._left = self._look()
        fit = drawing.fit(books, drawing.chain(books, record), ask.want) if self._left else None
        if not isinstance(fit, Fit) or fit.want is not ask.want:
            return None
        return Plan(ask.want.need, self._takings, fit.drafts, ask.want.prices, ask.cost, ask.cost_limit)

    def book(self, record: JobRecord, fence: int, found: Plan) -> int:
        """Take what was planned, and tell what the job counts for in its order."""
        if not found.takings and not found.drafts:
            return charging.JOB
        planning.reserve(self._books, record, fence, found, self._parts)
        self._taken += 1
        self._left = (self._left or 0) - 1
        return found.cost

    def close(self) -> None:
        """Write what all have taken."""
        for taking in self._takings if self._taken else ():
            planning.take(self._books, taking, self._taken)

    def _look(self) -> int:
        self._takings = [_taking(self._books, *one) for one in zip(self._ask.bound, self._ask.parts, strict=True)]
        self._parts = tuple([taking.part for taking in self._takings])
        return min([_room(self._books, self._given, one) for one in self._takings], default=bounds.MAX_BATCH)


def _taking(books: Books, bound: Bound, part: Part) -> Taking:
    unit = bound.spec.concurrency is not None
    return Taking(bound, standing.state_of(books, bound), planning.with_unit(part) if unit else part)


def _room(books: Books, record: JobRecord, taking: Taking) -> int:
    """Of how many a limit has plenty; of none where a call stands in line for it before them."""
    spec, key = taking.bound
    calls = books.waiting(spec.name, key)
    if calls and standing.before(calls, record.band, None):
        return 0
    return limits.plenty(spec, taking.state, taking.part)
