"""What was used and what happened, by minute."""

from datetime import datetime

from aiq.admin.room import Room
from aiq.errors import InvalidInput
from aiq.flow import FlowRun
from aiq.job import Job
from aiq.model import MinuteFilter, MinuteRow, UsageFilter
from aiq.policy import instant_ms
from aiq.reports import UsageReport, UseRow


class UsageAdmin(Room):
    """The part of `Admin` that is about use and metrics."""

    async def usage(
        self,
        *,
        job: Job[object] | str | None = None,
        flow: FlowRun | str | None = None,
        tenant: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> UsageReport:
        """What one job, flow or tenant has used, or all of them, in the minutes from `since` and up to `until`.

        The whole answer is read, a row for each minute, model and category: ask for a part of a long time.

        Raises:
            InvalidInput: more than one of job, flow and tenant, or an instant without a time zone.
        """
        if sum(one is not None for one in (job, flow, tenant)) > 1:
            raise InvalidInput("Ask for the use of one job, one flow or one tenant; or of none of them, for all.")
        query = UsageFilter(
            job_id=job.id if isinstance(job, Job) else job,
            flow=flow.id if isinstance(flow, FlowRun) else flow,
            tenant=tenant,
            since_ms=None if since is None else instant_ms("since", since),
            until_ms=None if until is None else instant_ms("until", until),
        )
        page = await self._storage.usage(query)
        rows = [UseRow.of(row) for row in page.rows]
        while page.cursor is not None:
            page = await self._storage.usage(query, cursor=page.cursor)
            rows += map(UseRow.of, page.rows)
        return UsageReport(tuple(rows))

    async def metrics(
        self, *, queue: str | None = None, task: str | None = None, since: datetime | None = None
    ) -> list[MinuteRow]:
        """What happened by minute, queue and task: how many jobs were enqueued, started and ended, how long they waited
        and ran, tokens and cost. A minute in which nothing happened has no row. No job is read for it.
        """
        since_ms = None if since is None else instant_ms("since", since)
        query = MinuteFilter(queue=queue, task=task, since_ms=since_ms)
        page = await self._storage.metrics(query)
        rows = [*page.rows]
        while page.cursor is not None:
            page = await self._storage.metrics(query, cursor=page.cursor)
            rows += page.rows
        return rows
