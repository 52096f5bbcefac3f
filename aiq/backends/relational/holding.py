"""Holding jobs, and letting them go when there is room for them. Spec: HOLD-1 to HOLD-8."""

from dataclasses import replace

from aiq.backends.relational.admission import admission
from aiq.backends.relational.holds import Room
from aiq.backends.relational.ledger import HoldLine
from aiq.backends.relational.moves import By, move, unchanged
from aiq.backends.relational.rows import Job
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import MAX_SWEEP
from aiq.model import Amounts, HeldFor, Lane, State
from aiq.rules.settling import Change


def keep(tx: Transaction, job: Job, change: Change, by: str, need: Amounts, settled: By | None = None) -> None:
    """Hold a ready or running job (T21), behind those that are held for the same. The change says for what."""
    assert change.held is not None
    move(tx, job, change, settled, held_by=by)
    admission(tx).holds.add(job.n, change.held, by, need)


def held_for(job: Job, reason: HeldFor) -> Change:
    """How a ready job is held."""
    return replace(unchanged(job.record, "T21", State.HELD), held=reason)


def let_go(tx: Transaction, job: Job) -> None:
    """Make a held job ready (T22)."""
    move(tx, job, unchanged(job.record, "T22", State.READY, Lane.RETURNED))


def let_go_on_room(tx: Transaction, limit: int = MAX_SWEEP) -> int:
    """Let held jobs go for whom room has appeared in this step, at most `limit`; say how many. Spec: HOLD-4, HOLD-8

    What that leaves over is noted, and upkeep goes on with it.
    """
    if tx.admission is None:
        return 0
    rooms, holds = tx.admission.ledger.rooms, tx.admission.holds
    if not rooms or not holds.any():
        rooms.clear()
        return 0
    waiting, done = holds.going_on(), 0
    for line in sorted(rooms):
        before = waiting.get(line)
        if before is not None:
            holds.go_on(line, None)
        granted = rooms[line] or (before is not None and before.granted)
        done += _let_go(tx, line, Room(holds.left(line), granted), limit - done)
    rooms.clear()
    return done


def go_on_letting_go(tx: Transaction, limit: int) -> int:
    """Let those held jobs go whose budget has begun a new window, and whom earlier steps have left over, of at most
    `limit` budgets each. Spec: BUDGET-7"""
    rooms, holds = admission(tx).ledger.rooms, admission(tx).holds
    for line in holds.renewed(limit):
        rooms.setdefault(line, False)
    done, waiting = 0, holds.going_on()
    for line in sorted(waiting.keys() - rooms.keys())[:limit]:
        holds.go_on(line, None)
        done += _let_go(tx, line, waiting[line], limit - done)
    return done + let_go_on_room(tx, limit - done)


def has_room(tx: Transaction, budget: str, need: Amounts) -> bool:
    """Whether a budget could hold an amount now. Spec: HOLD-7"""
    return admission(tx).ledger.budget(budget) is not None and _fits(
        need, admission(tx).holds.left((HeldFor.BUDGET, budget))
    )


def _let_go(tx: Transaction, line: HoldLine, room: Room, limit: int) -> int:
    """Let go the first jobs of a line, as long as each fits into what those before it leave.

    One that needs more than the budget ever gives is passed over.
    """
    holds, left, done = admission(tx).holds, room.left, 0
    found = holds.first(line, limit + 1, granted=room.granted)
    jobs = {job.record.id: job for job in tx.fetch(hold.job_id for hold in found)}
    for hold in found:
        if not _fits(hold.need, left):
            break
        if done == limit:
            holds.go_on(line, Room(left, room.granted))
            break
        left = {name: amount - hold.need.get(name, 0) for name, amount in left.items()}
        let_go(tx, jobs[hold.job_id])
        done += 1
    holds.await_window(line)
    return done


def _fits(need: Amounts, left: Amounts) -> bool:
    return all(need.get(name, 0) <= amount for name, amount in left.items())
