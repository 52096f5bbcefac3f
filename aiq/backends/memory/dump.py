"""Reading everything, as records that any storage can take in."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

from aiq.backends.memory.data import Tables
from aiq.backends.memory.transition import Transaction
from aiq.model import (
    JobRecord,
    MinuteRow,
    QueueSettings,
    moving,
    none,
)
from aiq.rules.checks import check_limit
from aiq.rules.fairness import PLAIN
from aiq.rules.keys import Stand
from aiq.rules.metrics import COLUMNS
from aiq.rules.moving import cursor_at, page_of, place_of_cursor

Source: TypeAlias = Callable[[Tables], Iterator[moving.Record]]


def dump(tx: Transaction, cursor: str | None, limit: int) -> moving.Dumped:
    """Read one page, of one kind of records. Spec: MOVE-7"""
    check_limit(limit)
    kind, behind = place_of_cursor(cursor, len(SOURCES))
    place = int(behind or 0)
    ahead = list(islice(SOURCES[kind](tx.tables), place, place + limit + 1))
    page = page_of(ahead[:limit])
    if len(page) < len(ahead):
        return moving.Dumped(page, cursor_at(kind, str(place + len(page))))
    return moving.Dumped(page, cursor_at(kind + 1, "") if kind + 1 < len(SOURCES) else None)


def _limits(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Limit(spec=spec) for spec in tables.accounts.limits.values())


def _queues(tables: Tables) -> Iterator[moving.Record]:
    settings = tables.accounts.queues
    for name in sorted(settings.keys() | tables.paused):
        yield moving.Queue(name=name, paused=name in tables.paused, settings=settings.get(name, QueueSettings()))


def _levels(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Level(name=name, key=key, state=state) for (name, key), state in tables.accounts.states.items())


def _budgets(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Budget(spec=spec) for spec in tables.accounts.budgets.values())


def _balances(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Balance(budget=budget, state=state) for (budget, _), state in tables.accounts.balances.items())


def _grants(tables: Tables) -> Iterator[moving.Record]:
    for budget, grants in tables.accounts.grants.items():
        for grant_id, window_ms in grants.items():
            yield moving.Grant(budget=budget, id=grant_id, window_ms=window_ms)


def _prices(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Price(row=row) for rows in tables.accounts.prices.values() for row in rows.values())


def _learned(tables: Tables) -> Iterator[moving.Record]:
    for (task, model), known in tables.accounts.learned.items():
        yield moving.Learned(
            task=task, model=model, output=known.output, outputs=known.outputs, input=known.input, inputs=known.inputs
        )


def _tenants(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Tenant(tenant=tenant, weight=weight) for tenant, weight in tables.accounts.weights.items())


def _keys(tables: Tables) -> Iterator[moving.Record]:
    for (queue, key), state in tables.keys.states.items():
        yield moving.Key(
            queue=queue,
            key=key,
            per_key=state.per_key,
            places=state.places,
            holders=state.holders,
            line=state.line,
            paused=state.paused,
        )


def _uniques(tables: Tables) -> Iterator[moving.Record]:
    for (task, key), holder in tables.unique.holders.items():
        yield moving.Unique(
            task=task,
            key=key,
            job_id=holder.job_id,
            how=holder.how,
            last_id=holder.last_id,
            last_digest=holder.last_digest,
            until_ms=holder.until_ms,
            state=holder.state,
        )


def _groups(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Group(group=group) for group in tables.graves.groups.values())


def _grave(tables: Tables, job_id: str) -> moving.Grave | None:
    death = tables.graves.deaths.get(job_id)
    if death is None:
        return None
    return moving.Grave(
        fingerprint=death.fingerprint,
        died_at_ms=death.died_at_ms,
        tokens=death.tokens,
        usd_micros=death.usd_micros,
        sample=death.sample,
    )


def _rising(tables: Tables, job_id: str) -> moving.Rising | None:
    one = tables.graves.following.get(job_id)
    if one is None:
        return None
    return moving.Rising(
        redrive_id=one.redrive_id, fingerprint=one.fingerprint, tokens=one.tokens, usd_micros=one.usd_micros
    )


def _turn(tables: Tables, record: JobRecord) -> moving.Turn | None:
    """Where an ordered job stands at its key; one that has ended is away, with the turn that it began with."""
    keyed = tables.keys.jobs.get(record.id)
    if keyed is None:
        return moving.Turn(turn=tables.numbers[record.id], stand=int(Stand.AWAY)) if record.ordered else None
    return moving.Turn(turn=keyed.turn, stand=int(keyed.stand))


def _jobs(tables: Tables) -> Iterator[moving.Record]:
    holds = tables.accounts.holds.by_job
    for _, record in tables.listed(0):
        hold = holds.get(record.id)
        root, depth = tables.branches.get(record.id, (0, 0))
        yield moving.Job(
            record=record,
            number=tables.numbers[record.id],
            root=root,
            depth=depth,
            signal=tables.awaited.get(record.id),
            held_at=0 if hold is None else hold.number,
            need=none() if hold is None else hold.need,
            since_ms=tables.since.get(record.id, record.created_at_ms),
            patience_end_ms=tables.lanes[record.queue].patience.of(record.id),
            turn=_turn(tables, record),
            grave=_grave(tables, record.id),
            rising=_rising(tables, record.id),
        )


def _answers(tables: Tables) -> Iterator[moving.Record]:
    for job_id, last in tables.settlements.items():
        step = last.answer.step
        yield moving.Answer(
            job_id=job_id,
            fence=last.fence,
            lease_id=last.lease_id,
            id=last.id,
            state=last.answer.state,
            late=last.answer.late,
            step=None if step is None else step.key,
        )


def _waits(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Wait(job_id=job_id, wait=wait) for (job_id, _), wait in tables.waits.items())


def _edges(tables: Tables) -> Iterator[moving.Record]:
    for edges in tables.edges_in.values():
        for edge in edges.values():
            yield moving.Edge(
                upstream=edge.upstream_id,
                dependent=edge.dependent_id,
                key=edge.key,
                ended=edge.done_order or 0,
                succeeded=edge.succeeded,
            )


def _steps(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Step(job_id=job_id, step=step) for job_id, steps in tables.steps.items() for step in steps.values())


def _signals(tables: Tables) -> Iterator[moving.Record]:
    for job_id, signals in tables.signals.items():
        for signal_id, one in signals.items():
            yield moving.Signal(
                job_id=job_id,
                id=signal_id,
                name=one.name,
                payload=one.payload,
                bound=one.bound,
                kept=one.kept,
                over_ms=one.over_ms,
            )


def _items(tables: Tables) -> Iterator[moving.Record]:
    for job_id, stream in tables.streams.items():
        seqs = {chunk.number: seq for run in stream.runs.values() for seq, chunk in enumerate(run, start=1)}
        for chunk in stream.chunks:
            yield moving.Item(job_id=job_id, chunk=chunk, seq=seqs.get(chunk.number))


def _ranges(tables: Tables) -> Iterator[moving.Record]:
    for job_id, stream in tables.streams.items():
        for one in stream.ranges:
            yield moving.Range(
                job_id=job_id, first=one.first, last=one.last, fence=one.fence, step=one.step, void=one.void
            )


def _log(tables: Tables) -> Iterator[moving.Record]:
    results_ms = tables.results_mark[0]
    yield moving.Log(trimmed=tables.log.trimmed > 0, retention=tables.retention, results_ms=results_ms)


def _events(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Event(event=event) for event in tables.log.events)


def _minutes(tables: Tables) -> Iterator[moving.Record]:
    for (minute_ms, queue, task), figures in tables.minutes.items():
        told = dict(zip(COLUMNS, figures, strict=True))
        yield moving.Minute(row=MinuteRow(minute_ms=minute_ms, queue=queue, task=task, **told))


def _tombstones(tables: Tables) -> Iterator[moving.Record]:
    for job_id, stone in tables.tombstones.items():
        events = tables.events.get(job_id)
        task, queue = (events[-1].task, events[-1].queue) if events else ("", "")
        yield moving.Tombstone(
            id=job_id, digest=stone.digest, state=stone.state, task=task, queue=queue, until_ms=stone.until_ms
        )


def _remains(tables: Tables) -> Iterator[moving.Record]:
    for job_id, one in tables.remains.items():
        yield moving.Remains(job_id=job_id, parent_id=one.parent_id, flow=one.flow, due_ms=one.due_ms)


def _lines(tables: Tables) -> Iterator[moving.Record]:
    for queue, lanes in tables.lanes.items():
        for line in (line for line in lanes.lines.values() if line.pool != PLAIN):
            yield moving.Line(
                queue=queue, pool=line.pool, band=int(line.band), tenant=line.tenant, service=line.service
            )


def _pools(tables: Tables) -> Iterator[moving.Record]:
    for queue, lanes in tables.lanes.items():
        for pool in (pool for pool in lanes.pools.values() if pool.name != PLAIN and any(pool.served)):
            yield moving.Pool(queue=queue, name=pool.name, served=pool.served)


def _reservations(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Reservation(reservation=one) for one in tables.accounts.reservations.values())


def _schedules(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Schedule(status=status) for status in tables.calendar.standing.values())


def _rooms(tables: Tables) -> Iterator[moving.Record]:
    for (reason, by), room in tables.accounts.holds.letting_go.items():
        yield moving.Room(reason=reason, by=by, left=room.left, granted=room.granted)


def _usage(tables: Tables) -> Iterator[moving.Record]:
    for (scope, owner), minutes in tables.accounts.usage.items():
        for (minute_ms, model, category), used in minutes.items():
            yield moving.Usage(
                scope=scope,
                owner=owner,
                minute_ms=minute_ms,
                model=model,
                category=category,
                tokens=used.tokens,
                usd_micros=used.usd_micros,
                unpriced=used.unpriced,
                estimated=used.estimated,
            )


def _outbox(tables: Tables) -> Iterator[moving.Record]:
    return (moving.Outgoing(kind=one.kind, job_id=one.job_id, key=one.key) for one in tables.outbox)


SOURCES: Final[Sequence[Source]] = (
    _limits,
    _queues,
    _levels,
    _budgets,
    _balances,
    _grants,
    _prices,
    _learned,
    _tenants,
    _keys,
    _uniques,
    _groups,
    _jobs,
    _waits,
    _edges,
    _steps,
    _answers,
    _signals,
    _items,
    _ranges,
    _tombstones,
    _log,
    _events,
    _minutes,
    _remains,
    _lines,
    _pools,
    _reservations,
    _rooms,
    _usage,
    _schedules,
    _outbox,
)
"""In the order in which they are loaded: what others name comes first."""
