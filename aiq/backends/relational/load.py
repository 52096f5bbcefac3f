"""Taking in what another storage held."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import msgspec
from msgspec import structs

from aiq.backends.relational.admission import admission
from aiq.backends.relational.calendar import write_whole
from aiq.backends.relational.configure import configure
from aiq.backends.relational.enqueue import SQL as NEW
from aiq.backends.relational.holds import Room, line_of
from aiq.backends.relational.keys import keys_of, spot_of
from aiq.backends.relational.pause import pause
from aiq.backends.relational.retention import mark_results, put_retention
from aiq.backends.relational.retire import mark, marks, unmark
from aiq.backends.relational.settle import SQL as SETTLE
from aiq.backends.relational.statements import load as load_sql
from aiq.backends.relational.terms import plain, terms_of
from aiq.backends.relational.transaction import SQL as COMMON
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import ITEM_OVERHEAD_BYTES
from aiq.errors import Conflict, Moved
from aiq.model import (
    Band,
    HeldFor,
    JobRecord,
    QueueSettings,
    State,
    moving,
)
from aiq.rules.books import Learned
from aiq.rules.fairness import PLAIN
from aiq.rules.keys import Branch, KeyState, Stand
from aiq.rules.metrics import COLUMNS

SQL: Final = load_sql("load")

_encoder: Final = msgspec.json.Encoder(enc_hook=plain)
_ALIKE: Final = (
    *("id", "state", "queue", "band", "tenant", "lane", "position", "due_ms", "fence", "lease_id", "owner"),
    *("expires_at_ms", "cancel_requested_at_ms", "generation", "failures", "stalls", "cause", "late", "wait_key"),
    *("task", "lease_ms", "max_attempts", "max_stalls", "delay_ms", "at_ms", "deadline_ms", "flow", "parent_id"),
    *("on_upstream", "key", "unique", "kept_signals", "chunks", "events", "created_at_ms", "started_at_ms"),
    *("finished_at_ms", "max_deferral_ms", "deferred_at_ms", "resumes", "opened_calls", "route", "closed_routes"),
    *("held", "held_by", "keep_ms"),
)
"""The fields of a record that are columns of the same meaning."""


def load(tx: Transaction, move_id: str, records: Sequence[moving.Record], *, last: bool) -> None:
    """Take in some records, and open the storage after the last. Spec: MOVE-1, MOVE-2, MOVE-4, MOVE-5, MOVE-9"""
    standing = marks(tx)
    if "moved" in standing:
        raise Moved(standing["moved"])
    if standing.get("loaded") == move_id and "loading" not in standing:
        return
    _begin(tx, standing, move_id)
    # Those that are there, in one look: what is repeated finds them.
    tx.fetch(record.record.id for record in records if isinstance(record, moving.Job))
    for record in records:
        _LOADERS[type(record)](tx, record)
    # Nobody comes into a lane before all that stand before him are there.
    keys_of(tx).open.clear()
    if last:
        tx.run(SQL["count_events"])
        for line, by in tx.table(SQL["hold_lines"]):
            admission(tx).holds.await_window((HeldFor(line), by))
        unmark(tx, "loading")
        mark(tx, "loaded", move_id)


def _begin(tx: Transaction, standing: dict[str, str], move_id: str) -> None:
    if standing.get("loading", move_id) != move_id:
        raise Conflict(f"Another move is being loaded here, {standing['loading']}.", reason="occupied")
    if "loading" not in standing:
        if tx.rows(SQL["any_job"])[0][0]:
            raise Conflict("This storage holds jobs already. Load into an empty one.", reason="occupied")
        mark(tx, "loading", move_id)


def _limit(tx: Transaction, moved: moving.Limit) -> None:
    admission(tx).ledger.limits.put(moved.spec.name, moved.spec)


def _queue(tx: Transaction, moved: moving.Queue) -> None:
    if moved.settings != QueueSettings():
        configure(tx, moved.name, moved.settings)
    if moved.paused:
        pause(tx, moved.name)


def _level(tx: Transaction, moved: moving.Level) -> None:
    admission(tx).ledger.put_limit_state(moved.name, moved.key, moved.state)


def _budget(tx: Transaction, moved: moving.Budget) -> None:
    admission(tx).ledger.budgets.put(moved.spec.id, moved.spec)


def _balance(tx: Transaction, moved: moving.Balance) -> None:
    admission(tx).ledger.put_budget_state(moved.budget, moved.state)


def _grant(tx: Transaction, moved: moving.Grant) -> None:
    tx.later(SQL["grant"], (moved.budget, moved.id, moved.window_ms))


def _price(tx: Transaction, moved: moving.Price) -> None:
    row = moved.row
    tx.later(SQL["price"], (row.model, row.category, row.from_ms, row.usd_micros_per_million))


def _learned(tx: Transaction, moved: moving.Learned) -> None:
    known = Learned(output=moved.output, outputs=moved.outputs, input=moved.input, inputs=moved.inputs)
    admission(tx).ledger.put_learned(moved.task, moved.model, known)


def _tenant(tx: Transaction, moved: moving.Tenant) -> None:
    admission(tx).ledger.weights.put(moved.tenant, moved.weight)


def _key(tx: Transaction, moved: moving.Key) -> None:
    keys, spot = keys_of(tx), (moved.queue, moved.key)
    keys.fetch([spot])
    keys.put(spot, KeyState(moved.per_key, moved.places, moved.holders, moved.line, moved.paused))


def _unique(tx: Transaction, moved: moving.Unique) -> None:
    told = (moved.job_id, moved.how, moved.last_id, moved.last_digest, moved.until_ms, moved.state)
    tx.later(SQL["unique"], (moved.task, moved.key, *told))


def _group(tx: Transaction, moved: moving.Group) -> None:
    tx.later(SQL["group"], asdict(moved.group))


def _job(tx: Transaction, moved: moving.Job) -> None:
    record = moved.record
    if tx.known(record.id) is not None:
        return
    n = moved.number
    tx.at_least(number=max(n, moved.turn.turn if moved.turn else 0), position=abs(record.position))
    terms = terms_of(record)
    gated = bool(record.tenant) or terms is not None
    out = _kept_out(tx, moved)
    tx.later(
        SQL["job"],
        {
            **_hot(tx, record, gated),
            "aside": 2 if out else 0,
            "n": n,
            "wait_signal": moved.signal,
            "since_ms": moved.since_ms,
            "patience_end_ms": moved.patience_end_ms,
        },
    )
    _spec(tx, n, moved)
    if terms is not None:
        tx.later(NEW["terms"], (n, terms))
    if record.result is not None:
        tx.later(SETTLE["result"], {"n": n}, result=record.result)
    if record.parent_id is not None:
        tx.later(SQL["parents"], (record.parent_id,))
    _errors(tx, n, record)
    if record.held is not None:
        line, by = line_of(record.held, record.held_by)
        need = _encoder.encode(moved.need).decode()
        tx.later(SQL["hold"], (moved.held_at, n, line, by, record.held, need))
    if moved.turn is not None:
        branch = Branch(moved.turn.turn, 0) if record.parent_id is None else Branch(moved.root, moved.depth)
        told = (*branch, moved.turn.turn, record.per_key, record.while_parked)
        tx.later(SQL["keyed"], (n, *spot_of(record), moved.turn.stand, *told))
    if moved.grave is not None:
        tx.later(SQL["death"], {"n": n, **structs.asdict(moved.grave)})
    if moved.rising is not None:
        tx.later(SQL["redriven"], {"n": n, **structs.asdict(moved.rising)})
    _stand(tx, record, gated and not out)


def _spec(tx: Transaction, n: int, moved: moving.Job) -> None:
    """Write what a job was enqueued with."""
    record = moved.record
    tx.later(NEW["spec"], _cold(n, record), payload=record.payload)
    if record.on_parent == "leave":
        tx.later(NEW["leave"], (n,))
    if moved.depth:
        tx.later(NEW["branch"], (n, moved.root, moved.depth))


def _kept_out(tx: Transaction, moved: moving.Job) -> bool:
    """Whether a ready job stands in no lane, because of its key. Spec: KEY-1, KEY-11"""
    if moved.turn is None or moved.record.state is not State.READY:
        return False
    return Stand(moved.turn.stand) is not Stand.HOLDS or keys_of(tx).state(spot_of(moved.record)).paused


def _hot(tx: Transaction, record: JobRecord, gated: bool) -> dict[str, object]:
    ready = record.state is State.READY
    return {
        **{name: getattr(record, name) for name in _ALIKE},
        "gated": gated,
        "pool": admission(tx).lanes.key_of(record)[1] if gated and ready else PLAIN,
        "errors": len(record.errors),
    }


def _cold(n: int, record: JobRecord) -> dict[str, object]:
    return {
        "n": n,
        "digest": record.digest,
        "timeout_ms": record.timeout_ms,
        "child_of": record.child_of,
        "origin": record.origin,
        "depends_on": _encoder.encode(record.depends_on).decode(),
    }


def _errors(tx: Transaction, n: int, record: JobRecord) -> None:
    for number, error in enumerate(record.errors, start=1):
        tx.later(COMMON["error"], {"n": n, "number": number, **asdict(error)})


def _stand(tx: Transaction, record: JobRecord, gated: bool) -> None:
    """Count a job where it stands."""
    if record.state in (State.READY, State.SCHEDULED) and record.fence == 0 and record.parent_id is None:
        admission(tx).queues.count(record.queue, 1)
    if record.state is State.READY and gated:
        lanes = admission(tx).lanes
        lanes.join(lanes.key_of(record), (record.lane, record.position, record.id))


def _answer(tx: Transaction, moved: moving.Answer) -> None:
    settled_id = f"{moved.fence}:{moved.lease_id}:{moved.id}"
    tx.later(SQL["answer"], (moved.job_id, settled_id, moved.state, moved.late, moved.step))


def _wait(tx: Transaction, moved: moving.Wait) -> None:
    wait = moved.wait
    counts = (wait.total, wait.succeeded, wait.failed, wait.need, wait.rest, wait.first_failed)
    tx.later(SQL["wait"], (moved.job_id, wait.key, *counts))


def _edge(tx: Transaction, moved: moving.Edge) -> None:
    tx.later(SQL["edge"], (moved.upstream, moved.dependent, moved.key, moved.ended, moved.succeeded))
    tx.later(SQL["awaited"], (moved.upstream,))


def _step(tx: Transaction, moved: moving.Step) -> None:
    step = moved.step
    row = {"job_id": moved.job_id, "key": step.key, "kind": step.kind, "digest": step.digest, "fence": step.fence}
    tx.later(SQL["step"], row, value=step.value)
    tx.later(SQL["count_steps"], (moved.job_id,), key=moved.job_id)


def _signal(tx: Transaction, moved: moving.Signal) -> None:
    row: dict[str, object] = {"job_id": moved.job_id, "id": moved.id, "name": moved.name, "over_ms": moved.over_ms}
    row |= {"kept": moved.kept, "bound": moved.bound}
    tx.later(SQL["signal"], row, payload=moved.payload)


def _item(tx: Transaction, moved: moving.Item) -> None:
    chunk = moved.chunk
    row = {
        "change": tx.next_change(),
        "job_id": moved.job_id,
        "number": chunk.number,
        "kind": chunk.kind,
        "fence": chunk.fence,
        "seq": moved.seq,
        "step": chunk.step,
        "at_ms": chunk.at_ms,
    }
    tx.later(SQL["item"], row, data=chunk.data)
    tx.later(SQL["count_items"], (moved.job_id, ITEM_OVERHEAD_BYTES), key=moved.job_id)


def _range(tx: Transaction, moved: moving.Range) -> None:
    tx.later(SQL["range"], (moved.job_id, moved.first, moved.last, moved.fence, moved.step, moved.void))


def _log(tx: Transaction, moved: moving.Log) -> None:
    put_retention(tx, moved.retention)
    mark_results(tx, moved.results_ms, 0)
    if moved.trimmed:
        tx.run(SQL["trimmed"], {"change": tx.next_change()})


def _event(tx: Transaction, moved: moving.Event) -> None:
    event = moved.event
    told = (event.number, event.at_ms, event.row, event.source, event.target, event.fence, event.cause)
    tx.later(SQL["event"], (tx.next_change(), event.job_id, *told))


def _minute(tx: Transaction, moved: moving.Minute) -> None:
    row = moved.row
    tx.later(SQL["minute"], (row.minute_ms, row.queue, row.task, *[getattr(row, name) for name in COLUMNS]))


def _tombstone(tx: Transaction, moved: moving.Tombstone) -> None:
    told = (moved.id, moved.digest, moved.state, moved.task, moved.queue, moved.until_ms)
    tx.later(SQL["tombstone"], (tx.next_number(), *told))


def _remains(tx: Transaction, moved: moving.Remains) -> None:
    tx.later(SQL["remains"], (moved.job_id, moved.parent_id, moved.flow, moved.due_ms))


def _line(tx: Transaction, moved: moving.Line) -> None:
    turns = admission(tx).lanes.turns(moved.queue, moved.pool, Band(moved.band))
    turns.put(moved.tenant, moved.service, 0, "")


def _pool(tx: Transaction, moved: moving.Pool) -> None:
    pools = admission(tx).lanes.pools
    pools.put(replace(pools.row(moved.queue, moved.name).pool, served=moved.served))


def _reservation(tx: Transaction, moved: moving.Reservation) -> None:
    admission(tx).ledger.put_reservation(moved.reservation)


def _room(tx: Transaction, moved: moving.Room) -> None:
    admission(tx).holds.go_on((moved.reason, moved.by), Room(moved.left, moved.granted))


def _usage(tx: Transaction, moved: moving.Usage) -> None:
    place = (moved.scope, moved.owner, moved.minute_ms, moved.model, moved.category)
    tx.later(SQL["usage"], (*place, moved.tokens, moved.usd_micros, moved.unpriced, moved.estimated))


def _schedule(tx: Transaction, moved: moving.Schedule) -> None:
    write_whole(tx, moved.status)


def _outgoing(tx: Transaction, moved: moving.Outgoing) -> None:
    tx.later(SQL["outgoing"], (moved.kind, moved.job_id, moved.key))


_LOADERS: Final[dict[type[moving.Record], Callable[[Transaction, Any], None]]] = {
    moving.Limit: _limit,
    moving.Queue: _queue,
    moving.Level: _level,
    moving.Budget: _budget,
    moving.Balance: _balance,
    moving.Grant: _grant,
    moving.Price: _price,
    moving.Learned: _learned,
    moving.Tenant: _tenant,
    moving.Key: _key,
    moving.Unique: _unique,
    moving.Group: _group,
    moving.Job: _job,
    moving.Answer: _answer,
    moving.Wait: _wait,
    moving.Edge: _edge,
    moving.Step: _step,
    moving.Signal: _signal,
    moving.Item: _item,
    moving.Range: _range,
    moving.Tombstone: _tombstone,
    moving.Log: _log,
    moving.Event: _event,
    moving.Minute: _minute,
    moving.Remains: _remains,
    moving.Line: _line,
    moving.Pool: _pool,
    moving.Reservation: _reservation,
    moving.Room: _room,
    moving.Usage: _usage,
    moving.Schedule: _schedule,
    moving.Outgoing: _outgoing,
}
"""What takes in each kind; each of another type, hence Any."""
