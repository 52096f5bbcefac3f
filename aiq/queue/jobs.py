"""The jobs that are stored: finding and following them, and changing what waits."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar, overload

from aiq.bounds import MAX_PAGE
from aiq.errors import InvalidInput, NotFound
from aiq.happening import events
from aiq.job import Job, fresh_id, plain_json, until_known
from aiq.misuse import check_job, ids_of
from aiq.model import Band, CancelAnswer, Content, Edit, Event, JobFilter, JobRecord, Page, State, Why
from aiq.needs import parts
from aiq.newjob import NewJob
from aiq.policy import BandName, Duration, band_of, duration_ms, instant_ms
from aiq.queue.line import Line
from aiq.rules.validation import check_opaque
from aiq.storage import all_records
from aiq.task import Task

R = TypeVar("R")


class StoredJobs(Line):
    """The part of `Queue` that is about jobs that are stored."""

    @overload
    def job(self, id: str, task: Task[..., R]) -> Job[R]: ...
    @overload
    def job(self, id: str, task: None = None) -> Job[object]: ...
    def job(self, id: str, task: Task[..., object] | None = None) -> Job[object]:
        """The handle of a stored job. With its task the result is typed, without it is plain JSON.

        Nothing is looked up: a handle of a job that is not there raises when it is used.
        """
        check_opaque("job id", id)
        return Job(self.storage, id, plain_json if task is None else task.decode_result)

    async def count(self, query: JobFilter | None = None) -> Mapping[State, int]:
        """How many of this queue's jobs, or of those that `query` asks for in all queues, stand in each state; a state
        without jobs may be missing. With a query all that it finds is read, a page at a time: ask for a small part."""
        if query is None:
            return (await self.storage.count(self.name)).get(self.name, {})
        counts: Counter[State] = Counter()
        cursor: str | None = None
        while True:
            page = await self.storage.list(query, cursor=cursor)
            counts.update(record.state for record in page.jobs)
            cursor = page.cursor
            if cursor is None:
                return dict(counts)

    async def events(self, after: str | None = None, *, follow: bool = True) -> AsyncIterator[Event]:
        """Follow what happens to the jobs of all queues of this storage, from the oldest event that is kept or from
        behind a cursor on; with `after="now"` only what happens from now on. With `follow=False` it ends with what has
        happened.

            async for event in queue.events(after=last):
                print(event.job_id, event.transition, event.target)
                last = event.cursor                             # where to go on after a restart

        Raises:
            EventsLost: the reader fell behind what is kept; nothing is passed over in silence.
            InvalidInput: `after` is no cursor of this storage.
        """
        async for event in events(self.storage, after, follow=follow):
            yield event

    async def cancel(self, ids: Iterable[str | Job[object]], *, force: bool = False) -> list[CancelAnswer]:
        """Cancel any number of jobs of any queue, as `Job.cancel` does one. A missing one answers with state None."""
        answers: list[CancelAnswer] = []
        for batch in parts(ids_of(ids, "cancel([{}])")):
            answers += await self.storage.cancel(batch, force=force)
        return answers

    async def update(
        self,
        id: str,
        job: NewJob[object] | None = None,
        *,
        band: BandName | Band | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
    ) -> JobRecord:
        """Change a job that waits to run: its band, when it may start, or by a `job` of the same task its arguments.

            await queue.update(job.id, band="interactive")
            await queue.update(job.id, summarize.job(corrected), delay=60)

        It keeps its id and its place; of `job` only arguments and estimate count. What is not named stays.

        Raises:
            Conflict("state"): it runs, has ended, or waits for a signal; its arguments stay once it has started, and
                only a job that is scheduled or has not started has a time to start at.
            Conflict("task"): `job` is of another task.
            NotFound: no such job.
            InvalidInput: both `delay` and `at`, or a value out of its range.
        """
        check_opaque("job id", id)
        if delay is not None and at is not None:
            raise InvalidInput("Pass `delay`, counted from now, or `at`, an instant; not both.")
        edit = Edit(
            job_id=id,
            band=None if band is None else band_of(band),
            delay_ms=None if delay is None else duration_ms("delay", delay),
            at_ms=None if at is None else instant_ms("at", at),
            content=None if job is None else _content(job),
        )
        record = (await until_known(partial(self.storage.update, [edit])))[0]
        if record is None:
            raise NotFound(id)
        return record

    async def hold(self, ids: Iterable[str | Job[object]]) -> list[JobRecord | None]:
        """Keep ready jobs from running until `unhold`. The records are as this left them, None for a missing job.

        Raises:
            Conflict("state"): one is neither ready nor held. Of the up to MAX_BATCH jobs around it none was changed.
        """
        records: list[JobRecord | None] = []
        for batch in parts(ids_of(ids, "hold([{}])")):
            records += await all_records(self.storage, batch, await self.storage.hold(batch))
        return records

    async def unhold(self, ids: Iterable[str | Job[object]]) -> list[JobRecord | None]:
        """Let held jobs go, whatever holds them. A budget that still has no room holds its jobs again.

        The records are as this left them, None for a missing job; one that is not held is left alone.
        """
        records: list[JobRecord | None] = []
        for batch in parts(ids_of(ids, "unhold([{}])")):
            records += await all_records(self.storage, batch, await self.storage.unhold(batch))
        return records

    async def explain(self, job: Job[object] | str) -> Why:
        """Say why a job does not run: the one gate it waits for, the figures, and when it may open.

            why = await queue.explain(job)
            print(why.text, why.opens_in)                        # seconds, None where nobody knows

        Raises:
            NotFound: no such job.
        """
        return await self.storage.explain(job.id if isinstance(job, Job) else job)

    # Last, because below it `list` is no more the builtin in annotations of this class.
    async def list(self, query: JobFilter | None = None, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """A page of this queue's jobs, or of whatever `query` asks for, in the order they were enqueued.

        Some thousands of jobs are looked at in one go, until one is found. `cursor` is that of the page before.
        """
        asked = query or JobFilter(queue=self.name)
        page = await self.storage.list(asked, cursor=cursor, limit=limit)
        while not page.jobs and page.cursor is not None:
            page = await self.storage.list(asked, cursor=page.cursor, limit=limit)
        return page


def _content(job: NewJob[object]) -> Content:
    """The arguments of a job as an edit hands them on."""
    check_job(job, "update(id, {})")
    spec = job.spec(job_id=fresh_id())
    return Content(task=spec.task, payload=spec.payload, estimate=spec.estimate)
