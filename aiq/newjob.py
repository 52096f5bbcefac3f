"""A task with its arguments, on the way to a storage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, TypedDict, TypeVar, Unpack

import msgspec

from aiq.bounds import MAX_ATTEMPTS
from aiq.errors import InvalidInput
from aiq.model import Band, JobRecord, JobSpec
from aiq.policy import BandName, Duration, band_of, duration_ms, instant_ms, lease_ms_of, timeout_ms_of
from aiq.rules.arguments import Arguments
from aiq.rules.validation import check_name, check_opaque, check_range
from aiq.rules.writing import Output, digest

if TYPE_CHECKING:
    from aiq.task import Task

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class JobOptions(TypedDict, total=False):
    """What can be said of one job, apart from its arguments. Durations are seconds, or timedeltas."""

    id: str
    """Enqueueing the same id and content again finds the same job; other content is a Conflict."""
    queue: str
    band: BandName | Band
    delay: Duration
    """The job can be claimed no earlier than this after it was enqueued."""
    at: datetime
    """The job can be claimed no earlier than this; instead of `delay`."""
    tenant: str
    lease: Duration
    """How long a worker may be silent before the job is given to another; renewed while it runs."""
    timeout: Duration
    """How long one run may take before it counts as failed."""
    attempts: int
    """Runs in all, the first included; the waits between them stay those of the task."""
    max_stalls: int
    """Leases that may expire before the job is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Options of one job, checked and in the storage's units. None is not chosen."""

    id: str | None = None
    queue: str | None = None
    band: Band | None = None
    delay_ms: int | None = None
    at_ms: int | None = None
    tenant: str | None = None
    lease_ms: int | None = None
    timeout_ms: int | None = None
    max_attempts: int | None = None
    max_stalls: int | None = None


def _refuse_output(output: Output) -> NoReturn:
    output.refuse()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job stands in a flow. `id_of` tells the id of the job that an output belongs to; `tenant` and
    `band` are the flow's, for jobs that say nothing themselves."""

    flow: str | None = None
    depends_on: tuple[str, ...] = ()
    on_upstream: Literal["fail", "continue"] = "fail"
    id_of: Callable[[Output], str] = _refuse_output
    tenant: str | None = None
    band: Band | None = None


ALONE: Final = Place()


@dataclass(frozen=True, slots=True, repr=False)
class NewJob(Generic[R_co]):
    """A task with arguments, not stored yet. Made by `Task.job`; a value, which can be kept and used twice.

    job = summarize.job(document, style="terse")                 # checked here, against the annotations
    later = job.using(delay=30, band="batch")                    # another value; `job` is as it was
    once = job.using(id=f"summary-{document.id}")                # enqueued twice, it is one job
    handle = await queue.enqueue(once)
    parts = await ctx.gather("parts", [summarize.job(d) for d in documents])   # in a handler
    """

    task: "Task[..., R_co]"
    arguments: Arguments
    chosen: Chosen = Chosen()

    def __repr__(self) -> str:
        # Without the arguments: it finds its way into error texts and logs, where they are nobody's business.
        chosen = {field.name: getattr(self.chosen, field.name) for field in fields(self.chosen)}
        chosen["queue"] = self.chosen.queue or self.task.queue
        told = "".join(f", {name}={value!r}" for name, value in chosen.items() if value is not None)
        return f"<new job of {self.task.name}{told}>"

    def using(self, **options: Unpack[JobOptions]) -> "NewJob[R_co]":
        """The same job with other options; those not named stay. `delay` and `at` replace each other.

        Raises:
            InvalidInput: an option that does not exist, or a value out of its range.
        """
        return replace(self, chosen=_merged(self.chosen, options)) if options else self

    def spec(
        self,
        *,
        job_id: str,
        queue_default: str = "default",
        parent: JobRecord | None = None,
        child_of: str | None = None,
        place: Place = ALONE,
    ) -> JobSpec:
        """What a storage is handed. `job_id` counts unless `using(id=…)` chose one.

        A child inherits its parent's tenant, band and flow; what `using` says of it wins, and its task's own
        band does not, so that an urgent parent never waits for work that nobody hurries.

        Raises:
            FlowInvalid: it uses the output of a node, and has no place in a flow.
        """
        chosen, task = self.chosen, self.task
        return JobSpec(
            id=_first(chosen.id, job_id),
            task=task.name,
            queue=_first(chosen.queue, task.queue, queue_default),
            payload=self.arguments.envelope(place.id_of),
            digest=_digest_of(self, place),
            band=_first(chosen.band, parent.band if parent else None, place.band, task.band, Band.NORMAL),
            delay_ms=_first(chosen.delay_ms, 0),
            at_ms=chosen.at_ms,
            lease_ms=_first(chosen.lease_ms, task.lease_ms),
            timeout_ms=chosen.timeout_ms or task.timeout_ms,
            max_attempts=_first(chosen.max_attempts, task.retry.attempts),
            max_stalls=_first(chosen.max_stalls, task.max_stalls),
            flow=place.flow or (parent.flow if parent else None),
            depends_on=place.depends_on,
            on_upstream=place.on_upstream,
            child_of=child_of,
            tenant=_first(chosen.tenant, parent.tenant if parent else None, place.tenant, ""),
        )


