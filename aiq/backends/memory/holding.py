"""Holding jobs, and letting them go when there is room for them. Spec: HOLD-1 to HOLD-8."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from aiq.backends.memory.accounts import HoldLine, LettingGo
from aiq.backends.memory.transition import Transaction, move, readied
from aiq.bounds import MAX_SWEEP
from aiq.model import Amounts, BudgetSpec, BudgetState, HeldFor, JobRecord, Lane, State, none
from aiq.rules.budgets import ceiling, room, window_end, window_start


def keep(tx: Transaction, before: JobRecord, after: JobRecord, need: Amounts) -> JobRecord:
    """Hold a ready or running job (T21), behind those that are held for the same. `after` says for what."""
    moved = move(tx, "T21", before, replace(after, state=State.HELD))
    assert moved.held is not None
    line = tx.tables.accounts.holds.add(moved.id, moved.held, moved.held_by, need)
    _await_window(tx, line)
    return moved


def let_go(tx: Transaction, record: JobRecord) -> JobRecord:
    """Make a held job ready (T22)."""
    return move(tx, "T22", record, readied(record, Lane.RETURNED))


def let_go_on_room(tx: Transaction, limit: int = MAX_SWEEP) -> int:
    """Let held jobs go for whom room has appeared in this step, at most `limit`; say how many. Spec: HOLD-4, HOLD-8

    What that leaves over is noted, and upkeep goes on with it.
    """
    holds, done = tx.tables.accounts.holds, 0
    for line in sorted(tx.rooms):
        before = holds.letting_go.pop(line, None)
        granted = tx.rooms[line] or (before is not None and before.granted)
        done += _let_go(tx, line, LettingGo(_left(tx, line), granted), limit - done)
    tx.rooms.clear()
    return done


def go_on_letting_go(tx: Transaction, limit: int) -> int:
    """Let those held jobs go whose budget has begun a new window, and whom earlier steps have left over, of at most
    `limit` budgets each. Spec: BUDGET-7"""
    holds = tx.tables.accounts.holds
    renewed = sorted((end_ms, budget_id) for budget_id, end_ms in holds.renewals.items() if end_ms <= tx.now_ms)
    for _, budget_id in renewed[:limit]:
        tx.rooms.setdefault((HeldFor.BUDGET, budget_id), False)
    done = 0
    for line in sorted(holds.letting_go.keys() - tx.rooms.keys())[:limit]:
        done += _let_go(tx, line, holds.letting_go.pop(line), limit - done)
    return done + let_go_on_room(tx, limit - done)


def has_room(tx: Transaction, budget_id: str, need: Amounts) -> bool:
    """Whether a budget could hold an amount now. Spec: HOLD-7"""
    return budget_id in tx.tables.accounts.budgets and _fits(need, _left(tx, (HeldFor.BUDGET, budget_id)))


def await_windows(tx: Transaction) -> None:
    """Note for all lines when the windows end in which they were last looked at."""
    for line in list(tx.tables.accounts.holds.lines):
        _await_window(tx, line)


def _let_go(tx: Transaction, line: HoldLine, room: LettingGo, limit: int) -> int:
    """Let go the first jobs of a line, as long as each fits into what those before it leave.

    One that needs more than the budget ever gives is passed over.
    """
    holds, left, done = tx.tables.accounts.holds, room.left, 0
    most = _figures(tx, line, ceiling)
    standing = (held for held in holds.lines.get(line, {}).values() if _fits(held.need, most))
    may_go = (held for held in standing if room.granted or held.reason is not HeldFor.APPROVAL)
    for held in list(islice(may_go, limit + 1)):
        if not _fits(held.need, left):
            break
        if done == limit:
            holds.letting_go[line] = LettingGo(left, room.granted)
            break
        left = {name: amount - held.need.get(name, 0) for name, amount in left.items()}
        let_go(tx, tx.tables.jobs[held.job_id])
        done += 1
    _await_window(tx, line)
    return done


def _left(tx: Transaction, line: HoldLine) -> Amounts:
    """What the budget of a line has room for now."""
    return _figures(tx, line, room)


def _figures(tx: Transaction, line: HoldLine, of: Callable[[BudgetSpec, BudgetState], Amounts]) -> Amounts:
    """Some amounts of the budget of a line, as it stands now; nothing bounds the other reasons."""
    reason, by = line
    spec = tx.tables.accounts.budgets.get(by) if reason is HeldFor.BUDGET else None
    if spec is None:
        return none()
    window_ms = window_start(spec.window, tx.now_ms)
    return of(spec, tx.tables.accounts.balances.get((by, window_ms)) or BudgetState(window_ms=window_ms))


def _fits(need: Amounts, left: Amounts) -> bool:
    return all(need.get(name, 0) <= amount for name, amount in left.items())


def _await_window(tx: Transaction, line: HoldLine) -> None:
    """Note when the window ends in which the jobs of a line were last looked at, if there are any."""
    holds = tx.tables.accounts.holds
    reason, by = line
    spec = tx.tables.accounts.budgets.get(by) if reason is HeldFor.BUDGET else None
    end_ms = window_end(spec.window, tx.now_ms) if spec is not None and line in holds.lines else None
    if end_ms is not None:
        holds.renewals[by] = end_ms
    else:
        holds.renewals.pop(by, None)
