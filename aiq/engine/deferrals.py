"""A provider had no room for a run: the job is given back, no attempt is counted, and its limits pause.

What a handler raised is read where it ran, in the worker or in a process of its own; what becomes of the job is
decided in the worker, which has its record.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from aiq.context.refusals import Refusal, refusal_of
from aiq.errors import QuotaExhausted, RateLimited
from aiq.model import Cause, Deferred, Estimate, JobError, JobRecord, Throttle
from aiq.policy import Retry
from aiq.rules.retry import job_error, leaves, repeatable

LEAST_DELAY_MS: Final = 1_000
MOST_DELAY_MS: Final = 60_000
"""The bounds of a delay where the provider named none: as long as the job has been given back so far."""
JITTER: Final = 10
"""A tenth of a delay, at random, comes on top of it, so that those who were refused together do not come back so."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """What a handler raised about a provider that had no room. `limits` are to pause, all of the job's if there are
    none; with `reported` they have paused already."""

    error: JobError
    quota: bool
    retry_after_ms: int | None
    limits: tuple[str, ...]
    reported: bool


def deferral_of(policy: Retry, error: BaseException) -> Deferral | None:
    """What an error, or any part of a group, says of a rate limit or a spent quota; None if there is no such part.

    None as well if another part of the group forbids a further attempt, or the policy names the refusal as one that
    is never tried again.
    """
    found: list[tuple[BaseException, Refusal]] = []
    for leaf in leaves(error):
        refusal = None if isinstance(leaf, policy.never) else refusal_of(leaf)
        if refusal is not None:
            found.append((leaf, refusal))
        elif not repeatable(policy, leaf):
            return None
    if not found:
        return None
    waits = [refusal.retry_after_ms for _, refusal in found if refusal.retry_after_ms is not None]
    untold = [leaf for leaf, _ in found if not (isinstance(leaf, RateLimited | QuotaExhausted) and leaf.reported)]
    return Deferral(
        job_error(found[0][0], Cause.RATE_LIMITED),
        any(refusal.quota for _, refusal in found),
        max(waits, default=None),
        tuple({name: None for leaf in untold if isinstance(leaf, RateLimited) for name in leaf.limits}),
        reported=not untold,
    )


def deferred(record: JobRecord, deferral: Deferral, rng: Random) -> Deferred:
    """The outcome of a run that met it. Spec: DEFER-1, DEFER-3"""
    if deferral.quota:
        return Deferred(deferral.error, 0, close_route=True)
    wait_ms = deferral.retry_after_ms or _delay_so_far_ms(record)
    names = () if deferral.reported else deferral.limits or record.taken_limits
    tokens = 0 if record.estimate is None else _most(record.estimate)
    throttles = tuple(Throttle(limit=name, tokens=tokens, retry_after_ms=deferral.retry_after_ms) for name in names)
    return Deferred(deferral.error, wait_ms + rng.randint(0, wait_ms // JITTER), throttles)


def _delay_so_far_ms(record: JobRecord) -> int:
    """How long the job has been given back by rate limits, when it was claimed: so delays double, without a counter."""
    if record.deferred_at_ms is None or record.expires_at_ms is None:
        return LEAST_DELAY_MS
    claimed_at_ms = record.expires_at_ms - record.lease_ms
    return max(LEAST_DELAY_MS, min(claimed_at_ms - record.deferred_at_ms, MOST_DELAY_MS))


def _most(estimate: Estimate) -> int:
    """The tokens of a call, as far as they were declared."""
    made = estimate.max_output if estimate.max_output is not None else estimate.output
    return (estimate.input or 0) + (made or 0)
