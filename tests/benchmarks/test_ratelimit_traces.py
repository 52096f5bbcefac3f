from functools import cache

import pytest

from benchmarks.ratelimit.scenarios import KINDS, SCENARIOS, Scenario
from benchmarks.ratelimit.traces import BURST_S, OPENING_S, Trace, draw, load, save

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


def trace_of(scenario: Scenario) -> Trace:
    return _of_name(scenario.name)


@cache
def _of_name(name: str) -> Trace:
    return draw(SCENARIOS[name], 1)


def offered(scenario: Scenario, kind: str) -> float:
    """As a multiple of the provider's rate, over all the time in which jobs came."""
    seconds = scenario.end_s + (0 if scenario.bursts else OPENING_S)
    return sum(job.tokens for job in trace_of(scenario) if job.kind == kind) / scenario.token_rate / seconds


def test_the_same_scenario_and_seed_draw_the_same_jobs() -> None:
    assert draw(SCENARIOS["S1"], 3) == draw(SCENARIOS["S1"], 3)


def test_another_seed_draws_other_jobs() -> None:
    assert draw(SCENARIOS["S1"], 3) != draw(SCENARIOS["S1"], 4)


@every_scenario
def test_each_class_offers_exactly_its_load(scenario: Scenario) -> None:
    for kind in KINDS:
        assert offered(scenario, kind) == pytest.approx(scenario.load[kind], rel=0.01)


@every_scenario
def test_jobs_come_in_order_within_the_time_of_the_scenario(scenario: Scenario) -> None:
    arrivals = [job.arrival_s for job in trace_of(scenario)]

    assert arrivals == sorted(arrivals)
    assert arrivals[0] >= 0
    assert arrivals[-1] <= scenario.end_s


@every_scenario
def test_every_call_fits_into_the_bucket_of_the_provider(scenario: Scenario) -> None:
    largest = max(call.input + call.max_output for job in trace_of(scenario) for call in job.calls)

    assert largest <= scenario.capacity


@every_scenario
def test_no_call_makes_more_output_than_it_may(scenario: Scenario) -> None:
    assert all(0 < call.output <= call.max_output for job in trace_of(scenario) for call in job.calls)


def test_a_burst_is_followed_by_a_quiet_time_of_the_same_length() -> None:
    assert all(job.arrival_s % (2 * BURST_S) <= BURST_S for job in draw(SCENARIOS["S2"], 1))


def test_the_long_agents_make_forty_calls() -> None:
    assert {len(job.calls) for job in draw(SCENARIOS["S7"], 1) if job.kind == "agent"} == {40}


def test_a_trace_is_read_as_it_was_written(tmp_path) -> None:
    trace = draw(SCENARIOS["S2"], 1)
    save(trace, tmp_path / "trace.json")

    assert list(load(tmp_path / "trace.json")) == list(trace)
