"""What jobs bring to their admission, as one text for all that are alike."""

from dataclasses import replace
from typing import Any

from aiq.backends.relational.terms import Texts, read_terms
from aiq.model import BudgetSpec, Estimate, JobSpec
from aiq.testing.actions import job

CAPS = {"tokens": 5}


def spender(job_id: str, **fields: Any) -> JobSpec:
    own = BudgetSpec(id=f"job:{job_id}", caps=CAPS)
    values: dict[str, Any] = {"limits": ("l",), "budgets": (own.id, "team"), "creates": (own,), **fields}
    return replace(job(job_id), **values)


def test_jobs_that_are_alike_have_the_very_text_of_the_first() -> None:
    texts, limits, estimate = Texts(), ("l", "m"), Estimate(input=4)

    found = [texts.of(spender(job_id, limits=limits, estimate=estimate)) for job_id in "abc"]

    assert found[0] is found[1] is found[2]


def test_a_job_behind_others_has_its_own_terms() -> None:
    texts = Texts()
    jobs = [
        spender("a"),
        spender("b", limits=("m",)),
        spender("c", budgets=("team", "job:c")),
        spender("d", budgets=("job:d",)),
        spender("e", creates=()),
        spender("f", creates=(BudgetSpec(id="job:f", caps={"tokens": 6}),)),
        spender("g", creates=(BudgetSpec(id="job:g", parent="team", caps=CAPS),)),
        spender("h", budgets=("job:a", "team")),
        spender("i", estimate=Estimate(input=4)),
    ]

    for one in jobs:
        text = texts.of(one)
        assert text is not None
        terms, budgets, creates = read_terms(text, one.id)
        assert (terms.limits, terms.estimate, budgets, creates) == (one.limits, one.estimate, one.budgets, one.creates)


def test_a_job_that_brings_nothing_has_no_terms() -> None:
    texts = Texts()

    assert texts.of(spender("a")) is not None
    assert texts.of(job("b")) is None
