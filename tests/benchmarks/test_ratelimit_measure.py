import json
from dataclasses import asdict, replace

import pytest

from benchmarks.ratelimit.figures import Figures, figures
from benchmarks.ratelimit.measure import delay_s, percentile, pooled, tally
from benchmarks.ratelimit.model import ideal
from benchmarks.ratelimit.records import Ending, Reading, Record, Request
from benchmarks.ratelimit.report import Answer, as_json, table
from benchmarks.ratelimit.scenarios import KINDS, SCENARIOS
from benchmarks.ratelimit.targets import TARGETS, judge
from benchmarks.ratelimit.traces import Call, Job, draw

SCENARIO = replace(SCENARIOS["S1"], warm_up_s=100, measured_s=100)
CALL = Call(900, 80, 1_000)
"""980 tokens; its answer takes 1.436 s."""


def job(name: str, *, at: float = 110.0, calls: int = 1) -> Job:
    return Job(name, name.partition("-")[0], at, (CALL,) * calls)


def request(
    name: str, *, call: int = 0, at: float = 110.0, ended: float = 112.0, ending: Ending = "answered"
) -> Request:
    made = 0 if ending == "rejected" else CALL.output
    return Request(name, call, at, ended, ending, CALL.input, made)


def record(*jobs: Job, requests: tuple[Request, ...] = (), dead: tuple[str, ...] = (), taken: float = 0.0) -> Record:
    """The bucket refills 75,000 while it is measured, and its level stays."""
    readings = (Reading(0, 5, 0, 0, 0), Reading(100, 5, 75_000, 75_000, 0), Reading(200, 5, 150_000, 75_000 + taken, 0))
    return Record(SCENARIO, jobs, requests, readings, frozenset(dead))


def of(found: Record) -> Figures:
    return figures(tally(found), tally(found), compress=10)


def test_429s_are_counted_for_each_thousand_requests() -> None:
    requests = (request("chat-0", ending="rejected"), *[request("chat-0") for _ in range(3)])

    assert of(record(job("chat-0"), requests=requests)).rejected_per_1000 == 250


def test_requests_of_the_warm_up_are_not_counted() -> None:
    requests = (request("chat-0", at=99.0), request("chat-0", at=101.0))

    assert of(record(job("chat-0"), requests=requests)).calls == 1


def test_utilisation_is_what_was_taken_of_what_was_refilled() -> None:
    assert of(record(job("chat-0"), taken=60_000)).utilisation_percent == 80


def test_what_the_bucket_gained_meanwhile_was_not_to_be_had() -> None:
    found = record(job("chat-0"), taken=60_000)
    last = replace(found.readings[-1], level=15_005)

    assert of(replace(found, readings=(*found.readings[:-1], last))).utilisation_percent == 100


def test_what_a_hidden_client_took_was_not_to_be_had() -> None:
    found = record(job("chat-0"), taken=60_000)
    last = replace(found.readings[-1], hidden=15_000)

    assert of(replace(found, readings=(*found.readings[:-1], last))).utilisation_percent == 100


def test_what_a_provider_keeps_of_a_reservation_is_not_used() -> None:
    found = record(job("chat-0"), requests=(request("chat-0"),), taken=75_000)
    keeping = replace(found, scenario=replace(SCENARIO, refund=False))

    assert tally(keeping).used == 75_000 - (CALL.max_output - CALL.output)


def test_what_was_answered_for_a_dead_job_is_wasted_and_not_used() -> None:
    found = record(job("agent-0", calls=2), requests=(request("agent-0"),), dead=("agent-0",), taken=60_000)

    assert of(found).wasted_tokens == CALL.tokens
    assert tally(found).used == 60_000 - CALL.tokens


def test_the_second_answer_to_a_call_is_wasted() -> None:
    requests = (request("chat-0"), request("chat-0", at=115.0, ended=117.0))

    assert of(record(job("chat-0"), requests=requests)).wasted_tokens == CALL.tokens


def test_an_answer_that_nobody_waited_for_is_wasted() -> None:
    found = record(job("chat-0"), requests=(request("chat-0", ending="lost"),))

    assert of(found).wasted_tokens == CALL.tokens


