"""Leasing the next jobs to a worker."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiq.backends.relational.admission import admission
from aiq.backends.relational.connection import Parameters, Question
from aiq.backends.relational.lanes import ANYTHING_ASIDE
from aiq.backends.relational.metrics import count_claimed, question_starting
from aiq.backends.relational.pause_key import call_up
from aiq.backends.relational.records import overwrite
from aiq.backends.relational.rows import numbers, whole_records
from aiq.backends.relational.statements import load
from aiq.backends.relational.sweeps import (
    end_overdue,
    lose_patience,
    promote,
    question_impatient,
    questions_of_claim,
    revoke,
)
from aiq.backends.relational.transaction import COUNTERS, Transaction
from aiq.backends.relational.waiting import ANYBODY
from aiq.backends.relational.yard import StoredYard
from aiq.bounds import CLAIM_KEPT_MS, MAX_BATCH, MAX_SWEEP
from aiq.model import ClaimRequest, JobRecord, State, Want
from aiq.rules.batches import Room, Wakes
from aiq.rules.dispatch import dispatch
from aiq.rules.metrics import tally
from aiq.rules.states import check
from aiq.storage import job_topic

SQL: Final = load("claim")


def claim(tx: Transaction, request: ClaimRequest) -> tuple[tuple[JobRecord, ...], bool]:
    """Lease up to `count` ready jobs of each wanted queue, after the sweeps that may make more jobs ready.

    The second answer says that more may be had at once: the claim has opened or looked at as much as one may.

    Spec: CLAIM-2, CLAIM-9, CLAIM-10, CLAIM-11, POOL-3
    """
    looked = [_question_look(want) for want in request.wants]
    sweeps = questions_of_claim(tx, MAX_SWEEP)
    tx.foresee([question_last(tx, request), *sweeps, *looked, ANYTHING_ASIDE, ANYBODY])
    again, overdue = _before(tx, request)
    if again is not None:
        return again, False
    if overdue:
        end_overdue(tx, MAX_SWEEP)
    promote(tx, MAX_SWEEP)
    revoke(tx, MAX_SWEEP)
    call_up(tx)
    given = _Given(tx, request)
    looks = [look(tx, want) for want in request.wants]
    if any(found.gated for found in looks):
        given.more = _open(tx, request.wants)
    for want, found in zip(request.wants, looks, strict=True):
        # What was done to jobs of one queue may have made those of another ready.
        given.take(want, look(tx, want) if given.dispatched else found)
    return given.finish(), given.more


def claimed_before(tx: Transaction, request: ClaimRequest) -> tuple[JobRecord, ...] | None:
    """The answer to a claim that was given before: its jobs that still run under it. None for a new claim.

    Spec: CLAIM-3, CLAIM-4, CLAIM-5
    """
    return _before(tx, request)[0]


def any_ready(tx: Transaction, wants: Sequence[Want]) -> bool:
    """Whether a claim would be given something that is ready now."""
    return tx.row(*question_ready(tx, wants)) is not None


def question_ready(tx: Transaction, wants: Sequence[Want]) -> Question:
    """What `any_ready` will ask, for `foresee`."""
    queues = [want.queue for want in wants if want.count]
    return SQL["any_ready"], {"queues": json.dumps(queues), "now_ms": tx.now_ms}


def question_last(tx: Transaction, request: ClaimRequest) -> Question:
    """What `claimed_before` will ask first, for `foresee`."""
    asked = {"worker": request.worker, "forgotten_ms": tx.now_ms - CLAIM_KEPT_MS, "now_ms": tx.now_ms}
    return SQL["last"], asked


def _before(tx: Transaction, request: ClaimRequest) -> tuple[tuple[JobRecord, ...] | None, bool]:
    """As `claimed_before`, and whether a deadline has passed."""
    number, lease_id, jobs, overdue = tx.rows(*question_last(tx, request))[0]
    if number is None or request.number > number:
        return None, bool(overdue)
    if (request.number, request.lease_id) != (number, lease_id):
        return (), False
    rows = sorted(tx.table(SQL["still_running"], {"ns": jobs, "lease_id": request.lease_id}))
    return tuple(whole_records(tx.connection, [n for _, n in rows])), False


@dataclass(frozen=True, slots=True)
class Look:
    """How a queue stands: whether it is `paused`, and whether its jobs must be looked at one by one; if not, the one
    band in which some are ready."""

    paused: bool
    gated: bool
    band: int | None


def look(tx: Transaction, want: Want) -> Look:
    """Look at a queue of which a claim wants jobs."""
    paused, gated, band = tx.rows(*_question_look(want))[0]
    return Look(bool(paused), bool(gated), band)


def _question_look(want: Want) -> Question:
    return SQL["look"], {"queue": want.queue}


def _open(tx: Transaction, wants: Sequence[Want]) -> bool:
    """Open what stands aside until now, and let those go on who have no patience left; say whether more may be due."""
    queues, wakes = list(dict.fromkeys(want.queue for want in wants)), Wakes()
    lanes = admission(tx).lanes
    asked = [question for queue in queues for question in lanes.questions_of_queue(queue, wakes)]
    tx.foresee([question_impatient(tx, MAX_SWEEP, queues), *asked])
    # Kept from here on, as in `foresee_runs`.
    admission(tx).ledger.calls.any()
    for queue in queues:
        lanes.wake_due(queue, wakes)
    lose_patience(tx, MAX_SWEEP, queues)
    return wakes.used_up


class _Given:
    """What a claim has given so far."""

    def __init__(self, tx: Transaction, request: ClaimRequest) -> None:
        self._tx, self._request = tx, request
        self._room = Room()
        self._ns: list[int] = []
        self._records: dict[int, JobRecord] = {}
        """Those that were read already, as they are now."""
        self.dispatched = False
        self.more = False

    def take(self, want: Want, found: Look) -> None:
        """Give the jobs of a queue that come first. Spec: CLAIM-7, LIVE-1"""
        count = min(want.count, MAX_BATCH - len(self._ns))
        if found.paused or not count:
            return
        if found.gated:
            self._dispatch(want.queue, count)
        elif found.band is not None:
            self._take_plain({"queue": want.queue, "band": found.band, "count": count})

    def finish(self) -> tuple[JobRecord, ...]:
        """Write what the claim is remembered by, and answer with the jobs as they are stored."""
        tx, ns = self._tx, self._ns
        if not ns:
            return ()
        changes = tx.next_changes(len(ns))
        tx.run(SQL["events"], {"ns": numbers(ns), "first_change": changes.start, "now_ms": tx.now_ms})
        tx.logged += len(ns)
        keep_claim(tx, self._request, ns)
        unread = [n for n in ns if n not in self._records]
        self._records.update(zip(unread, whole_records(tx.connection, unread), strict=True))
        return tuple([self._records[n] for n in ns])

    def _take_plain(self, place: Parameters) -> None:
        """In a queue whose ready jobs have nothing to do with admission, and are of one band. Spec: CLAIM-6"""
        rows = sorted(self._tx.table(SQL["next"], place))
        check("T3", State.READY, State.RUNNING)
        taken = [row for row in rows if self._room.takes(row[4])]
        for *_, task, since_ms in taken:
            tally(
                self._tx.figures(str(place["queue"]), task), "T3", State.READY, State.RUNNING, self._waited_ms(since_ms)
            )
        self._lease([(n, job_id) for _, _, n, job_id, *_ in taken])

    def _waited_ms(self, since_ms: int) -> int:
        return max(0, self._tx.now_ms - since_ms)

    def _dispatch(self, queue: str, count: int) -> None:
        """In the order of chapter 12."""
        self.dispatched = True
        yard = StoredYard(self._tx, queue, count)
        ledger = admission(self._tx).ledger
        found = dispatch(yard, ledger, count, lambda record: self._room.takes(len(record.payload)))
        self.more = self.more or found
        if yard.given:
            ns = numbers(n for n, _ in yard.given)
            self._tx.foresee([question_starting(self._tx, ns), COUNTERS])
            self._tx.read_counters()
            count_claimed(self._tx, ns)
        self._lease([(n, record.id) for n, record in yard.given])
        for n, record in yard.given:
            self._let_run(record)
            self._records[n] = record

    def _lease(self, jobs: Sequence[tuple[int, str]]) -> None:
        """Start runs (T3). Spec: CLAIM-1, CLAIM-8, LEASE-3"""
        if jobs:
            ns = [n for n, _ in jobs]
            lease_jobs(self._tx, self._request, ns)
            self._tx.topics.update([job_topic(job_id) for _, job_id in jobs])
            self._ns += ns

    def _let_run(self, record: JobRecord) -> None:
        """Make of a record that was read before what the statement makes of its row."""
        now_ms = self._tx.now_ms
        overwrite(
            record,
            {
                "state": State.RUNNING,
                "fence": record.fence + 1,
                "lease_id": self._request.lease_id,
                "owner": self._request.worker,
                "expires_at_ms": now_ms + record.lease_ms,
                "started_at_ms": now_ms if record.started_at_ms is None else record.started_at_ms,
                "events": record.events + 1,
            },
        )


def lease_jobs(tx: Transaction, request: ClaimRequest, ns: Sequence[int]) -> None:
    """Write that a worker runs some jobs."""
    lease = {"lease_id": request.lease_id, "worker": request.worker, "now_ms": tx.now_ms}
    tx.run(SQL["lease"], {"ns": numbers(ns), **lease})


def keep_claim(tx: Transaction, request: ClaimRequest, ns: Sequence[int]) -> None:
    """Keep a claim for the worker that does not hear the answer, and drop those that nobody asks for any more."""
    tx.run(SQL["drop"], {"forgotten_ms": tx.now_ms - CLAIM_KEPT_MS})
    tx.run(
        SQL["keep"],
        {
            "worker": request.worker,
            "number": request.number,
            "lease_id": request.lease_id,
            "jobs": numbers(ns),
            "now_ms": tx.now_ms,
        },
    )
