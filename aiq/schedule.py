"""Schedules: jobs that are made again and again, as users write them and as operators see them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Final, Generic, Literal, Self, TypeAlias, TypeVar, overload

import msgspec

from aiq.bounds import MAX_AMOUNT, MAX_CATCH_UP, MAX_PAGE, MIN_EVERY_MS
from aiq.errors import InvalidInput, NotFound, Unavailable
from aiq.job import Job, fresh_id, until_known
from aiq.misuse import check_job, check_kind
from aiq.model import Fire, Missed, Overlap, Phase, ScheduleSpec, ScheduleStatus
from aiq.needs import Needs, limits_in, models_in
from aiq.newjob import NewJob
from aiq.policy import Duration, duration_ms, instant_ms, instant_of, whole
from aiq.policy.figures import check_name, word
from aiq.rules.batches import batches
from aiq.rules.coding import check_readable
from aiq.rules.schedules import check_schedule, job_of, says_same
from aiq.rules.slots import check_times, plan, zone_of
from aiq.storage import Storage

__all__ = ["Schedule", "ScheduleAdmin", "ScheduleReport", "schedules_of", "store_schedules", "told_apart"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

OverlapName: TypeAlias = Literal["allow", "skip", "cancel"]
MissedName: TypeAlias = Literal["skip", "latest", "catch_up"]


@dataclass(frozen=True, slots=True, init=False)
class Schedule(Generic[R_co]):
    """A job that is made again and again: at instants of a calendar, at intervals, or after its last run.

        aiq.Schedule("nightly", digest.job("…").using(band="batch"), cron="0 3 * * *", tz="Europe/Berlin")
        aiq.Schedule("poll", fetch.job(), every=30, overlap="skip")
        aiq.Schedule("crawl", crawl.job(), after=timedelta(hours=1))

    `cron` has five fields (minute, hour, day of month, month, day of week), or six with seconds first, read in the time
    zone `tz`. `every` counts from `anchor`, 1970 if not given, so an hour means every full hour, and never drifts.
    `after` counts from the end of the last job, however that ended; the first one is made at once. No slot lies before
    `start`, or at `end` or later; at most `max_fires` are fired.

    When the last job has not ended, the next one is made beside it ("allow"), left out ("skip"), or made while the last
    one is cancelled ("cancel"). A slot is missed once the next one has come, or over a minute late: missed slots are
    left out ("skip"), the last of them is fired ("latest"), or the last `catch_up` of them, 100 if not said
    ("catch_up"). The job may have any option but `id`, `at`, `on_parent`, and an instant for `expires`.

    Raises:
        InvalidName: the name is outside the alphabet.
        InvalidInput: it says when in none or several ways, a number is out of its bounds, an expression or a time zone
            means nothing, or the job has an option that fits one job at most.
        TooLarge: the arguments of the job are over MAX_PAYLOAD_BYTES.
    """

    job: NewJob[R_co]
    times: ScheduleSpec

    def __init__(
        self,
        name: str,
        job: NewJob[R_co],
        *,
        cron: str | None = None,
        tz: str = "UTC",
        every: Duration | None = None,
        anchor: datetime | None = None,
        after: Duration | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        max_fires: int | None = None,
        overlap: OverlapName | Overlap = "allow",
        missed: MissedName | Missed = "skip",
        catch_up: int | None = None,
        paused: bool = False,
    ) -> None:
        check_name("schedule", name)
        check_job(job, f'Schedule("{name}", {{}}, every=60)')
        kind = f'of schedule "{name}"'
        policy = word(f"missed {kind}", missed, Missed)
        if catch_up is not None and policy is not Missed.CATCH_UP:
            raise InvalidInput(f'Schedule "{name}" says how many slots to catch up; say missed="catch_up" as well.')
        if anchor is not None and every is None:
            raise InvalidInput(f'Schedule "{name}" has an anchor, which only `every` counts from. Leave it out.')
        if not isinstance(paused, bool):
            raise InvalidInput(f'paused of schedule "{name}" is {paused!r:.100}; pass True or False.')
        spec = ScheduleSpec(
            name=name,
            template=job.spec(job_id=""),
            cron=_text(f"cron {kind}", cron),
            tz=_text(f"tz {kind}", tz),
            every_ms=None if every is None else duration_ms(f"every {kind}", every, low_ms=MIN_EVERY_MS),
            anchor_ms=0 if anchor is None else instant_ms(f"anchor {kind}", anchor),
            after_ms=None if after is None else duration_ms(f"after {kind}", after),
            start_ms=None if start is None else instant_ms(f"start {kind}", start),
            end_ms=None if end is None else instant_ms(f"end {kind}", end),
            max_fires=None if max_fires is None else whole(f"max_fires {kind}", max_fires, 1, MAX_AMOUNT),
            overlap=word(f"overlap {kind}", overlap, Overlap),
            missed=policy,
            catch_up=MAX_CATCH_UP if catch_up is None else whole(f"catch_up {kind}", catch_up, 1, MAX_CATCH_UP),
            paused=paused,
        )
        check_schedule(spec)
        check_times(spec)
        object.__setattr__(self, "job", job)
        object.__setattr__(self, "times", spec)

    @property
    def name(self) -> str:
        """The name under which it is stored."""
        return self.times.name

    def spec(self, queue_default: str = "default") -> ScheduleSpec:
        """What a storage is handed; `queue_default` is for a job that says nothing of its queue, nor does its task."""
        return replace(self.times, template=self.job.spec(job_id="", queue_default=queue_default))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleReport:
    """A schedule as it stands.

    `when` tells its times in words. `next` is its next slot, in its own time zone: None while it waits for its last job
    to end, once it is `over`, and until a worker has planned it. `skipped` counts slots that were left out, and
    `refused` those of them whose job the storage refused; `error` is why, if it was so with the last slot. `revision`
    rises with every change.
    """

    name: str
    task: str
    queue: str
    when: str
    tz: str
    next: datetime | None
    paused: bool
    over: bool
    fires: int
    skipped: int
    refused: int
    last_job: str | None
    last_fired: datetime | None
    overlap: str
    missed: str
    error: str
    revision: int

    @classmethod
    def of(cls, status: ScheduleStatus) -> Self:
        """What a storage says of a schedule."""
        spec = status.spec
        return cls(
            name=spec.name,
            task=spec.template.task,
            queue=spec.template.queue,
            when=_when(spec),
            tz=spec.tz,
            next=None if status.next_ms is None else instant_of(status.next_ms).astimezone(_zone(spec)),
            paused=status.paused,
            over=status.phase is Phase.OVER,
            fires=status.fires,
            skipped=status.skipped,
            refused=status.refused,
            last_job=status.last_job_id,
            last_fired=None if status.last_fired_ms is None else instant_of(status.last_fired_ms),
            overlap=spec.overlap,
            missed=spec.missed,
            error=status.error,
            revision=status.revision,
        )


class ScheduleAdmin:
    """The part of `Admin` that is about schedules."""

    def __init__(self, storage: Storage, queue: str = "default") -> None:
        self._storage = storage
        self._queue = queue

    async def put_schedule(self, schedule: Schedule[object]) -> ScheduleReport:
        """Store a schedule, in the place of one of its name, and answer with what stands.

        It keeps what it has fired, and stays paused if it is. When only its job changes, its next slot stays; when its
        times change, it goes on with the first slot from now on. Limits that the job brings with it, and default prices
        of its models, are stored where they are absent.

        Raises:
            UnknownLimit, NeverFits, PriceUnknown, NotFound, Conflict: its jobs could never be enqueued; nothing was
                stored.
        """
        return (await self.put_schedules([schedule]))[0]

    async def put_schedules(self, schedules: Iterable[Schedule[object]]) -> list[ScheduleReport]:
        """Store any number of schedules, as `put_schedule` does."""
        stored = await store_schedules(self._storage, schedules, queue_default=self._queue)
        return [ScheduleReport.of(status) for status in stored]

    async def schedules(self, *names: str) -> list[ScheduleReport]:
        """Schedules as they stand, by name: those named, if they are stored, or all."""
        found: list[ScheduleReport] = []
        rest = list(names)
        while rest:
            page = await self._storage.get_schedules(rest[:MAX_PAGE])
            # A page may end early, with the template that fills it.
            rest = rest[rest.index(page[-1].name) + 1 :] if page else rest[MAX_PAGE:]
            found += map(ScheduleReport.of, page)
        while not names and (page := await self._storage.get_schedules(after=found[-1].name if found else "")):
            found += map(ScheduleReport.of, page)
        return found

    async def pause_schedule(self, name: str) -> ScheduleReport:
        """Fire no slot of a schedule until it is resumed. Its jobs go on.

        Raises:
            NotFound: no such schedule.
        """
        return _found(name, await until_known(partial(self._storage.pause_schedules, [name])))

    async def resume_schedule(self, name: str) -> ScheduleReport:
        """Undo `pause_schedule`: it goes on with the first slot from now on, and what passed meanwhile is left out.

        Raises:
            NotFound: no such schedule.
        """
        resumed = await until_known(partial(self._storage.resume_schedules, [name]))
        _found(name, resumed)
        return ScheduleReport.of((await _planned(self._storage, [one for one in resumed if one]))[0])

    @overload
    async def run_now(self, schedule: Schedule[R], *, id: str | None = None) -> Job[R]: ...
    @overload
    async def run_now(self, schedule: str, *, id: str | None = None) -> Job[object]: ...
    async def run_now(self, schedule: Schedule[R] | str, *, id: str | None = None) -> Job[R] | Job[object]:
        """Make a job of a stored schedule now, beside its slots, paused or not. Give an `id` to repeat it yourself.

        Raises:
            NotFound: no such schedule.
            Conflict("overlap"): its last job has not ended, and they do not overlap.
            PayloadInvalid: its template is encoded, and the queue has not the codecs.
            Unavailable: a note says under which id to repeat the call.
        """
        name = schedule.name if isinstance(schedule, Schedule) else schedule
        found = await self._storage.get_schedules([name])
        job_id = fresh_id() if id is None else id
        template = _found_status(name, found).spec.template
        check_readable(template.payload)
        job = job_of(template, job_id)
        try:
            (made,) = (await until_known(partial(self._storage.run_schedule, name, job))).job_ids
        except Unavailable as error:
            error.add_note(f"To repeat it without running it twice: run_now(…, id={job_id!r}).")
            raise
        if isinstance(schedule, Schedule):
            return Job(self._storage, made, schedule.job.task.decode_result)
        return Job(self._storage, made, msgspec.json.decode)

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule. The jobs that it has made stay, and go on.

        Raises:
            NotFound: no such schedule.
        """
        _found(name, await self._storage.get_schedules([name]))
        await until_known(partial(self._storage.delete_schedules, [name]))