def test_a_call_under_way_at_the_end_is_not_wasted() -> None:
    found = record(job("chat-0"), requests=(request("chat-0", at=199.0, ended=199.0, ending="running"),))

    assert of(found).wasted_tokens == 0


def test_a_job_is_served_when_all_of_its_calls_are_answered() -> None:
    half = (request("agent-0"), request("agent-1"), request("agent-1", call=1))

    found = of(record(job("agent-0", calls=2), job("agent-1", calls=2), requests=half))

    assert found.served_percent["agent"] == 50


def test_a_job_that_was_given_up_is_not_served() -> None:
    found = record(job("chat-0"), requests=(request("chat-0"),), dead=("chat-0",))

    assert of(found).served_percent["chat"] == 0


def test_a_delay_is_what_was_waited_beyond_pure_service() -> None:
    assert delay_s(job("chat-0"), 120.0, 200) == pytest.approx(10 - CALL.service_s)


def test_a_job_that_did_not_end_counts_with_what_it_has_waited() -> None:
    assert delay_s(job("chat-0"), None, 200) == pytest.approx(90 - CALL.service_s)


def test_a_job_that_came_too_late_to_end_has_no_delay() -> None:
    assert delay_s(job("chat-0", at=199.0), None, 200) is None


def test_a_delay_below_a_handover_is_compared_with_a_handover() -> None:
    served_late = record(job("chat-0"), requests=(request("chat-0", ended=110 + CALL.service_s + 1.0),))
    at_once = record(job("chat-0"), requests=(request("chat-0", ended=110 + CALL.service_s),))

    found = figures(tally(served_late), tally(at_once), compress=10)

    assert found.p99_ratio["chat"] == pytest.approx(2.0)


def test_runs_are_pooled_by_their_sums() -> None:
    quiet = tally(record(job("chat-0"), requests=tuple(request("chat-0") for _ in range(9))))
    noisy = tally(record(job("chat-0"), requests=(request("chat-0", ending="rejected"),)))

    assert figures(pooled([quiet, noisy]), quiet, compress=10).rejected_per_1000 == 100


def test_pooling_changes_none_of_the_runs() -> None:
    one = tally(record(job("chat-0"), requests=(request("chat-0"),)))
    before = asdict(one)
    pooled([one, one])

    assert asdict(one) == before


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 51), (99, 100)])
def test_a_percentile_is_one_of_the_values(percent: int, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 99) == 0


def test_every_scenario_has_a_target() -> None:
    assert TARGETS.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_model_reaches_every_target(name: str) -> None:
    scenario = SCENARIOS[name]
    found = pooled([tally(ideal(scenario, draw(scenario, seed), 128)) for seed in (1, 2)])
    reached = figures(found, found, compress=10)

    assert {verdict.name: verdict.word for verdict in judge(name, reached, reached) if verdict.word == "FAIL"} == {}


def test_a_rate_of_few_calls_is_reported_as_such() -> None:
    reached = of(record(job("chat-0"), requests=(request("chat-0"),), taken=75_000))

    words = {verdict.name: verdict.word for verdict in judge("S4", reached, reached)}

    assert words["429s per 1,000 calls"] == "pass, few calls"


def test_a_target_that_is_missed_says_so() -> None:
    found = record(job("chat-0"), requests=(request("chat-0", ending="rejected"),), dead=("chat-0",), taken=60_000)

    words = {verdict.name: verdict.word for verdict in judge("S1", of(found), of(found))}

    assert {words["utilisation %"], words["429s per 1,000 calls"], words["dead jobs"]} == {"FAIL"}


def test_a_report_can_be_written_as_json_and_as_a_table() -> None:
    reached = of(record(job("chat-0"), requests=(request("chat-0"),), taken=75_000))
    answer = Answer("S1", {"model": reached, "ours": reached, "naive": reached}, 1.0)

    data = json.loads(json.dumps(as_json(answer)))

    assert set(data["policies"]) == {"model", "ours", "naive"}
    assert set(data["policies"]["ours"]["served_percent"]) == set(KINDS)
    assert all(row in table(answer) for row in ("model", "ours", "naive", "utilisation %"))
