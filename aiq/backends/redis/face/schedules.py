"""Schedules in Redis: each operation one call of the script of its name. What is read of cron is read by the caller."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiq.backends.redis.door import Answer, Blobs, Door
from aiq.backends.redis.wire import heard, said
from aiq.bounds import MAX_PAGE, MAX_PAGE_BYTES
from aiq.model import DueSchedules, Fire, Fired, JobSpec, ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import check_fires, check_names, check_run, check_schedules, job_of
from aiq.rules.validation import check_limit


class SchedulesFace(Door):
    """See `aiq.storage.Schedules`."""

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        check_schedules(schedules)
        blobs = Blobs()
        args = {
            "schedules": [{**said(spec), "template": _told(spec.template, blobs)} for spec in schedules],
            "jobs": [said(job_of(spec.template, spec.name)) for spec in schedules],
            "absent_only": absent_only,
        }
        answer = await self._step("put_schedules", args, blobs)
        return [_status(answer, told) for told in answer.value]

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        check_limit(limit)
        check_names(names)
        args = {"names": list(names), "after": after, "limit": limit, "bytes": MAX_PAGE_BYTES}
        answer = await self._step("get_schedules", args)
        return [_status(answer, told) for told in answer.value]

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """See `aiq.storage.Schedules`."""
        check_limit(limit)
        answer = await self._step("due_schedules", {"limit": limit, "bytes": MAX_PAGE_BYTES})
        return DueSchedules(answer.value["now_ms"], tuple(_status(answer, told) for told in answer.value["found"]))

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        """See `aiq.storage.Schedules`."""
        check_fires(fires)
        blobs = Blobs()
        told = [{**said(fire), "jobs": [_told(job, blobs) for job in fire.jobs]} for fire in fires]
        answer = await self._step("fire", {"fires": told}, blobs)
        return [heard(Fired, found, name=fire.name) for fire, found in zip(fires, answer.value, strict=True)]

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """See `aiq.storage.Schedules`."""
        check_run(name, job)
        blobs = Blobs()
        answer = await self._step("run_schedule", {"name": name, "job": _told(job, blobs)}, blobs)
        return heard(Fired, answer.value, name=name)

    async def pause_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        return await self._each("pause_schedules", names)

    async def resume_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        return await self._each("resume_schedules", names)

    async def delete_schedules(self, names: Sequence[str]) -> None:
        """See `aiq.storage.Schedules`."""
        check_names(names)
        await self._step("delete_schedules", {"names": list(names)})

    async def _each(self, name: str, names: Sequence[str]) -> list[ScheduleStatus | None]:
        check_names(names)
        answer = await self._step(name, {"names": list(names)})
        return [_status(answer, told) if told else None for told in answer.value]


def _told(job: JobSpec, blobs: Blobs) -> Mapping[str, Any]:  # Any: what stands in a job
    return {**said(job), "payload": blobs.add(job.payload)}


def _status(answer: Answer, told: Sequence[Any]) -> ScheduleStatus:  # Any: a row as `calendar.tell` gives it
    status, place = told
    template = {**status["spec"]["template"], "payload": answer.blob(place)}
    return heard(ScheduleStatus, {**status, "spec": {**status["spec"], "template": template}})
