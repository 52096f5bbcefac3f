from dataclasses import replace
from functools import cache

import pytest

from benchmarks.ratelimit.buckets import Bucket
from benchmarks.ratelimit.measure import ends, tally
from benchmarks.ratelimit.model import ideal
from benchmarks.ratelimit.records import Record
from benchmarks.ratelimit.scenarios import KINDS, SCENARIOS, Charge, Scenario
from benchmarks.ratelimit.traces import Call, Job, draw

MANY_SLOTS = 128
SATURATED = [name for name in SCENARIOS if name != "S2"]

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


def run(scenario: Scenario, *, seed: int = 1, slots: int = MANY_SLOTS) -> Record:
    return of_name(scenario.name, seed, slots)


@cache
def of_name(name: str, seed: int, slots: int) -> Record:
    return ideal(SCENARIOS[name], draw(SCENARIOS[name], seed), slots)


def one_call(name: str, *, at: float = 0.0, input: int = 1_000, output: int = 80, max_output: int = 1_000) -> Job:
    return Job(f"{name}-0", name, at, (Call(input, output, max_output),))


def started(record: Record) -> dict[str, float]:
    return {request.job: request.started_s for request in record.requests if request.call == 0}


@pytest.mark.parametrize("name", SATURATED)
def test_under_more_load_than_the_provider_can_take_no_refill_is_lost(name: str) -> None:
    record = run(SCENARIOS[name])

    # What a provider keeps of a reservation is not lost to the bucket, which is what is asked about here.
    found = tally(replace(record, scenario=replace(record.scenario, refund=True)))

    assert found.used == pytest.approx(found.available, rel=1e-9)


@pytest.mark.parametrize("charge", ["stream", "reserve"])
def test_what_is_taken_of_the_bucket_and_not_returned_is_what_the_jobs_used(charge: Charge) -> None:
    scenario = replace(SCENARIOS["S2"], charge=charge)
    record = ideal(scenario, draw(scenario, 1), MANY_SLOTS)
    last = record.readings[-1]

    assert last.taken - last.returned == pytest.approx(sum(job.tokens for job in record.trace))


@every_scenario
def test_the_calls_of_a_job_are_made_one_after_the_other_and_none_twice(scenario: Scenario) -> None:
    ended: dict[str, tuple[int, float]] = {}
    for request in sorted(run(scenario).requests, key=lambda request: request.started_s):
        number, at = ended.get(request.job, (-1, 0.0))
        assert request.call == number + 1
        assert request.started_s >= at
        ended[request.job] = (request.call, request.ended_s)


@every_scenario
def test_no_call_goes_before_its_job_has_come(scenario: Scenario) -> None:
    record = run(scenario)
    arrivals = {job.id: job.arrival_s for job in record.trace}

    assert all(request.started_s >= arrivals[request.job] for request in record.requests)


def test_nothing_is_ever_rejected() -> None:
    assert tally(run(SCENARIOS["S5"])).rejected == 0


def test_a_load_that_the_provider_can_take_is_served_whole() -> None:
    found = tally(run(SCENARIOS["S2"]))

    assert found.finished == found.offered


def test_chats_hardly_wait_while_the_lower_band_queues() -> None:
    delays = tally(run(SCENARIOS["S1"])).delays

    assert max(delays["chat"]) < 5
    assert min(max(delays[kind]) for kind in KINDS if kind != "chat") > 60


def test_the_lower_band_gets_its_floor_when_chat_alone_asks_for_more_than_there_is() -> None:
    found = [tally(run(SCENARIOS["S6"], seed=seed)) for seed in range(1, 6)]
    low = sum(one.admitted.total() - one.admitted["chat"] for one in found)

    assert low / sum(one.admitted["chat"] for one in found) == pytest.approx(0.1, rel=0.1)


def test_no_more_jobs_run_at_once_than_there_are_slots() -> None:
    record = run(SCENARIOS["S2"], slots=3)
    changes = [(request.started_s, 1) for request in record.requests if request.call == 0]
    first_to_last = ends(record)
    changes += [(at, -1) for at in first_to_last.values()]
    running = highest = 0
    for _, change in sorted(changes):
        running += change
        highest = max(highest, running)

    assert highest <= 3


def test_the_next_call_of_a_running_job_goes_before_a_job_that_came_earlier() -> None:
    agent = Job("agent-0", "agent", 0.0, (Call(300_000, 80, 1_000), Call(200_000, 80, 1_000)))
    batch = one_call("batch", at=1.0, input=300_000)

    begun = ideal(SCENARIOS["S1"], [agent, batch], MANY_SLOTS)

    second = next(request for request in begun.requests if (request.job, request.call) == ("agent-0", 1))
    assert second.started_s < started(begun)["batch-0"]


def test_a_provider_that_keeps_what_was_reserved_lets_less_work_through() -> None:
    keeping, returning = tally(run(SCENARIOS["S3b"])), tally(run(SCENARIOS["S3a"]))

    assert keeping.used < 0.9 * keeping.available
    assert returning.used == pytest.approx(returning.available, rel=1e-9)


def test_a_hidden_client_leaves_less_to_be_had() -> None:
    whole, rest = tally(run(SCENARIOS["S1"])), tally(run(SCENARIOS["S4"]))

    assert rest.available < 0.75 * whole.available


def test_a_bucket_says_exactly_when_an_amount_will_be_there() -> None:
    bucket = Bucket(rate=10, capacity=100)
    bucket.take(100)

    assert bucket.wait_s(25) == pytest.approx(2.5)
    bucket.advance(2.5)
    assert bucket.wait_s(25) == 0


def test_a_bucket_never_holds_more_than_its_capacity_and_counts_what_overflowed_as_refilled() -> None:
    bucket = Bucket(rate=10, capacity=100)
    bucket.advance(5)

    assert (bucket.level, bucket.refilled) == (100, 50)


def test_a_bucket_that_is_drained_faster_than_it_is_refilled_promises_nothing() -> None:
    bucket = Bucket(rate=10, capacity=100)
    bucket.take(100)
    bucket.drain_by(10)

    assert bucket.wait_s(1) == float("inf")
