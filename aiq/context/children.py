"""Children of a run: starting them once, waiting for them, and reading what became of them."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from aiq.bounds import MAX_DEPENDENCIES
from aiq.context.run import Run
from aiq.context.waits import Waits
from aiq.errors import ChildFailed, Conflict, InvalidInput, ResultGone, StepChanged
from aiq.middleware import EnqueueCall, through
from aiq.model import Enqueued, Failure, JobRecord, JobSpec, State, Step, StepKind, Waiting
from aiq.needs import limits_in, models_in
from aiq.rules.ids import child_id
from aiq.rules.retention import result_of as stored_result
from aiq.rules.validation import check_count

if TYPE_CHECKING:
    from aiq.newjob import NewJob

R = TypeVar("R")


class Children:
    """The children that one run starts, or finds started by an earlier one."""

    def __init__(self, run: Run, waits: Waits) -> None:
        self._run, self._waits = run, waits

    # Any: children may be jobs of tasks of all results.
    def specs(self, key: str, jobs: "Sequence[NewJob[Any]]") -> list[JobSpec]:
        """What the storage is handed. The ids follow from the parent and the key, so that a later run finds them.

        Raises:
            TooLarge: more than MAX_DEPENDENCIES.
            InvalidInput: two of them have one id, so there would be one child where two are waited for.
        """
        check_count("list of children", len(jobs), MAX_DEPENDENCIES)
        parent, queue = self._run.record, self._run.default_queue
        specs = [
            job.spec(
                job_id=child_id(parent.id, key, index),
                queue_default=queue,
                parent=parent,
                child_of=key,
            )
            for index, job in enumerate(jobs)
        ]
        twice = [job_id for job_id, uses in Counter(spec.id for spec in specs).items() if uses > 1]
        if twice:
            raise InvalidInput(f"More than one child has the id {twice[0]!r}. Give each its own: job.using(id=…).")
        return specs

    # Any: as above.
    async def over(self, waiting: Waiting, jobs: "Sequence[NewJob[Any]]", specs: Sequence[JobSpec]) -> Step:
        """Start the children unless an earlier run did, and wait for them.

        Raises:
            ChildFailed: one ended badly and the wait was for all, or too many did.
            StepChanged: an earlier run started others.
            Conflict("parent"): a job of this id stands elsewhere, so it cannot be a child of this run.
        """
        if waiting.key not in self._run.steps:
            try:
                await self._start(waiting.key, jobs, specs)
            except Conflict as error:
                if error.reason == "content":
                    raise StepChanged(waiting.key) from error
                raise
        step = await self._waits.over(waiting, StepKind.CHILDREN, StepKind.CHILD_FAILED)
        if step.kind is StepKind.CHILD_FAILED:
            failed = step.value.decode()
            record = (await self._run.jobs([failed]))[0]
            raise ChildFailed(failed, _error_text(record))
        return step

    # Any: as above.
    async def _start(self, key: str, jobs: "Sequence[NewJob[Any]]", specs: Sequence[JobSpec]) -> None:
        """Store the children, as the middleware of the queue hands them on. Their content is what the run has said."""
        run = self._run

        async def put(handed: "Sequence[NewJob[object]]") -> list[Enqueued]:
            told = self.specs(key, handed) if run.middleware else specs
            await run.bring(limits_in(*handed), models_in(told))
            return await run.spawn(told)

        await through(run.middleware, EnqueueCall(tuple(jobs), parent=run.record), put)

    async def records(self, key: str, specs: Sequence[JobSpec]) -> list[JobRecord]:
        """The children as they are stored, which must be those that this run would start.

        Raises:
            StepChanged: they are not.
            ResultGone: one is not stored.
        """
        found: list[JobRecord] = []
        for spec, record in zip(specs, await self._run.jobs([spec.id for spec in specs]), strict=True):
            if record is None:
                raise ResultGone(spec.id)
            if record.digest != spec.digest:
                raise StepChanged(key)
            found.append(record)
        return found


def result_of(job: "NewJob[R]", record: JobRecord) -> R | Failure:
    """What a child returned, or how it ended badly."""
    if record.state is State.SUCCEEDED:
        return job.task.decode_result(stored_result(record))
    return Failure.of(record)


def _error_text(record: JobRecord | None) -> str:
    if record is None:
        return "it is not stored"
    error = record.last_error
    return f"{error.type}: {error.message}" if error else f"it is {record.state}"
