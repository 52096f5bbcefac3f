"""Schedules: checked here, and made one step of the store."""

from collections.abc import Sequence

from aiq.backends.relational.door import Door
from aiq.backends.relational.fire import fire, run_schedule
from aiq.backends.relational.get_schedules import due_schedules, get_schedules
from aiq.backends.relational.put_schedules import delete_schedules, pause_schedules, put_schedules, resume_schedules
from aiq.bounds import MAX_PAGE
from aiq.model import DueSchedules, Fire, Fired, JobSpec, ScheduleSpec, ScheduleStatus
from aiq.rules.schedules import check_fires, check_names, check_run, check_schedules
from aiq.rules.validation import check_limit


class SchedulesFace(Door):
    """See `aiq.storage.Schedules`."""

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        check_schedules(schedules)
        return await self._write(put_schedules, schedules, absent_only=absent_only)

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        check_limit(limit)
        check_names(names)
        return await self._read(get_schedules, names, after, limit)

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """See `aiq.storage.Schedules`."""
        check_limit(limit)
        return await self._read(due_schedules, limit)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        """See `aiq.storage.Schedules`."""
        check_fires(fires)
        return await self._write(fire, fires)

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """See `aiq.storage.Schedules`."""
        check_run(name, job)
        return await self._write(run_schedule, name, job)

    async def pause_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        check_names(names)
        return await self._write(pause_schedules, names)

    async def resume_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        check_names(names)
        return await self._write(resume_schedules, names)

    async def delete_schedules(self, names: Sequence[str]) -> None:
        """See `aiq.storage.Schedules`."""
        check_names(names)
        await self._write(delete_schedules, names)
