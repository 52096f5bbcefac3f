"""Storing jobs: T1 for a batch, and T24 when a run spawns children."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from aiq.backends.relational.admission import Admission, admission
from aiq.backends.relational.connection import Question
from aiq.backends.relational.fan_in import doomed, put_wait, read_wait, send_out, started
from aiq.backends.relational.heads import LineKey
from aiq.backends.relational.keys import arrive, keys_of, spot_of
from aiq.backends.relational.ledger import Ledger
from aiq.backends.relational.moves import add_event, position_of
from aiq.backends.relational.rows import Job, ids
from aiq.backends.relational.statements import load
from aiq.backends.relational.terms import Texts, brings
from aiq.backends.relational.transaction import COUNTERS, Transaction
from aiq.backends.relational.transaction import SQL as COMMON
from aiq.backends.relational.unique import answer, look_up, take_key
from aiq.bounds import MAX_DEPENDENCIES
from aiq.errors import Conflict, NotFound, QueueFull, TooLarge
from aiq.model import Enqueued, JobRecord, JobSpec, Lane, Lease, State, Wait
from aiq.rules.booking import check_at_enqueue
from aiq.rules.deadlines import effective_ms
from aiq.rules.fairness import PLAIN
from aiq.rules.keys import Branch, branch_under, check_order
from aiq.rules.leases import lost_or_expired
from aiq.rules.metrics import tally
from aiq.rules.outbox import DEPENDENCIES, Kind
from aiq.rules.retention import check_tombstone
from aiq.rules.settling import Change
from aiq.rules.states import check
from aiq.rules.trees import to_store
from aiq.storage import job_topic, queue_topic

SQL: Final = load("enqueue")

_SPEC_FIELDS: Final = [field.name for field in fields(JobSpec)]
_place_of: Final = attrgetter("queue", "tenant", "band", "key", "limits", "routes", "estimate")
"""What it depends on where a job stands when it is ready."""
_encoder: Final = msgspec.json.Encoder()


class _Entry(NamedTuple):
    """Where a new job that takes part in admission will stand once it is ready, and the terms that it brings."""

    line: LineKey
    terms: str | None


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a batch needs to know of a job that is stored, or that comes earlier in the batch."""

    n: int
    state: State
    digest: str
    parent_id: str | None
    child_of: str | None

    @property
    def gone(self) -> bool:
        """Whether only its tombstone is left, which has no place among the jobs. Spec: GONE-2"""
        return self.n == 0


def enqueue(tx: Transaction, batch: Sequence[JobSpec], lease: Lease | None, *, bounded: bool = True) -> list[Enqueued]:
    """Store a batch whole or not at all: everything is checked before anything is written.

    Without `bounded` it may be more than a queue is meant to hold. Spec: ENQ-1 to ENQ-7
    """
    _foresee(tx, batch)
    parent = _live_parent(tx, lease)
    standing = _standing(tx, batch)
    taken = look_up(tx, batch, standing)
    fresh = _check_ids(standing, [spec for spec in batch if spec.id not in taken], lease)
    counts = _check_children(tx, parent, fresh)
    _check_admission(tx, fresh)
    _check_order(tx, fresh)
    if parent is None and bounded:
        _check_room(tx, standing, fresh)
    awaited = {dependency for spec in fresh for dependency in spec.depends_on}
    _await(tx, [job for job_id, job in standing.items() if job_id in awaited])
    entries = _entries(tx, fresh)
    branch = None if parent is None else _branch(tx, parent)
    answers = [
        answer(tx, spec, taken[spec.id])
        if spec.id in taken
        else _store(tx, standing, spec, parent, branch, awaited, entries.get(spec.id))
        for spec in batch
    ]
    if parent is not None and fresh:
        _spawned(tx, parent, counts)
    return answers


def check_for_ever(tx: Transaction, specs: Sequence[JobSpec]) -> None:
    """Refuse jobs that could never be stored as the storage stands; writes nothing. Spec: SCHED-27"""
    # Of its own, and never written: the budgets that the jobs would bring stand in its ledger alone.
    books = Admission(tx)
    _check_bounded(books.ledger, specs)
    ordered = [spec for spec in specs if spec.ordered]
    books.queues.fetch({spec.queue for spec in ordered})
    for spec in ordered:
        check_order(spec, lifo=books.queues.settings(spec.queue).lifo)


def _live_parent(tx: Transaction, lease: Lease | None) -> Job | None:
    """The job that spawns. Spec: LEASE-6"""
    if lease is None:
        return None
    parent = tx.job(lease.job_id)
    gone = lost_or_expired(parent.record if parent else None, lease, tx.now_ms)
    if gone is not None:
        raise gone
    return parent