async def store_schedules(
    storage: Storage, schedules: Iterable[Schedule[object]], *, queue_default: str, absent_only: bool = False
) -> list[ScheduleStatus]:
    """Store schedules with what their jobs need, plan those that are new, and answer with what stands.

    Raises:
        InvalidInput: it is no list of schedules, or two have one name.
    """
    given = schedules_of(schedules)
    specs = {one.name: one.spec(queue_default) for one in given}
    if len(specs) < len(given):
        raise InvalidInput("Two schedules of one list have one name. Give each a name of its own.")
    jobs = [one.job for one in given]
    models = models_in(spec.template for spec in specs.values())
    await until_known(partial(Needs().meet, storage, list(limits_in(*jobs)), list(models)))
    stored: list[ScheduleStatus] = []
    rest = list(specs.values())
    for batch in batches(spec.template for spec in specs.values()):
        part, rest = rest[: len(batch)], rest[len(batch) :]
        stored += await until_known(partial(storage.put_schedules, part, absent_only=absent_only))
    return await _planned(storage, stored)


async def _planned(storage: Storage, stored: Sequence[ScheduleStatus]) -> list[ScheduleStatus]:
    """Plan what has just been stored, so that its next slot can be told. What is left over is for workers."""
    wanted = {status.name for status in stored if status.phase is Phase.UNPLANNED and not status.paused}
    if not wanted:
        return list(stored)
    due = await storage.due_schedules()
    steps: list[Fire] = []
    for one in due.schedules:
        if one.name in wanted and one.phase is Phase.UNPLANNED:
            # A time zone that only workers know is left to them.
            with suppress(InvalidInput):
                steps.append(plan(one, due.now_ms))
    await until_known(partial(storage.fire, steps))
    again = {one.name: one for one in await storage.get_schedules([step.name for step in steps])}
    return [again.get(status.name, status) for status in stored]


