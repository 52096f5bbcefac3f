"""Every exception that aiq raises, in one tree. Each says what happened and what to do next.

AiqError
├── InvalidInput (ValueError)     the caller passed something that can never work
│   ├── InvalidName               a name outside the alphabet, or no name for a step
│   ├── TooLarge                  over a named bound of aiq.bounds
│   ├── PayloadInvalid            arguments do not fit the task's annotations
│   ├── FlowInvalid               a cycle, or a node of another flow
│   ├── UnknownLimit              a limit of this name is not stored
│   ├── NeverFits                 a job needs more than its limit can ever give
│   └── PriceUnknown              a budget counts money, and the model has no price
├── UnknownTask                   no task of this name here
├── StorageError                  what a storage answers
│   ├── Unavailable               try again; `outcome_unknown` says whether it may have happened
│   ├── StorageFull               no room left to write
│   ├── ReadOnly                  the storage cannot be written
│   ├── Misconfigured             the storage is not fit to hold jobs as it is set up
│   ├── StorageMismatch           the schema is not the one this version works with
│   ├── Corrupt                   what was stored cannot be read back
│   ├── NotFound                  no such job
│   ├── Gone                      the beginning of a stream is not kept any more
│   ├── EventsLost                events were removed before a reader came to them
│   │   └── ForeignCursor         the reader's cursor is of another storage
│   ├── Conflict                  it stands in a state, or with a content, that forbids this
│   ├── Moved                     the storage goes on at another address
│   ├── QueueFull                 the queue holds as many jobs as it may
│   └── PartlyEnqueued            enqueue_many stored some batches and failed at one
├── LeaseLost                     the caller no longer owns the job; nothing was changed
├── JobFailed                     what a handle raises for a job that did not succeed
│   ├── JobDead
│   ├── JobCancelled
│   ├── ResultTimeout (TimeoutError)
│   └── ResultGone
└── RunError                      what a handler may raise or meet inside a run
    ├── Fatal                     do not try again
    ├── ChildFailed               a job it waited for ended badly
    ├── WaitTimeout (TimeoutError)
    ├── DuplicateStep             one step name is in use twice at once
    ├── StepChanged               a remembered step is called with other arguments
    ├── RateLimited               a provider answered 429: the job comes back, no attempt is counted
    ├── QuotaExhausted            a provider's quota is used up: the job takes another route, or is held
    ├── BudgetExceeded            a budget cannot hold a call, and fails the job
    └── ResultInvalid             the return value does not fit its annotation
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from aiq.policy import Duration, Limits


class LostReason(StrEnum):
    """Why a lease is no longer good."""

    EXPIRED = "expired"
    """Its time ran out, and nobody has taken the job: the run may still settle late, and nothing else."""
    TAKEN = "taken"
    """It was revoked, or given back by the run itself."""
    CANCELLED = "cancelled"
    TERMINAL = "terminal"


class AiqError(Exception):
    """Anything that aiq itself raises."""


class InvalidInput(AiqError, ValueError):
    """The caller passed a value that can never work; nothing was done."""


class InvalidName(InvalidInput):
    """A queue, task, flow or signal was given a name outside the alphabet, or a step one that it cannot have."""

    def __init__(
        self, kind: str, name: object, rule: str = "Use 1 to 128 of A-Z a-z 0-9 _ . - and begin with a letter or digit."
    ) -> None:
        super().__init__(f"{name!r:.200} is not a name for a {kind}. {rule}")


class TooLarge(InvalidInput):
    """Something is over its named bound; nothing was stored."""

    def __init__(self, what: str, size: int, bound: int, hint: str = "", *, unit: str = "") -> None:
        advice = hint or "Keep the bytes in a file or an object store, and pass their address."
        super().__init__(f"The {what} is {size:,}{unit}, and at most {bound:,} is allowed. {advice}")
        self.what, self.size, self.bound = what, size, bound


class PayloadInvalid(InvalidInput):
    """The arguments of a job do not fit the annotations of its task."""


class FlowInvalid(InvalidInput):
    """A flow has a cycle, or uses the output of a node that is not in it; nothing was stored."""


class NeverFits(InvalidInput):
    """A job needs more than one of its limits can ever give; it would wait for ever."""


class UnknownLimit(InvalidInput):
    """A job names a limit that is not stored."""

    def __init__(self, name: str, known: Iterable[str] = (), *, text: str = "") -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        meant = f' Did you mean "{close[0]}"?' if close else f" Known: {', '.join(names) or 'none'}."
        said = f'No limit "{name}" is stored.{meant} Store it with `queue.admin.put_limit(Limit(...))`.'
        super().__init__(text or said)
        self.name, self.known = name, names


class PriceUnknown(InvalidInput):
    """A budget in money binds a job, and the model that it calls has no price, so nobody can tell what it costs."""

    def __init__(self, model: str, budget: str = "", *, text: str = "") -> None:
        said = (
            f'Model "{model}" has no price, and budget "{budget}" counts money. Store one with '
            f'`queue.admin.put_prices([Price("{model}", "input", "2.50"), Price("{model}", "output", "10")])`.'
        )
        super().__init__(text or said)
        self.model, self.budget = model, budget


class UnknownTask(AiqError):
    """A task is not known here."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=1)
        meant = f' Did you mean "{close[0]}"?' if close else f" Known: {', '.join(names) or 'none'}."
        super().__init__(f'No task named "{name}" is known to this worker.{meant} Pass it in Worker(tasks=[...]).')
        self.name, self.known = name, names