def _foresee(tx: Transaction, batch: Sequence[JobSpec]) -> None:
    """Say what most batches are about to ask: what is stored of their ids, their limits, budgets and queues."""
    known = admission(tx)
    queues = known.queues.questions({spec.queue for spec in batch})
    tx.foresee([_question_standing(batch), COUNTERS, *known.ledger.questions_of_specs(_taking(batch)), *queues])


def _taking(specs: Sequence[JobSpec]) -> list[JobSpec]:
    """Those that take limits or budgets."""
    return [spec for spec in specs if spec.limits or spec.routes or spec.budgets or spec.creates]


def _standing(tx: Transaction, batch: Sequence[JobSpec]) -> dict[str, _Standing]:
    """What is stored of the jobs of a batch, and of those they depend on."""
    rows = tx.table(*_question_standing(batch))
    return {job_id: _Standing(n, State(state), *rest) for job_id, n, state, *rest in rows}


def _question_standing(batch: Sequence[JobSpec]) -> Question:
    asked = dict.fromkeys(spec.id for spec in batch) | dict.fromkeys(one for spec in batch for one in spec.depends_on)
    return SQL["standing"], {"ids": ids(asked)}


def _check_ids(standing: Mapping[str, _Standing], batch: Sequence[JobSpec], parent: Lease | None) -> list[JobSpec]:
    """Find what is new, as if each job saw those before it. Spec: ENQ-2, ENQ-3, ENQ-7, FLOW-7, FLOW-16"""
    digests, fresh = {job_id: job.digest for job_id, job in standing.items() if not job.gone}, []
    keys = {job_id: (job.parent_id, job.child_of) for job_id, job in standing.items()}
    for spec in batch:
        if spec.id in standing and standing[spec.id].gone:
            check_tombstone(spec, standing[spec.id].digest, parent)
        elif spec.id not in digests:
            _check_dependencies(spec, digests)
            digests[spec.id] = spec.digest
            keys[spec.id] = (parent.job_id if parent is not None else None, spec.child_of)
            fresh.append(spec)
        elif digests[spec.id] != spec.digest:
            raise Conflict(f"Job {spec.id!r} is stored already, with another content.", reason="content")
        elif parent is not None and keys[spec.id] != (parent.job_id, spec.child_of):
            raise Conflict(f"Job {spec.id!r} is stored already, and not as a child of this wait.", reason="parent")
    return fresh


def _check_dependencies(spec: JobSpec, known: Mapping[str, str]) -> None:
    for dependency in spec.depends_on:
        if dependency not in known:
            raise NotFound(dependency, f"Job {spec.id!r} depends on {dependency!r}, which is not stored.")


def _check_children(tx: Transaction, parent: Job | None, fresh: Sequence[JobSpec]) -> Counter[str]:
    """Count the new children by key, and refuse more under one than a fan-in takes."""
    counts: Counter[str] = Counter()
    if parent is not None:
        counts.update(spec.child_of for spec in fresh if spec.child_of is not None)
        for key, count in counts.items():
            total = read_wait(tx, parent.n, key).total + count
            if total > MAX_DEPENDENCIES:
                raise TooLarge(f"number of children under {key!r}", total, MAX_DEPENDENCIES, "Make it a tree.")
    return counts


def _check_admission(tx: Transaction, fresh: Sequence[JobSpec]) -> None:
    """Refuse jobs that could never run, and store the budgets that come with the others.

    Spec: CALL-17, CALL-18, HOLD-8, BUDGET-11
    """
    bounded = _taking(fresh)
    if bounded:
        _check_bounded(admission(tx).ledger, bounded)


def _check_bounded(ledger: Ledger, bounded: Sequence[JobSpec]) -> None:
    ledger.fetch_specs(bounded)
    brought = [budget for spec in bounded for budget in spec.creates]
    for budget in to_store(ledger.known_budgets(), brought, absent_only=True).values():
        ledger.budgets.put(budget.id, budget)
    for spec in bounded:
        check_at_enqueue(ledger, spec)


def _check_order(tx: Transaction, fresh: Sequence[JobSpec]) -> None:
    """Refuse ordered jobs that could not start in their order; and read their keys. Spec: LIFO-2"""
    ordered = [spec for spec in fresh if spec.ordered]
    if not ordered:
        return
    queues = admission(tx).queues
    queues.fetch({spec.queue for spec in ordered})
    for spec in ordered:
        check_order(spec, lifo=queues.settings(spec.queue).lifo)
    keys_of(tx).fetch(spot_of(spec) for spec in ordered)


