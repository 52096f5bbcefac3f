"""The queue: what producers hold. It opens a storage, hands jobs to it, and gives their handles back."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar, Unpack, overload

import msgspec

from aiq.bounds import MAX_BATCH, MAX_PAGE
from aiq.errors import InvalidInput, PartlyEnqueued, StorageError, Unavailable
from aiq.flow import Flow, FlowRun
from aiq.job import Job, fresh_id, until_known
from aiq.misuse import check_job, jobs_of
from aiq.model import Band, CancelAnswer, Enqueued, JobFilter, JobSpec, Page, State
from aiq.newjob import JobOptions, NewJob
from aiq.policy import BandName, Duration, band_of
from aiq.rules.batches import batches
from aiq.rules.validation import check_batch, check_name, check_opaque, check_spec
from aiq.storage import Storage
from aiq.task import Task

R = TypeVar("R")


class _Door:
    """The storage that queues share: opened by the first who enters, closed by the last who leaves.

    A storage that was handed in open stays open.
    """

    def __init__(self, storage: str | Storage) -> None:
        self._url = storage if isinstance(storage, str) else None
        self._storage = None if isinstance(storage, str) else storage
        self._inside = 0

    @property
    def storage(self) -> Storage:
        if self._storage is None:
            raise InvalidInput("The queue is not open. Use it inside `async with aiq.Queue(...) as queue:`.")
        return self._storage

    async def enter(self) -> None:
        if self._storage is None and self._url is not None:
            from aiq.backends import open_storage

            self._storage = await open_storage(self._url)
        self._inside += 1

    async def leave(self) -> None:
        self._inside -= 1
        if self._inside == 0 and self._url is not None and self._storage is not None:
            storage, self._storage = self._storage, None
            await storage.close()


class Queue:
    """A named line in a storage, opened by a URL or handed in open.

        async with aiq.Queue("sqlite:///jobs.db") as queue:
            job = await queue.enqueue(summarize.job(document), band="interactive")
            print(await job.result(timeout=60))
            await queue["bulk"].enqueue_many(summarize.job(d) for d in documents)
            answer = await queue.ask(classify.job(text), timeout=5)

    A job goes to the queue that `using(queue=…)` names, else to its task's own, else to this one. Errors of the
    storage come through as they are. A call whose outcome is unknown is repeated with the same ids, twice.

    Raises:
        InvalidName: the name is outside the alphabet.
        Misconfigured: on entering: no storage can be opened at this URL.
    """

    def __init__(self, storage: str | Storage, name: str = "default") -> None:
        check_name("queue", name)
        self.name = name
        self._door = _Door(storage)

    async def __aenter__(self) -> Self:
        await self._door.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._door.leave()

    def __getitem__(self, name: str) -> "Queue":
        """Another line in the same storage; it needs no opening of its own."""
        check_name("queue", name)
        sister = copy.copy(self)
        sister.name = name
        return sister

    @property
    def storage(self) -> Storage:
        """The open storage.

        Raises:
            InvalidInput: the queue is not open.
        """
        return self._door.storage

    async def enqueue(self, job: NewJob[R], **options: Unpack[JobOptions]) -> Job[R]:
        """Store a job, and return its handle. When this has returned, the job will run. ENQ-1

        `options` are those of `NewJob.using`, and win over what the job says itself.

        Raises:
            Conflict("content"): the id is stored with another content.
            InvalidInput: an option or a size is out of range, or what was passed is no job.
            Unavailable: a note says under which id to repeat the call.
        """
        check_job(job, "enqueue({})")
        chosen = job.using(**options)
        spec = chosen.spec(job_id=fresh_id(), queue_default=self.name)
        try:
            answer = (await self._store([spec]))[0]
        except Unavailable as error:
            error.add_note(f"To repeat it without storing the job twice: enqueue(job, id={spec.id!r}).")
            raise
        return Job(self.storage, answer.job_id, job.task.decode_result, existed=answer.existed)

    async def enqueue_many(self, jobs: Iterable[NewJob[R]], **options: Unpack[JobOptions]) -> list[Job[R]]:
        """Store any number of jobs, in batches of at most MAX_BATCH, each batch whole or not at all.

        All are checked before the first is stored. The handles come in the order of the jobs.

        Raises:
            PartlyEnqueued: a batch failed after others were stored, or nobody knows; it says what is stored.
            InvalidInput, StorageError: nothing was stored.
        """
        if "id" in options:
            raise InvalidInput("One id cannot be that of many jobs. Give each its own: job.using(id=…).")
        chosen = [job.using(**options) for job in jobs_of(jobs, "enqueue_many([{}])")]
        specs = [job.spec(job_id=fresh_id(), queue_default=self.name) for job in chosen]
        for spec in specs:
            check_spec(spec)
        answers = await self._store_all(specs)
        return [
            Job(self.storage, answer.job_id, job.task.decode_result, existed=answer.existed)
            for job, answer in zip(chosen, answers, strict=True)
        ]

    async def run(
        self, flow: Flow, *, id: str | None = None, tenant: str | None = None, band: BandName | Band | None = None
    ) -> FlowRun:
        """Store a flow, all its jobs or none.

        With an `id` of your own, running the same flow again finds the same jobs. `tenant` and `band` are for
        those jobs that say nothing themselves.

        Raises:
            FlowInvalid: the flow is empty, or has more than MAX_BATCH jobs.
            Conflict("content"): the id is stored with another flow.
            Unavailable: a note says under which id to repeat the call.
        """
        if id is not None:
            check_opaque("flow", id)
        if tenant is not None:
            check_opaque("tenant", tenant)
        flow_id = f"{flow.name}:{fresh_id()}" if id is None else id
        chosen_band = None if band is None else band_of(band)
        specs = flow.specs(flow_id, queue_default=self.name, tenant=tenant, band=chosen_band)
        try:
            answers = await self._store(specs)
        except Unavailable as error:
            error.add_note(f"To repeat it without storing the flow twice: run(flow, id={flow_id!r}).")
            raise
        ids = tuple(answer.job_id for answer in answers)
        return FlowRun(flow_id, flow, ids, all(answer.existed for answer in answers), self.storage)

    async def ask(self, job: NewJob[R], timeout: Duration | None = None) -> R:
        """Enqueue a job and wait for its result.

        Raises:
            ResultTimeout: it had not ended in time. It goes on: `job_id` of the error finds it again.
            JobDead, JobCancelled, …: as `Job.result` and `enqueue`.
        """
        check_job(job, "ask({})")
        handle = await self.enqueue(job)
        return await handle.result(timeout)

    @overload
    def job(self, id: str, task: Task[..., R]) -> Job[R]: ...
    @overload
    def job(self, id: str, task: None = None) -> Job[object]: ...
    def job(self, id: str, task: Task[..., object] | None = None) -> Job[object]:
        """The handle of a stored job. With its task the result is typed, without it is plain JSON.

        Nothing is looked up: a handle of a job that is not there raises when it is used.
        """
        check_opaque("job id", id)
        return Job(self.storage, id, msgspec.json.decode if task is None else task.decode_result)

    async def count(self) -> Mapping[State, int]:
        """How many of this queue's jobs stand in each state; a state without jobs may be missing."""
        return (await self.storage.count(self.name)).get(self.name, {})

    async def pause(self) -> None:
        """Let no worker start a job of this queue from now on. Those that run go on."""
        await self.storage.pause(self.name)

    async def resume(self) -> None:
        """Undo `pause`."""
        await self.storage.resume(self.name)

    async def cancel(self, ids: Iterable[str], *, force: bool = False) -> list[CancelAnswer]:
        """Cancel any number of jobs of any queue, as `Job.cancel` does one. A missing one answers with state None."""
        if isinstance(ids, str):
            raise InvalidInput(f"Pass a list of ids: cancel([{ids!r}]). A text alone would be taken letter by letter.")
        answers: list[CancelAnswer] = []
        for batch in _parts(ids):
            answers += await self.storage.cancel(batch, force=force)
        return answers

    async def _store(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        check_batch(specs)
        return await until_known(lambda: self.storage.enqueue(specs))

    async def _store_all(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        answers: list[Enqueued] = []
        for batch in batches(specs):
            try:
                answers += await self._store(batch)
            except StorageError as error:
                known = not (isinstance(error, Unavailable) and error.outcome_unknown)
                if not answers and known:
                    raise
                ids = [spec.id for spec in specs]
                raise PartlyEnqueued(error, ids[: len(answers)], ids[len(answers) :]) from error
        return answers

    # Last, because below it `list` is no more the builtin in annotations of this class.
    async def list(self, query: JobFilter | None = None, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """A page of this queue's jobs, or of whatever `query` asks for, in the order they were enqueued."""
        return await self.storage.list(query or JobFilter(queue=self.name), cursor=cursor, limit=limit)


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while part := list(islice(rest, MAX_BATCH)):
        yield part
