"""A look at a whole storage, for whoever operates it: what it stands on, who serves it, and what waits for whom."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final

from aiq.bounds import MAX_PAGE, MISSED_AFTER_MS
from aiq.differing import InCode, differences
from aiq.model import Counts, DeadQuery, Fact, Level, ScheduleStatus, State, WorkerState, WorkerStatus
from aiq.policy import counted, instant_of
from aiq.rules.facts import MOVING
from aiq.storage import Storage, every_worker

_SHOWN: Final = 5
"""Names that one sentence tells; the rest is counted."""
_VIOLATIONS: Final = 20
_WAITING: Final = (State.READY, State.SCHEDULED)


async def checkup(
    storage: Storage, code: Iterable[InCode] = (), *, queue: str = "default", audit: bool = True
) -> list[Fact]:
    """What the storage says of itself, then workers, queues, the dead, schedules, what code names otherwise, and the
    audit. Of a storage that has moved, or is half loaded, its word is all there is. `queue` is as for `differences`."""
    found = list(await storage.facts())
    if any(one.name == MOVING and one.level is Level.FAIL for one in found):
        # Nobody can work here, and that is why nobody does.
        return found
    workers, counts = await every_worker(storage), await storage.count()
    found += [*_of_workers(workers), *await _of_queues(storage, counts, workers)]
    found += [await _of_dead(storage, counts), *await _of_schedules(storage), *await _of_code(storage, code, queue)]
    if audit:
        found.append(await _of_audit(storage))
    return found


def _of_workers(workers: Sequence[WorkerStatus]) -> Iterator[Fact]:
    for state, level, text, advice in (
        (
            WorkerState.GONE,
            Level.WARN,
            "has been silent for more than 30 s, and did not stop in order",
            "Look why (killed, out of memory, the machine is gone); its jobs run elsewhere once their leases are over.",
        ),
        (
            WorkerState.BLOCKED,
            Level.FAIL,
            "cannot turn its event loop",
            'Its log (aiq.keeper) names the line that blocks; make that task a `def`, or kind="process".',
        ),
    ):
        names = [one.beat.worker for one in workers if one.state is state]
        if names:
            yield Fact(f"workers {state.value}", level, f"{_listed('worker', names)} {text}.", advice)
    alive = [one for one in workers if one.state is WorkerState.ALIVE]
    yield Fact("workers", Level.OK, f"{counted(len(alive), 'worker')} alive.")
    versions = sorted({one.beat.version for one in alive})
    if len(versions) > 1:
        text = f"Workers of several versions of aiq are at work: {', '.join(versions)}."
        yield Fact("versions", Level.WARN, text, "Fine during a deploy; bring the rest up to date after it.")


async def _of_queues(storage: Storage, counts: Counts, workers: Sequence[WorkerStatus]) -> list[Fact]:
    served = {slot.queue for one in workers if one.state is not WorkerState.GONE for slot in one.beat.slots}
    busy = sorted(queue for queue, states in counts.items() if any(states.get(state) for state in _WAITING))
    unserved = [queue for queue in busy if queue not in served]
    paused = [queue for queue in busy[:MAX_PAGE] if (await storage.get_queue(queue)).paused]
    found = []
    if unserved:
        text = f"{_listed('queue', unserved)} with jobs that wait, and no worker that serves it."
        found.append(
            Fact("queues", Level.FAIL, text, "Start a worker with slots for it, or look whether its name is right.")
        )
    else:
        found.append(Fact("queues", Level.OK, "Every queue with jobs that wait is served."))
    if paused:
        text = f"{_listed('queue', paused)} with jobs that wait, paused."
        found.append(Fact("paused", Level.WARN, text, "Resume it when that is no longer meant: aiq resume QUEUE."))
    return found


async def _of_dead(storage: Storage, counts: Counts) -> Fact:
    dead = sum(states.get(State.DEAD, 0) for states in counts.values())
    if not dead:
        return Fact("dead", Level.OK, "No job is dead.")
    groups = [one for one in await storage.dead_groups(DeadQuery(by="dead")) if one.oldest_ms is not None]
    text = f"{counted(dead, 'job')} dead"
    if groups:
        oldest_ms = min(one.oldest_ms for one in groups if one.oldest_ms is not None)
        most = groups[0].group
        text += f", the oldest since {instant_of(oldest_ms):%Y-%m-%d %H:%M} UTC; most of them of {most.task}"
        text += f" by {most.type or most.cause}"
    advice = "Look why, and let them run again or remove them: aiq dead, aiq redrive, aiq purge."
    return Fact("dead", Level.WARN, f"{text}.", advice)


async def _of_schedules(storage: Storage) -> list[Fact]:
    """Schedules whose last slot was refused, and those that are due and that nobody fires."""
    stored = [one async for one in _all_schedules(storage)]
    if not stored:
        return []
    late_ms = (await storage.due_schedules(1)).now_ms - MISSED_AFTER_MS
    late = [one.name for one in stored if one.due_ms is not None and 0 < one.due_ms <= late_ms]
    found = [
        Fact(
            f'schedule "{one.name}"',
            Level.WARN,
            f"Its last slot was left out, since its job was refused ({one.refused:,} in all): {one.error}",
            "Do what the error says, or change the schedule: aiq schedules reset, queue.admin.put_schedule.",
        )
        for one in stored
        if one.error
    ]
    if late:
        text = f"{_listed('schedule', late)} due for over a minute, and nobody fires."
        advice = "Start a worker; if one runs, its log (aiq.schedules) says why it leaves them, such as an unknown tz."
        found.append(Fact("schedules late", Level.FAIL, text, advice))
    return found or [Fact("schedules", Level.OK, f"{counted(len(stored), 'schedule')}; none is late or refused.")]


async def _all_schedules(storage: Storage) -> AsyncIterator[ScheduleStatus]:
    after = ""
    while page := await storage.get_schedules(after=after):
        for one in page:
            yield one
        after = page[-1].name


async def _of_code(storage: Storage, code: Iterable[InCode], queue: str) -> Iterator[Fact]:
    named = list(code)
    found = await differences(storage, named, queue) if named else []
    if named and not found:
        return iter([Fact("code", Level.OK, "Limits, budgets, prices and schedules stand as code names them.")])
    advice = (
        "What an operator changed holds; `aiq limits reset`, `aiq schedules reset` or queue.admin.put_… makes what "
        "code says hold again."
    )
    return (Fact(f"code: {one.name}", Level.WARN, str(one), advice) for one in found)


async def _of_audit(storage: Storage) -> Fact:
    found = await storage.audit(_VIOLATIONS)
    if not found:
        return Fact("audit", Level.OK, "Nothing stored that the specification forbids.")
    told = "; ".join(f"{one.clause} {one.job_id} {one.text}" for one in found[:_SHOWN])
    more = " or more" if len(found) == _VIOLATIONS else ""
    text = f"{len(found)}{more} things are stored that the specification forbids: {told}."
    return Fact("audit", Level.FAIL, text, "Keep a copy of the storage, and report it with the output of aiq audit.")


def _listed(kind: str, names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{counted(len(names), kind)} ({', '.join(names[:_SHOWN])}{rest})"