def schedules_of(schedules: Iterable[Schedule[object]]) -> list[Schedule[object]]:
    """The schedules of a list.

    Raises:
        InvalidInput: it is none, or holds something else.
    """
    check_kind("list of schedules", schedules, Iterable, '[aiq.Schedule("nightly", …)]')
    given = list(schedules)
    for one in given:
        check_kind("schedule", one, Schedule, 'aiq.Schedule("nightly", digest.job(), cron="0 3 * * *")')
    return given


def told_apart(code: ScheduleSpec, stored: ScheduleSpec) -> tuple[str, ...]:
    """What differs between a schedule in code and the stored one, in words; nothing if putting it would change nothing.

    Whether a new one begins paused says nothing of one that is stored.
    """
    if says_same(stored, replace(code, paused=stored.paused)):
        return ()
    pairs = [(name, value, _said(stored)[name]) for name, value in _said(code).items()]
    told = [f"{name} is {here!r} in code and {there!r} here" for name, here, there in pairs if here != there]
    if code.template.payload != stored.template.payload or not told:
        told.append("its arguments differ")
    return tuple(told)


def _said(spec: ScheduleSpec) -> dict[str, object]:
    """What a schedule says, by the names that people know."""
    instants = {"anchor": spec.anchor_ms, "start": spec.start_ms, "end": spec.end_ms}
    job = [part.name for part in fields(spec.template) if part.name not in ("id", "payload", "digest")]
    return {
        "when": _when(spec),
        "tz": spec.tz,
        **{name: None if ms is None else instant_of(ms).isoformat() for name, ms in instants.items()},
        **{name: getattr(spec, name) for name in ("max_fires", "catch_up")},
        **{name: str(getattr(spec, name)) for name in ("overlap", "missed")},
        **{name: getattr(spec.template, name) for name in job},
    }


def _text(kind: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f'{kind} is {value!r:.100}; pass a text, "0 3 * * *" or "Europe/Berlin".')
    return value or ""


def _found_status(name: str, found: Sequence[ScheduleStatus | None]) -> ScheduleStatus:
    if not found or found[0] is None:
        raise NotFound(name, f'No schedule "{name}" is stored here. `queue.admin.schedules()` lists them.')
    return found[0]


def _found(name: str, found: Sequence[ScheduleStatus | None]) -> ScheduleReport:
    return ScheduleReport.of(_found_status(name, found))


def _zone(spec: ScheduleSpec) -> tzinfo:
    try:
        return zone_of(spec)
    except InvalidInput:
        return UTC


_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def _when(spec: ScheduleSpec) -> str:
    if spec.cron:
        return spec.cron
    return (
        f"every {_span(spec.every_ms)}" if spec.every_ms is not None else f"{_span(spec.after_ms or 0)} after the last"
    )


def _span(ms: int) -> str:
    """A duration by the largest unit of which it is a whole number."""
    for unit_ms, letter in _UNITS:
        if ms and ms % unit_ms == 0:
            return f"{ms // unit_ms} {letter}"
    return f"{ms / 1000:g} s"
