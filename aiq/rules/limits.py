"""What is left of a limit, and what each step of a call changes of it. Spec: chapter 10.

All of it is exact: a level, and what is held, are whole sub-units, and divisions round waiting times up and everything
else down. A store keeps one LimitState for a limit (for each tenant or key of one with a `by`), and calls these within
one atomic step.

Source: a token bucket with two amounts. What a provider takes when a call arrives leaves the level at once; what it
will take while it answers is held. Taking all at once runs ahead of a provider that charges late, whose own bucket
overflows meanwhile; holding all lets calls that take minutes keep half of a bucket from being used. The full-bucket
rule admits what does not fit when no refill could be kept anyway, into debt. The pace is AIMD, as in TCP congestion
avoidance (Chiu and Jain 1989): a tenth less at a refusal, two hundredths more every half minute.
"""

from typing import Final

from msgspec.structs import replace

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import LimitSpec, LimitState, LimitStatus, Part, QueueSettings, Remaining
from aiq.policy.figures import check_name
from aiq.rules import buckets
from aiq.rules.buckets import FULL_PACE, NOTHING, Scale, bounded, ceiling, scale
from aiq.rules.charging import most_at_once
from aiq.rules.checks import check_range, check_weights

OPENING_MS: Final = 5_000
"""What a new limit begins with, as time of its rate."""
LEAST_PACE: Final = 100
PACE_STEP: Final = 20
PACE_STEP_MS: Final = 30_000
LEAST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 60_000
"""A pause after a 429 that names no time, at least and at most."""


def check_limit(spec: LimitSpec) -> None:
    """Refuse a limit that bounds nothing, or with a figure that is out of range.

    Raises:
        InvalidInput: the text says what to pass instead.
    Spec: LIMIT-1
    """
    check_name("limit", spec.name)
    if spec.requests is None and spec.tokens is None and spec.concurrency is None:
        raise InvalidInput(f'Limit "{spec.name}" bounds nothing; pass requests, tokens or concurrency.')
    for kind, value, least, most in (
        ("requests", spec.requests, 1, bounds.MAX_AMOUNT),
        ("tokens", spec.tokens, 1, bounds.MAX_AMOUNT),
        ("concurrency", spec.concurrency, 1, bounds.MAX_CONCURRENCY),
        ("period in ms", spec.per_ms, 1, bounds.MAX_PERIOD_MS),
        ("burst in ms", spec.burst_ms, 1, bounds.MAX_PERIOD_MS),
        ("ramp in ms", spec.ramp_ms, 0, bounds.MAX_PERIOD_MS),
    ):
        if value is not None:
            check_range(f'{kind} of limit "{spec.name}"', value, least, most)
    if spec.by not in (None, "tenant", "key"):
        raise InvalidInput(f'Limit "{spec.name}" goes by {spec.by!r:.100}; pass by="tenant", by="key", or nothing.')
    check_weights(f'limit "{spec.name}"', spec.weights)
    check_buckets(spec)


def check_buckets(spec: LimitSpec) -> None:
    """Refuse a limit whose bucket does not fit twice into the numbers that every store keeps exactly.

    Raises:
        InvalidInput: the text says what to change.
    """
    for kind, rate in (("requests", spec.requests), ("tokens", spec.tokens)):
        if rate is not None and not buckets.fits_numbers(scale(rate, spec.per_ms, spec.burst_ms)):
            raise InvalidInput(
                f'The bucket of limit "{spec.name}" is too large to be counted exactly: {rate:,} {kind} in '
                f"{spec.per_ms:,} ms, with a burst of {spec.burst_ms:,} ms. Choose a rounder number of {kind}, which "
                "has more divisors in common with the period, or a shorter burst."
            )


def of_queue(queue: str, settings: QueueSettings) -> LimitSpec | None:
    """The limit "queue:NAME" that a queue's own settings make, None without concurrency and rate.

    One period of the rate may start at once, so that 50 jobs a second are never 1,500 in the first. Spec: QUEUE-2
    """
    if settings.concurrency is None and settings.rate is None:
        return None
    per_ms = settings.rate_per_ms
    name = f"queue:{queue}"
    return LimitSpec(
        name=name, requests=settings.rate, per_ms=per_ms, burst_ms=per_ms, concurrency=settings.concurrency
    )


def opening(spec: LimitSpec, now_ms: int) -> LimitState:
    """A new limit, or a new part of one with a `by`: a policy of our own, which no provider has to get used to.

    Spec: LIMIT-4
    """
    span_ms = OPENING_MS if spec.by is None else spec.burst_ms
    return LimitState(
        at_ms=now_ms,
        born_ms=now_ms,
        requests=buckets.opening(_requests(spec), span_ms),
        tokens=buckets.opening(_tokens(spec), span_ms),
        paced_at_ms=now_ms,
    )