class StorageError(AiqError):
    """A storage could not do what was asked."""


class Unavailable(StorageError):
    """The storage did not answer, or is busy beyond its deadline. Repeating the same call is always safe.

    `outcome_unknown` is True when the step may have happened: repeat it with the same ids and the first
    answer comes back.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class StorageFull(StorageError):
    """No room is left. Free some, then repeat the call; nothing was stored."""


class ReadOnly(StorageError):
    """The storage refuses writes. Check permissions, or connect to the primary."""


OUTAGES: Final = (Unavailable, StorageFull, ReadOnly)
"""What passes, by itself or by an operator's hand, so that the same call may succeed later: a worker waits for that."""


class Misconfigured(StorageError):
    """The storage's address or settings cannot hold jobs safely; the text says what to change."""


class StorageMismatch(StorageError):
    """The schema is newer or older than this version of aiq works with; the text names the command to run."""


class Corrupt(StorageError):
    """Stored bytes cannot be read back. Nothing was deleted: keep the file, and restore from a backup."""


class NotFound(StorageError):
    """No job of this id is stored here."""

    def __init__(self, job_id: str, message: str = "") -> None:
        super().__init__(message or f"No job {job_id!r} is stored here. Check the id, and the address of the storage.")
        self.job_id = job_id


class Gone(StorageError):
    """What was asked for is no longer kept. `earliest` is the number of the oldest item of the stream that is."""

    def __init__(self, job_id: str, earliest: int) -> None:
        super().__init__(
            f"The stream of job {job_id} is kept from item {earliest} on; what came before is gone. "
            f"Read on after {earliest - 1}; the job's result is kept longer than its stream."
        )
        self.job_id, self.earliest = job_id, earliest


class EventsLost(StorageError):
    """A reader of events fell behind what is kept of them, so that some were removed before it read them."""

    def __init__(self, why: str = "Events behind this cursor were removed before they were read.") -> None:
        super().__init__(
            f"{why} Look at the jobs themselves for what was missed, then go on with the oldest event that is kept: "
            "events(after=None)."
        )


class ForeignCursor(EventsLost):
    """A cursor of events is of another storage, such as that from which the jobs were moved here. `cursor` has it."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{cursor} is a cursor of another storage: of the one from which the jobs were moved here, or of one that "
            "stood at this address before. Here it does not tell what was read."
        )
        self.cursor = cursor


_FINAL_REASONS = frozenset({"content", "parent", "lifo", "signal"})


class Conflict(StorageError):
    """What is stored forbids this; nothing was changed. `reason` is a word that programs may compare."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def final(self) -> bool:
        """Whether it is about what was passed, so that the same call is refused for as long as that stands there. A run
        that does not catch it is not tried again."""
        return self.reason in _FINAL_REASONS


