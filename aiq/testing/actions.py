"""Short sentences for tests of a storage: enqueue one, claim one, settle it, look at everything."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from itertools import count
from typing import Any, Final, Literal

from aiq.model import (
    Chunk,
    ChunkKind,
    ClaimRequest,
    Counts,
    Died,
    JobError,
    JobFilter,
    JobRecord,
    JobSpec,
    NewChunk,
    Outcome,
    Retried,
    Settled,
    State,
    Step,
    StepKind,
    Succeeded,
    Waiting,
    Want,
)
from aiq.storage import Storage, claim, read, settle

GOOD: Final = Succeeded(b"")
LONG_MS: Final = 3_000
"""A wait that nobody ends this early."""
MANY: Final = 16
"""Competitors in a race."""
BAD: Final = Died(JobError(type="E", message="m"))

_numbers = count(1)


def job(job_id: str = "job", **options: Any) -> JobSpec:
    """A job to enqueue. The options are those of JobSpec, whose own types are as wide as Any here."""
    return JobSpec(id=job_id, task="work", **options)


def wish(number_of_jobs: int = 1, *queues: str, worker: str = "worker", number: int | None = None) -> ClaimRequest:
    """A claim with a number and a lease id that no other claim of this process has, unless a number is given."""
    unique = next(_numbers) if number is None else number
    wants = tuple(Want(queue, number_of_jobs) for queue in queues or ("default",))
    return ClaimRequest(worker, unique, f"lease {worker} {unique}", wants)


def failed(delay_ms: int = 0, message: str = "no") -> Retried:
    """A run that failed and may be tried again."""
    return Retried(JobError(type="ValueError", message=message), delay_ms)


def value(key: str, data: bytes = b"1", digest: str = "") -> Step:
    """A sub-result to save."""
    return Step(key, StepKind.VALUE, data, digest)


def chunks(*texts: str, first: int = 1, step: str | None = None, kind: ChunkKind = ChunkKind.DATA) -> list[NewChunk]:
    """Items to append, numbered from `first`."""
    return [NewChunk(seq, text.encode(), kind, step) for seq, text in enumerate(texts, first)]


async def enqueue_one(storage: Storage, job_id: str = "job", **options: Any) -> str:
    """Store one job and return its id. For the options see `job`."""
    (answer,) = await storage.enqueue([job(job_id, **options)])
    return answer.job_id


async def claim_some(storage: Storage, number_of_jobs: int, *queues: str, worker: str = "worker") -> list[JobRecord]:
    """Claim up to so many jobs from each queue."""
    return list(await claim(storage, wish(number_of_jobs, *queues, worker=worker)))


async def claim_one(storage: Storage, queue: str = "default", worker: str = "worker") -> JobRecord:
    """Claim the next job; there must be one."""
    (run,) = await claim_some(storage, 1, queue, worker=worker)
    return run


async def start(storage: Storage, job_id: str = "job", **options: Any) -> JobRecord:
    """Store a job and claim it; nothing may stand before it. For the options see `job`."""
    await enqueue_one(storage, job_id, **options)
    run = await claim_one(storage, options.get("queue", "default"))
    assert run.id == job_id
    return run


async def spawn(storage: Storage, parent: JobRecord, *job_ids: str, key: str = "children", **options: Any) -> None:
    """Store children of a running job, counted under `key`. For the options see `job`."""
    await storage.enqueue([job(name, child_of=key, **options) for name in job_ids], parent=parent.lease)


async def end(storage: Storage, run: JobRecord, outcome: Outcome) -> Settled:
    """Settle a run, with an id that no other settlement of this process has."""
    return await settle(storage, run.lease, outcome, settlement_id=f"settlement {next(_numbers)}")


async def end_one(storage: Storage, outcome: Outcome, queue: str = "default") -> JobRecord:
    """Claim the next job and settle it; the record is that of the run."""
    run = await claim_one(storage, queue)
    await end(storage, run, outcome)
    return run


async def fan_out(
    storage: Storage, *children: str, need: int | None = None, rest: Literal["cancel", "leave"] = "cancel"
) -> None:
    """Let a job "parent" wait for children, which stand ready in a queue "children"."""
    parent = await start(storage, "parent")
    await spawn(storage, parent, *children, queue="children")
    await end(storage, parent, Waiting("children", need, rest))


async def the_wait(storage: Storage) -> tuple[StepKind, list[str]]:
    """How the wait of `fan_out` ended, and the names in it."""
    (step,) = await storage.get_steps("parent")
    return step.kind, step.value.decode().splitlines()


async def get_one(storage: Storage, job_id: str = "job") -> JobRecord:
    """Read a job that must be there."""
    (record,) = await storage.get([job_id])
    assert record is not None, f"{job_id} is not stored"
    return record


async def states(storage: Storage, *job_ids: str) -> list[State | None]:
    """The states of jobs, None for one that is not there."""
    return [None if record is None else record.state for record in await storage.get(job_ids)]


async def keep_up(storage: Storage) -> None:
    """Call upkeep until it finds nothing to do, which must be soon."""
    for _ in range(100):
        if not (await storage.upkeep()).total:
            return
    raise AssertionError("upkeep always finds something to do")


async def changed(storage: Storage, mark: str, *topics: str) -> bool:
    """Whether a wait from the mark ends by itself, long before its time is over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await storage.wait(topics, after=mark, timeout_ms=LONG_MS)
    return (loop.time() - began) * 1000 < LONG_MS / 2


@asynccontextmanager
async def crowd(storage: Storage) -> AsyncIterator[list[Storage]]:
    """As many faces of one storage as there are competitors; half of them are a sibling."""
    sibling = await storage.sibling()
    try:
        yield [storage, sibling] * (MANY // 2)
    finally:
        await sibling.close()


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that can be seen of a storage."""

    jobs: Mapping[str, JobRecord]
    steps: Mapping[str, list[Step]]
    chunks: Mapping[str, list[Chunk]]
    counts: Counts


async def look(storage: Storage) -> Sight:
    """Read everything, in the order of enqueueing."""
    jobs: dict[str, JobRecord] = {}
    cursor: str | None = None
    while True:
        page = await storage.list(JobFilter(), cursor=cursor)
        jobs |= {record.id: record for record in page.jobs}
        cursor = page.cursor
        if cursor is None:
            break
    steps = {name: await storage.get_steps(name) for name in jobs}
    streams = {name: list((await read(storage, name)).chunks) for name in jobs}
    return Sight(jobs, steps, streams, await storage.count())


def changes(before: Sight, after: Sight) -> dict[str, dict[str, Any]]:
    """The fields of jobs that differ, with their new values; steps and chunks count as fields of their job.

    A value is whatever the field holds, hence Any.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, record in after.jobs.items():
        was = before.jobs.get(name)
        new = {f.name: getattr(record, f.name) for f in fields(record) if was is None or _differs(was, record, f.name)}
        for what, old_rows, rows in (
            ("steps", before.steps, after.steps),
            ("stream", before.chunks, after.chunks),
        ):
            if rows.get(name) != old_rows.get(name):
                new[what] = rows.get(name)
        if new:
            told[name] = new
    assert before.jobs.keys() <= after.jobs.keys(), "a job has vanished"
    return told


def _differs(was: JobRecord, record: JobRecord, field: str) -> bool:
    return bool(getattr(was, field) != getattr(record, field))