def _check_room(tx: Transaction, standing: Mapping[str, _Standing], fresh: Sequence[JobSpec]) -> None:
    """Refuse a batch with more jobs that would stand ready or scheduled than a queue has room for. Spec: QUEUE-1"""
    queues = admission(tx).queues
    names = {spec.queue for spec in fresh}
    queues.fetch(names)
    for queue in sorted(names):
        bound, standing_there = queues.settings(queue).max_ready, queues.row(queue).fresh
        if bound is not None:
            more = sum(spec.queue == queue and _stands_at_once(standing, spec) for spec in fresh)
            if more and standing_there + more > bound:
                raise QueueFull(queue, standing_there, bound)


def _stands_at_once(standing: Mapping[str, _Standing], spec: JobSpec) -> bool:
    """Whether a new job waits for no other one."""
    states = [standing[name].state if name in standing else None for name in spec.depends_on]
    ended = all(state is not None and state.terminal for state in states)
    return ended and (spec.on_upstream == "continue" or all(state is State.SUCCEEDED for state in states))


def _await(tx: Transaction, upstreams: Sequence[_Standing]) -> None:
    """Let jobs that are stored know that somebody waits for them; a new one knows it from the first."""
    for upstream in upstreams:
        tx.later(SQL["awaited"], (upstream.n,))


def _store(
    tx: Transaction,
    standing: dict[str, _Standing],
    spec: JobSpec,
    parent: Job | None,
    branch: Branch | None,
    awaited: Collection[str],
    entry: _Entry | None,
) -> Enqueued:
    known = standing.get(spec.id)
    if known is not None:
        return Enqueued(spec.id, known.state, existed=True, by="id", gone=known.gone)
    n = tx.next_number()
    wait = _depend(tx, standing, n, spec)
    change = _first_state(tx, n, spec, wait)
    check("T1", None, change.state)
    hot = _hot(tx, n, spec, change, parent)
    hot["dependents"] = parent is not None or spec.id in awaited
    tx.later(SQL["job"], hot)
    tx.later(SQL["spec"], _cold(n, spec), payload=spec.payload)
    in_lane = not spec.ordered or arrive(tx, n, spec, change.state, branch)
    if entry is not None:
        hot |= _gated(tx, spec, change, hot["position"], entry.line, in_lane=in_lane)
    if entry is not None and entry.terms is not None:
        tx.later(SQL["terms"], (n, entry.terms))
    if parent is None and change.state is not State.WAITING:
        admission(tx).queues.count(spec.queue, 1)
    if parent is not None:
        tx.later(SQL["edge"], (n, parent.n, spec.child_of, parent.record.id, 0, 0))
    if branch is not None:
        tx.later(SQL["branch"], (n, *branch))
    if spec.unique is not None:
        take_key(tx, spec)
    if spec.on_parent == "leave":
        tx.later(SQL["leave"], (n,))
    tx.later(COMMON["event"], (tx.next_change(), n, 1, "T1", None, change.state, 0))
    tx.logged += 1
    tally(tx.figures(spec.queue, spec.task), "T1", None, change.state, 0)
    parent_id = parent.record.id if parent is not None else None
    standing[spec.id] = _Standing(n, change.state, spec.digest, parent_id, spec.child_of)
    tx.topics.add(job_topic(spec.id))
    tx.topics.add(queue_topic(spec.queue))
    return Enqueued(spec.id, change.state)


def _branch(tx: Transaction, parent: Job) -> Branch:
    """Where the children of a job stand in its tree. Spec: KEY-13"""
    above = None if parent.record.parent_id is None else Branch(*tx.rows(SQL["parent"], {"n": parent.n})[0])
    return branch_under(parent.n, above)


def _depend(tx: Transaction, standing: Mapping[str, _Standing], n: int, spec: JobSpec) -> Wait:
    """Let a new job wait for others; those that have ended count at once. Spec: FLOW-6"""
    wait = Wait(DEPENDENCIES, 0)
    if not spec.depends_on:
        return wait
    for dependency in dict.fromkeys(spec.depends_on):
        upstream = standing[dependency]
        wait = _counted(wait, dependency, upstream.state)
        ended = wait.total - wait.pending if upstream.state.terminal else 0
        succeeded = upstream.state is State.SUCCEEDED
        tx.later(SQL["edge"], (upstream.n, n, DEPENDENCIES, spec.id, ended, succeeded))
    put_wait(tx, n, wait)
    return wait


