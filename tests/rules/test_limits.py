"""Levels, waits and pauses of a limit, in the figures of the chapter on limits."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import LimitSpec, LimitState, Part, QueueSettings, Remaining
from aiq.rules import buckets, limits
from aiq.testing.marks import clause

MINUTE = 60_000
# 60,000 tokens a minute are one a ms: a level reads as ms of the rate. One token is 1,000 sub-units.
SPEC = LimitSpec(name="l", tokens=MINUTE)
S = 1_000
REQUESTS = LimitSpec(name="r", requests=60)


def full(spec: LimitSpec = SPEC, **changes: Any) -> LimitState:
    return structs.replace(limits.refilled(spec, limits.opening(spec, 0), 10**9), **changes)


def part(charge: int = 0, rest: int = 0, **changes: Any) -> Part:
    return Part(limit="l", requests=1, charge=charge, rest=rest, **changes)


def test_a_scale_makes_every_ms_a_whole_number_of_sub_units() -> None:
    assert buckets.scale(450_000, MINUTE, 30_000) == buckets.Scale(2_000, 15, 450_000_000)
    assert buckets.scale(10_000_000, MINUTE, MINUTE) == buckets.Scale(3_000, 500, 30_000_000_000)
    assert buckets.scale(10**9, 86_400_000, 86_400_000) == buckets.Scale(54_000, 625, 54_000 * 10**9)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**5))
def test_one_period_at_full_pace_gives_exactly_the_rate(rate: int, per_ms: int, burst_ms: int) -> None:
    made = buckets.scale(rate, per_ms, burst_ms)

    assert made.step * 1000 * per_ms == rate * made.sub


@clause("LIMIT-4")
def test_a_new_limit_begins_with_five_seconds_of_its_rate_at_most_its_capacity() -> None:
    assert limits.opening(SPEC, 7).tokens == 5_000 * S
    assert limits.opening(replace(SPEC, burst_ms=2_000), 7).tokens == 2_000 * S
    assert limits.opening(SPEC, 7) == LimitState(at_ms=7, born_ms=7, tokens=5_000 * S, paced_at_ms=7)


def test_a_level_rises_with_time_up_to_the_capacity() -> None:
    opened = limits.opening(SPEC, 0)

    assert limits.refilled(SPEC, opened, 10).tokens == 5_010 * S
    assert limits.refilled(SPEC, opened, 25_000).tokens == 30_000 * S
    assert limits.refilled(SPEC, opened, 10**9).tokens == 30_000 * S


@clause("LIMIT-8")
def test_a_clock_that_goes_back_changes_nothing_and_one_that_jumps_fills_once() -> None:
    state = limits.taken(SPEC, full(), part(30_000))

    assert limits.refilled(SPEC, state, 5) is state
    assert limits.refilled(SPEC, state, 10**12).tokens == 30_000 * S


@clause("LIMIT-5")
def test_the_wait_is_exactly_what_refills_what_is_lacking() -> None:
    empty = full(tokens=0)

    assert limits.wait_ms(SPEC, empty, part(700, 300)) == 1_000
    assert limits.wait_ms(SPEC, structs.replace(empty, tokens=1), part(700, 300)) == 1_000, "rounded up"
    assert limits.wait_ms(SPEC, structs.replace(empty, tokens=1_000 * S), part(700, 300)) == 0
    assert limits.wait_ms(SPEC, structs.replace(empty, pace=500), part(700, 300)) == 2_000


def test_what_is_held_is_not_there_to_be_taken() -> None:
    assert limits.wait_ms(SPEC, full(held=29_000 * S), part(1_000)) == 0
    assert limits.wait_ms(SPEC, full(tokens=29_000 * S, held=29_000 * S), part(1_000)) == 1_000


@clause("LIMIT-6")
def test_what_is_larger_than_the_bucket_goes_when_it_is_full_and_into_debt() -> None:
    large = part(40_000)

    assert limits.wait_ms(SPEC, full(tokens=29_999 * S), large) == 1
    assert limits.wait_ms(SPEC, full(), large) == 0
    assert limits.taken(SPEC, full(), large).tokens == -10_000 * S


def test_requests_and_tokens_are_both_waited_for() -> None:
    spec = replace(SPEC, requests=60)
    state = full(spec, requests=0, tokens=0)

    assert limits.wait_ms(spec, state, part(200)) == 1_000, "a request a second"
    assert limits.wait_ms(spec, state, part(2_000)) == 2_000


def test_a_limit_that_gives_less_than_one_request_of_burst_still_gives_one() -> None:
    spec = LimitSpec(name="r", requests=1, per_ms=MINUTE, burst_ms=100)
    state = limits.taken(spec, full(spec), part())

    assert limits.wait_ms(spec, full(spec), part()) == 0
    assert limits.wait_ms(spec, state, part()) == MINUTE


@clause("LIMIT-9")
def test_a_unit_of_concurrency_is_waited_for_until_another_is_given_back() -> None:
    spec = LimitSpec(name="l", concurrency=2)
    one = limits.taken(spec, limits.opening(spec, 0), part(slot=True))
    two = limits.taken(spec, one, part(slot=True))

    assert (limits.wait_ms(spec, one, part(slot=True)), limits.wait_ms(spec, two, part(slot=True))) == (0, None)
    assert limits.wait_ms(spec, limits.released(two), part(slot=True)) == 0
    assert limits.wait_ms(spec, two, part()) == 0, "a call whose run has a unit needs no other"


@clause("CALL-16")
def test_a_unit_alone_is_kept_back_neither_by_a_debt_nor_by_a_pause() -> None:
    spec = replace(SPEC, concurrency=1)
    state = full(spec, tokens=-(10**6), frozen_until_ms=10**10)

    assert limits.wait_ms(spec, state, Part(limit="l", slot=True)) == 0


@clause("CALL-5")
@pytest.mark.parametrize(
    ("level", "ahead", "wait"),
    [
        (3_000, (0, 0, 0), 0),
        (3_000, (1, 1_500, 500), 0),
        (3_000, (1, 1_500, 501), 1),
        (30_000, (1, 29_000, 0), 0),
        (30_000, (1, 29_001, 0), 1),
        (30_000, (1, 60_000, 0), 31_000),
    ],
)
def test_a_call_passes_those_before_it_only_where_there_is_enough_for_all(
    level: int, ahead: tuple[int, int, int], wait: int
) -> None:
    assert limits.wait_ms(SPEC, full(tokens=level * S), part(1_000), ahead) == wait


def test_calls_ahead_take_the_units_that_are_free() -> None:
    spec = LimitSpec(name="l", concurrency=2)

    assert limits.wait_ms(spec, limits.opening(spec, 0), part(slot=True), (1, 0, 0)) == 0
    assert limits.wait_ms(spec, limits.opening(spec, 0), part(slot=True), (2, 0, 0)) is None


def test_a_hold_beyond_what_stores_count_waits_until_others_give_back() -> None:
    assert limits.wait_ms(SPEC, full(held=bounds.MAX_LEVEL), part(0, 1)) is None


@clause("LIMIT-7")
@given(
    st.sampled_from([SPEC, REQUESTS, replace(SPEC, requests=60, concurrency=2), LimitSpec(name="c", concurrency=1)]),
    st.tuples(st.integers(-5, 40), st.integers(-5, 40), st.integers(0, 20), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_what_is_there_in_plenty_is_there_at_once(
    spec: LimitSpec, levels: tuple[int, int, int, int, int], asked: tuple[int, int]
) -> None:
    requests, tokens, held, running, frozen = levels
    state = full(spec, requests=requests * S, tokens=tokens * S, held=held * S, running=running)
    state = structs.replace(state, frozen_until_ms=state.at_ms + frozen)

    if limits.has_plenty(spec, state, part(*asked)):
        assert limits.wait_ms(spec, state, part(*asked, slot=True)) == 0


@given(
    st.sampled_from([SPEC, REQUESTS, replace(SPEC, requests=60, concurrency=9), LimitSpec(name="c", concurrency=5)]),
    st.tuples(st.integers(-5, 90), st.integers(-5, 90), st.integers(0, 20), st.integers(0, 3), st.integers(0, 1)),
    st.builds(part, st.integers(0, 20), st.integers(0, 20), slot=st.booleans()),
)
def test_of_what_is_there_in_plenty_several_find_it_one_after_the_other(
    spec: LimitSpec, levels: tuple[int, int, int, int, int], asked: Part
) -> None:
    requests, tokens, held, running, frozen = levels
    state = full(spec, requests=requests * S, tokens=tokens * S, held=held * S, running=running)
    first = state = structs.replace(state, frozen_until_ms=state.at_ms + frozen)
    asked = structs.replace(asked, requests=1, slot=spec.concurrency is not None)
    several = min(limits.plenty(spec, state, asked), 50)

    for _ in range(several):
        assert limits.has_plenty(spec, state, asked)
        state = limits.taken(spec, state, asked)
    assert several == 50 or not limits.has_plenty(spec, state, asked)
    assert not several or state == limits.taken(spec, first, asked, several)


def test_most_of_what_fits_is_there_in_plenty() -> None:
    assert limits.has_plenty(SPEC, full(), part(10, 10))
    assert limits.has_plenty(SPEC, full(tokens=20 * S), part(10, 10))
    assert not limits.has_plenty(SPEC, full(tokens=20 * S, held=S), part(10, 10))


def test_a_ramp_rises_evenly_from_a_tenth_of_the_rate() -> None:
    spec = replace(SPEC, ramp_ms=900)
    born = limits.opening(spec, 0)
    paces = [
        limits.status(spec, "", limits.refilled(spec, born, at), at, 0).pace for at in (0, 1, 450, 899, 900, 9_999)
    ]

    assert paces == [100, 101, 550, 999, 1000, 1000]
    assert limits.refilled(spec, born, 100).tokens == 5_000 * S + 100 * 100, "at the pace of its beginning"


@clause("LIMIT-5", "LIMIT-7")
def test_the_time_told_is_kept_while_the_pace_rises() -> None:
    spec = replace(SPEC, ramp_ms=90_000)
    state = limits.refilled(spec, structs.replace(limits.opening(spec, 0), tokens=0, pace=500), 47_011)
    wait = limits.wait_ms(spec, state, part(30_000))

    assert wait
    assert limits.wait_ms(spec, limits.refilled(spec, state, 47_011 + wait), part(30_000)) == 0


@clause("CALL-9")
@pytest.mark.parametrize(
    ("refund", "used", "level"),
    [(True, 700, 29_300), (True, 1_400, 28_600), (False, 700, 29_000), (False, 1_400, 28_600)],
)
def test_a_settlement_counts_what_was_used_and_gives_back_what_was_held(refund: bool, used: int, level: int) -> None:
    spec = replace(SPEC, refund=refund)
    taken = limits.taken(spec, full(), part(1_000, 500))

    settled = limits.settled(spec, taken, part(1_000, 500), used)

    assert (taken.tokens, taken.held) == (29_000 * S, 500 * S)
    assert (settled.tokens, settled.held) == (level * S, 0)


def test_what_comes_back_never_raises_a_level_above_the_capacity() -> None:
    taken = limits.taken(SPEC, full(), part(1_000))

    assert limits.settled(SPEC, limits.refilled(SPEC, taken, 10**10), part(1_000), 0).tokens == 30_000 * S


@clause("CALL-10")
def test_use_so_far_moves_what_is_held_and_then_takes_more() -> None:
    state, held = limits.taken(SPEC, full(), part(1_000, 500)), part(1_000, 500)

    state, held = limits.reported(SPEC, state, held, 1_200)
    assert (held.charge, held.rest, state.tokens, state.held) == (1_200, 300, 28_800 * S, 300 * S)
    assert limits.reported(SPEC, state, held, 1_200) == (state, held), "a repeat changes nothing"
    assert limits.reported(SPEC, state, held, 900) == (state, held), "less than before changes nothing"

    state, held = limits.reported(SPEC, state, held, 2_000)
    assert (held.charge, held.rest, state.tokens, state.held) == (2_000, 0, 28_000 * S, 0)
    assert limits.settled(SPEC, state, held, 2_100).tokens == 27_900 * S


@clause("CALL-11")
def test_a_call_that_was_never_sent_gives_back_everything_and_a_refused_one_not_its_request() -> None:
    spec = replace(SPEC, requests=60)
    taken = limits.taken(spec, full(spec), part(1_000, 500))

    assert limits.returned(spec, taken, part(1_000, 500)) == full(spec)
    refused = limits.returned(spec, taken, structs.replace(part(1_000, 500), requests=0))
    assert refused == full(spec, requests=full(spec).requests - 10**6)


@clause("CALL-13")
@pytest.mark.parametrize(("used", "level"), [(200, 29_800), (1_500, 28_500), (4_000, 26_000)])
def test_a_lost_run_is_charged_all_and_corrected_by_what_it_used(used: int, level: int) -> None:
    lost = limits.expired(SPEC, limits.taken(SPEC, full(), part(1_000, 500)), part(1_000, 500))

    assert (lost.tokens, lost.held) == (28_500 * S, 0)
    assert limits.corrected(SPEC, lost, 1_500, used).tokens == level * S


def test_a_correction_gives_nothing_back_where_the_provider_keeps_it() -> None:
    spec = replace(SPEC, refund=False)

    assert limits.corrected(spec, full(tokens=0), 1_500, 200).tokens == 0
    assert limits.corrected(spec, full(tokens=0), 1_500, 1_600).tokens == -100 * S


@clause("LIMIT-10")
def test_a_429_freezes_lowers_the_level_to_what_the_provider_has_and_slows_down() -> None:
    state = limits.throttled(SPEC, full(), 5_000, 2_000, 10**9)

    assert (state.frozen_until_ms, state.tokens, state.pace) == (10**9 + 2_000, 3_000 * S, 900)
    assert limits.wait_ms(SPEC, state, part(1)) == 2_000
    assert limits.throttled(SPEC, full(tokens=-S), 5_000, 2_000, 10**9).tokens == -S, "never raised"
    assert limits.throttled(SPEC, full(), 5_000, 8_000, 10**9).tokens == -3_000 * S


@clause("LIMIT-10")
def test_a_429_while_frozen_slows_no_further_and_never_ends_the_pause_earlier() -> None:
    first = limits.throttled(SPEC, full(), 5_000, 2_000, 10**9)
    again = limits.throttled(SPEC, first, 5_000, 500, 10**9 + 1_000)
    later = limits.throttled(SPEC, again, 5_000, 2_000, 10**9 + 1_500)

    assert (again.pace, again.frozen_until_ms) == (900, 10**9 + 2_000)
    assert (later.pace, later.frozen_until_ms) == (900, 10**9 + 3_500)
    assert limits.throttled(SPEC, later, 5_000, 0, 10**9 + 3_500).pace == 810


def test_the_pace_never_falls_below_a_tenth_and_rises_two_hundredths_every_half_minute() -> None:
    state = full()
    for second in range(40):
        state = limits.throttled(SPEC, state, 1, 0, 10**9 + second)

    assert state.pace == 100
    at_ms = state.paced_at_ms
    paces = [limits.refilled(SPEC, state, at_ms + ms).pace for ms in (29_999, 30_000, 89_999, 45 * 30_000, 10**9)]
    assert paces == [100, 120, 140, 1000, 1000]


def test_a_429_of_a_limit_without_tokens_lowers_its_requests() -> None:
    state = limits.throttled(REQUESTS, full(REQUESTS), 5_000, 2_000, 10**9)

    assert limits.status(REQUESTS, "", state, 10**9, 0).requests_left == -1


@clause("LIMIT-11")
def test_a_429_that_names_no_time_pauses_longer_each_time_until_a_call_is_settled() -> None:
    state, pauses, now_ms = full(), [], 10**9
    for _ in range(4):
        state = limits.throttled(SPEC, state, 10_000, None, now_ms)
        pauses.append(state.frozen_until_ms - now_ms)
        now_ms = state.frozen_until_ms

    # Half of 10 s at full pace; then of 10 s at 900, 810 and 729 per mille, rounded up, and doubled each time.
    assert pauses == [5_000, 11_112, 24_692, 54_872]
    settled = limits.settled(SPEC, state, part(1_000), 1_000)
    assert limits.throttled(SPEC, settled, 100, None, 10**9 + 190_000).frozen_until_ms == 10**9 + 191_000, (
        "at least 1 s"
    )


def test_a_429_of_a_concurrency_alone_pauses_it_too() -> None:
    spec = LimitSpec(name="l", concurrency=2)
    state = limits.throttled(spec, limits.opening(spec, 0), 100, None, 0)

    assert limits.wait_ms(spec, state, part(slot=True)) == 1_000


@clause("LIMIT-12")
def test_what_a_provider_says_is_left_lowers_a_level_and_never_raises_one() -> None:
    spec = replace(SPEC, requests=60)

    lower = limits.synced(spec, full(spec), Remaining(limit="l", requests=3, tokens=2_000))
    assert (lower.requests, lower.tokens) == (3 * 10**6, 2_000 * S)
    assert limits.synced(spec, lower, Remaining(limit="l", requests=9, tokens=9_000)) == lower
    assert limits.synced(spec, lower, Remaining(limit="l")) == lower
    assert limits.synced(LimitSpec(name="l", concurrency=1), lower, Remaining(limit="l", tokens=0)) == lower


@clause("LIMIT-1")
def test_what_is_left_goes_along_with_new_numbers_at_most_their_capacity() -> None:
    state = limits.taken(SPEC, full(), part(10_000, 500))
    smaller, larger = replace(SPEC, tokens=20_000), replace(SPEC, tokens=10**6 + 1)

    told = [limits.status(new, "", limits.reshaped(SPEC, new, state, 10**9), 10**9, 0) for new in (smaller, larger)]

    assert [one.tokens_left for one in told] == [10_000, 20_000]
    assert [one.tokens_held for one in told] == [500, 500]
    debt = structs.replace(state, tokens=-7_000 * S)
    assert limits.status(smaller, "", limits.reshaped(SPEC, smaller, debt, 10**9), 10**9, 0).tokens_left == -7_000


@clause("CALL-15")
def test_what_is_held_survives_a_limit_that_has_no_tokens_for_a_while() -> None:
    without, finer = LimitSpec(name="l", requests=60), replace(SPEC, tokens=997)
    state = limits.taken(SPEC, full(), part(1_000, 500))

    state = limits.reshaped(SPEC, without, state, 10**9)
    assert limits.status(without, "", state, 10**9, 0).tokens_left is None
    state = limits.reshaped(without, finer, state, 10**9)
    assert limits.settled(finer, state, part(1_000, 500), 800).held == 0


def test_a_bucket_that_a_limit_gets_anew_begins_as_in_a_new_limit() -> None:
    without = LimitSpec(name="l", concurrency=1)
    state = limits.reshaped(without, SPEC, limits.opening(without, 0), 10**9)

    assert state.tokens == limits.opening(SPEC, 0).tokens


def test_new_numbers_that_cannot_count_what_is_held_are_refused() -> None:
    with pytest.raises(InvalidInput, match="rounder number of tokens"):
        limits.reshaped(SPEC, replace(SPEC, tokens=997), full(held=bounds.MAX_LEVEL // 2), 10**9)


def test_a_limit_tells_whole_units_rounded_down_and_what_is_frozen() -> None:
    spec = replace(SPEC, requests=60, concurrency=3)
    state = full(spec, tokens=-1, held=1_500, frozen_until_ms=10**9 + 70, running=2)

    told = limits.status(spec, "acme", state, 10**9, 4)

    assert (told.tokens_left, told.requests_left, told.tokens_held) == (-1, 30, 1)
    assert (told.key, told.used, told.frozen_ms, told.running, told.waiting) == ("acme", True, 70, 2, 4)


def test_a_limit_of_which_nothing_was_taken_tells_what_it_would_begin_with() -> None:
    told = limits.status(SPEC, "", None, 10**9, 0)

    assert (told.used, told.tokens_left, told.requests_left) == (False, 5_000, None)


@clause("CALL-17")
def test_what_is_taken_at_once_never_fits_over_both_the_capacity_and_one_period() -> None:
    wide = replace(SPEC, burst_ms=2 * MINUTE)

    assert [limits.never_fits(SPEC, part(charge)) for charge in (30_001, 60_000, 60_001)] == [False, False, True]
    assert [limits.never_fits(wide, part(charge)) for charge in (60_001, 120_000, 120_001)] == [False, False, True]
    assert not limits.never_fits(SPEC, part(0, 10**9)), "what is held is no matter of size"
    assert not limits.never_fits(REQUESTS, part(10**9))


@clause("QUEUE-2")
def test_the_settings_of_a_queue_are_a_limit_that_starts_one_period_at_once() -> None:
    made = limits.of_queue("q", QueueSettings(concurrency=3, rate=50))

    assert made == LimitSpec(name="queue:q", requests=50, per_ms=1_000, burst_ms=1_000, concurrency=3)
    assert limits.of_queue("q", QueueSettings(max_ready=5)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": None},
        {"tokens": 0},
        {"tokens": -5},
        {"tokens": float("nan")},
        {"tokens": 1.5},
        {"tokens": 10**12 + 1},
        {"requests": 0},
        {"concurrency": 0},
        {"concurrency": 10**6 + 1},
        {"per_ms": 0},
        {"per_ms": bounds.MAX_PERIOD_MS + 1},
        {"burst_ms": 0},
        {"ramp_ms": -1},
        {"name": "queue:q"},
        {"by": "queue"},
        {"weights": {"no category": 1}},
        {"weights": {"output": -1}},
        {"weights": {"output": bounds.MAX_WEIGHT + 1}},
        {"weights": {f"c{number}": 1 for number in range(33)}},
    ],
    ids=str,
)
def test_a_limit_with_a_bad_figure_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        limits.check_limit(replace(SPEC, **change))


def test_a_limit_passes_at_its_bounds_and_its_bucket_at_half_of_what_stores_count() -> None:
    check: Callable[[LimitSpec], None] = limits.check_limit
    check(replace(SPEC, tokens=10**12, per_ms=10**9, burst_ms=1, concurrency=10**6, by="key", ramp_ms=MINUTE))
    check(LimitSpec(name="l", concurrency=1, weights={"output": bounds.MAX_WEIGHT, "cache_read": 0}))
    check(LimitSpec(name="l", tokens=10**12, per_ms=1, burst_ms=4))
    with pytest.raises(InvalidInput, match="rounder number of tokens"):
        check(LimitSpec(name="l", tokens=10**12, per_ms=1, burst_ms=5))
    with pytest.raises(InvalidInput, match="bounds nothing"):
        check(LimitSpec(name="l"))
