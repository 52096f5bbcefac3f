"""Schedules of the reference: each operation one transition under the lock."""

from collections.abc import Sequence

from aiq.backends.memory.door import Door
from aiq.backends.memory.fire import fire, run_schedule
from aiq.backends.memory.get_schedules import due_schedules, get_schedules
from aiq.backends.memory.put_schedules import delete_schedules, pause_schedules, put_schedules, resume_schedules
from aiq.bounds import MAX_PAGE
from aiq.model import DueSchedules, Fire, Fired, JobSpec, ScheduleSpec, ScheduleStatus


class SchedulesFace(Door):
    """See `aiq.storage.Schedules`."""

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        return await self._run(put_schedules, schedules, absent_only=absent_only)

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[ScheduleStatus]:
        """See `aiq.storage.Schedules`."""
        return await self._look(get_schedules, names, after, limit)

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """See `aiq.storage.Schedules`."""
        return await self._look(due_schedules, limit)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        """See `aiq.storage.Schedules`."""
        return await self._run(fire, fires)

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """See `aiq.storage.Schedules`."""
        return await self._run(run_schedule, name, job)

    async def pause_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        return await self._run(pause_schedules, names)

    async def resume_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """See `aiq.storage.Schedules`."""
        return await self._run(resume_schedules, names)

    async def delete_schedules(self, names: Sequence[str]) -> None:
        """See `aiq.storage.Schedules`."""
        await self._run(delete_schedules, names)
