"""What calls count for in the order of jobs: what they cost when they are admitted, and what they used."""

import pytest

from aiq.model import CallState, Deferred, Estimate, JobError, JobRecord, Released, Usage
from tests.rules.ledger import Ledger, full, tokens

SMALL = Estimate(input=100, max_output=200)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.put(tokens(6_000))
    full(ledger, "gpt")
    return ledger


def service(ledger: Ledger, record: JobRecord) -> int:
    return ledger.lines[ledger.line_key(record)].service


def test_an_adopting_call_adds_the_difference_to_its_lines_service_and_a_further_one_its_cost(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL, tenant="a")
    rises = [service(ledger, run)]
    ledger.call(run, 1, input=150, max_output=200)
    rises.append(service(ledger, run))
    ledger.call(run, 2, input=10, max_output=20)

    assert [*rises, service(ledger, run)] == [300, 350, 380]


def test_when_a_call_is_settled_service_follows_what_was_used(ledger: Ledger) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL, tenant="a")
    ledger.call(run, 1)

    ledger.report(run, 1, CallState.SETTLED, used=(Usage("", 100, 20),))

    assert service(ledger, run) == 120


@pytest.mark.parametrize("outcome", [Released(), Deferred(JobError(type="R", message=""), 0)])
def test_a_job_that_comes_back_without_a_call_has_cost_its_tenant_nothing(
    ledger: Ledger, outcome: Released | Deferred
) -> None:
    run = ledger.start(limits=("gpt",), estimate=SMALL, tenant="a")

    ledger.settle(run, outcome)

    assert service(ledger, run) == 0
