"""Looking for anything that a clause forbids, slice by slice: no script looks at more than a few hundred rows.

What is found of one job is found in one step, and so is true. What counts or lists jobs is held against all of them
together, which is true only if nothing happened between the first step and the last. Spec: STATE-3
"""

import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from aiq.backends.redis.door import Answer
from aiq.model import Violation

SLICE: Final = 64
"""Jobs, shelves, or rows of another kind, that one step looks at, or about so many."""
_NAMES: Final = 256
"""Sorted sets whose size one step tells."""

_SETS: Final = (
    *("scheduled", "timeouts", "leases", "graces", "deadlines"),
    *("ended:succeeded", "ended:dead", "ended:cancelled", "apart", "ended_steps", "ended_signals", "ended_streams"),
    *("taken_signals", "own_calls", "closed_calls", "touched_parts", "touched_windows", "budget_ids", "remains_due"),
    *("limit_names", "unique_windows", "groups_by_last_seen", "groups_by_dead", "groups_at_rest"),
    *("schedule_names", "due_schedules", "workers_by_name", "workers_by_beat", "minutes_in_order"),
    *("lines_left", "reshaping"),
)
"""Sorted sets that are to be empty where nothing was found that stands in them."""
_SHELVED: Final = re.compile(r"lane:[^:]+:[0-3]::").fullmatch
"""The lanes of plain pools, which stand on shelves. Those of other pools go on with a name, which may have colons."""
_CLAUSES: Final = {
    "limit_tokens": "CALL-15",
    "limit_units": "CALL-15",
    "open_calls": "CALL-15",
    "budget_held": "BUDGET-5",
    "events": "STATE-4",
}
"""What a sum that is not 0 violates, by its kind; any other STATE-3."""

_Step = Callable[[str, Any], Awaitable[Answer]]


class _Account:
    """What the slices have told together."""

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.sums: Counter[str] = Counter()
        self.positions: defaultdict[int, list[str]] = defaultdict(list)
        self.shut: dict[str, str] = {}
        self.open: set[str] = set()
        self.versions: set[str] = set()

    def take(self, told: dict[str, Any]) -> None:
        self.found += [Violation(*one) for one in told["violations"]]
        self.sums.update(dict(told["sums"] or {}))
        self.versions.add(told["version"])
        for position, job_id in told["positions"]:
            self.positions[position].append(job_id)
        self.shut.update(told["shut"])
        self.open.update(told["open"])

    def of_all(self) -> Iterator[Violation]:
        """What is wrong with all of them together."""
        for position, job_ids in self.positions.items():
            for job_id in job_ids if len(job_ids) > 1 else ():
                yield Violation("CLAIM-6", job_id, f"it shares position {position} with another ready job")
        for gate, text in self.shut.items():
            if gate not in self.open:
                yield Violation("LIMIT-16", "", text)
        for whole, more in sorted(self.sums.items()):
            kind, _, name = whole.partition("\0")
            if more:
                wrong = f"{abs(more)} too {'few' if more > 0 else 'many'}"
                text = f"what is counted or listed as {kind} {name!r} is {wrong}"
                yield Violation(_CLAUSES.get(kind, "STATE-3"), "", text)


async def audited(step: _Step, limit: int) -> list[Violation]:
    """Name at most `limit` violations."""
    account = _Account()
    part, cursor = 1, ""
    while part and len(account.found) < limit:
        told = (await step("audit", {"part": part, "cursor": cursor, "slice": SLICE})).value
        account.take(told)
        part, cursor = told.get("part", 0), told.get("cursor", "")
    if len(account.found) < limit:
        names = {name for kind, _, name in (whole.partition("\0") for whole in account.sums) if kind == "set"}
        await _measure(step, account, sorted(names.union(_SETS)))
        if len(account.versions) == 1:
            account.found += account.of_all()
    return account.found[:limit]


async def _measure(step: _Step, account: _Account, names: list[str]) -> None:
    plain = [name for name in names if not _SHELVED(name)]
    for first in range(0, len(plain), _NAMES):
        account.take((await step("audit", {"names": plain[first : first + _NAMES]})).value)
    for lane in filter(_SHELVED, names):
        await _measure_shelves(step, account, lane)


async def _measure_shelves(step: _Step, account: _Account, lane: str) -> None:
    rank: int | None = 0
    while rank is not None:
        told = (await step("audit", {"lane": lane, "rank": rank, "slice": SLICE})).value
        account.take(told)
        rank = told.get("rank")
