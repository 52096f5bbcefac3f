"""What becomes of a run that raised. Spec: chapter 3."""

import traceback
from collections.abc import Iterable, Iterator
from random import Random

from aiq.errors import (
    BudgetExceeded,
    ChildFailed,
    Conflict,
    InvalidInput,
    QuotaExhausted,
    RateLimited,
    ResultInvalid,
    RunError,
)
from aiq.model import Cause, Died, JobError, Retried
from aiq.policy import Retry
from aiq.rules.fingerprints import alike, code_of, fingerprint, folded, place_of
from aiq.rules.redaction import cleared_error, cleared_text


def after_failure(
    policy: Retry, attempt: int, exc: BaseException, rng: Random, cause: Cause | None = None
) -> Retried | Died:
    """Decide whether a failed attempt may be repeated, and after what delay.

    `attempt` is 1 for the first. Attempts are not counted here: the store holds the job's own number, which
    may differ from the policy's, and makes the job dead when none is left. A RunError is about the handler
    itself, an InvalidInput and a final Conflict about what it passed to aiq; all would only be met again. An exception
    group is repeated if all that it holds may be.
    Spec: RETRY-1, RETRY-3, RETRY-4
    """
    error = job_error(exc, cause)
    if not all(repeatable(policy, leaf) for leaf in leaves(exc)):
        return Died(error)
    return Retried(error, delay_ms=draw_delay_ms(policy, attempt, rng))


def draw_delay_ms(policy: Retry, attempt: int, rng: Random) -> int:
    """Draw the wait after a failed attempt: 0 up to the doubling ceiling, both included ("full jitter")."""
    ceiling_ms = min(policy.max_delay_ms, policy.first_delay_ms << (attempt - 1))
    return rng.randrange(ceiling_ms + 1)


def job_error(exc: BaseException, cause: Cause | None = None) -> JobError:
    """An exception as it is kept with its job: class, text and traceback, without what looks like a secret. None takes
    the cause from it.

    A group is told by what it holds: failures are sorted by type, and "unhandled errors in a TaskGroup" is none.
    """
    told = list(leaves(exc))
    first = told[0]
    kind = _type_name(type(first if len(told) == 1 else exc))
    said = _text_of(first) if len(told) == 1 else "; ".join(f"{type(e).__name__}: {_text_of(e)}" for e in told)
    code, place, message = code_of(first), place_of(first), cleared_error(said)
    # A message that tells what was worked on would make a group of each job: where the place is known, it decides.
    kinds = " ".join(sorted({kind, *(_type_name(type(e)) for e in told)}))
    return JobError(
        type=kind,
        message=message,
        traceback=cleared_error(_traceback_of(exc)),
        cause=cause or _cause_of(told),
        fingerprint=fingerprint(kinds, code, place, "" if place else alike(said)),
        code=cleared_text(code),
        place=place,
        pattern=folded(message),
    )


def repeatable(policy: Retry, exc: BaseException) -> bool:
    """Whether a failure with this exception, which is no group, may be tried again."""
    final = isinstance(exc, Conflict) and exc.final
    return isinstance(exc, policy.on) and not (final or isinstance(exc, (*policy.never, RunError, InvalidInput)))


def leaves(exc: BaseException) -> Iterator[BaseException]:
    """What a task group or a gather collected, however deep; an ordinary exception is its own leaf."""
    # No recursion: a group may be nested deeper than Python goes.
    left = [exc]
    while left:
        one = left.pop()
        if isinstance(one, BaseExceptionGroup):
            left += reversed(one.exceptions)
        else:
            yield one


def _text_of(exc: BaseException) -> str:
    """What it says; a failure must be recordable even if it cannot say it."""
    try:
        return str(exc)
    except Exception as second:  # noqa: BLE001  a user's __str__ may raise anything
        return f"(its __str__ raised {type(second).__name__})"


def _traceback_of(exc: BaseException) -> str:
    """As Python writes it; it fails at a SyntaxError with odd figures, at notes that raise, and at groups too deep."""
    try:
        return "".join(traceback.format_exception(exc))
    except Exception as second:  # noqa: BLE001  as in _text_of
        return f"(It cannot be written: {type(second).__name__}.)"


def _cause_of(told: Iterable[BaseException]) -> Cause:
    known = {
        ChildFailed: Cause.CHILD,
        ResultInvalid: Cause.RESULT,
        BudgetExceeded: Cause.BUDGET,
        RateLimited: Cause.RATE_LIMITED,
        QuotaExhausted: Cause.RATE_LIMITED,
    }
    return next((cause for exc in told for kind, cause in known.items() if isinstance(exc, kind)), Cause.HANDLER)


def _type_name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
