"""Short sentences for tests of schedules: put one, fire what is due, look at it."""

from typing import Any, Final

from aiq.model import Fire, Fired, JobSpec, ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import job_of
from aiq.rules.slots import plan
from aiq.storage import Storage

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
TEMPLATE: Final = JobSpec(id="", task="work")


def schedule(name: str = "tick", template: JobSpec = TEMPLATE, **options: Any) -> ScheduleSpec:
    """A schedule, of every minute unless it is said otherwise. The options are those of ScheduleSpec, hence Any."""
    times = {} if {"cron", "every_ms", "after_ms"} & options.keys() else {"every_ms": MINUTE}
    return ScheduleSpec(name=name, template=template, **{**times, **options})


async def put_one(storage: Storage, name: str = "tick", **options: Any) -> ScheduleStatus:
    """Store a schedule. For the options see `schedule`."""
    (status,) = await storage.put_schedules([schedule(name, **options)])
    return status


async def planned(storage: Storage, name: str = "tick", **options: Any) -> int:
    """Store a schedule, let it be planned, and give its next slot. For the options see `schedule`."""
    await put_one(storage, name, **options)
    await fire_due(storage)
    return await next_of(storage, name)


async def the_schedule(storage: Storage, name: str = "tick") -> ScheduleStatus:
    """A schedule that must be stored, as it stands."""
    (status,) = await storage.get_schedules([name])
    return status


async def next_of(storage: Storage, name: str = "tick") -> int:
    """The next slot of a schedule that must have one."""
    next_ms = (await the_schedule(storage, name)).next_ms
    assert next_ms is not None, f"{name} has no next slot"
    return next_ms


async def fire_due(storage: Storage) -> list[Fired]:
    """Plan and fire all that is due once, as a worker does."""
    due = await storage.due_schedules()
    return [(await storage.fire([plan(status, due.now_ms)]))[0] for status in due.schedules]


def fires(status: ScheduleStatus, *job_ids: str, next_ms: int | None = None, **changes: Any) -> Fire:
    """A fire of the next slot of a schedule, with jobs of these ids; the one after is a minute on if none is said.

    The changes are those of Fire, hence Any.
    """
    slot_ms = status.next_ms or 0
    told: dict[str, Any] = {
        "name": status.name,
        "revision": status.revision,
        "slot_ms": status.next_ms,
        "jobs": tuple(job_of(status.spec.template, job_id) for job_id in job_ids),
        "passed_ms": slot_ms,
        "next_ms": slot_ms + MINUTE if next_ms is None else next_ms,
    }
    return Fire(**{**told, **changes})
