"""Unique keys: which job has one, and what becomes of another that asks for it. Spec: chapter 14.

A key belongs to a task, so that whoever is answered with the job that has it finds a result of the type that is
awaited. Whether a job that was to be replaced has started is seen by its fence, when somebody asks: so no claim pays
for a key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from aiq.errors import Conflict
from aiq.model import JobRecord, JobSpec, OnUnique, State
from aiq.rules.deadlines import effective_ms
from aiq.rules.editing import due_at

Key: TypeAlias = tuple[str, str]
"""Task and key."""

_PLACE: Final = ("queue", "tenant", "key", "limits", "routes")
"""What a job that is replaced keeps, because it says where it stands."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a key: by the word of which enqueue, the id and digest of the last one that it heeded, and until when it
    is taken; None: as long as the job has not ended. `state` is how a job ended whose key is still taken."""

    job_id: str
    how: OnUnique
    last_id: str
    last_digest: str
    until_ms: int | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is held, and the job as it stands; None for one that is no longer stored."""

    holder: Holder
    job: JobSpec | None


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that is not stored, since another has its key, and whether it changes that one."""

    job_id: str
    changes: bool


def key_of(spec: JobSpec) -> Key:
    """The key that a job asks for; it must have one."""
    return (spec.task, spec.unique or "")


def holding(record: JobRecord | None, key: Key) -> JobRecord | None:
    """The job that has a key, from what is stored under the id that the key's row names; None if it is gone, even if
    another job has its id by now. Spec: UNIQ-13"""
    return record if record is not None and key_of(record) == key else None


def answered(
    batch: Sequence[JobSpec], stored: Collection[str], held: Mapping[Key, Held], now_ms: int
) -> dict[str, Taken]:
    """The jobs of a batch that are not to be stored, by id, as if each saw those before it.

    Raises:
        Conflict("unique"): a job that is to be changed stands elsewhere than the new one would.
        Conflict("content"): the id has changed the job before, with another content.
    Spec: UNIQ-1, UNIQ-3, UNIQ-4, UNIQ-6, UNIQ-8
    """
    known, keys, found = set(stored), dict(held), dict[str, Taken]()
    for spec in batch:
        if spec.unique is None or spec.id in known:
            known.add(spec.id)
            continue
        there = keys.get(key_of(spec))
        if there is None or _is_free(there, spec, now_ms):
            keys[key_of(spec)] = Held(first_holder(spec, now_ms), spec)
            known.add(spec.id)
        elif spec.id not in found:
            found[spec.id] = taken = _taken(there, spec)
            if taken.changes:
                keys[key_of(spec)] = Held(heeded(there.holder, spec), there.job)
    return found


def first_holder(spec: JobSpec, now_ms: int) -> Holder:
    """The row of a key that a new job takes. Spec: UNIQ-1, UNIQ-5"""
    until_ms = None if spec.unique_for_ms is None else now_ms + spec.unique_for_ms
    return Holder(spec.id, spec.on_unique, spec.id, spec.digest, until_ms)


def replaced(record: JobRecord, spec: JobSpec, now_ms: int) -> JobRecord:
    """A job that has not started, changed by a new one with its key. It keeps its id, its place and what it draws from.

    With a debounce it waits anew until nobody has asked for so long; a held one stays held. Spec: UNIQ-6, UNIQ-7
    """
    after = replace(
        record,
        payload=spec.payload,
        band=spec.band,
        lease_ms=spec.lease_ms,
        timeout_ms=spec.timeout_ms,
        max_attempts=spec.max_attempts,
        max_stalls=spec.max_stalls,
        max_deferral_ms=spec.max_deferral_ms,
        estimate=spec.estimate,
        deadline_ms=effective_ms(spec, None, now_ms),
    )
    if spec.on_unique == "debounce" and record.state is not State.HELD:
        return due_at(after, now_ms + spec.delay_ms, now_ms)
    return after


def retaken(there: Held | None, record: JobRecord, now_ms: int) -> Holder | None:
    """The row of a key that a redriven job takes again; None if another has it. Spec: DEAD-23"""
    own = there is not None and there.holder.job_id == record.id
    if there is not None and own and (there.holder.until_ms or 0) > now_ms:
        return replace(there.holder, state=None)
    if there is not None and not own and not _is_free(there, record, now_ms):
        return None
    return Holder(record.id, "keep", record.id, record.digest)


def _is_free(there: Held, spec: JobSpec, now_ms: int) -> bool:
    """Whether a key that has a row can be taken. Spec: UNIQ-5, UNIQ-9"""
    holder = there.holder
    if holder.until_ms is not None:
        return now_ms >= holder.until_ms
    to_be_replaced = holder.how != "keep" or spec.on_unique != "keep"
    return _started(there) and to_be_replaced and holder.last_id != spec.id


def _taken(there: Held, spec: JobSpec) -> Taken:
    holder = there.holder
    if holder.last_id == spec.id:
        if holder.last_digest != spec.digest:
            text = f"Job {spec.id!r} has replaced the content of {holder.job_id!r} before, with another one."
            raise Conflict(text, reason="content")
        return Taken(holder.job_id, changes=False)
    if spec.on_unique == "keep" or there.job is None or _started(there):
        return Taken(holder.job_id, changes=False)
    _check_place(there.job, spec)
    return Taken(holder.job_id, changes=True)


def _started(there: Held) -> bool:
    return isinstance(there.job, JobRecord) and (there.job.fence > 0 or there.job.state.terminal)


def heeded(holder: Holder, spec: JobSpec) -> Holder:
    """The row of a key whose holder a new job has changed. Spec: UNIQ-8"""
    return replace(holder, how=spec.on_unique, last_id=spec.id, last_digest=spec.digest)


def _check_place(standing: JobSpec, spec: JobSpec) -> None:
    """Refuse what would have to stand elsewhere: the job of its key keeps its place. Spec: UNIQ-6"""
    for name in _PLACE:
        if getattr(standing, name) != getattr(spec, name):
            raise Conflict(
                f"Job {standing.id!r} has the unique key {spec.unique!r}, and stands with another {name} than this one "
                "would. Enqueue it alike, or cancel the other first.",
                reason="unique",
            )
