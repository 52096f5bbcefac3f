import random
from pathlib import Path

from benchmarks.ratelimit.limiters import FixedWindow, LocalBucket, Unlimited
from benchmarks.ratelimit.provider import limits
from benchmarks.ratelimit.retries import Backoff, Obedient
from benchmarks.ratelimit.scenarios import SCENARIOS, TOKENS
from benchmarks.ratelimit.traces import Call

LARGE = Call(400_000, 1_000, 4_000)
SMALL = Call(1_000, 100, 1_000)


def test_nobody_is_asked_without_a_limiter() -> None:
    assert Unlimited().wait_s("large", LARGE, 0.0) == 0


def test_a_window_lets_everything_go_until_it_hears_what_was_used(tmp_path: Path) -> None:
    window = FixedWindow(str(tmp_path / "shared.db"), TOKENS)

    assert [window.wait_s("large", LARGE, 10.0) for _ in range(5)] == [0] * 5


def test_a_used_up_window_opens_with_the_next_minute(tmp_path: Path) -> None:
    window = FixedWindow(str(tmp_path / "shared.db"), TOKENS)
    for _ in range(2):
        window.done(LARGE, 10.0)

    assert window.wait_s("chat", SMALL, 40.0) == 20.0
    assert window.wait_s("chat", SMALL, 60.0) == 0


def test_the_processes_of_a_window_share_its_counter(tmp_path: Path) -> None:
    ours, theirs = (FixedWindow(str(tmp_path / "shared.db"), TOKENS) for _ in range(2))
    for _ in range(2):
        theirs.done(LARGE, 10.0)

    assert ours.wait_s("chat", SMALL, 40.0) == 20.0


def test_a_local_bucket_waits_for_what_a_call_needs() -> None:
    bucket = LocalBucket(SCENARIOS["S1"], 1.0)

    assert bucket.wait_s("large", LARGE, 0.0) == 0
    assert bucket.wait_s("large", LARGE, 0.0) > 0


def test_local_buckets_know_nothing_of_each_other() -> None:
    ours, theirs = LocalBucket(SCENARIOS["S1"], 1.0), LocalBucket(SCENARIOS["S1"], 1.0)
    theirs.wait_s("large", LARGE, 0.0)

    assert ours.wait_s("large", LARGE, 0.0) == 0


def test_a_call_larger_than_a_part_of_the_limit_goes_when_that_is_full() -> None:
    bucket = LocalBucket(SCENARIOS["S1"], 0.25)

    assert bucket.wait_s("large", LARGE, 0.0) == 0
    assert bucket.wait_s("chat", SMALL, 0.0) > 60


def test_a_back_off_grows_with_each_try_up_to_a_minute() -> None:
    rng = random.Random(1)
    longest = [max(Backoff().delay_s(tried, None, rng) for _ in range(200)) for tried in (1, 2, 3, 4, 5, 9)]

    assert longest == sorted(longest)
    assert 55 < longest[-1] <= 60


def test_advice_is_obeyed_with_a_little_more() -> None:
    delays = [Obedient().delay_s(1, 10.0, random.Random(seed)) for seed in range(100)]

    assert min(delays) >= 10
    assert max(delays) <= 11


def test_the_provider_of_a_compressed_run_has_the_same_rate_in_less_time() -> None:
    asked = limits(SCENARIOS["S5"], 10, 1)

    assert (asked["tokens"], asked["per"], asked["burst"]) == (TOKENS, 6, 3)
