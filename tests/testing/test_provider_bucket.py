"""The token bucket of the provider simulator: exact to the nanosecond, and every token accounted for."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from aiq.testing.provider.bucket import Production, TokenBucket, hidden_calls

SECOND = 1_000_000_000


def bucket(*, rate: int = 60, per_ns: int = 60 * SECOND, burst_ns: int = 60 * SECOND) -> TokenBucket:
    return TokenBucket(rate, per_ns, burst_ns, at_ns=0)


def emptied(made: TokenBucket) -> TokenBucket:
    made.take(made.capacity)
    return made


def test_it_starts_full_and_holds_its_burst() -> None:
    made = bucket(rate=600, burst_ns=30 * SECOND)

    assert (made.capacity, made.level) == (300, 300)


def test_it_refills_all_the_time_and_not_at_the_end_of_a_period() -> None:
    made = emptied(bucket(rate=60))

    made.advance(SECOND - 1)
    before = made.level
    made.advance(SECOND)

    assert (before, made.level) == (0, 1)


def test_it_never_holds_more_than_its_capacity() -> None:
    made = bucket(rate=60)

    made.advance(10 * SECOND)

    assert (made.level, made.refilled, made.overflowed) == (60, 10, 10)


def test_a_clock_that_goes_back_changes_nothing() -> None:
    made = emptied(bucket())
    made.advance(10 * SECOND)

    made.advance(3 * SECOND)
    gone_back = made.level
    made.advance(10 * SECOND)

    assert (gone_back, made.level, made.refilled) == (10, 10, 10)


@given(
    rate=st.integers(1, 10**12),
    per_ns=st.integers(1, 10**15),
    taken=st.integers(0, 10**6),
    need=st.integers(1, 10**6),
)
def test_it_holds_what_is_needed_after_the_wait_it_told_and_not_before(
    rate: int, per_ns: int, taken: int, need: int
) -> None:
    made = TokenBucket(rate, per_ns, burst_ns=per_ns * 10**6, at_ns=0)
    made.take(made.capacity - 10**6 + taken)
    wait_ns = made.wait_ns(need)
    assert wait_ns is not None

    made.advance(max(0, wait_ns - 1))
    early = made.wait_ns(need)
    made.advance(wait_ns)

    assert early == (1 if wait_ns else 0)
    assert made.level >= need


def test_it_can_never_hold_more_than_when_it_is_full() -> None:
    made = bucket(rate=60)

    assert made.wait_ns(60) == 0
    assert made.wait_ns(61) is None


def test_output_is_taken_as_it_is_made() -> None:
    made = bucket(rate=1, per_ns=10**6 * SECOND, burst_ns=10**8 * SECOND)
    made.follow(Production(first_at_ns=2 * SECOND, per_token_ns=SECOND, total=5))

    seen = []
    for seconds in (1, 2, 3, 4, 20):
        made.advance(seconds * SECOND)
        seen.append(made.taken)

    assert seen == [0, 1, 2, 3, 5]


def test_output_that_uses_up_the_refill_lets_none_of_it_overflow() -> None:
    made = bucket(rate=60)
    made.follow(Production(first_at_ns=0, per_token_ns=SECOND, total=1_000))

    made.advance(30 * SECOND)

    # One more than thirty: the first is made at once.
    assert (made.taken, made.overflowed, made.level) == (31, 0, 59)


def test_an_answer_that_ended_early_is_taken_as_far_as_it_was_made() -> None:
    made = bucket(rate=1, per_ns=10**6 * SECOND, burst_ns=10**8 * SECOND)
    answer = Production(first_at_ns=0, per_token_ns=SECOND, total=100)
    made.follow(answer)
    made.advance(9 * SECOND)

    made.finish(answer, 10)
    made.advance(60 * SECOND)

    assert made.taken == 10


def test_output_may_leave_a_debt_that_must_be_refilled_first() -> None:
    made = emptied(bucket(rate=60))
    made.take(30)

    assert made.level == -30
    assert made.wait_ns(1) == 31 * SECOND


def test_a_crowd_of_refused_calls_does_not_pile_up_a_debt() -> None:
    made = emptied(bucket(rate=60))
    made.give_back(2)

    for _ in range(5):
        made.take_at_most(1)

    assert (made.level, made.taken) == (0, 62)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(0, 50)),
        st.tuples(st.just("take"), st.integers(0, 40)),
        st.tuples(st.just("give_back"), st.integers(0, 40)),
        st.tuples(st.just("answer"), st.integers(0, 40)),
    ),
    max_size=40,
)


@given(steps=STEPS, rate=st.integers(1, 9), burst_ns=st.integers(1, 30), seed=st.text(max_size=3))
def test_every_token_is_accounted_for(steps: list[tuple[str, int]], rate: int, burst_ns: int, seed: str) -> None:
    # A token is one part here, so that nothing is rounded in what is told either.
    made = TokenBucket(rate, 1, burst_ns, 0, hidden_calls(2, 7, start_ns=0, seed=seed))
    now_ns = 0

    for what, number in steps:
        match what:
            case "advance":
                now_ns += number
                made.advance(now_ns)
            case "take":
                made.take(number)
            case "give_back":
                made.give_back(number)
            case _:
                made.follow(Production(first_at_ns=now_ns + 1, per_token_ns=1, total=number))

        assert made.level <= made.capacity
        spent = made.taken - made.returned + made.hidden
        assert made.level == made.capacity + made.refilled - made.overflowed - spent
        assert made.refilled == rate * now_ns


def test_a_hidden_client_takes_its_share_of_what_is_refilled() -> None:
    every_ns = round(SECOND / 0.3)
    made = TokenBucket(1, SECOND, 60 * SECOND, 0, hidden_calls(1, every_ns, start_ns=0, seed="a"))

    made.advance(100_000 * SECOND)

    assert 0.29 <= made.hidden / made.refilled <= 0.31


def test_a_hidden_client_takes_from_what_is_there_at_its_instant_and_not_from_what_comes_later() -> None:
    made = TokenBucket(60, 60 * SECOND, 60 * SECOND, 0, iter([(99 * SECOND, 10)]))

    made.advance(100 * SECOND)

    assert (made.level, made.overflowed) == (51, 99)


def test_a_hidden_client_comes_at_the_same_instants_for_the_same_seed() -> None:
    first, again, other = (list(islice(hidden_calls(1, SECOND, start_ns=5, seed=seed), 50)) for seed in "aab")

    assert first == again != other
    assert first == sorted(first)
    assert first[0][0] >= 5


def test_it_does_not_matter_how_often_the_account_is_brought_up_to_date() -> None:
    looked_at, left_alone = (TokenBucket(7, 11, 130, 0, hidden_calls(3, 40, start_ns=0, seed="same")) for _ in range(2))

    for instant in range(10_000):
        looked_at.advance(instant)
    left_alone.advance(9_999)

    told = ("level", "refilled", "overflowed", "hidden")
    assert [getattr(looked_at, name) for name in told] == [getattr(left_alone, name) for name in told]