class Moved(StorageError):
    """The storage was moved, and takes no writes any more. Go on at `url`; nothing was changed."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"This storage has moved to {url}. Use that one; if the move failed, `aiq export --undo` opens this again."
        )
        self.url = url


OF_STORAGE: Final = (*OUTAGES, Misconfigured, StorageMismatch, Moved)
"""What is wrong with the storage as a whole: of those whose calls travelled together, none would fare better alone."""


class QueueFull(StorageError):
    """As many jobs stand ready in a queue as its `max_ready` allows; nothing was stored."""

    def __init__(self, queue: str, ready: int, bound: int) -> None:
        held = "1 job that has" if ready == 1 else f"{ready:,} jobs that have"
        are = "is" if bound == 1 else "are"
        super().__init__(
            f'Queue "{queue}" holds {held} not started, and at most {bound:,} {are} allowed. '
            "Wait for room with enqueue(job, wait=30), or raise it with `queue.admin.configure`."
        )
        self.queue, self.ready, self.bound = queue, ready, bound


class PartlyEnqueued(StorageError):
    """`enqueue_many` failed at a batch; those before it are stored, those after it are not.

    `stored` has the ids of the jobs that are, in order: the first ones. `rest` has the ids that were chosen for
    the others. Whether the failed batch is stored can be unknown: to go on safely, enqueue `jobs[len(stored):]`
    again, each with `using(id=…)` of its id in `rest`.
    """

    def __init__(self, cause: StorageError, stored: Sequence[str], rest: Sequence[str]) -> None:
        super().__init__(
            f"{len(stored)} of {len(stored) + len(rest)} jobs are stored, then: {cause} "
            "Enqueue the rest again, with `using(id=…)` of the ids in `rest`, so that none is stored twice."
        )
        self.stored, self.rest = tuple(stored), tuple(rest)


_LOST_BECAUSE = {
    LostReason.EXPIRED: "its lease ran out; the run may settle late, and start nothing new",
    LostReason.TAKEN: "it was given to another run, or back to the queue",
    LostReason.CANCELLED: "it was cancelled",
    LostReason.TERMINAL: "it has already ended",
}


class LeaseLost(AiqError):
    """The caller does not own the job any more. Nothing it asked for had any effect; stop the run."""

    def __init__(self, job_id: str, reason: LostReason) -> None:
        super().__init__(f"Job {job_id} is not this run's any more: {_LOST_BECAUSE[reason]}.")
        self.job_id, self.reason = job_id, reason


class JobFailed(AiqError):
    """A job has no result to give."""

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobDead(JobFailed):
    """The job ran out of attempts, or met an error that no attempt can mend."""

    def __init__(self, job_id: str, cause: str, error: str) -> None:
        super().__init__(job_id, f"Job {job_id} is dead ({cause}): {error or 'no error was recorded'}")
        self.cause, self.error = cause, error


class JobCancelled(JobFailed):
    """The job was cancelled before it could succeed."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, f"Job {job_id} was cancelled.")


class ResultTimeout(JobFailed, TimeoutError):
    """The job had not ended in time. It goes on; ask again with the same handle."""

    def __init__(self, job_id: str, state: str, text: str = "") -> None:
        super().__init__(job_id, text or f"Job {job_id} is still {state}. It goes on; ask again, or cancel it.")
        self.state = state


class ResultGone(JobFailed):
    """No such job is stored here, so there is no result to wait for; or the job is, and its result was `dropped` when
    the time of results was over. `state` is how it ended, where that is known."""

    def __init__(
        self, job_id: str, state: str | None = None, found_by: str | None = None, *, dropped: bool = False
    ) -> None:
        super().__init__(job_id, _DROPPED.format(job_id) if dropped else _why_gone(job_id, state, found_by))
        self.state, self.dropped = state, dropped


_DROPPED = (
    "Job {} has succeeded, and its result is kept no more. Keep results for longer with "
    "`queue.admin.put_retention(results=…)`, or run it again with `queue.admin.replay`."
)


