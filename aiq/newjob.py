"""A task with its arguments, on the way to a storage."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Generic, Literal, NoReturn, TypeVar, Unpack

import msgspec
from msgspec.structs import replace as with_fields

from aiq.errors import InvalidInput
from aiq.model import Band, BudgetSpec, Estimate, JobRecord, JobSpec, RouteSpec
from aiq.model.making import maker
from aiq.options import Chosen, JobOptions, plain
from aiq.policy import Budget, Limit, Route, limit_name
from aiq.rules.arguments import Arguments
from aiq.rules.writing import Output, canonical, digest

if TYPE_CHECKING:
    from aiq.task import Task

__all__ = ["ALONE", "JobOptions", "NewJob", "Place", "all_using", "specs_of"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


def _refuse_output(output: Output) -> NoReturn:
    output.refuse()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job stands in a flow. `id_of` tells the id of the job that an output belongs to; `tenant` and
    `band` are the flow's, for jobs that say nothing themselves, and all of them draw from its `budget`."""

    flow: str | None = None
    depends_on: tuple[str, ...] = ()
    on_upstream: Literal["fail", "continue"] = "fail"
    id_of: Callable[[Output], str] = _refuse_output
    tenant: str | None = None
    band: Band | None = None
    budget: Budget | str | None = None


