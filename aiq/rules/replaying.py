"""What a replay makes of a job that has succeeded. Spec: REPLAY-2 to REPLAY-5"""

from collections.abc import Collection
from graphlib import TopologicalSorter

from aiq.model import JobRecord, JobSpec
from aiq.rules.arguments import read_by, renamed
from aiq.rules.ids import replay_id


def in_order(records: Collection[JobRecord]) -> list[JobRecord]:
    """The same jobs, each behind those of them that it depended on."""
    by_id = {record.id: record for record in records}
    graph = {record.id: [name for name in record.depends_on if name in by_id] for record in records}
    return [by_id[job_id] for job_id in TopologicalSorter(graph).static_order()]


def is_made_by(record: JobRecord, replay: str) -> bool:
    """Whether a job is what this replay has made of another."""
    return record.origin is not None and record.id == replay_id(record.origin, replay)


def again(record: JobRecord, replay: str, queue: str | None, delay_ms: int, made: Collection[str]) -> JobSpec:
    """A job that does once more what another has done. Of what that one waited for it waits for the jobs that this
    replay has `made` anew, and for those whose results it reads; not under its unique key, and without a deadline.

    Spec: REPLAY-2, REPLAY-3, REPLAY-4, REPLAY-5
    """
    names = {name: replay_id(name, replay) for name in record.depends_on if name in made}
    read = {*names, *read_by(record.payload)}
    own = {f"job:{record.id}", f"flow:{record.flow}"}
    return JobSpec(
        id=replay_id(record.id, replay),
        task=record.task,
        queue=record.queue if queue is None else queue,
        payload=renamed(record.payload, names),
        digest=record.digest,
        band=record.band,
        delay_ms=delay_ms,
        lease_ms=record.lease_ms,
        timeout_ms=record.timeout_ms,
        max_attempts=record.max_attempts,
        max_stalls=record.max_stalls,
        flow=None if record.flow is None else replay_id(record.flow, replay),
        depends_on=tuple(names.get(name, name) for name in record.depends_on if name in read),
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
