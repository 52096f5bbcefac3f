"""Whether a job may be given another generation, and what it begins with. Spec: DEAD-11 to DEAD-19"""

from collections.abc import Sequence
from dataclasses import replace

from aiq.bounds import MAX_BATCH, MAX_DELAY_MS, MAX_DEPENDENCIES, MAX_PAYLOAD_BYTES
from aiq.errors import Conflict, InvalidInput, TooLarge
from aiq.model import JobRecord, Lane, Redrive, State, Target, Wait
from aiq.policy.figures import check_name
from aiq.rules.checks import IN_PARTS, check_count, check_opaque, check_range, check_size
from aiq.rules.settling import Change, clamp
from aiq.rules.waits import verdict

_REVIVED = frozenset({State.DEAD, State.CANCELLED})


def check_redrive(request: Redrive) -> None:
    """Refuse a redrive that could not be done for any job. Spec: DEAD-17, STORE-9"""
    check_opaque("redrive id", request.id)
    check_count("list of jobs", len(request.targets), MAX_BATCH)
    check_terms(request)
    if request.payload is not None:
        check_size("payload", request.payload, MAX_PAYLOAD_BYTES)
        if len(request.targets) != 1:
            raise InvalidInput("Another payload is for one job. Redrive the others without it.")
    if len({target.job_id for target in request.targets}) < len(request.targets):
        raise InvalidInput("A job is named twice; redrive each once.")


def check_terms(request: Redrive) -> None:
    """Refuse what a redrive would give to no job, whichever are named. Spec: DEAD-17, STORE-9"""
    check_range("delay in ms", request.delay_ms, 0, MAX_DELAY_MS)
    check_range("time between jobs in ms", request.spread_ms, 0, MAX_DELAY_MS)
    if request.queue is not None:
        check_name("queue", request.queue)
    _check_named("route", request.route, "its name, a text")
    _check_named("budget", request.budget, "the id of a stored one, a text; queue.admin.put_budget stores it")


def _check_named(kind: str, name: object, wanted: str) -> None:
    # What is no text would be looked up as data by one store, and break the statement of another.
    if name is not None and not isinstance(name, str):
        raise InvalidInput(f"The {kind} is {name!r:.200}; pass {wanted}.")


def edges(record: JobRecord, target: Target, *, dependencies: int, others: int) -> int:
    """How much a redrive may have to look at for one job: its dependencies, and if it may be given another generation
    the others, its waits on children and the children that ended badly in these.

    It is no more when the redrive is sent again. Spec: DEAD-12, DEAD-26
    """
    opens = record.generation == target.generation and record.state in _REVIVED
    return dependencies + others if opens else dependencies


def check_edges(counts: Sequence[int]) -> None:
    """Refuse a redrive of several jobs for which a step would look at too much. Spec: DEAD-26"""
    if len(counts) > 1 and sum(counts) > MAX_DEPENDENCIES:
        raise TooLarge("number of jobs that a redrive waits for", sum(counts), MAX_DEPENDENCIES, IN_PARTS)


def refusal(
    record: JobRecord, generation: int, request: Redrive, *, orphaned: bool, doomed_by: str | None
) -> Conflict | None:
    """Why a job is not redriven; None if it may be.

    `orphaned` says that it is a child whose parent has ended, `doomed_by` names a dependency for which it cannot run.
    Spec: DEAD-12, DEAD-13, DEAD-14, DEAD-15, DEAD-17
    """
    name = f"Job {record.id!r}"
    if record.generation != generation:
        text = f"{name} is in generation {record.generation}, not {generation}: it was redriven. Look at it again."
        return Conflict(text, reason="generation")
    if record.state not in _REVIVED:
        return Conflict(f"{name} is {record.state}; only what is dead or cancelled is redriven.", reason="state")
    if orphaned and not request.detach:
        text = f"{name} is a child of {record.parent_id!r}, which has ended. Redrive that one, or detach this."
        return Conflict(text, reason="parent_terminal")
    if doomed_by is not None:
        text = f"{name} depends on {doomed_by!r}, which has ended badly. Redrive that one first."
        return Conflict(text, reason="upstream")
    if record.ordered and request.queue not in (None, record.queue):
        text = f"{name} stands in the line of its key {record.key!r}, so it stays in queue {record.queue}."
        return Conflict(text, reason="key")
    if request.route is not None and request.route not in {route.name for route in record.routes}:
        return Conflict(f"{name} has no route {request.route!r}.", reason="route")
    return None


def key_taken(record: JobRecord) -> Conflict:
    """Why a job is not redriven whose unique key another has. Spec: DEAD-23"""
    text = f"Another job has the unique key {record.unique!r} of job {record.id!r}. Redrive this when that has ended."
    return Conflict(text, reason="unique")


def anew(record: JobRecord, request: Redrive) -> JobRecord:
    """A job at the beginning of its next generation, but for its state. Spec: DEAD-11, DEAD-14, DEAD-17, DEAD-19"""
    names = [route.name for route in record.routes]
    return replace(
        record,
        generation=record.generation + 1,
        failures=0,
        stalls=0,
        cause=None,
        late=False,
        cancel_requested_at_ms=None,
        deadline_ms=None,
        route=0 if request.route is None else names.index(request.route),
        closed_routes=0,
        resumes=False,
        deferred_at_ms=None,
        queue=record.queue if request.queue is None else request.queue,
        band=record.band if request.band is None else request.band,
        budgets=record.budgets if request.budget is None else (request.budget,),
        payload=record.payload if request.payload is None else request.payload,
        parent_id=None if request.detach else record.parent_id,
        remembers=record.remembers and not request.forget_steps,
    )


def first_change(request: Redrive, place: int, waits_under: str | None) -> Change:
    """Where the job at a place of the list goes. Spec: DEAD-11, DEAD-15, DEAD-16, DEAD-18"""
    if waits_under is not None:
        return Change("T17", State.WAITING, Lane.FRESH, wait_key=waits_under)
    delay_ms = clamp(request.delay_ms + place * request.spread_ms)
    if delay_ms:
        return Change("T17", State.SCHEDULED, Lane.FRESH, delay_ms)
    return Change("T17", State.READY, Lane.FRESH)


def reopened(wait: Wait, *, seen: bool) -> Wait | None:
    """A wait on children as it begins again, without those that ended badly; None if it stays as it is.

    `seen` says that the run saw it end, and died of something else. Spec: DEAD-16
    """
    again = replace(wait, failed=0, first_failed=None)
    return None if seen or not wait.failed or verdict(again) is not None else again
