"""Forgetting what nobody needs any more, so that nothing of admission grows for ever. Spec: TIME-8

Each kind is looked at from its oldest on. What must be kept for once is looked at again when as much time has passed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from aiq.backends.relational.connection import Question
from aiq.backends.relational.pools import PoolRow
from aiq.backends.relational.shelf import decoder_of
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import RESERVATION_KEPT_MS
from aiq.model import Band, BudgetSpec, BudgetState, LimitSpec, LimitState
from aiq.rules.budgets import is_over
from aiq.rules.fairness import adds_nothing
from aiq.rules.limits import at_rest

SQL: Final = load("forgetting")
UNIQUE: Final = load("unique")

_PART: Final[Any] = tuple[str, str, LimitSpec, LimitState]
_WINDOW: Final[Any] = tuple[str, int, BudgetSpec, BudgetState]
_LINE: Final[Any] = tuple[str, str, Band, str, int, int, int | None, PoolRow | None, int | None]
_Key: TypeAlias = tuple[str | int, ...]


def forget(tx: Transaction, limit: int) -> None:
    """Forget at most `limit` of each kind.

    The last act of its step: what that knows of limits, budgets and lines is not told.
    """
    if tx.admission is not None:
        tx.admission.write()
    asked = {"now_ms": tx.now_ms, "since_ms": _since_ms(tx), "limit": limit}
    tx.run(SQL["reservations"], asked)
    _forget_parts(tx, asked)
    _forget_windows(tx, asked)
    _forget_lines(tx, asked)
    tx.run(SQL["pools"], asked)
    tx.run(UNIQUE["forget"], asked)


def anything_to_forget(tx: Transaction) -> bool:
    """Whether upkeep has something to look at here."""
    return bool(tx.rows(*question_of_forgetting(tx))[0][0])


def question_of_forgetting(tx: Transaction) -> Question:
    """What `anything_to_forget` will ask, for `foresee`."""
    return SQL["anything"], {"now_ms": tx.now_ms, "since_ms": _since_ms(tx)}


def _forget_parts(tx: Transaction, asked: Mapping[str, object]) -> None:
    """Forget what is left of limits for tenants and keys that make no use of it. Spec: LIMIT-17"""
    found = tx.peek(SQL["parts"], asked, decoder_of(_PART))
    rows = [((name, part), at_rest(spec, state, tx.now_ms)) for name, part, spec, state in found]
    _write(tx, "forget_parts", "touch_parts", rows)


def _forget_windows(tx: Transaction, asked: Mapping[str, object]) -> None:
    """Forget how budgets stood in windows that are over, and first what was granted in them. Spec: BUDGET-15"""
    since_ms = _since_ms(tx)
    found = tx.peek(SQL["windows"], asked, decoder_of(_WINDOW))
    rows = [((name, at_ms), not state.held and is_over(spec, at_ms, since_ms)) for name, at_ms, spec, state in found]
    windows = msgspec.json.encode([key for key, over in rows if over]).decode()
    tx.run(SQL["forget_grants"], {**asked, "windows": windows})
    _write(tx, "forget_windows", "touch_windows", rows)


def _forget_lines(tx: Transaction, asked: Mapping[str, object]) -> None:
    """Forget lines without jobs that would begin the same if nothing were kept of them. Spec: FAIR-6"""
    rows = []
    for queue, name, band, tenant, service, wake_at_ms, least, row, unused in tx.peek(
        SQL["lines"], asked, decoder_of(_LINE)
    ):
        same = row is None or unused or adds_nothing(service, least, row.pool.served[band])
        rows.append(((queue, name, band, tenant), wake_at_ms <= tx.now_ms and same))
    _write(tx, "forget_lines", "touch_lines", rows)


def _write(tx: Transaction, forget: str, touch: str, rows: Iterable[tuple[_Key, bool]]) -> None:
    for key, forgotten in rows:
        tx.later(SQL[forget] if forgotten else SQL[touch], key)


def _since_ms(tx: Transaction) -> int:
    """What last changed at this instant or before is old enough."""
    return tx.now_ms - RESERVATION_KEPT_MS
