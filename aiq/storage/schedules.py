"""Jobs that are made again and again."""

from collections.abc import Sequence
from typing import Protocol

from aiq.bounds import MAX_PAGE
from aiq.model import DueSchedules, Fire, Fired, JobSpec, ScheduleSpec, ScheduleStatus


class Schedules(Protocol):
    """Jobs that are made again and again. Which slots there are is computed by callers. Spec: chapter 15."""

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> list[ScheduleStatus]:
        """Store schedules by name, and answer with what stands now. With `absent_only` one that is stored stays as it
        is.

        Raises:
            InvalidInput: a name, a number or a template is refused.
            Conflict, UnknownLimit, NeverFits, PriceUnknown, NotFound: an enqueue would refuse the job of one that is
                new or changes.
        Spec: SCHED-1, SCHED-2, SCHED-3, SCHED-4, SCHED-26, SCHED-27
        """
        ...

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> list[ScheduleStatus]:
        """Read schedules: those named (what is not stored is left out), or all in the order of their names, those
        after `after`. A page may end early, by the bytes of its templates; an empty one ends the list.

        Spec: SCHED-20
        """
        ...

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """Read schedules that have to be planned or fired now, and the store's now. Spec: SCHED-5, SCHED-6"""
        ...

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        """Do what was computed for schedules that are due, each of them once in a call.

        Raises:
            Conflict, QueueFull, UnknownLimit, NeverFits, PriceUnknown, NotFound: a job is refused, as by an enqueue;
                nothing of the call has happened.
            InvalidInput: a fire contradicts itself, or a bound is passed.
        Spec: SCHED-7 to SCHED-15
        """
        ...

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """Make a job of a schedule beside its slots, paused or not.

        Raises:
            NotFound: no schedule of this name is stored.
            Conflict("overlap"): its last job has not ended, and its jobs do not overlap.
            Conflict, QueueFull, UnknownLimit, NeverFits, PriceUnknown, InvalidInput: as by an enqueue.
        Spec: SCHED-18
        """
        ...

    async def pause_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """Fire nothing of these schedules until they are resumed; None where one is not stored. Spec: SCHED-17"""
        ...

    async def resume_schedules(self, names: Sequence[str]) -> list[ScheduleStatus | None]:
        """Undo `pause_schedules`. Spec: SCHED-17"""
        ...

    async def delete_schedules(self, names: Sequence[str]) -> None:
        """Remove schedules, if they are stored. Jobs that they made go on. Spec: SCHED-19"""
        ...
