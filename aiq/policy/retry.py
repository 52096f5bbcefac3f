"""How often a failed job is tried again."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.policy.durations import Duration, duration_ms


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """How often a failed job is tried again, and after what wait.

    The wait before attempt n + 1 is drawn at random from nothing up to `first_delay` doubled n - 1 times,
    at most `max_delay`: spread out, so that a crowd that failed together does not come back together.

        Retry(attempts=5)                                       # four more tries after the first
        Retry(attempts=8, first_delay=0.5, max_delay=60)        # seconds, or timedeltas
        Retry(on=(ConnectionError, TimeoutError))               # any other exception kills the job at once
        Retry(never=BadPrompt)                                  # everything but this is tried again
        Retry(attempts=1)                                       # once, whatever happens

    `Fatal`, the other RunErrors and InvalidInput are never retried. A lease that expires counts as a failed attempt.

    Raises:
        InvalidInput: attempts outside 1..1000, a delay outside 0..366 days, or what is no exception class.
    Source: "full jitter", Marc Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """

    attempts: int
    first_delay_ms: int
    max_delay_ms: int
    on: tuple[type[BaseException], ...]
    never: tuple[type[BaseException], ...]

    def __init__(
        self,
        attempts: int = bounds.DEFAULT_ATTEMPTS,
        *,
        first_delay: Duration = 1.0,
        max_delay: Duration = 300.0,
        on: type[BaseException] | Iterable[type[BaseException]] = Exception,
        never: type[BaseException] | Iterable[type[BaseException]] = (),
    ) -> None:
        if not _is_whole(attempts, 1, bounds.MAX_ATTEMPTS):
            raise InvalidInput(
                f"attempts is {attempts!r}; it counts the first run too, and is a whole number from 1 to 1,000."
            )
        keep = partial(object.__setattr__, self)
        keep("attempts", attempts)
        keep("first_delay_ms", duration_ms("first_delay", first_delay))
        keep("max_delay_ms", duration_ms("max_delay", max_delay))
        keep("on", _classes("on", on))
        keep("never", _classes("never", never))


# What follows takes any object: what a type checker has not seen is only told at run time.


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _classes(kind: str, given: object) -> tuple[type[BaseException], ...]:
    classes = tuple(given) if isinstance(given, Iterable) else (given,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidInput(f"{kind} has {one!r}; name exception classes: Retry({kind}=(TimeoutError, OSError)).")
    return classes