def refilled(spec: LimitSpec, state: LimitState, now_ms: int) -> LimitState:
    """Bring a limit up to now, at the pace in force when it was last brought up. A clock that went back does nothing.

    Keep the answer whenever it was the ground of a decision, a refusal too: the waiting time that was told counts from
    it, and a pace that rises in between would make the time fall short. Spec: LIMIT-5, LIMIT-7, LIMIT-8
    """
    if now_ms <= state.at_ms:
        return state
    pace, elapsed_ms = _pace(spec, state), now_ms - state.at_ms
    steps = (now_ms - state.paced_at_ms) // PACE_STEP_MS if state.pace < FULL_PACE else 0
    return replace(
        state,
        at_ms=now_ms,
        requests=buckets.refilled(_requests(spec), state.requests, pace, elapsed_ms),
        tokens=buckets.refilled(_tokens(spec), state.tokens, pace, elapsed_ms),
        pace=min(FULL_PACE, state.pace + PACE_STEP * steps),
        paced_at_ms=state.paced_at_ms + PACE_STEP_MS * steps,
    )


def has_plenty(spec: LimitSpec, state: LimitState, part: Part) -> bool:
    """Whether a part is there beyond doubt when nobody goes first: then `wait_ms` is 0. It decides all other cases, and
    most jobs are not among them."""
    if state.frozen_until_ms > state.at_ms or (spec.concurrency is not None and state.running >= spec.concurrency):
        return False
    if spec.requests is not None and state.requests < part.requests * _requests(spec).sub:
        return False
    return spec.tokens is None or state.tokens - state.held >= (part.charge + part.rest) * _tokens(spec).sub


