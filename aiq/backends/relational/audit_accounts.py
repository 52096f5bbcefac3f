"""Looking for what is held of limits and budgets, and by no open call. Spec: CALL-15, BUDGET-5"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiq.backends.relational.reserved import Bodies
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.model import BudgetState, LimitSpec, LimitState, Reservation, Violation
from aiq.rules.limits import status

SQL: Final = load("audit")

_CALL: Final[Any] = tuple[str, int, int, int, str]
_LIMIT: Final[Any] = tuple[str, str, LimitSpec, LimitState]
_BUDGET: Final[Any] = tuple[str, int, BudgetState]


def of_accounts(tx: Transaction) -> Iterator[Violation]:
    """Compare what limits and budgets hold with what the open calls have of them."""
    bodies, rows = Bodies(), tx.peek(SQL["reserved"], {}, decoder_of(_CALL))
    calls = [bodies.reservation((job_id, fence, call), at_ms, None, text) for job_id, fence, call, at_ms, text in rows]
    yield from _of_limits(tx, calls)
    yield from _of_budgets(tx, calls)


def _of_limits(tx: Transaction, calls: Iterable[Reservation]) -> Iterator[Violation]:
    held: Counter[tuple[str, str]] = Counter()
    units: Counter[tuple[str, str]] = Counter()
    for part in (part for call in calls for part in call.parts):
        held[part.limit, part.key] += part.rest
        units[part.limit, part.key] += part.slot
    stored = dict.fromkeys(held, (0, 0))
    for name, key, spec, state in tx.peek(SQL["limit_states"], {}, decoder_of(_LIMIT)):
        found = status(spec, key, state, state.at_ms, 0)
        stored[name, key] = (found.tokens_held, found.running)
    for place, taken in stored.items():
        if taken != (held[place], units[place]):
            told = f"{taken[0]} tokens and {taken[1]} units are taken of limit {place[0]!r} {place[1]!r}"
            yield Violation("CALL-15", "", f"{told}, and open calls have {held[place]} and {units[place]}")


def _of_budgets(tx: Transaction, calls: Iterable[Reservation]) -> Iterator[Violation]:
    held: Counter[tuple[str, int, str]] = Counter()
    for draw in (draw for call in calls for draw in call.draws):
        held.update({(draw.budget, draw.window_ms, kind): amount for kind, amount in draw.held.items()})
    stored: Counter[tuple[str, int, str]] = Counter()
    for budget, window_ms, state in tx.peek(SQL["budget_states"], {}, decoder_of(_BUDGET)):
        stored.update({(budget, window_ms, kind): amount for kind, amount in state.held.items()})
    for place in held.keys() | stored.keys():
        if held[place] != stored[place]:
            text = f"budget {place[0]!r} holds {stored[place]} {place[2]}, and open calls {held[place]}"
            yield Violation("BUDGET-5", "", text)