def _why_gone(job_id: str, state: str | None, found_by: str | None) -> str:
    if state is None:
        where = "Check the id, and the address of the storage"
        return f"No job {job_id} is stored here. {where}; one that has ended goes when its time is over."
    text = f"Job {job_id} has ended ({state}) and is gone, its result with it: its time was over."
    if found_by == "unique":
        return f"{text} Its unique key is still taken: keep the job as long, with keep=…, or shorten unique_for=…."
    return f"{text} Its id is still remembered: enqueue the job under another one, and keep it longer with keep=…."


class RunError(AiqError):
    """Something that a handler raises, or meets while it runs."""


class Fatal(RunError):
    """Raise this in a handler when no further attempt can help; the job is dead at once."""


class ChildFailed(RunError):
    """A job that this run waited for ended badly. Uncaught, it kills the waiting job without a retry."""

    def __init__(self, job_id: str, error: str) -> None:
        super().__init__(f"Child {job_id} ended badly: {error}")
        self.job_id, self.error = job_id, error


class WaitTimeout(RunError, TimeoutError):
    """No signal came in time."""

    def __init__(self, name: str) -> None:
        super().__init__(f'No signal "{name}" came in time.')
        self.name = name


class DuplicateStep(RunError):
    """One step name is in use twice at the same time; give each its own name."""

    def __init__(self, key: str) -> None:
        super().__init__(f'Step "{key}" is already under way in this run. Give concurrent steps names of their own.')
        self.key = key


class StepChanged(RunError):
    """A step is remembered under this name with other arguments, so its value would be a lie."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f'Step "{key}" is remembered with other arguments. Rename it when its meaning changes, '
            "and keep its arguments the same from run to run."
        )
        self.key = key


class RateLimited(RunError):
    """A provider answered 429. The job is given back, no attempt is counted, and its limits pause for everybody.

    `retry_after` is in seconds, or a timedelta, None if the provider named no time; so counts a negative one. `limits`,
    or their names, are those that pause, none for all of the job's. Raise it in a handler, or
    `raise call.throttled(...)` inside `ctx.call`. `reported` says that its call has paused them already.

    Raises:
        InvalidInput: `retry_after` is no number, or `limits` is no list of limits or names.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: "Duration | None" = None,
        limits: "Limits" = (),
    ) -> None:
        # They stand on this floor, and need these errors to be there first.
        from aiq.policy import limit_name, limits_of, seconds_of

        super().__init__(message or "The provider answered that it is over its rate limit.")
        self.retry_after = None if retry_after is None else seconds_of("retry_after", retry_after)
        self.limits = tuple(map(limit_name, limits_of(limits)))
        self.reported = False


class QuotaExhausted(RunError):
    """A provider says that a quota or a spending limit is used up, which no waiting of seconds mends.

    The job takes its next route; without one it is held until `queue.unhold`. `reported` says that its call has been
    given back already.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "The provider answered that its quota is used up.")
        self.reported = False


class BudgetExceeded(RunError):
    """A budget cannot hold what a call needs, and says that the job is to fail."""

    def __init__(self, budget: str, text: str) -> None:
        super().__init__(text)
        self.budget = budget


class BatchInvalid(AiqError):
    """A batch handler did not answer each of its items, so nobody knows whose its answers are; all are tried again."""

    def __init__(self, task: str, items: int, answered: str) -> None:
        super().__init__(
            f'The handler of batch task "{task}" was given {items} items, and returned {answered}. Return a list with '
            "one answer for each item, in their order: its result, or in its place a Failure or an exception."
        )


class ProcessFailed(AiqError):
    """A handler in a process of its own has failed. A middleware sees this in the place of what was raised there."""


class ItemFailed(AiqError):
    """A batch handler has answered a Failure in the place of one item, which is tried again by the task's policy."""


class ResultInvalid(RunError):
    """A handler or step returned something that does not fit its annotation, or cannot be stored as JSON."""


_E = TypeVar("_E", bound=Exception)


def twin(error: _E) -> _E:
    """The same error for another who hears it: each raises it on a way of his own, and may note something on it."""
    same = type(error).__new__(type(error), *error.args)
    vars(same).update(vars(error), __notes__=[*getattr(error, "__notes__", ())])
    same.__context__, same.__cause__ = error.__context__, error.__cause__
    same.__suppress_context__ = error.__suppress_context__
    return same.with_traceback(error.__traceback__)
