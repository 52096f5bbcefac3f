"""Handing jobs to a storage: again while nobody knows whether it happened, and waiting for room if asked to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from aiq.bounds import MAX_PAYLOAD_BYTES
from aiq.errors import Conflict, FlowInvalid, PartlyEnqueued, QueueFull, StorageError, Unavailable
from aiq.gathering import Gathering
from aiq.job import until_known
from aiq.looking import POLL_MS
from aiq.model import Enqueued, JobSpec, State
from aiq.needs import parts
from aiq.policy import Duration, duration_ms
from aiq.rules.batches import batches
from aiq.rules.staging import OPEN, abandoned, is_held_by_one_step, opening, staged
from aiq.rules.validation import check_batch, check_specs
from aiq.storage import Storage, room_topic

_Put: TypeAlias = Callable[[Sequence[JobSpec]], Awaitable[list[Enqueued]]]
MANY_OUTPUTS: Final = 1_000
"""From so many on, the places of outputs are what makes a job too large."""


class Patience:
    """How long a producer still waits for room in a full queue, over all that one call stores. None does not wait."""

    def __init__(self, wait: Duration | None) -> None:
        self._until = None if wait is None else _now() + duration_ms("wait", wait) / 1000

    @property
    def left_ms(self) -> int:
        """What is left of it."""
        return 0 if self._until is None else max(0, round((self._until - _now()) * 1000))


async def store(
    storage: Storage, specs: Sequence[JobSpec], patience: Patience, gathering: Gathering | None = None
) -> list[Enqueued]:
    """Store jobs in one step, all of them or none; in a `gathering` others may travel in it.

    Raises:
        QueueFull: there was no room for all of them in time, or there never can be.
    """
    check_batch(specs)
    put = storage.enqueue if gathering is None else gathering.enqueue
    return await _store(storage, put, specs, patience, in_parts=False)


async def store_all(storage: Storage, specs: Sequence[JobSpec], patience: Patience) -> list[Enqueued]:
    """Store any number of jobs, each of which was checked, batch by batch, in order. A producer that waits for room
    stores as many as there is room for.

    Raises:
        PartlyEnqueued: a batch failed after others were stored, or nobody knows.
        StorageError: nothing was stored.
    """
    answers: list[Enqueued] = []
    try:
        for batch in batches(specs):
            await _store_parts(storage, batch, patience, answers)
    except StorageError as error:
        known = not (isinstance(error, Unavailable) and error.outcome_unknown)
        if not answers and known:
            raise
        ids = [spec.id for spec in specs]
        raise PartlyEnqueued(error, ids[: len(answers)], ids[len(answers) :]) from error
    return answers


async def store_flow(storage: Storage, flow_id: str, specs: Sequence[JobSpec], patience: Patience) -> list[Enqueued]:
    """Store a flow: in one step if it can be, else behind its opener, which is told when all is there.

    Raises:
        Conflict("abandoned"): it was begun more than an hour ago, and is cancelled.
        QueueFull, PartlyEnqueued: as for `store` and `store_all`.
    """
    if is_held_by_one_step(specs):
        return await store(storage, specs, patience)
    for spec in specs:
        _check_places(spec)
    check_specs(specs)
    opener, *behind = staged(flow_id, specs)
    (first,) = await _store(storage, storage.enqueue, [opener], patience, in_parts=False)
    if first.state in (State.DEAD, State.CANCELLED):
        raise _abandoned(flow_id)
    answers = await store_all(storage, behind, patience)
    if not await _opens(storage, opener.id):
        # What came after its opener had looked goes as the rest did: the last one first, so that none begins.
        for batch in parts(spec.id for spec in reversed(behind)):
            await storage.cancel(batch)
        raise _abandoned(flow_id)
    return answers


def _check_places(spec: JobSpec) -> None:
    """Refuse a job that is too large by the outputs that it uses, with a sentence that says how to use so many."""
    if len(spec.payload) > MAX_PAYLOAD_BYTES and len(spec.depends_on) >= MANY_OUTPUTS:
        raise FlowInvalid(
            f"A job of task {spec.task!r} uses what {len(spec.depends_on):,} others return, and places for so many "
            "do not fit into its arguments. Gather hundreds each in jobs between them, or use ctx.gather in one job."
        )


async def _opens(storage: Storage, opener_id: str) -> bool:
    """Tell the opener of a flow that all is there, if nobody has; whether it has been told in time."""
    try:
        await until_known(partial(storage.update, [opening(opener_id)]))
    except Conflict:
        # It runs, or has: it was told before, or its hour is over.
        (record,) = await storage.get([opener_id])
        return record is None or record.payload == OPEN
    return True


def _abandoned(flow_id: str) -> Conflict:
    return Conflict(abandoned(flow_id).message, reason="abandoned")


async def _store_parts(storage: Storage, batch: Sequence[JobSpec], patience: Patience, answers: list[Enqueued]) -> None:
    """Store a batch, and add what it is answered, part by part, so that a failure finds what is stored."""
    while batch:
        stored = await _store(storage, storage.enqueue, batch, patience, in_parts=True)
        answers += stored
        batch = batch[len(stored) :]


async def _store(
    storage: Storage, put: _Put, specs: Sequence[JobSpec], patience: Patience, *, in_parts: bool
) -> list[Enqueued]:
    """Store jobs, or with `in_parts` the first of them, at least one."""
    topics = {room_topic(spec.queue) for spec in specs}
    mark: str | None = None
    while True:
        try:
            return await until_known(partial(put, specs))
        except QueueFull as full:
            left_ms, room = patience.left_ms, full.bound - full.ready
            wanted = sum(spec.queue == full.queue for spec in specs)
            if left_ms == 0 or (wanted > full.bound and not in_parts):
                raise
            if in_parts and 0 < room < wanted:
                specs = specs[:room]
                continue
            # The first mark answers at once, and the storage is looked at again: no room that appears is missed.
            mark = await storage.wait(topics, after=mark, timeout_ms=min(POLL_MS, left_ms))


def _now() -> float:
    return asyncio.get_running_loop().time()
