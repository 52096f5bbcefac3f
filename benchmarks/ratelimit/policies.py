"""The policies that are compared, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.ratelimit.limiters import FixedWindow, Limiter, LocalBucket, Unlimited
from benchmarks.ratelimit.plan import Plan
from benchmarks.ratelimit.retries import Backoff, Obedient, Retry
from benchmarks.ratelimit.scenarios import TOKENS

OURS: Final = "ours"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What others do: a pool of slots in each process, a limiter before each request, retries after a 429."""

    title: str
    limiter: Callable[[Plan], Limiter]
    retry: Retry


BASELINES: Final[Mapping[str, Baseline]] = {
    "naive": Baseline("back-off and jitter, 6 tries", lambda _: Unlimited(), Backoff()),
    "retry-after": Baseline("honours Retry-After, 10 tries", lambda _: Unlimited(), Obedient()),
    "window": Baseline(
        "fixed window, charged after, shared", lambda plan: FixedWindow(plan.shared_file, TOKENS), Backoff()
    ),
    "local": Baseline("bucket per process, full limit", lambda plan: LocalBucket(plan.scenario, 1.0), Backoff()),
    "local-share": Baseline(
        "bucket per process, limit / N", lambda plan: LocalBucket(plan.scenario, 1 / plan.workers), Backoff()
    ),
}
"""Each process gets every Nth job: work is spread as evenly as can be, which flatters those that do not share."""