ALONE: Final = Place()
_NOTHING: Final = Chosen()
_OWN: Final = ("id", "payload", "digest", "estimate", "budgets", "creates")
_SHARED: Final = [field.name for field in fields(JobSpec) if field.name not in _OWN]
_spec: Final = maker(JobSpec, (*_OWN, *_SHARED))


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
    chosen: Chosen = _NOTHING
    said: Chosen | None = None
    """What its producer chose, where a middleware has added to it; None where none has."""

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
        return replace(self, chosen=self.chosen.using(options)) if options else self

    def adding(self, options: JobOptions) -> "NewJob[R_co]":
        """The same job as a middleware hands it on: still of the content that its producer gave it.

        Raises:
            InvalidInput: as for `using`, or an id, which is the producer's to choose.
        """
        if "id" in options:
            raise InvalidInput("A middleware cannot choose the id of a job, by which its producer finds it again.")
        return replace(self, chosen=self.chosen.using(options), said=self.said or self.chosen)

    @property
    def limits(self) -> tuple[Limit | str, ...]:
        """The limits that it takes on every route: its own, else those of its task."""
        return _first(self.chosen.limits, self.task.limits)

    @property
    def routes(self) -> tuple[Route, ...]:
        """The ways in which it can be done: its own, else those of its task."""
        return _first(self.chosen.routes, self.task.routes)

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

        A child inherits its parent's tenant, band and flow, the budgets that it draws from, and begins with the route
        of the same name if it has one. What `using` says of it wins, but a budget of its own comes before the others
        and only narrows them, as its own deadline does, which the storage compares with its parent's; its task's own
        band does not count, so that an urgent parent never waits for work that nobody hurries.
        It is kept as long as its parent, unless it says otherwise.

        Raises:
            FlowInvalid: it uses the output of a node, and has no place in a flow.
            InvalidInput: the estimate of its task fails, or what is said of a unique key does not go together.
        """
        chosen, task, own_id = self.chosen, self.task, _first(self.chosen.id, job_id)
        payload = self.arguments.envelope(place.id_of)
        own_budgets = _own_budgets(chosen, own_id, place)
        inherited = parent.budgets if parent else ()
        return JobSpec(
            id=own_id,
            task=task.name,
            queue=_first(chosen.queue, task.queue, queue_default),
            payload=payload,
            digest=digest(_content_of(self, place)),
            band=_first(chosen.band, parent.band if parent else None, place.band, task.band, Band.NORMAL),
            delay_ms=_first(chosen.debounce_ms, chosen.delay_ms, 0),
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
            key=chosen.key,
            # Who names a key wants its jobs in order; who wants limits by key alone says so.
            per_key=_first(chosen.per_key, 0 if chosen.key is None else 1),
            while_parked=_first(chosen.while_parked, "hold"),
            limits=tuple(map(limit_name, self.limits)),
            routes=_routes_of(self, parent),
            estimate=chosen.estimate or _estimated(self, payload),
            budgets=tuple(dict.fromkeys((*own_budgets, *inherited))),
            creates=tuple(spec for spec in own_budgets.values() if spec is not None),
            max_deferral_ms=_first(chosen.max_deferral_ms, task.max_deferral_ms),
            keep_ms=_said(chosen.keep_ms, parent.keep_ms if parent else None, task.keep_ms),
            expires_ms=chosen.expires_ms,
            deadline_ms=chosen.deadline_ms,
            unique=chosen.unique,
            unique_for_ms=chosen.unique_for_ms,
            on_unique=chosen.on_unique,
            on_parent=_first(chosen.on_parent, "cancel"),
        )


def all_using(jobs: Iterable[NewJob[R_co]], options: JobOptions) -> list[NewJob[R_co]]:
    """As `NewJob.using` of each. The options are read once for all of which nothing else was said.

    Raises:
        InvalidInput: an option that does not exist, or a value out of its range.
    """
    if not options:
        return list(jobs)
    found: list[NewJob[R_co]] = []
    before = after = None
    for job in jobs:
        if after is None or job.chosen is not before:
            before, after = job.chosen, job.chosen.using(options)
        found.append(replace(job, chosen=after))
    return found


def specs_of(jobs: Iterable[NewJob[object]], ids: Iterable[str], *, queue_default: str) -> list[JobSpec]:
    """What a storage is handed of jobs that stand alone, as `NewJob.spec` makes it of each.

    Those of one task of which the same was said differ in their ids and arguments, and what follows from these: what
    the task estimates, and the id of a budget of the job's own. All else is worked out for the first of them, which
    takes longer than to write it down again.
    """
    specs: list[JobSpec] = []
    mould: _Mould | None = None
    for job, job_id in zip(jobs, ids, strict=True):
        if mould is not None and mould.fits(job):
            specs.append(mould.spec(job, job_id))
        else:
            specs.append(job.spec(job_id=job_id, queue_default=queue_default))
            mould = _Mould(job, specs[-1])
    return specs


class _Mould:
    """What the jobs of one task have in common of which the same was said."""

    def __init__(self, job: NewJob[object], made: JobSpec) -> None:
        self._serves = job.chosen.id is None
        self._job, self._made = job, made

    def fits(self, job: NewJob[object]) -> bool:
        """Whether a job has the same in common."""
        first = self._job
        return self._serves and job.task is first.task and job.chosen is first.chosen and job.said is first.said

    def spec(self, job: NewJob[object], job_id: str) -> JobSpec:
        """What a storage is handed of a job that fits."""
        before, after = self._around
        payload = job.arguments.envelope(ALONE.id_of)
        digest = sha256(before + job.arguments.canonical + after).hexdigest()
        estimate = job.chosen.estimate or _estimated(job, payload)
        return _spec(job_id, payload, digest, estimate, *self._budgets(job_id), *self._shared)

    def _budgets(self, job_id: str) -> tuple[tuple[str, ...], tuple[BudgetSpec, ...]]:
        """The budgets that a job draws from, and those that come with it."""
        made = self._made
        if not made.creates or made.creates[0].id != _own_id(made.id):
            return made.budgets, made.creates
        # It has no other: what else a job draws from comes from a parent or a flow.
        own = _own_id(job_id)
        return (own,), (with_fields(made.creates[0], id=own),)

    # Only when a second job fits: where none does, this would be work for nothing.
    @cached_property
    def _around(self) -> tuple[bytes, bytes]:
        """What a digest is made of, before the arguments of a job and after them."""
        name, _, *others = _content_of(self._job, ALONE)
        return canonical([name])[:-1] + b",", b"," + canonical(others)[1:]

    @cached_property
    def _shared(self) -> list[object]:
        return [getattr(self._made, name) for name in _SHARED]


def _estimated(job: NewJob[object], payload: bytes) -> Estimate | None:
    """What its task says that it needs. With the output of another job among its arguments nobody can tell yet."""
    return None if job.arguments.places else job.task.estimated(payload)


def _said(*values: T | None) -> T | None:
    """The first of some values that anybody said, if any."""
    return next((value for value in values if value is not None), None)


def _first(*values: T | None) -> T:
    for value in values:
        if value is not None:
            return value
    raise AssertionError("the last one is never None")


def _routes_of(job: NewJob[object], parent: JobRecord | None) -> tuple[RouteSpec, ...]:
    """The routes in the order in which the job goes round them, the first being that on which its parent stands."""
    routes = tuple(route.spec(common=job.limits) for route in job.routes)
    if parent is None or not parent.routes:
        return routes
    name = parent.routes[parent.route].name
    start = next((place for place, route in enumerate(routes) if route.name == name), 0)
    return routes[start:] + routes[:start]


def _own_id(job_id: str) -> str:
    """Of the budget that comes with a job."""
    return f"job:{job_id}"


def _own_budgets(chosen: Chosen, job_id: str, place: Place) -> dict[str, BudgetSpec | None]:
    """The budgets that come with a job, by id, nearest first; None for one that is stored already."""
    found: dict[str, BudgetSpec | None] = {}
    if chosen.budget is None and place.budget is None:
        return found
    for budget, own_id in ((chosen.budget, _own_id(job_id)), (place.budget, f"flow:{place.flow}")):
        if isinstance(budget, Budget):
            spec = budget.spec(own_id)
            found.setdefault(spec.id, spec)
        elif budget is not None:
            found.setdefault(budget, None)
    return found


def _content_of(job: NewJob[object], place: Place) -> list[object]:
    """All that was said of this job, for its digest: task, arguments, options, place in a flow.

    What its task says of all its jobs does not count, nor what is inherited, nor what a middleware adds: else a deploy
    that changes a lease would make another job of every child that a parked parent is waiting for.
    """
    outputs = [(path, place.id_of(output)) for path, output in job.arguments.places]
    where: list[object] = [place.flow, place.depends_on, place.on_upstream, place.tenant, place.band]
    if place.budget is not None:
        where.append(plain(place.budget))
    told = (job.said or job.chosen).told()
    return [job.task.name, msgspec.Raw(job.arguments.canonical), told, outputs, where]
