"""What becomes of a run whose provider had no room, whatever its handler raised and wherever it ran."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest

import aiq
from aiq.engine import child
from aiq.engine.deferrals import JITTER, Deferral, deferral_of, deferred
from aiq.model import Cause, Deferred, Estimate, JobRecord, RouteSpec, State, Throttle
from aiq.policy import Retry
from tests.engine.booked import Booked
from tests.engine.world import World, virtually

RETRY = Retry()


class Refused(Exception):
    def __init__(self, text: str = "no room", after: str | None = None) -> None:
        super().__init__(text)
        self.status_code = 429
        self.headers = {} if after is None else {"retry-after": after}


def record(**fields: Any) -> JobRecord:
    return JobRecord(id="a", task="t", state=State.RUNNING, lease_ms=30_000, expires_at_ms=1_030_000, **fields)


def outcome(error: BaseException, job: JobRecord | None = None, seed: int = 1) -> Deferred:
    found = deferral_of(RETRY, error)
    assert found is not None
    return deferred(job or record(), found, Random(seed))


@pytest.mark.parametrize("error", [ValueError("no"), aiq.Fatal("no"), TimeoutError(), KeyboardInterrupt()])
def test_an_ordinary_failure_is_no_deferral(error: BaseException) -> None:
    assert deferral_of(RETRY, error) is None


@pytest.mark.parametrize(
    "error",
    [
        Refused(after="7"),
        aiq.RateLimited(retry_after=7),
        ExceptionGroup("several", [ValueError("other"), ExceptionGroup("inner", [Refused(after="7")])]),
    ],
)
def test_a_429_is_one_however_deep_it_is(error: BaseException) -> None:
    found = outcome(error)
    assert 7_000 <= found.delay_ms <= 7_700
    assert found.error.cause is Cause.RATE_LIMITED
    assert not found.close_route


def test_the_delay_is_what_was_named_and_up_to_a_tenth_of_it() -> None:
    delays = {outcome(Refused(after="10"), seed=seed).delay_ms for seed in range(300)}
    assert min(delays) >= 10_000
    assert max(delays) <= 10_000 + 10_000 // JITTER
    assert max(delays) - min(delays) > 900


def test_of_several_times_the_longest_counts() -> None:
    found = outcome(ExceptionGroup("several", [Refused(after="2"), Refused(after="9"), Refused()]))
    assert 9_000 <= found.delay_ms <= 9_900


@pytest.mark.parametrize("after", [None, "0"])
def test_without_a_time_the_first_delay_is_a_second(after: str | None) -> None:
    assert 1_000 <= outcome(Refused(after=after)).delay_ms <= 1_100


def test_without_a_time_delays_double_as_long_as_nothing_else_happens() -> None:
    delays, job = [], record()
    claimed_ms = first_ms = 1_000_000
    for _ in range(9):
        found = deferred(job, Deferral(outcome(Refused()).error, False, None, (), False), Random(1))
        delays.append(found.delay_ms)
        claimed_ms += found.delay_ms
        job = replace(job, deferred_at_ms=first_ms, expires_at_ms=claimed_ms + job.lease_ms)

    growth = [after / before for before, after in pairwise(delays[1:7])]
    assert all(1.8 <= factor <= 2.3 for factor in growth)
    assert 60_000 <= delays[-1] <= 66_000


def test_the_limits_of_the_job_pause_with_what_it_was_to_need() -> None:
    job = record(limits=("gpt", "team"), estimate=Estimate(input=100, output=20, max_output=50))
    assert outcome(Refused(after="3"), job).throttles == (
        Throttle(limit="gpt", tokens=150, retry_after_ms=3_000),
        Throttle(limit="team", tokens=150, retry_after_ms=3_000),
    )


def test_the_limits_of_the_route_pause_and_no_others() -> None:
    routes = (RouteSpec(name="dear", limits=("gpt",)), RouteSpec(name="cheap", limits=("mini",)))
    job = record(routes=routes, route=1, estimate=Estimate(output=20))
    assert outcome(Refused(), job).throttles == (Throttle(limit="mini", tokens=20, retry_after_ms=None),)


def test_limits_that_the_error_names_pause_instead() -> None:
    job = record(limits=("gpt", "team"))
    assert outcome(aiq.RateLimited(limits=["other"]), job).throttles == (Throttle(limit="other"),)


def test_limits_may_be_named_as_a_call_takes_them_and_a_time_as_a_timedelta() -> None:
    gpt = aiq.Limit("gpt", requests=1)
    found = outcome(aiq.RateLimited(limits=[gpt, "team"], retry_after=timedelta(seconds=2)))
    assert found.throttles == (
        Throttle(limit="gpt", retry_after_ms=2_000),
        Throttle(limit="team", retry_after_ms=2_000),
    )


@pytest.mark.parametrize("wrong", [{"limits": "gpt"}, {"limits": ["open ai"]}, {"limits": [7]}, {"retry_after": "20"}])
def test_what_cannot_pause_a_limit_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(aiq.InvalidInput):
        aiq.RateLimited(**wrong)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_a_time_of_a_provider_that_is_none_kills_no_job(seconds: float) -> None:
    assert 1_000 <= outcome(aiq.RateLimited(retry_after=seconds)).delay_ms <= 1_100


def test_what_its_call_has_reported_pauses_nothing_twice() -> None:
    error = aiq.RateLimited(retry_after=3, limits=["gpt"])
    error.reported = True
    assert outcome(error, record(limits=("gpt", "team"))).throttles == ()


def test_what_only_one_of_two_has_reported_pauses_for_the_other() -> None:
    told = aiq.RateLimited(limits=["gpt"])
    told.reported = True
    found = outcome(ExceptionGroup("both", [told, aiq.RateLimited(limits=["team"])]), record(limits=("gpt", "team")))
    assert found.throttles == (Throttle(limit="team"),)


@pytest.mark.parametrize(
    "error",
    [
        aiq.QuotaExhausted(),
        Refused("insufficient_quota", after="3"),
        ExceptionGroup("both", [Refused(after="3"), aiq.QuotaExhausted()]),
    ],
)
def test_a_spent_quota_closes_the_route_at_once_and_pauses_nothing(error: BaseException) -> None:
    found = outcome(error, record(limits=("gpt",)))
    assert (found.close_route, found.delay_ms, found.throttles) == (True, 0, ())


@pytest.mark.parametrize("beside", [aiq.Fatal("no"), aiq.InvalidInput("no")])
def test_a_429_beside_an_error_that_no_attempt_mends_saves_nothing(beside: Exception) -> None:
    assert deferral_of(RETRY, ExceptionGroup("both", [Refused(), beside])) is None


def test_a_policy_that_never_tries_a_refusal_again_is_heeded() -> None:
    assert deferral_of(Retry(never=Refused), Refused()) is None
    assert deferral_of(Retry(on=TimeoutError), Refused()) is not None


@pytest.mark.parametrize(
    ("error", "quota"), [(Refused(after="7"), False), (Refused("insufficient_quota"), True), (aiq.RateLimited(), False)]
)
def test_what_a_handler_in_a_process_met_crosses_the_pipe(error: Exception, quota: bool) -> None:
    found = deferral_of(RETRY, error)
    assert found is not None
    assert child.outcome_of(child._encode(found)) == found
    assert found.quota is quota


@aiq.task(kind="process")
def refused_in_a_process() -> None:
    raise Refused(after="7")


def test_a_429_in_a_process_is_no_failure() -> None:
    payload = refused_in_a_process.job().spec(job_id="a").payload
    request = child.Request(__name__, refused_in_a_process.name, payload, {}, 1)
    found = child._outcome(request, Random(1))
    assert isinstance(found, Deferral)
    assert found.retry_after_ms == 7_000


@virtually
async def test_a_429_that_reaches_the_runner_gives_the_job_back_with_its_error_on_record(world: World) -> None:
    booked = Booked(world)

    @aiq.task(retry=Retry(attempts=1))
    async def refused() -> None:
        if not booked.outcomes:
            raise Refused(after="7")

    [job] = await world.enqueue(refused.job())
    worker = await world.start(refused)
    done = await world.until(job, State.SUCCEEDED)
    await worker.stop()

    assert done.failures == 0
    assert [type(found) for found in booked.outcomes] == [Deferred, aiq.model.Succeeded]
    assert done.errors[-1].type == f"{__name__}.Refused"
