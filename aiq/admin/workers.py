"""Who works, and whether all is as it should be."""

from collections.abc import Iterable

from aiq.admin.room import Room
from aiq.checkup import checkup
from aiq.differing import InCode, differences
from aiq.model import Fact
from aiq.reports import Difference, WorkerReport
from aiq.storage import every_worker


class WorkerAdmin(Room):
    """The part of `Admin` that is about workers and the health of the storage."""

    async def differences(self, code: Iterable[InCode]) -> list[Difference]:
        """The limits (or those of tasks), budgets, prices and schedules that are stored otherwise than code names them.

        A schedule that is paused, or that runs late, stands as code names it.
        """
        return await differences(self._storage, code, self._queue)

    async def doctor(self, code: Iterable[InCode] = (), *, audit: bool = True) -> list[Fact]:
        """Look at the storage, its workers and queues, and say what is wrong and what to do; `code` as above.

        Reads only, but the audit reads everything.
        """
        return await checkup(self._storage, code, queue=self._queue, audit=audit)

    async def workers(self) -> list[WorkerReport]:
        """Every worker that has told of itself within a day and has not stopped in order, by name."""
        return [WorkerReport.of(status) for status in await every_worker(self._storage)]