def _counted(wait: Wait, upstream_id: str, state: State) -> Wait:
    """A wait with one more job to wait for."""
    if not state.terminal:
        return replace(wait, total=wait.total + 1)
    if state is State.SUCCEEDED:
        return replace(wait, total=wait.total + 1, succeeded=wait.succeeded + 1)
    first_failed = wait.first_failed or upstream_id
    return replace(wait, total=wait.total + 1, failed=wait.failed + 1, first_failed=first_failed)


def _first_state(tx: Transaction, n: int, spec: JobSpec, wait: Wait) -> Change:
    """Where a new job stands. One that depends on a bad end never starts: upkeep ends it."""
    ended_badly = doomed(spec.on_upstream, wait)
    if ended_badly:
        send_out(tx, Kind.DIE, n)
    if ended_badly or wait.pending:
        return Change("T1", State.WAITING, Lane.FRESH, wait_key=DEPENDENCIES)
    return started(spec, "T1", tx.now_ms, tx.now_ms)


def _hot(tx: Transaction, n: int, spec: JobSpec, change: Change, parent: Job | None) -> dict[str, object]:
    return {
        "n": n,
        "id": spec.id,
        "state": change.state,
        "queue": spec.queue,
        "band": spec.band,
        "gated": False,
        "pool": PLAIN,
        "patience_end_ms": None,
        "tenant": spec.tenant,
        "lane": change.lane,
        "position": position_of(tx, spec, change.lane) if change.state is State.READY else 0,
        "due_ms": None if change.delay_ms is None else tx.now_ms + change.delay_ms,
        "wait_key": change.wait_key,
        "task": spec.task,
        "lease_ms": spec.lease_ms,
        "max_attempts": spec.max_attempts,
        "max_stalls": spec.max_stalls,
        "delay_ms": spec.delay_ms,
        "at_ms": spec.at_ms,
        "deadline_ms": effective_ms(spec, parent.record.deadline_ms if parent else None, tx.now_ms),
        "keep_ms": spec.keep_ms,
        "flow": spec.flow,
        "parent_id": parent.record.id if parent else None,
        "on_upstream": spec.on_upstream,
        "order_key": spec.key,
        "unique_key": spec.unique,
        "max_deferral_ms": spec.max_deferral_ms,
    }


def _entries(tx: Transaction, fresh: Sequence[JobSpec]) -> dict[str, _Entry]:
    """Of new jobs that take part in admission where they will stand, all of which is read at once, and what they
    bring."""
    gated = [spec for spec in fresh if spec.tenant or brings(spec)]
    if not gated:
        return {}
    lanes, texts = admission(tx).lanes, Texts()
    lines: dict[tuple[object, ...], LineKey] = {}
    found = {}
    for spec in gated:
        place = _place_of(spec)
        line = lines.get(place)
        if line is None:
            line = lines[place] = lanes.key_of(_as_ready(spec))
        found[spec.id] = _Entry(line, texts.of(spec))
    tx.foresee(lanes.questions(lines.values()))
    lanes.fetch(lines.values(), lifting=True)
    return found


def _as_ready(spec: JobSpec) -> JobRecord:
    return JobRecord(**{name: getattr(spec, name) for name in _SPEC_FIELDS}, state=State.READY)


def _gated(
    tx: Transaction, spec: JobSpec, change: Change, position: Any, line: LineKey, *, in_lane: bool
) -> dict[str, object]:
    """The columns of a job that takes part in admission; one that is ready joins its line."""
    if change.state is not State.READY:
        return {"gated": True}
    if in_lane:
        admission(tx).lanes.join(line, (change.lane, position, spec.id))
    patience_ms = spec.routes[0].patience_ms if spec.routes else None
    until_ms = None if patience_ms is None else tx.now_ms + patience_ms
    return {"gated": True, "pool": line[1], "patience_end_ms": until_ms}


def _cold(n: int, spec: JobSpec) -> dict[str, object]:
    return {
        "n": n,
        "digest": spec.digest,
        "timeout_ms": spec.timeout_ms,
        "child_of": spec.child_of,
        "origin": spec.origin,
        "depends_on": _names(spec.depends_on),
    }


def _names(names: tuple[str, ...]) -> str:
    return _encoder.encode(names).decode() if names else "[]"


def _spawned(tx: Transaction, parent: Job, counts: Mapping[str, int]) -> None:
    """Count the new children with their parent (T24). Spec: FLOW-8, FAN-5"""
    check("T24", parent.record.state, State.RUNNING)
    for key, count in counts.items():
        wait = read_wait(tx, parent.n, key)
        put_wait(tx, parent.n, replace(wait, total=wait.total + count))
    tx.run(SQL["spawned"], {"n": parent.n})
    add_event(tx, parent, "T24", State.RUNNING)
    tx.forget(parent)