def plenty(spec: LimitSpec, state: LimitState, part: Part) -> int:
    """How many parts that are alike are there beyond doubt, one after the other: each of so many finds `has_plenty`."""
    if not has_plenty(spec, state, part):
        return 0
    found = [bounds.MAX_BATCH]
    if spec.concurrency is not None:
        found.append(spec.concurrency - state.running)
    if spec.requests is not None and part.requests:
        found.append(state.requests // (part.requests * _requests(spec).sub))
    if spec.tokens is not None and part.charge + part.rest:
        found.append((state.tokens - state.held) // ((part.charge + part.rest) * _tokens(spec).sub))
    return min(found)


def wait_ms(spec: LimitSpec, state: LimitState, part: Part, ahead: tuple[int, int, int] = (0, 0, 0)) -> int | None:
    """How long until a call may take its part: 0 is now, None is when somebody gives something back.

    `state` is brought up to now. `ahead` are the requests, charge and rest of all who go before: the call may pass them
    only where what is left is enough for them and itself, so the full-bucket rule is theirs. Spec: LIMIT-5, LIMIT-6,
    LIMIT-9, CALL-5, CALL-6, CALL-16
    """
    if part.slot and spec.concurrency is not None and state.running + ahead[0] >= spec.concurrency:
        return None
    if not (part.requests or part.charge or part.rest):
        # A run that goes on after a wait takes its unit alone, which neither a debt nor a pause keeps it from.
        return 0
    waits = [max(0, state.frozen_until_ms - state.at_ms)]
    if spec.requests is not None:
        found = _requests(spec)
        lack = ahead[0] * found.sub + min(part.requests * found.sub, found.capacity) - state.requests
        if lack > 0:
            waits.append(buckets.wait_ms(found, lack, _pace(spec, state)))
    if spec.tokens is not None:
        found = _tokens(spec)
        if state.held + part.rest * found.sub > bounds.MAX_LEVEL:
            return None
        own = min((part.charge + part.rest) * found.sub + state.held, found.capacity)
        lack = (ahead[1] + ahead[2]) * found.sub + own - state.tokens
        if lack > 0:
            waits.append(buckets.wait_ms(found, lack, _pace(spec, state)))
    return max(waits)


def taken(spec: LimitSpec, state: LimitState, part: Part, times: int = 1) -> LimitState:
    """Take what was admitted, the unit of concurrency with it; `times` over where so many are alike. Spec: CALL-1"""
    return _moved(
        spec,
        state,
        requests=-part.requests * times,
        tokens=-part.charge * times,
        held=part.rest * times,
        units=times if part.slot else 0,
    )


def returned(spec: LimitSpec, state: LimitState, part: Part) -> LimitState:
    """Give back what a call took that was never sent. One that was refused for its rate keeps the request: pass its
    part without it. The unit of concurrency is `released` apart. Spec: CALL-3, CALL-11"""
    return _moved(spec, state, requests=part.requests, tokens=part.charge, held=-part.rest)


def reported(spec: LimitSpec, state: LimitState, part: Part, used: int) -> tuple[LimitState, Part]:
    """Count use so far: all of it, in weighted tokens, as in every report of the call. What goes beyond the charge is
    moved out of what is held, and then is taken on top. Keep the new part. Spec: CALL-10"""
    more = used - part.charge
    if more <= 0:
        return state, part
    moved = min(more, part.rest)
    state = _moved(spec, state, tokens=-more, held=-moved)
    return state, replace(part, charge=used, rest=part.rest - moved)


def settled(spec: LimitSpec, state: LimitState, part: Part, used: int) -> LimitState:
    """Count what a call has used in the end, in weighted tokens. The unit of concurrency is `released` apart.

    Spec: CALL-9, LIMIT-11
    """
    return _moved(spec, state, tokens=-_owed(spec, part.charge, used), held=-part.rest, strikes=0)


def expired(spec: LimitSpec, state: LimitState, part: Part) -> LimitState:
    """Charge everything that a lost run took or held; keep charge + rest as what was assumed. Spec: CALL-13"""
    return _moved(spec, state, tokens=-part.rest, held=-part.rest)


def corrected(spec: LimitSpec, state: LimitState, assumed: int, used: int) -> LimitState:
    """Count what a lost run has used in place of what was assumed, as a settlement would have. Spec: CALL-13"""
    return _moved(spec, state, tokens=-_owed(spec, assumed, used))


def released(state: LimitState, units: int = 1) -> LimitState:
    """Give back units of concurrency. Spec: CALL-15"""
    return replace(state, running=max(0, state.running - units))


def throttled(spec: LimitSpec, state: LimitState, tokens: int, retry_after_ms: int | None, now_ms: int) -> LimitState:
    """Learn from a 429 for a call of `tokens`: what the provider's own bucket holds at most, and that it is too fast.

    A provider that says "after R" to a call of n has at most n − R·rate left. Spec: LIMIT-10, LIMIT-11
    """
    state = refilled(spec, state, now_ms)
    frozen, strikes = state.at_ms < state.frozen_until_ms, state.strikes
    if retry_after_ms is None:
        # Of calls that were under way together the first is a strike; the others know no more than it did.
        strikes = strikes if frozen else strikes + 1
        retry_after_ms = _guessed_pause_ms(spec, replace(state, strikes=max(0, strikes - 1)), tokens)
    slower = max(LEAST_PACE, state.pace * 9 // 10)
    lowered = _lowered(spec, state, tokens, retry_after_ms)
    until_ms = max(state.frozen_until_ms, min(state.at_ms + retry_after_ms, bounds.MAX_INSTANT_MS))
    if frozen:
        # More 429s of calls that were under way already say nothing new of the pace.
        return replace(lowered, frozen_until_ms=until_ms, strikes=strikes)
    return replace(lowered, frozen_until_ms=until_ms, strikes=strikes, pace=slower, paced_at_ms=state.at_ms)


def synced(spec: LimitSpec, state: LimitState, remaining: Remaining) -> LimitState:
    """Lower levels to what the provider says is left; never raise one. `state` is brought up to now. Spec: LIMIT-12"""
    requests, tokens = state.requests, state.tokens
    if spec.requests is not None and remaining.requests is not None:
        requests = min(requests, remaining.requests * _requests(spec).sub)
    if spec.tokens is not None and remaining.tokens is not None:
        tokens = min(tokens, remaining.tokens * _tokens(spec).sub)
    return replace(state, requests=requests, tokens=tokens)


def reshaped(old: LimitSpec, new: LimitSpec, state: LimitState, now_ms: int) -> LimitState:
    """Carry what is left of a limit over to its new numbers, at most its new capacity; what is held goes along exactly.

    A bucket that is new begins as in a new limit. Spec: LIMIT-1, LIMIT-13

    Raises:
        InvalidInput: what open calls hold is too large to be counted in the new sub-units.
    """
    state = refilled(old, state, now_ms)
    held = state.held // _tokens(old).sub * _tokens(new).sub
    if held > bounds.MAX_LEVEL:
        raise InvalidInput(f'Calls hold too much of limit "{new.name}" for it; choose a rounder number of tokens.')
    return replace(
        state,
        requests=_carried(_requests(old), _requests(new), state.requests),
        tokens=_carried(_tokens(old), _tokens(new), state.tokens),
        held=held,
    )


def status(spec: LimitSpec, key: str, state: LimitState | None, now_ms: int, waiting: int) -> LimitStatus:
    """Tell how a limit stands now, in whole units rounded down. Changes nothing."""
    used = state is not None
    state = opening(spec, now_ms) if state is None else refilled(spec, state, now_ms)
    pace, levels = _pace(spec, state), ((_requests(spec), state.requests), (_tokens(spec), state.tokens))
    return LimitStatus(
        spec=spec,
        key=key,
        used=used,
        requests_left=None if spec.requests is None else state.requests // _requests(spec).sub,
        tokens_left=None if spec.tokens is None else state.tokens // _tokens(spec).sub,
        tokens_held=state.held // _tokens(spec).sub,
        pace=pace,
        frozen_ms=max(0, state.frozen_until_ms - state.at_ms),
        running=state.running,
        waiting=waiting,
        debt_ms=max(buckets.wait_ms(found, -level, pace) for found, level in levels),
    )


def at_rest(spec: LimitSpec, state: LimitState, now_ms: int) -> bool:
    """Whether nothing of a part is taken, held or slowed down any more, and it is full. Spec: LIMIT-17"""
    state = refilled(spec, state, now_ms)
    full = (_requests(spec).capacity, _tokens(spec).capacity)
    quiet = (state.requests, state.tokens, state.held, state.running, _pace(spec, state))
    return quiet == (*full, 0, 0, FULL_PACE) and state.frozen_until_ms <= state.at_ms


def never_fits(spec: LimitSpec, part: Part) -> bool:
    """Whether a part is taken at once for more than both the capacity and one period. Ask it of what was declared:
    `part(spec, key, estimates.declared(...))`. Spec: CALL-17"""
    # More than one period is more than most calls need, so the capacity is seldom looked at.
    return spec.tokens is not None and part.charge > spec.tokens and part.charge > most_at_once(spec, spec.tokens)


def _requests(spec: LimitSpec) -> Scale:
    return NOTHING if spec.requests is None else scale(spec.requests, spec.per_ms, spec.burst_ms)


def _tokens(spec: LimitSpec) -> Scale:
    return NOTHING if spec.tokens is None else scale(spec.tokens, spec.per_ms, spec.burst_ms)


def _pace(spec: LimitSpec, state: LimitState) -> int:
    """The pace in force at the state's own instant. Spec: LIMIT-7"""
    age_ms = state.at_ms - state.born_ms
    if age_ms >= spec.ramp_ms:
        return state.pace
    return min(state.pace, LEAST_PACE + (FULL_PACE - LEAST_PACE) * age_ms // spec.ramp_ms)


def _moved(
    spec: LimitSpec,
    state: LimitState,
    *,
    requests: int = 0,
    tokens: int = 0,
    held: int = 0,
    units: int = 0,
    strikes: int | None = None,
) -> LimitState:
    """Move whole units. Without a bucket the level stays 0, while what is held is still counted: the limit may have
    had tokens when the call was admitted, and have them again when it ends."""
    by_token = _tokens(spec)
    level, token_level = state.requests, state.tokens
    if spec.requests is None:
        level = 0
    elif requests:
        by_request = _requests(spec)
        level = bounded(by_request, level + requests * by_request.sub)
    if by_token is NOTHING:
        token_level = 0
    elif tokens:
        token_level = bounded(by_token, token_level + tokens * by_token.sub)
    return replace(
        state,
        requests=level,
        tokens=token_level,
        held=state.held + held * by_token.sub,
        running=state.running + units,
        strikes=state.strikes if strikes is None else strikes,
    )


def _owed(spec: LimitSpec, charged: int, used: int) -> int:
    """What is still to be taken of what was used; below zero what comes back, if anything does."""
    return used - charged if spec.refund else max(0, used - charged)


def _carried(old: Scale, new: Scale, level: int) -> int:
    if new is NOTHING:
        return 0
    return buckets.opening(new, OPENING_MS) if old is NOTHING else bounded(new, level * new.sub // old.sub)


def _guessed_pause_ms(spec: LimitSpec, state: LimitState, tokens: int) -> int:
    """Half the time that the rate needs for the call, doubled for every answer in a row. Spec: LIMIT-11"""
    found, count = (_tokens(spec), tokens) if spec.tokens is not None else (_requests(spec), 1)
    rate = found.step * _pace(spec, state)
    half_ms = ceiling(count * found.sub, 2 * rate) if rate else 0
    # Six doublings pass the longest pause, so more of them need not be computed.
    return min(LONGEST_PAUSE_MS, max(LEAST_PAUSE_MS, half_ms) << min(state.strikes, 6))


def _lowered(spec: LimitSpec, state: LimitState, tokens: int, retry_after_ms: int) -> LimitState:
    pace = _pace(spec, state)
    if spec.tokens is not None:
        found = _tokens(spec)
        most = bounded(found, tokens * found.sub - retry_after_ms * found.step * pace)
        return replace(state, tokens=min(state.tokens, most))
    found = _requests(spec)
    most = bounded(found, found.sub - retry_after_ms * found.step * pace)
    return replace(state, requests=min(state.requests, most)) if spec.requests is not None else state
