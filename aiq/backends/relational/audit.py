"""Looking for anything that a clause forbids. Spec: STATE-3

Every check reads the tables as they are and trusts no operation; a clean storage gives nothing.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from aiq.backends.relational.audit_accounts import SQL, of_accounts
from aiq.backends.relational.connection import Row
from aiq.backends.relational.fan_in import doomed
from aiq.backends.relational.transaction import Transaction
from aiq.model import Violation, Wait
from aiq.rules.outbox import DEPENDENCIES
from aiq.rules.waits import verdict

CHECKS: Final = {
    "lease": ("STATE-3", "its state and its lease do not agree"),
    "finished": ("STATE-3", "its state and its end do not agree"),
    "scheduled": ("STATE-3", "it is scheduled for no instant"),
    "parked": ("STATE-3", "it waits for nothing"),
    "result": ("STATE-2", "its state and its result do not agree"),
    "spec": ("STORE-10", "its payload is not stored"),
    "event_numbers": ("STATE-4", "its events are not numbered 1, 2, 3 …"),
    "event_chain": ("STATE-4", "its events do not lead from one state to the next, and to the one it is in"),
    "fence": ("CLAIM-8", "its fence is not the number of its claims"),
    "chunk_numbers": ("STREAM-1", "its items are not numbered 1, 2, 3 …"),
    "stream_end": ("STREAM-8", "its state and the last item of its stream do not agree"),
    "kept_signals": ("SIG-11", "its count of kept signals is not what is stored"),
    "steps": ("STEP-7", "its count of steps is not what is stored"),
    "edges": ("FLOW-7", "an edge leads from or to a job that is not stored"),
    "wait_counts": ("FAN-1", "the counts of a wait are not those of its edges"),
    "untold": ("FAN-6", "a wait was not told of an end"),
    "outbox": ("STATE-3", "the outbox names a job that is not stored"),
    "left_rows": ("GONE-1", "rows of a job are stored, and the job is not"),
    "left_calls": ("GONE-1", "calls of it are stored, and the job is not"),
    "left_usage": ("GONE-6", "what it has used is stored, and the job is not"),
    "left_events": ("EVENT-7", "events of it are kept, and its id is forgotten"),
    "counted_events": ("KEEP-6", "it counts more events than are kept"),
    "unique": ("UNIQ-2", "a unique key has no job that still has it"),
    "positions": ("CLAIM-6", "it shares its position with another ready job"),
    "dead": ("DEAD-1", "its state and the groups of the dead do not agree"),
    "redriven": ("DEAD-11", "its generation and its redrives do not agree"),
    "dead_groups": ("DEAD-3", "the group counts other jobs than stand in it"),
    "hold": ("STATE-3", "its state and what it is held for do not agree"),
    "terms": ("STATE-3", "it has terms of admission, and no claim would look at them"),
    "open_calls": ("CALL-15", "a call of a run that is over is open"),
    "waiting_calls": ("CALL-6", "a call of a run that is over stands in line"),
    "lines": ("STATE-3", "a line counts other jobs than stand in it"),
    "pools": ("STATE-3", "a pool counts other jobs than stand in it"),
    "credits": ("BAND-2", "a pool has credit for a band without jobs"),
    "gates": ("LIMIT-16", "a job stands behind no gate, or nobody stands behind one"),
    "untold_gates": ("LIMIT-16", "a gate waits to be told, and nobody will"),
    "keyed": ("KEY-1", "its state and where it stands with its key do not agree"),
    "keyed_lanes": ("KEY-1", "its key and the lanes do not agree"),
    "keys": ("KEY-1", "a key counts other jobs than hold it and stand in its line, or has more than places"),
    "key_lines": ("KEY-3", "it is ready and first in the line of a key that has room"),
    "turns": ("KEY-2", "its turn in the line of its key is not its own"),
    "lifo": ("LIFO-1", "the count of queues that give the newest first is not what is stored"),
    "slots": ("SCHED-5", "its phase and its next slot do not agree"),
    "awaited": ("SCHED-15", "it waits for a job that has ended, or will not tell"),
    "bounds": ("QUEUE-1", "a queue counts other jobs than its bound does"),
}
"""What each statement finds, by its name: the clause that is broken, and how. Where it is no job, it is named by its
place."""


def audit(tx: Transaction, limit: int) -> list[Violation]:
    """Name at most `limit` violations."""
    return list(islice(_violations(tx, limit), limit))


def _violations(tx: Transaction, limit: int) -> Iterator[Violation]:
    for name, (clause, text) in CHECKS.items():
        for (job_id,) in tx.rows(SQL[name], {"limit": limit}):
            yield Violation(clause, str(job_id), text)
    for row in tx.rows(SQL["waiting"]):
        yield from _of_waiting(row)
    yield from of_accounts(tx)
    for (text,) in tx.rows(SQL["file"]):
        if text != "ok":
            yield Violation("STATE-3", "", f"the storage is damaged: {text}")


def _of_waiting(row: Row) -> Iterator[Violation]:
    """A job waits for what is not over."""
    job_id, on_upstream, about_to_die, *counts = row
    wait = Wait(*counts)
    if wait.key != DEPENDENCIES:
        over = verdict(wait) is not None
    elif doomed(on_upstream, wait):
        over = not about_to_die
    else:
        over = wait.pending == 0
    if over:
        yield Violation("FAN-6", job_id, f"it waits under {wait.key!r} for what is over")
