"""What producers hold: it hands jobs to a storage, and gives their handles back."""

import copy
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, Unpack

from aiq.admin import Admin
from aiq.asking import OnTimeout, Question
from aiq.codecs import Codec, check_codecs
from aiq.coded import sealed
from aiq.errors import InvalidInput, Misconfigured, PartlyEnqueued, Unavailable
from aiq.flow import Flow, FlowRun
from aiq.job import Job, fresh_id, until_known
from aiq.middleware import EnqueueCall, EnqueueMiddleware, middleware_of, through
from aiq.misuse import check_job, check_word, jobs_of
from aiq.model import Band, Capability, Enqueued, JobSpec
from aiq.needs import Named, limits_in, models_in
from aiq.newjob import JobOptions, NewJob, Place, all_using, specs_of
from aiq.policy import BandName, Budget, Duration, band_of, budget_of
from aiq.queue.jobs import StoredJobs
from aiq.queue.line import Door
from aiq.queue.within import Wake, Within
from aiq.rules.validation import check_name, check_opaque, check_specs
from aiq.storage import Storage
from aiq.storing import Patience, store, store_all, store_flow
from aiq.task import Task

R = TypeVar("R")


class Queue(StoredJobs):
    """A named line in a storage, opened by a URL or handed in open.

        async with aiq.Queue("sqlite:///jobs.db") as queue:
            job = await queue.enqueue(summarize.job(document), band="interactive")
            print(await job.result(timeout=60))
            await queue["bulk"].enqueue_many(summarize.job(d) for d in documents)
            answer = await queue.ask(classify.job(text), timeout=5)

    A job goes to the queue that `using(queue=…)` names, else to its task's own, else to this one. Errors of the
    storage come through as they are. A call whose outcome is unknown is repeated with the same ids, twice.

    All jobs that are enqueued through it, and the children of those that a worker made of it runs, go through its
    `middleware`, the first of which is the outermost.

    `codecs` change payloads, results, steps, signals and chunks on their way to the storage and back, in the order
    given: `codecs=[aiq.Zlib(), aiq.AESGCM(keys={"k1": key}, current="k1")]`. A worker takes those of its queue; every
    process that reads the same jobs needs them.

    Raises:
        InvalidName: the name is outside the alphabet.
        Misconfigured: on entering: no storage can be opened at this URL.
    """

    def __init__(
        self,
        storage: str | Storage,
        name: str = "default",
        *,
        codecs: Sequence[Codec] = (),
        middleware: Iterable[EnqueueMiddleware] = (),
    ) -> None:
        check_name("queue", name)
        self.middleware = middleware_of(middleware, "Queue(url, middleware=[stamp])")
        super().__init__(name, Door(storage, check_codecs(codecs)))

    def __getitem__(self, name: str) -> "Queue":
        """Another line in the same storage; it needs no opening of its own."""
        check_name("queue", name)
        sister = copy.copy(self)
        sister.name = name
        return sister

    @property
    def admin(self) -> Admin:
        """Limits, budgets, prices, use, tenants and queues, for those who operate them.

        Raises:
            InvalidInput: the queue is not open.
        """
        return Admin(self.storage, self.name)

    async def enqueue(self, job: NewJob[R], *, wait: Duration | None = None, **options: Unpack[JobOptions]) -> Job[R]:
        """Store a job, and return its handle. When this has returned, the job will run. ENQ-1

        What others of this process enqueue meanwhile travels together, in one step of the storage.

        `options` are those of `NewJob.using`, and win over what the job says itself. Limits that it brings with it, and
        default prices of its models, are stored before it, where they are absent. `wait` is how long to wait for room
        in a queue that holds as many jobs as it may.

        Raises:
            Conflict("content"): the id is stored with another content.
            InvalidInput: an option or a size is out of range, or what was passed is no job.
            QueueFull: the queue is full, and stayed so.
            UnknownLimit, NeverFits, PriceUnknown: the job could never run as it is; nothing was stored.
            NotFound: a budget that it names is not stored.
            Unavailable: a note says under which id to repeat the call.
        """
        check_job(job, "enqueue({})")
        # Whoever leaves the queue meanwhile has his jobs stored first, and their handles are good.
        storage, gathering = self.storage, self._door.gathering
        patience = Patience(wait)
        chosen = job.using(**options)
        job_id = chosen.chosen.id or fresh_id()

        async def put(jobs: Sequence[NewJob[object]]) -> list[Enqueued]:
            specs = [one.spec(job_id=job_id, queue_default=self.name) for one in jobs]
            await self._meet(jobs, specs)
            return await store(storage, await sealed(storage, specs), patience, gathering)

        try:
            answer = (await through(self.middleware, EnqueueCall((chosen,)), put))[0]
        except Unavailable as error:
            error.add_note(f"To repeat it without storing the job twice: enqueue(job, id={job_id!r}).")
            raise
        return _handle(storage, answer, job.task)

    async def enqueue_many(
        self, jobs: Iterable[NewJob[R]], *, wait: Duration | None = None, **options: Unpack[JobOptions]
    ) -> list[Job[R]]:
        """Store any number of jobs, in batches of at most MAX_BATCH, each batch whole or not at all.

        All are checked before the first is stored. The handles come in the order of the jobs. With `wait` as for
        `enqueue` the batches become as small as the room that there is.

        Raises:
            PartlyEnqueued: a batch failed after others were stored, or nobody knows; it says what is stored.
            InvalidInput, StorageError: nothing was stored.
        """
        patience = Patience(wait)
        if "id" in options:
            raise InvalidInput("One id cannot be that of many jobs. Give each its own: job.using(id=…).")
        chosen = all_using(jobs_of(jobs, "enqueue_many([{}])"), options)
        ids = [fresh_id() for _ in chosen]

        async def put(handed: Sequence[NewJob[object]]) -> list[Enqueued]:
            specs = await sealed(self.storage, specs_of(handed, ids, queue_default=self.name))
            check_specs(specs)
            await self._meet(handed, specs)
            return await store_all(self.storage, specs, patience)

        answers = await through(self.middleware, EnqueueCall(tuple(chosen)), put)
        return [_handle(self.storage, answer, job.task) for job, answer in zip(chosen, answers, strict=True)]

    async def run(
        self,
        flow: Flow,
        *,
        id: str | None = None,
        tenant: str | None = None,
        band: BandName | Band | None = None,
        budget: Budget | str | None = None,
        wait: Duration | None = None,
    ) -> FlowRun:
        """Store a flow, all its jobs or none.

        One that a single step cannot hold, of more than MAX_BATCH jobs, is stored in several, and nothing of it runs
        before all is there: its jobs wait for one more, of the task `aiq.open`. If storing breaks off, run it again
        with its `id` within an hour, and it goes on; else it is cancelled.

        With an `id` of your own, running the same flow again finds the same jobs. `tenant` and `band` are for
        those jobs that say nothing themselves; `budget` takes the place of the flow's own. `wait` is as for `enqueue`.

        Raises:
            FlowInvalid: the flow is empty, or has more than MAX_FLOW jobs.
            Conflict("content"): the id is stored with another flow.
            Conflict("abandoned"): the flow was not stored whole within an hour, and is cancelled.
            QueueFull, UnknownLimit, NeverFits, PriceUnknown, NotFound: as for `enqueue`.
            Unavailable, PartlyEnqueued: a note says under which id to repeat the call.
        """
        if id is not None:
            check_opaque("flow", id)
        if tenant is not None:
            check_opaque("tenant", tenant)
        patience = Patience(wait)
        flow_id = f"{flow.name}:{fresh_id()}" if id is None else id
        common = Place(
            tenant=tenant,
            band=None if band is None else band_of(band),
            budget=None if budget is None else budget_of(budget),
        )

        async def put(jobs: Sequence[NewJob[object]]) -> list[Enqueued]:
            specs = flow.specs(flow_id, queue_default=self.name, common=common, jobs=jobs)
            await self._meet(jobs, specs)
            return await store_flow(self.storage, flow_id, await sealed(self.storage, specs), patience)

        try:
            call = EnqueueCall(tuple(node.job for node in flow.nodes), flow=flow_id)
            answers = await through(self.middleware, call, put)
        except (Unavailable, PartlyEnqueued) as error:
            error.add_note(f"To repeat it without storing the flow twice: run(flow, id={flow_id!r}).")
            raise
        ids = tuple(answer.job_id for answer in answers)
        return FlowRun(flow_id, flow, ids, all(answer.existed for answer in answers), self.storage)

    async def ask(self, job: NewJob[R], timeout: Duration | None = None, *, on_timeout: OnTimeout = "leave") -> R:
        """Enqueue a job and wait for its result; the time counts from this call. None waits for ever, 0 only looks.

        There is one outcome, whatever happens meanwhile: if its worker dies it is that of the next run, and a storage
        that does not answer is asked again while there is time. With on_timeout="cancel" a job that comes too late is
        told to stop, unless it was there before (`Job.existed`); what it came to before the cancel still counts.

        Raises:
            ResultTimeout: it had not ended in time. `job_id` of the error finds it again.
            JobDead, JobCancelled, …: as `Job.result` and `enqueue`.
        """
        check_job(job, "ask({})")
        check_word("on_timeout", on_timeout, "leave", "cancel")
        job_id = job.chosen.id or fresh_id()
        question = Question(self.storage, job_id, timeout, on_timeout)
        return await question.answer(lambda: self.enqueue(job, id=job_id), ours=job.chosen.id is None)

    def within(self, connection: Any, *, wake: Wake = "poll") -> Within:
        """Enqueue within a transaction of your own, so that a job is stored if and only if that is committed.

            async with connection.transaction():           # of asyncpg; psycopg, SQLAlchemy, sqlite3, aiosqlite too
                await connection.execute("INSERT INTO orders …")
                job = await queue.within(connection).enqueue(ship.job(order))

        The connection leads to the database that the storage is in, as a user who may insert into its `aiq_inbox`.
        With wake="poll" a worker sees the job a second after the commit at the latest; "notify" tells workers at once,
        and makes the commits of a Postgres server that do so wait for each other.

        Raises:
            Misconfigured: jobs of this storage cannot be left in a transaction: it is not in a database of SQL.
            InvalidInput: it is a connection of no driver that is known, or in no transaction.
        """
        if Capability.TRANSACTIONAL_ENQUEUE not in self.storage.capabilities:
            raise Misconfigured(f"{self.storage.url} has no transactions of its callers. Use PostgreSQL or SQLite.")
        return Within(self.storage, self.name, self.middleware, self._meet, connection, wake)

    async def pause(self) -> None:
        """Let no worker start a job of this queue from now on. Those that run go on."""
        await self.storage.pause(self.name)

    async def resume(self) -> None:
        """Undo `pause`."""
        await self.storage.resume(self.name)

    async def pause_key(self, key: str) -> None:
        """Let no worker start an ordered job of a key of this queue from now on. Those that run go on."""
        check_opaque("key", key)
        await self.storage.pause_key(self.name, key)

    async def resume_key(self, key: str) -> None:
        """Undo `pause_key`."""
        check_opaque("key", key)
        await self.storage.resume_key(self.name, key)

    async def prepare(self, tasks: Iterable[Named]) -> None:
        """Store the limits that tasks name, and default prices of the models of their routes, where they are absent.

        A worker does this when it starts, and `enqueue` for the jobs that it is given.

        Raises:
            Conflict("by"): a limit is stored with another `by`.
        """
        named = list(tasks)
        limits, models = list(limits_in(*named)), {route.model for one in named for route in one.routes}
        await until_known(partial(self._door.needs.meet, self.storage, limits, models))
        if limits:
            await self._door.needs.look_ahead()

    async def _meet(self, named: Sequence[Named], specs: Sequence[JobSpec]) -> None:
        limits, models = list(limits_in(*named)), list(models_in(specs))
        await until_known(partial(self._door.needs.meet, self.storage, limits, models))


def _handle(storage: Storage, answer: Enqueued, task: Task[..., R]) -> Job[R]:
    """The handle of a job that was enqueued, or of the one that was found in its place."""
    gone = answer.state if answer.gone else None
    return Job(storage, answer.job_id, task.decode_result, existed=answer.existed, found_by=answer.by, gone=gone)
