"""Going through jobs that have ended: another generation for them, a replay of them, or their end.

A storage does each by ids, a batch at a time, so that every batch can be repeated. Which jobs are meant is found here.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final, Self, TypeAlias

from aiq.bounds import MAX_BATCH, MAX_DELAY_MS, MAX_INSTANT_MS
from aiq.errors import Conflict, InvalidInput, NotFound
from aiq.job import Job, until_known
from aiq.model import (
    TERMINAL,
    DeadGroup,
    GroupStatus,
    JobFilter,
    JobRecord,
    JobSpec,
    Redrive,
    Redriven,
    Sample,
    State,
    Target,
)
from aiq.needs import parts
from aiq.policy import dollars, instant_of
from aiq.rules.batches import batches
from aiq.rules.checks import check_range
from aiq.rules.coding import why_unreadable
from aiq.rules.ids import replay_id
from aiq.storage import Storage

Which: TypeAlias = "Job[object] | str | Iterable[Job[object] | str] | JobFilter"
"""Jobs: one or several, by handle or id, or all that a filter finds."""
Told: TypeAlias = Callable[[int], None]
"""Hears how many jobs were gone through so far."""

REVIVED: Final = frozenset({State.DEAD, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Refused:
    """A job that was left as it is, and why: a word that programs may compare, and a sentence."""

    job_id: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the jobs that were gone through: the ids of those that were done, and those that were refused."""

    done: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()

    def __add__(self, other: "Outcomes") -> "Outcomes":
        """Both together."""
        return Outcomes(self.done + other.done, self.refused + other.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadReport:
    """A group of jobs that died of the same thing.

    Task, cause, type, code, place and pattern are those of the newest death; `pattern` is the message without what
    differs from job to job. `dead` are there now, `died` is how many deaths there were, with so many `attempts`,
    `tokens` and `usd` spent for nothing. Of those that were redriven, `recovered` have succeeded since and `relapsed`
    have died again. `ages` counts the dead by how long ago they died: within an hour, 6 hours, a day, 7 days, 30 days,
    and longer. `samples` are what a few of them worked on, without secrets.
    """

    fingerprint: str
    task: str
    cause: str
    type: str
    code: str
    place: str
    pattern: str
    first_seen: datetime
    last_seen: datetime
    oldest: datetime | None
    dead: int
    died: int
    attempts: int
    tokens: int
    usd: Decimal
    redriven: int
    recovered: int
    relapsed: int
    success_rate: float | None
    ages: tuple[int, ...]
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, status: GroupStatus) -> Self:
        """What a storage says of a group."""
        group: DeadGroup = status.group
        return cls(
            fingerprint=group.fingerprint,
            task=group.task,
            cause=group.cause.value,
            type=group.type,
            code=group.code,
            place=group.place,
            pattern=group.pattern,
            first_seen=instant_of(group.first_seen_ms),
            last_seen=instant_of(group.last_seen_ms),
            oldest=None if status.oldest_ms is None else instant_of(status.oldest_ms),
            dead=group.dead,
            died=group.died,
            attempts=group.attempts,
            tokens=group.tokens,
            usd=dollars(group.usd_micros),
            redriven=group.redriven,
            recovered=group.recovered,
            relapsed=group.relapsed,
            success_rate=group.success_rate,
            ages=status.ages,
            samples=status.samples,
        )


async def redrive(
    storage: Storage, which: Which, request: Redrive, *, limit: int | None = None, told: Told | None = None
) -> Outcomes:
    """Give jobs another generation, in the order of enqueueing, as `request` says for its targets; see there.

    A job that somebody else redrives meanwhile is refused, and the others go on.
    """
    outcomes, place = Outcomes(), 0
    async for ids, records in _found(storage, which, REVIVED, limit):
        for batch in parts(records):
            delay_ms = min(request.delay_ms + place * request.spread_ms, MAX_DELAY_MS)
            targets = tuple(Target(record.id, record.generation) for record in batch)
            part = replace(request, targets=targets, delay_ms=delay_ms)
            answers = await until_known(partial(storage.redrive, part))
            outcomes += _of_redrive(targets, answers)
            place += len(targets)
            _tell(told, outcomes)
        outcomes += _missing(ids, records)
    return outcomes


async def replay(
    storage: Storage,
    which: Which,
    replay: str,
    *,
    queue: str | None = None,
    spread_ms: int = 0,
    limit: int | None = None,
    told: Told | None = None,
) -> Outcomes:
    """Enqueue jobs that have succeeded once more, as jobs of their own. The same replay again stores none twice.

    A filter finds neither what this replay has made, which would never end, nor children, which their parents make
    again. `done` has the ids of the new jobs.
    """
    outcomes, place = Outcomes(), 0
    async for ids, found in _found(storage, which, frozenset({State.SUCCEEDED}), limit):
        named = not isinstance(which, JobFilter)
        records = [record for record in found if named or _stands_alone(record, replay)]
        good = [record for record in records if record.state is State.SUCCEEDED and not why_unreadable(record.payload)]
        specs = [
            _anew(record, replay, queue, min((place + n) * spread_ms, MAX_DELAY_MS)) for n, record in enumerate(good)
        ]
        for batch in batches(specs):
            answers = await until_known(partial(storage.enqueue, batch))
            outcomes += Outcomes(tuple(answer.job_id for answer in answers))
            _tell(told, outcomes)
        place += len(good)
        bad = [record for record in records if record.id not in {one.id for one in good}]
        outcomes += Outcomes((), tuple(_not_replayed(record) for record in bad))
        outcomes += _missing(ids, found)
    return outcomes


