"""The rate limits of the provider simulator: who is let in, what it takes, and what comes back. Without a server."""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from aiq.testing.provider import BucketState, Limiter, RateLimit
from aiq.testing.provider.answers import Pace
from aiq.testing.provider.calls import Call, parse
from aiq.testing.provider.limiter import MAX_LIMITS, Admission, Rejection

AT_ONCE = Pace(0.0, 0.0)
WEEK = 604_800.0


@dataclass
class HandClock:
    ns: int = 0

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1_000_000_000)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def call(*, tokens_in: int = 100, max_tokens: int | None = None, model: str = "gpt") -> Call:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    body["aiq_simulate"] = {"input": tokens_in}
    return parse(json.dumps({**body, **({"max_tokens": max_tokens} if max_tokens else {})}).encode())


def let_in(limiter: Limiter, asked: Call) -> Admission:
    verdict = limiter.admit(asked)
    assert isinstance(verdict, Admission), verdict.body
    return verdict


def refuse(limiter: Limiter, asked: Call) -> Rejection:
    verdict = limiter.admit(asked)
    assert isinstance(verdict, Rejection)
    return verdict


def bucket(limiter: Limiter, kind: str) -> BucketState:
    (found,) = (state for state in limiter.buckets() if state.kind == kind)
    return found


def levels(limiter: Limiter) -> list[int]:
    return [state.level for state in limiter.buckets()]


CHARGES = [
    ({"charge": "stream"}, 900, 850),
    ({"charge": "input"}, 900, 900),
    ({"charge": "max"}, 700, 700),
    ({"charge": "max", "refund": True}, 700, 850),
    ({"charge": "reserve"}, 600, 850),
    ({"charge": "reserve", "refund": False}, 600, 600),
]


@pytest.mark.parametrize(("options", "on_arrival", "at_the_end"), CHARGES)
def test_what_a_call_takes_on_arrival_and_has_taken_at_the_end_is_that_of_the_charge_model(
    clock: HandClock, options: dict[str, Any], on_arrival: int, at_the_end: int
) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, **options)], clock=clock)

    admission = let_in(limiter, call(tokens_in=100, max_tokens=300))
    arrived = levels(limiter)
    admission.begin(AT_ONCE, 50)
    admission.end(50)

    assert (arrived, levels(limiter)) == ([on_arrival], [at_the_end])


def test_a_short_answer_to_a_long_prompt_costs_the_prompt_where_the_greater_counts(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, charge="max")], clock=clock)

    let_in(limiter, call(tokens_in=400, max_tokens=300))

    assert levels(limiter) == [600]


def test_a_limit_over_input_and_one_over_output_each_count_their_own(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(input_tokens=1_000, output_tokens=500)], clock=clock)

    admission = let_in(limiter, call(tokens_in=100, max_tokens=300))
    arrived = levels(limiter)
    admission.begin(AT_ONCE, 50)
    admission.end(50)

    assert (arrived, levels(limiter)) == ([900, 500], [900, 450])


def test_output_is_counted_while_the_answer_is_made(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, per=WEEK, burst=WEEK)], clock=clock)
    admission = let_in(limiter, call(tokens_in=100))
    admission.begin(Pace(first_token=2.0, per_token=0.5), 10)

    seen = []
    for _ in range(4):
        seen += levels(limiter)
        clock.advance(1)

    assert seen == [900, 900, 899, 897]


def test_a_call_that_broke_off_is_charged_for_what_was_made(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, charge="reserve")], clock=clock)

    admission = let_in(limiter, call(tokens_in=100, max_tokens=300))
    admission.end(20)

    assert levels(limiter) == [880]


def test_a_reservation_that_was_too_small_is_made_up_for(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=10_000, charge="reserve")], clock=clock)

    admission = let_in(limiter, call(tokens_in=100))
    arrived = levels(limiter)
    clock.advance(60)
    admission.end(5_000)

    # It was full again by then: what had been reserved has been refilled, the rest has not.
    assert (arrived, levels(limiter)) == ([10_000 - 1_124], [10_000 - (5_100 - 1_124)])


def test_the_greater_of_two_figures_is_all_that_is_ever_taken(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, charge="max", refund=True)], clock=clock)

    let_in(limiter, call(tokens_in=100, max_tokens=300)).end(290)

    assert levels(limiter) == [700]


def test_a_call_takes_from_every_bucket_or_from_none(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(requests=10, tokens=1_000, style="anthropic")], clock=clock)
    let_in(limiter, call(tokens_in=800))

    rejection = refuse(limiter, call(tokens_in=300))

    assert rejection.kind == "tokens"
    assert levels(limiter) == [9, 200]
    assert [(state.admitted, state.rejected) for state in limiter.buckets()] == [(1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("options", "left"),
    [({"style": "openai"}, 8), ({"style": "anthropic"}, 9), ({"style": "anthropic", "rejected_count": True}, 8)],
)
def test_a_refused_call_costs_a_request_where_those_count(clock: HandClock, options: dict[str, Any], left: int) -> None:
    limiter = Limiter([RateLimit(requests=10, tokens=1_000, **options)], clock=clock)
    let_in(limiter, call(tokens_in=800))

    refuse(limiter, call(tokens_in=300))

    assert levels(limiter) == [left, 200]


def test_refused_calls_do_not_put_the_requests_into_debt(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(requests=2)], clock=clock)
    for _ in range(2):
        let_in(limiter, call())

    for _ in range(5):
        refuse(limiter, call())

    assert levels(limiter) == [0]


