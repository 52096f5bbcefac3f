"""Going through jobs that have ended: another generation for them, a replay of them, or their end.

A storage does each by ids, a batch at a time, so that every batch can be repeated. Which jobs are meant is found here.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Final, Self, TypeAlias

from aiq.bounds import MAX_BATCH, MAX_DELAY_MS, MAX_INSTANT_MS, MAX_TOLD
from aiq.errors import Conflict, InvalidInput, NotFound, QueueFull, StorageError, TooLarge
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
from aiq.outcomes import Account, Outcomes, Refused, Told, refusal
from aiq.policy import dollars, instant_of
from aiq.rules.batches import batches
from aiq.rules.checks import check_range
from aiq.rules.coding import why_unreadable
from aiq.rules.ids import replay_id
from aiq.rules.redriving import check_terms
from aiq.rules.replaying import again, in_order, is_made_by
from aiq.rules.staging import OPENER
from aiq.storage import Storage, all_records

Which: TypeAlias = "Job[object] | str | Iterable[Job[object] | str] | JobFilter"
"""Jobs: one or several, by handle or id, or all that a filter finds."""
Deed: TypeAlias = Callable[[list[JobRecord], Account], Awaitable[None]]
"""Does something to some jobs, and takes down what became of them."""

SUCCEEDED: Final = frozenset({State.SUCCEEDED})
_NO_JOB: Final = "{!r:.100} is no job. Pass a job by its handle or its id, a list of these, or a JobFilter."
REVIVED: Final = frozenset({State.DEAD, State.CANCELLED})


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


@dataclass(frozen=True, slots=True)
class Walk:
    """Which jobs are gone through: all, or at most `limit`, of a filter from the cursor `after` on."""

    which: Which
    limit: int | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            check_range("limit", self.limit, 1, MAX_INSTANT_MS)
        if self.after is not None and not self.by_filter:
            raise InvalidInput("`after` goes on with a filter; jobs that are named by their ids have no order.")

    @property
    def by_filter(self) -> bool:
        """Whether the jobs are found by a filter, and not named."""
        return isinstance(self.which, JobFilter)


async def redrive(storage: Storage, walk: Walk, request: Redrive, told: Told | None = None) -> Outcomes:
    """Give jobs another generation, in the order of enqueueing, as `request` says for its targets; see there.

    A job that somebody else redrives meanwhile is refused, and the others go on.
    """
    check_terms(request)

    async def deed(records: list[JobRecord], account: Account) -> None:
        for batch in batches(records):
            await _redrive(storage, batch, request, account)

    return await _through(storage, walk, REVIVED, deed, told)


async def _redrive(storage: Storage, records: Sequence[JobRecord], request: Redrive, account: Account) -> None:
    """Redrive some jobs, by halves where they wait for more children than one step opens again."""
    delay_ms = min(request.delay_ms + account.place * request.spread_ms, MAX_DELAY_MS)
    targets = tuple(Target(record.id, record.generation) for record in records)
    try:
        answers = await until_known(partial(storage.redrive, replace(request, targets=targets, delay_ms=delay_ms)))
    except TooLarge:
        half = len(records) // 2
        if not half:
            raise
        await _redrive(storage, records[:half], request, account)
        await _redrive(storage, records[half:], request, account)
    else:
        _tell_redriven(targets, answers, account)


async def replay(
    storage: Storage,
    walk: Walk,
    name: str,
    *,
    queue: str | None = None,
    spread_ms: int = 0,
    told: Told | None = None,
) -> Outcomes:
    """Enqueue jobs that have succeeded once more, as jobs of their own. The same replay again stores none twice.

    A filter finds neither what this replay has made, which would never end, nor children, which their parents make
    again. `done` has the ids of the new jobs.
    """
    made: set[str] = set()

    async def deed(records: list[JobRecord], account: Account) -> None:
        meant = [record for record in records if not walk.by_filter or _stands_alone(record, name)]
        good = [record for record in in_order(meant) if _unfit(record) is None]
        account.add(refused=[refused for refused in map(_unfit, meant) if refused is not None])
        if walk.after is not None:
            made.update(await _made_before(storage, good, name, made))
        specs: list[JobSpec] = []
        for place, record in enumerate(good, account.place):
            specs.append(again(record, name, queue, min(place * spread_ms, MAX_DELAY_MS), made))
            made.add(record.id)
        for batch in batches(specs):
            await _enqueue(storage, batch, account, made)

    return await _through(storage, walk, SUCCEEDED, deed, told)


async def purge(storage: Storage, walk: Walk, told: Told | None = None) -> Outcomes:
    """Let jobs that have ended go now, with all that belongs to them. One that another job needs is refused, unless a
    filter finds that one too: then it goes after it."""
    needed: dict[str, None] = {}

    async def deed(records: list[JobRecord], account: Account) -> None:
        states = {record.id: record for record in records}
        answers = await until_known(partial(storage.purge, list(states)))
        kept = [states[answer.job_id] for answer in answers if not answer.gone]
        if walk.by_filter and walk.limit is None:
            room = MAX_TOLD - len(needed)
            needed.update(dict.fromkeys([record.id for record in kept if record.state.terminal][:room]))
        refused = [_kept(record) for record in kept if record.id not in needed]
        account.add([answer.job_id for answer in answers if answer.gone], refused)

    async def rest(account: Account) -> None:
        """Purge what was needed, as long as that lets any go: each time those go that nothing needs any more."""
        left = list(needed)
        while left:
            answers = [one for batch in parts(left) for one in await until_known(partial(storage.purge, batch))]
            gone = [answer.job_id for answer in answers if answer.gone]
            account.add(gone)
            left = [answer.job_id for answer in answers if not answer.gone]
            if not gone:
                account.add(refused=map(_needed, left))
                return

    return await _through(storage, walk, TERMINAL, deed, told, rest)


async def how_many(storage: Storage, walk: Walk, states: frozenset[State]) -> int:
    """Count the jobs that would be gone through. Reads only."""
    count = 0

    async def deed(records: list[JobRecord], account: Account) -> None:
        nonlocal count
        alone = walk.by_filter and states == SUCCEEDED
        meant = [record for record in records if record.state in states and (not alone or _stands_alone(record))]
        count += len(meant)
        account.add(record.id for record in meant)

    await _through(storage, walk, states, deed, None)
    return count


async def _through(
    storage: Storage,
    walk: Walk,
    states: frozenset[State],
    deed: Deed,
    told: Told | None,
    rest: Callable[[Account], Awaitable[None]] | None = None,
) -> Outcomes:
    """Go through jobs, a page at a time, and then through the `rest`; what ends it early is told with what was done.

    Raises:
        StorageError, InvalidInput: nothing was done.
    """
    account = Account(told, walk.after)
    try:
        if isinstance(walk.which, JobFilter):
            await _found(storage, walk.which, walk.limit, states, deed, account)
        else:
            await _named(storage, _ids(walk.which)[: walk.limit], deed, account)
        if rest is not None:
            await rest(account)
    except (StorageError, InvalidInput) as error:
        if not account.total and not isinstance(error, QueueFull):
            raise
        return account.close(stopped=str(error))
    return account.close()


async def _named(storage: Storage, ids: Sequence[str], deed: Deed, account: Account) -> None:
    for batch in parts(ids):
        records = [record for record in await all_records(storage, batch) if record is not None]
        stored = {record.id for record in records}
        if records:
            await deed(records, account)
        missing = (job_id for job_id in batch if job_id not in stored)
        account.add(refused=[refusal(job_id, NotFound(job_id)) for job_id in missing])


async def _found(
    storage: Storage, query: JobFilter, limit: int | None, states: frozenset[State], deed: Deed, account: Account
) -> None:
    wanted = (query.states & states) if query.states else states
    if not wanted:
        raise InvalidInput(f"Jobs that are {', '.join(sorted(query.states))} are not meant; ask for {_words(states)}.")
    query = replace(query, states=wanted)
    while True:
        room = MAX_BATCH if limit is None else min(MAX_BATCH, limit - account.total)
        page = await storage.list(query, cursor=account.after, limit=room)
        if page.jobs:
            await deed(list(page.jobs), account)
        account.advance(page.cursor)
        if page.cursor is None or (limit is not None and account.total >= limit):
            return


def _ids(which: Job[object] | str | Iterable[Job[object] | str]) -> list[str]:
    named = [which] if isinstance(which, Job | str) else which
    if not isinstance(named, Iterable):
        raise InvalidInput(_NO_JOB.format(which))
    ids = [one.id if isinstance(one, Job) else one for one in named]
    for one in ids:
        if not isinstance(one, str):
            raise InvalidInput(_NO_JOB.format(one))
    return list(dict.fromkeys(ids))


def _stands_alone(record: JobRecord, replay: str = "") -> bool:
    return not is_made_by(record, replay) and record.parent_id is None and record.task != OPENER


def _unfit(record: JobRecord) -> Refused | None:
    """Why a job cannot be replayed, as far as it tells that itself."""
    if record.state is not State.SUCCEEDED:
        return _in_state(record, "has succeeded")
    why = why_unreadable(record.payload)
    # What is encrypted is bound to the id under which it stands, and names of other jobs in it could not be changed.
    return None if why is None else Refused(record.id, "unreadable", f"Job {record.id!r} cannot be read. {why}.")


async def _made_before(storage: Storage, records: Sequence[JobRecord], replay: str, made: Collection[str]) -> list[str]:
    """Those of the jobs that some depended on that this replay has made anew before it went on from a cursor."""
    names = dict.fromkeys(name for record in records for name in record.depends_on if name not in made)
    found: list[str] = []
    for batch in parts(names):
        new = await all_records(storage, [replay_id(name, replay) for name in batch])
        found += [name for name, record in zip(batch, new, strict=True) if record is not None]
    return found


async def _enqueue(storage: Storage, specs: Sequence[JobSpec], account: Account, made: set[str]) -> None:
    """Store jobs, and find out by halves which of them are refused."""
    try:
        answers = await until_known(partial(storage.enqueue, specs))
    except (Conflict, NotFound, QueueFull, InvalidInput) as error:
        if len(specs) > 1:
            half = len(specs) // 2
            await _enqueue(storage, specs[:half], account, made)
            await _enqueue(storage, specs[half:], account, made)
            return
        if isinstance(error, QueueFull):
            # It would refuse all that come after, too.
            raise
        origin = specs[0].origin or ""
        made.discard(origin)
        account.add(refused=[_not_again(origin, specs[0], error)])
    else:
        account.add(answer.job_id for answer in answers)


def _not_again(origin: str, spec: JobSpec, error: Conflict | NotFound | InvalidInput) -> Refused:
    if isinstance(error, NotFound) and error.job_id in spec.depends_on:
        text = (
            f"Job {origin!r} needs the result of {error.job_id!r}, which is not stored. Enqueue it, or its flow, anew."
        )
        return Refused(origin, "upstream", text)
    return refusal(origin, error)


def _tell_redriven(
    targets: Sequence[Target], answers: Sequence[Redriven | Conflict | NotFound], account: Account
) -> None:
    refused = [
        refusal(target.job_id, answer)
        for target, answer in zip(targets, answers, strict=True)
        if not isinstance(answer, Redriven)
    ]
    account.add((answer.job_id for answer in answers if isinstance(answer, Redriven)), refused)


def _kept(record: JobRecord) -> Refused:
    return _needed(record.id) if record.state.terminal else _in_state(record, "has ended")


def _needed(job_id: str) -> Refused:
    text = f"Job {job_id!r} is needed by one that waits for it, or by its parent. Purge that one first."
    return Refused(job_id, "needed", text)


def _in_state(record: JobRecord, wanted: str) -> Refused:
    return Refused(record.id, "state", f"Job {record.id!r} is {record.state}; only what {wanted} is meant.")


def _words(states: frozenset[State]) -> str:
    return " or ".join(sorted(states))
