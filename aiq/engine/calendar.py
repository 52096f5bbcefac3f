"""Fires schedules: plans what is due, and has the storage do it. Any worker does, since each slot is fired once."""

import logging
from collections.abc import Collection
from typing import Final

from aiq.errors import Conflict, InvalidInput, NotFound, QueueFull, Unavailable
from aiq.model import ScheduleStatus
from aiq.rules.slots import plan, without_jobs
from aiq.storage import Schedules

_log = logging.getLogger("aiq.schedules")

AT_ONCE: Final = 64
"""Schedules that are read in one go. Each is fired by a call of its own, so that one that is refused stops no other."""


class Calendar:
    """Plans and fires what is due in a storage."""

    def __init__(self, storage: Schedules) -> None:
        self._storage = storage
        self._unreadable: set[tuple[str, int]] = set()

    async def fire_due(self, count: int = 0) -> int:
        """Plan or fire some of the schedules that are due, and say how many; those that others have fired count too.

        `count` is how many are due, as upkeep told it.

        Raises:
            StorageError: the storage does not answer, or is beyond repair.
        """
        due = await self._storage.due_schedules(AT_ONCE)
        done = sum([await self._fire(status, due.now_ms) for status in due.schedules])
        if done or count <= len(due.schedules):
            return done
        return await self._fire_behind({status.name for status in due.schedules}, due.now_ms)

    async def _fire_behind(self, left: Collection[str], now_ms: int) -> int:
        """Fire what is due and not among those that were left: these stay first in line, and may fill every page."""
        done, after = 0, ""
        while page := await self._storage.get_schedules(after=after):
            due = [one for one in page if one.due_ms is not None and one.due_ms <= now_ms and one.name not in left]
            done += sum([await self._fire(status, now_ms) for status in due])
            after = page[-1].name
        return done

    async def _fire(self, status: ScheduleStatus, now_ms: int) -> bool:
        try:
            told = plan(status, now_ms)
        except (InvalidInput, Unavailable) as error:
            # Another worker may know the time zone or have the codecs, so the schedule is left to it, or to later.
            self._tell_unreadable(status, error)
            return False
        try:
            (answer,) = await self._storage.fire([told])
        except (Conflict, InvalidInput, NotFound, QueueFull) as error:
            _log.warning('Schedule "%s": a slot is left out, since its job is refused. %s', told.name, error)
            (answer,) = await self._storage.fire([without_jobs(told, str(error))])
        if answer.job_ids and not answer.existed:
            _log.debug('Schedule "%s" made %s.', told.name, ", ".join(answer.job_ids))
        return True

    def _tell_unreadable(self, status: ScheduleStatus, error: Exception) -> None:
        seen = (status.name, status.revision)
        if seen not in self._unreadable:
            self._unreadable.add(seen)
            _log.error("This worker cannot fire a schedule, and leaves it to others. %s", error)