_CHOICES: Final = tuple(field.name for field in fields(Chosen) if field.name != "id")


def _first(*values: T | None) -> T:
    for value in values:
        if value is not None:
            return value
    raise AssertionError("the last one is never None")


def _digest_of(job: NewJob[object], place: Place) -> str:
    """A digest of all that was said of this job: task, arguments, options, place in a flow.

    What its task says of all its jobs does not count, nor what is inherited: else a deploy that changes a lease
    would make another job of every child that a parked parent is waiting for. What was not said is left out, so
    that an option of a later release changes no digest.
    """
    values = ((name, getattr(job.chosen, name)) for name in _CHOICES)
    chosen = {name: value for name, value in values if value is not None}
    outputs = [(path, place.id_of(output)) for path, output in job.arguments.places]
    where = (place.flow, place.depends_on, place.on_upstream, place.tenant, place.band)
    return digest([job.task.name, msgspec.Raw(job.arguments.canonical), chosen, outputs, where])


def _checked(check: Callable[[str, str], None], kind: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        check(kind, text)
        return text

    return read


def _whole(kind: str) -> Callable[[int], int]:
    def read(number: int) -> int:
        check_range(kind, number, 1, MAX_ATTEMPTS)
        return number

    return read


# Any: each option has a type of its own, which JobOptions declares.
_READ: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "id": ("id", _checked(check_opaque, "job id")),
    "queue": ("queue", _checked(check_name, "queue")),
    "band": ("band", band_of),
    "delay": ("delay_ms", lambda value: duration_ms("delay", value)),
    "at": ("at_ms", lambda value: instant_ms("at", value)),
    "tenant": ("tenant", _checked(check_opaque, "tenant")),
    "lease": ("lease_ms", lease_ms_of),
    "timeout": ("timeout_ms", timeout_ms_of),
    "attempts": ("max_attempts", _whole("number of attempts")),
    "max_stalls": ("max_stalls", _whole("number of stalls")),
}


def _merged(chosen: Chosen, options: JobOptions) -> Chosen:
    unknown = sorted(options.keys() - _READ.keys())
    if unknown:
        raise InvalidInput(f"There is no option {unknown[0]!r} of a job. There are: {', '.join(_READ)}.")
    if "delay" in options and "at" in options:
        raise InvalidInput("Pass `delay`, counted from the enqueue, or `at`, an instant; not both.")
    new: dict[str, Any] = {_READ[name][0]: _READ[name][1](value) for name, value in options.items()}
    if "delay_ms" in new:
        new["at_ms"] = None
    if "at_ms" in new and new["at_ms"] is not None:
        new["delay_ms"] = None
    return replace(chosen, **new)