def test_a_call_must_find_something_left_even_where_it_takes_nothing_yet(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(output_tokens=100)], clock=clock)
    admission = let_in(limiter, call())
    admission.begin(AT_ONCE, 100)
    admission.end(100)

    assert refuse(limiter, call()).kind == "output_tokens"


def test_a_limit_of_a_model_counts_the_calls_of_that_model(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(requests=5, model="gpt"), RateLimit(requests=9)], clock=clock)

    let_in(limiter, call(model="gpt"))
    let_in(limiter, call(model="claude"))

    assert levels(limiter) == [4, 7]


def test_output_into_debt_leaves_nothing_and_not_less_than_nothing(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, style="openai")], clock=clock)
    admission = let_in(limiter, call(tokens_in=900))
    admission.begin(AT_ONCE, 500)
    admission.end(500)

    rejection = refuse(limiter, call(tokens_in=1))

    assert levels(limiter) == [-400]
    assert dict(rejection.headers)[b"x-ratelimit-remaining-tokens"] == b"0"


def told_wait_ms(rejection: Rejection) -> int:
    return int(dict(rejection.headers)[b"retry-after-ms"])


def test_a_call_that_comes_again_when_it_was_told_is_let_in_and_earlier_it_is_not(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=600, style="anthropic", exact_retry=True)], clock=clock)
    let_in(limiter, call(tokens_in=600))
    wait_ms = told_wait_ms(refuse(limiter, call(tokens_in=70)))

    clock.advance((wait_ms - 1) / 1_000)
    again_ms = told_wait_ms(refuse(limiter, call(tokens_in=70)))
    clock.advance(0.001)

    assert (wait_ms, again_ms) == (7_000, 1)
    assert let_in(limiter, call(tokens_in=70))


def test_the_wait_that_is_told_counts_the_request_that_the_refusal_cost(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(requests=2, tokens=600, style="openai")], clock=clock)
    let_in(limiter, call(tokens_in=600))

    rejection = refuse(limiter, call(tokens_in=10))

    # The tokens would be there after one second, but the last request is used up.
    assert (rejection.kind, told_wait_ms(rejection)) == ("requests", 30_000)


def test_a_call_that_never_fits_is_not_told_to_come_again(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=600, burst=30, style="openai")], clock=clock)

    rejection = refuse(limiter, call(tokens_in=301))

    assert not any(name.startswith(b"retry") for name, _ in rejection.headers)
    assert b"too large" in rejection.body


def test_a_burst_shorter_than_assumed_is_the_capacity(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=600, per=60, burst=15)], clock=clock)

    assert bucket(limiter, "tokens").capacity == 150


def test_a_hidden_client_takes_its_share_and_leaves_the_rest(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(requests=600, tokens=450_000, hidden_share=0.3, seed=1)], clock=clock)

    # Within the burst, so that little overflows and nearly all that is not hidden can be taken.
    for _ in range(2_000):
        clock.advance(1)
        while isinstance(limiter.admit(call(tokens_in=750)), Admission):
            pass

    for state in limiter.buckets():
        assert 0.28 <= state.hidden / state.refilled <= 0.32
        assert 0.66 <= state.taken / state.refilled <= 0.74


def test_without_limits_everybody_is_let_in(clock: HandClock) -> None:
    limiter = Limiter(clock=clock)

    assert let_in(limiter, call(tokens_in=10**6)).headers == []
    assert limiter.buckets() == ()


def test_new_limits_replace_the_old_and_start_full_and_calls_under_way_settle_with_the_old(clock: HandClock) -> None:
    limiter = Limiter([RateLimit(tokens=1_000, charge="reserve")], clock=clock)
    admission = let_in(limiter, call(tokens_in=100, max_tokens=300))
    clock.advance(5)

    limiter.set([RateLimit(tokens=500)])
    clock.advance(2)
    admission.end(300)

    assert levels(limiter) == [500]
    assert (limiter.limits(), limiter.elapsed_ms()) == ((RateLimit(tokens=500),), 2_000)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({}, "needs a rate"),
        ({"tokens": 0}, "tokens"),
        ({"requests": -1}, "requests"),
        ({"tokens": 10**12 + 1}, "tokens"),
        ({"tokens": 1, "per": 0}, "per"),
        ({"tokens": 1, "per": float("nan")}, "per"),
        ({"tokens": 1, "burst": float("inf")}, "burst"),
        ({"tokens": 1, "burst": 59}, "burst"),
        ({"tokens": 1, "hidden_share": 1.0}, "hidden_share"),
        ({"input_tokens": 1, "charge": "max"}, "stream"),
    ],
)
def test_a_figure_that_makes_no_sense_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RateLimit(**wrong)


@pytest.mark.parametrize("wrong", [{"token": 5}, {"tokens": 5, "charge": "all"}, {"tokens": 5, "style": "mine"}])
def test_what_is_no_limit_is_refused_when_it_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, RateLimit)


def test_more_limits_than_may_be_set_are_refused_whole() -> None:
    limiter = Limiter([RateLimit(tokens=5)])

    with pytest.raises(ValueError, match="at most"):
        limiter.set([RateLimit(tokens=1)] * (MAX_LIMITS + 1))

    assert limiter.limits() == (RateLimit(tokens=5),)
