"""What a call takes, in the table of the chapter on limits."""

from dataclasses import replace

import pytest
from msgspec import structs

from aiq import bounds
from aiq.model import Charge, LimitSpec, Need, Part, Usage
from aiq.rules import buckets, charging
from aiq.testing.marks import clause

SPEC = LimitSpec(name="l", tokens=60_000, charge=Charge.STREAM)
NEED = Need(input=1_000, output=300, max_output=2_000)
USED = [Usage(input=900, output=200, reasoning=100, cache_read=50)]


@clause("CALL-1")
@pytest.mark.parametrize(
    ("charge", "taken", "held", "counted"),
    [
        (Charge.STREAM, 1_000, 300, 1_250),
        (Charge.RESERVE, 3_000, 0, 1_250),
        (Charge.MAX, 2_000, 0, 1_250),
        (Charge.INPUT, 1_000, 0, 950),
    ],
)
def test_what_is_taken_held_and_counted_goes_by_what_the_provider_does(
    charge: Charge, taken: int, held: int, counted: int
) -> None:
    spec = replace(SPEC, charge=charge)

    assert charging.part(spec, "k", NEED) == Part(limit="l", key="k", requests=1, charge=taken, rest=held)
    assert charging.counted(spec, USED) == counted


def test_no_more_output_is_held_than_may_be_asked_for() -> None:
    assert charging.part(SPEC, "", structs.replace(NEED, output=5_000)).rest == 2_000


def test_the_larger_of_input_and_most_output_is_taken() -> None:
    assert charging.part(replace(SPEC, charge=Charge.MAX), "", structs.replace(NEED, input=2_500)).charge == 2_500


def test_each_category_is_weighed_and_rounded_down_by_itself() -> None:
    assert charging.weighted({"input": 3, "output": 3, "cache_read": 999, "other": 7}, {"output": 1_500}) == 1_013
    assert charging.weighted({"input": 999, "output": 999}, {"input": 1, "output": 1}) == 0
    assert charging.weighted({"input": -5, "output": 2}, {}) == 2


def test_the_same_category_of_several_models_is_weighed_together() -> None:
    spec = replace(SPEC, weights={"input": 500})

    assert charging.counted(spec, [Usage("a", input=1), Usage("b", input=1)]) == 1


def test_weights_hold_for_what_is_taken_too() -> None:
    spec = replace(SPEC, charge=Charge.RESERVE, weights={"input": 100, "output": 5_000})

    assert charging.part(spec, "", NEED).charge == 100 + 10_000


def test_a_limit_without_tokens_takes_a_request_alone() -> None:
    spec = LimitSpec(name="l", concurrency=3)

    assert charging.part(spec, "", NEED) == Part(limit="l", requests=1)


@clause("CALL-17")
def test_an_undeclared_need_counts_at_most_as_much_as_fits() -> None:
    guess = structs.replace(NEED, input=10**6, declared=False)

    assert charging.part(SPEC, "", guess).charge == 60_000
    assert charging.part(replace(SPEC, burst_ms=120_000), "", guess).charge == 120_000
    assert charging.part(SPEC, "", structs.replace(guess, declared=True)).charge == 10**6


def test_a_hold_stays_a_number_that_every_store_keeps() -> None:
    spec = LimitSpec(name="l", tokens=7, per_ms=10**9 + 7, burst_ms=1, weights={"output": bounds.MAX_WEIGHT})
    rest = charging.part(spec, "", Need(output=10**12, max_output=10**12)).rest

    assert 0 < rest * buckets.scale(7, 10**9 + 7, 1).sub < bounds.MAX_LEVEL


def test_the_cost_of_a_job_is_counted_on_the_first_limit_by_name_with_tokens_for_all() -> None:
    specs = [
        SPEC,
        replace(SPEC, name="b"),
        replace(SPEC, name="a", by="tenant"),
        LimitSpec(name="a0", concurrency=1),
        replace(SPEC, name="c"),
    ]

    assert charging.cost_limit(specs) == "b"
    assert charging.cost_limit(specs[2:4]) is None


def test_the_cost_of_a_job_is_charge_and_held_and_at_least_one() -> None:
    parts = [Part(limit="a", charge=9), Part(limit="b", charge=5, rest=7), Part(limit="c")]

    assert [charging.cost(parts, name) for name in ("b", "c", "d", None)] == [12, 1, 1, 1000]