async def purge(storage: Storage, which: Which, *, limit: int | None = None, told: Told | None = None) -> Outcomes:
    """Let jobs that have ended go now, with all that belongs to them. One that another job needs is refused."""
    outcomes = Outcomes()
    async for ids, records in _found(storage, which, TERMINAL, limit):
        states = {record.id: record for record in records}
        for batch in parts(states):
            for answer in await until_known(partial(storage.purge, batch)):
                outcomes += _of_purge(states[answer.job_id], gone=answer.gone)
            _tell(told, outcomes)
        outcomes += _missing(ids, records)
    return outcomes


async def how_many(storage: Storage, which: Which, states: frozenset[State], limit: int | None = None) -> int:
    """Count the jobs that would be gone through. Reads only."""
    count = 0
    async for _, records in _found(storage, which, states, limit):
        count += sum(record.state in states for record in records)
    return count


def _stands_alone(record: JobRecord, replay: str) -> bool:
    made = record.origin is not None and record.id == replay_id(record.origin, replay)
    return not made and record.parent_id is None


async def _found(
    storage: Storage, which: Which, states: frozenset[State], limit: int | None
) -> AsyncIterator[tuple[Sequence[str], list[JobRecord]]]:
    """Jobs, some at a time: the ids that were asked for, and the records that are stored."""
    if limit is not None:
        check_range("limit", limit, 1, MAX_INSTANT_MS)
    if not isinstance(which, JobFilter):
        for batch in parts(_ids(which)[:limit]):
            yield batch, [record for record in await storage.get(batch) if record is not None]
        return
    wanted = (which.states & states) if which.states else states
    if not wanted:
        raise InvalidInput(f"Jobs that are {', '.join(sorted(which.states))} are not meant; ask for {_words(states)}.")
    query, cursor, left = replace(which, states=wanted), None, limit
    while left is None or left > 0:
        page = await storage.list(query, cursor=cursor, limit=MAX_BATCH if left is None else min(MAX_BATCH, left))
        left = None if left is None else left - len(page.jobs)
        yield [record.id for record in page.jobs], list(page.jobs)
        cursor = page.cursor
        if cursor is None:
            return


def _ids(which: Job[object] | str | Iterable[Job[object] | str]) -> list[str]:
    named = [which] if isinstance(which, Job | str) else list(which)
    return list(dict.fromkeys(one.id if isinstance(one, Job) else one for one in named))


def _anew(record: JobRecord, replay: str, queue: str | None, delay_ms: int) -> JobSpec:
    """A job that does once more what another has done: alone, and not under its unique key."""
    own = {f"job:{record.id}", f"flow:{record.flow}"}
    return JobSpec(
        id=replay_id(record.id, replay),
        task=record.task,
        queue=record.queue if queue is None else queue,
        payload=record.payload,
        digest=record.digest,
        band=record.band,
        delay_ms=delay_ms,
        lease_ms=record.lease_ms,
        timeout_ms=record.timeout_ms,
        max_attempts=record.max_attempts,
        max_stalls=record.max_stalls,
        depends_on=record.depends_on,
        on_upstream=record.on_upstream,
        tenant=record.tenant,
        key=record.key,
        per_key=record.per_key,
        while_parked=record.while_parked,
        limits=record.limits,
        routes=record.routes,
        estimate=record.estimate,
        budgets=tuple(budget for budget in record.budgets if budget not in own),
        max_deferral_ms=record.max_deferral_ms,
        keep_ms=record.keep_ms,
        origin=record.id,
    )


def _of_redrive(targets: Sequence[Target], answers: Sequence[Redriven | Conflict | NotFound]) -> Outcomes:
    refused = tuple(
        Refused(target.job_id, answer.reason if isinstance(answer, Conflict) else "not_found", str(answer))
        for target, answer in zip(targets, answers, strict=True)
        if not isinstance(answer, Redriven)
    )
    return Outcomes(tuple(answer.job_id for answer in answers if isinstance(answer, Redriven)), refused)


def _of_purge(record: JobRecord, *, gone: bool) -> Outcomes:
    if gone:
        return Outcomes((record.id,))
    if not record.state.terminal:
        return Outcomes((), (_in_state(record, "has ended"),))
    text = f"Job {record.id!r} is needed by one that waits for it, or by its parent. Purge that one first."
    return Outcomes((), (Refused(record.id, "needed", text),))


def _in_state(record: JobRecord, wanted: str) -> Refused:
    return Refused(record.id, "state", f"Job {record.id!r} is {record.state}; only what {wanted} is meant.")


def _not_replayed(record: JobRecord) -> Refused:
    if record.state is not State.SUCCEEDED:
        return _in_state(record, "has succeeded")
    # Its bytes are tied to the job that they were written for: a new one could not read them either.
    text = f"What job {record.id!r} works on cannot be read. {why_unreadable(record.payload)}."
    return Refused(record.id, "unreadable", text)


def _missing(ids: Sequence[str], records: Sequence[JobRecord]) -> Outcomes:
    stored = {record.id for record in records}
    missing = (job_id for job_id in ids if job_id not in stored)
    return Outcomes((), tuple(Refused(job_id, "not_found", str(NotFound(job_id))) for job_id in missing))


def _tell(told: Told | None, outcomes: Outcomes) -> None:
    if told is not None:
        told(len(outcomes.done) + len(outcomes.refused))


def _words(states: frozenset[State]) -> str:
    return " or ".join(sorted(states))
