"""What is over goes: a job that has ended, and everything that belongs to it (T18)."""

from collections.abc import Sequence

from aiq.backends.memory.data import Remains, Tombstone
from aiq.backends.memory.deaths import forget_death
from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_PURGED_BYTES, PUT_OFF_MS
from aiq.model import JobRecord, State
from aiq.rules.batches import page_length
from aiq.rules.retention import tombstone_ms
from aiq.storage import job_topic, stream_topic


def may_go(tx: Transaction, record: JobRecord) -> bool:
    """Whether nobody needs a job any more that may have ended. Spec: GONE-4, GONE-5"""
    if not record.state.terminal or any(row.job_id == record.id for row in tx.tables.outbox):
        return False
    jobs = tx.tables.jobs
    children = (jobs[child] for child in tx.tables.children.get(record.id, ()))
    return not is_needed(tx, record.id) and all(child.state.terminal for child in children)


def gone(tx: Transaction, record: JobRecord) -> None:
    """Remove a job that may go, with all that is its own, and remember its id. Its children are left to upkeep.

    Spec: GONE-1, GONE-2, GONE-6
    """
    tables = tx.tables
    _forget_place(tx, record)
    _forget_waits(tx, record.id)
    tables.steps.pop(record.id, None)
    tables.signals.pop(record.id, None)
    tables.streams.pop(record.id, None)
    tables.settlements.pop(record.id, None)
    forget_death(tx, record.id)
    tables.since.pop(record.id, None)
    _forget_calls(tx, record.id)
    tables.tombstones[record.id] = Tombstone(record.digest, record.state, tx.now_ms + tombstone_ms(tables.retention))
    remains = Remains(record.parent_id, record.flow, tx.now_ms)
    tables.remains[record.id] = remains
    if not _has_family(tx, record.id):
        finish(tx, record.id, remains)
    tx.topics |= {job_topic(record.id), stream_topic(record.id)}


def that_fit(may: Sequence[JobRecord], room: int) -> Sequence[JobRecord]:
    """Of jobs that may go those that do in one upkeep, which has room for so many bytes. Spec: KEEP-9"""
    return may[: page_length((record.content_size for record in may), room)]


def clear_remains(tx: Transaction, limit: int) -> tuple[int, int]:
    """Let the children of jobs that are gone go too, and then their budgets and use; say how many jobs went, and how
    many bytes with them.

    Spec: GONE-6, GONE-8
    """
    tables = tx.tables
    due = [found for found in tables.remains.items() if found[1].due_ms <= tx.now_ms]
    due = sorted(due, key=lambda found: found[1].due_ms)[:limit]
    children = [tables.jobs[child] for job_id, _ in due for child in _children(tx, job_id)]
    may = [child for child in children if may_go(tx, child)]
    going = that_fit(may[:limit], MAX_PURGED_BYTES)
    for child in going:
        gone(tx, child)
    busy = {child.parent_id for child in may}
    for job_id, remains in due:
        if not _has_family(tx, job_id):
            finish(tx, job_id, remains)
        elif job_id not in busy and _children(tx, job_id):
            remains.due_ms = tx.now_ms + PUT_OFF_MS
    return len(going), sum(child.content_size for child in going)


def anything_remains(tx: Transaction) -> bool:
    """Whether upkeep has something to go on with of jobs that are gone."""
    return any(found.due_ms <= tx.now_ms for found in tx.tables.remains.values())


def finish(tx: Transaction, job_id: str, remains: Remains) -> None:
    """Forget the budget and the use of a job of which no child is left, and of its flow with the last of that."""
    tables = tx.tables
    del tables.remains[job_id]
    _forget_account(tx, "job", job_id)
    flow = remains.flow
    if flow is not None and not _has_jobs(tx, flow):
        _forget_account(tx, "flow", flow)
    parent = None if remains.parent_id is None else tables.remains.get(remains.parent_id)
    if parent is not None:
        parent.due_ms = min(parent.due_ms, tx.now_ms)


def is_needed(tx: Transaction, job_id: str) -> bool:
    """Whether a job that waits for it is stored, and has not succeeded. Spec: GONE-4, KEEP-11"""
    places = tx.tables.needed_by.get(job_id, ())
    return any(tx.tables.jobs[dependent].state is not State.SUCCEEDED for dependent, _ in places)


def _children(tx: Transaction, job_id: str) -> list[str]:
    """The children of a job that are stored, in the order of enqueueing."""
    return sorted(tx.tables.children.get(job_id, ()), key=tx.tables.numbers.__getitem__)


def _has_jobs(tx: Transaction, flow: str) -> bool:
    """Whether jobs of a flow are stored, or have left something."""
    stored = any(record.flow == flow for record in tx.tables.jobs.values())
    return stored or any(remains.flow == flow for remains in tx.tables.remains.values())


def _has_family(tx: Transaction, job_id: str) -> bool:
    """Whether children of a job are stored, or were and have left some of their own."""
    left = (other.parent_id == job_id for other in tx.tables.remains.values())
    return bool(tx.tables.children.get(job_id)) or any(left)


def _forget_place(tx: Transaction, record: JobRecord) -> None:
    tables = tx.tables
    number = tables.numbers.pop(record.id)
    tables.order[number] = ""
    tables.branches.pop(record.id, None)
    tables.ended.leave(number, record)
    del tables.jobs[record.id]
    if record.parent_id is not None:
        siblings = tables.children[record.parent_id]
        siblings.remove(record.id)
        if not siblings:
            del tables.children[record.parent_id]


def _forget_waits(tx: Transaction, job_id: str) -> None:
    """Forget the edges from a job and to it, and its waits."""
    tables = tx.tables
    for place in tables.needed_by.pop(job_id, ()):
        tables.edges_in[place].pop(job_id)
    tables.edges_out.pop(job_id, None)
    for place in [place for place in tables.waits if place[0] == job_id]:
        del tables.waits[place]
        for upstream_id, edge in tables.edges_in.pop(place, {}).items():
            tables.needed_by[upstream_id].discard(place)
            if edge.done_order is None:
                tables.edges_out[upstream_id].remove(edge)


def _forget_calls(tx: Transaction, job_id: str) -> None:
    accounts = tx.tables.accounts
    for key in [key for key in accounts.reservations if key[0] == job_id]:
        del accounts.reservations[key]
        accounts.closed.drop(key)


def _forget_account(tx: Transaction, scope: str, owner: str) -> None:
    """Forget what was used in a name, and the budget of that name, unless another one draws from it."""
    accounts = tx.tables.accounts
    accounts.usage.pop((scope, owner), None)
    budget_id = f"{scope}:{owner}"
    if any(budget.parent == budget_id for budget in accounts.budgets.values()):
        return
    accounts.budgets.pop(budget_id, None)
    accounts.grants.pop(budget_id, None)
    for window in [window for window in accounts.balances if window[0] == budget_id]:
        del accounts.balances[window]
        accounts.windows.drop(window)
