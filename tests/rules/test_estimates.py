"""What a call is expected to need, declared and learned."""

from math import floor
from random import Random

import pytest
from msgspec.structs import replace

from aiq.model import Estimate, Need
from aiq.rules.books import Learned
from aiq.rules.estimates import STEPS, declared, need, taught
from aiq.testing.marks import clause

TAUGHT = Learned(output=700_900, outputs=20, input=50_000, inputs=20)
GUESSED = Need(min_output=1, declared=False, open_ended=True)


@clause("EST-2")
def test_the_steps_are_those_of_the_formula_and_end_at_the_least() -> None:
    assert STEPS[1:] == tuple(max(50, floor(1000 / count**0.6 + 1e-9)) for count in range(1, 144))
    assert (STEPS[1], STEPS[2], STEPS[142], STEPS[143]) == (1000, 659, 51, 50)


@clause("EST-2")
def test_the_first_sample_sets_the_quantile_and_others_move_it() -> None:
    first = taught(Learned(), None, 400)
    larger = taught(first, None, 401)
    equal = taught(first, None, 400)

    assert first == Learned(output=400_000, outputs=1)
    assert larger == Learned(output=400_000 * 19_000 // 10_000, outputs=2)
    assert equal == Learned(output=400_000 * 9_000 // 10_000, outputs=2)


@clause("EST-2")
def test_the_quantile_is_at_least_one_token() -> None:
    assert taught(Learned(), 0, 0) == Learned(output=1_000, outputs=1, input=1_000, inputs=1)
    assert taught(Learned(input=1_000, inputs=500), 0, None).input == 1_000


def test_after_many_samples_the_step_stays_the_least() -> None:
    many = Learned(output=10_000_000, outputs=10**6)

    assert taught(many, None, 10_001).output == 10_000_000 * 10_450 // 10_000
    assert taught(many, None, 1).output == 10_000_000 * 9_950 // 10_000


def test_nine_of_ten_samples_stay_below_what_is_learned() -> None:
    dice, learned, covered = Random(3), Learned(), 0
    for number in range(6_000):
        sample = min(4_000, int(dice.lognormvariate(6, 0.8)))
        covered += number >= 1_000 and sample <= learned.output // 1000
        learned = taught(learned, None, sample)

    assert 0.87 < covered / 5_000 < 0.93


@clause("EST-1")
@pytest.mark.parametrize(
    ("estimate", "learned", "expected"),
    [
        (None, Learned(), replace(GUESSED, input=1_000, output=1_000, max_output=1_000)),
        (None, TAUGHT, replace(GUESSED, input=50, output=700, max_output=700)),
        (
            Estimate(input=7),
            Learned(output=1_000, outputs=19),
            replace(GUESSED, input=7, output=1_000, max_output=1_000, declared=True),
        ),
        (Estimate(input=7, max_output=2_000), Learned(), Need(input=7, output=2_000, max_output=2_000)),
        (Estimate(input=7, max_output=2_000), TAUGHT, Need(input=7, output=700, max_output=2_000)),
        (Estimate(input=7, max_output=600), TAUGHT, Need(input=7, output=600, max_output=600)),
        (Estimate(input=0, output=30), TAUGHT, Need(input=0, output=30, max_output=30, open_ended=True)),
        (
            Estimate(max_output=9, min_output=3),
            TAUGHT,
            Need(input=50, output=9, max_output=9, min_output=3, declared=False),
        ),
    ],
)
def test_what_was_declared_holds_and_what_was_not_is_learned(
    estimate: Estimate | None, learned: Learned, expected: Need
) -> None:
    assert need(estimate, learned, "") == expected


def test_the_model_of_the_route_holds_before_that_of_the_estimate() -> None:
    assert need(Estimate(model="a"), Learned(), "b").model == "b"
    assert need(Estimate(model="a"), Learned(), "").model == "a"


@clause("CALL-17")
def test_what_nobody_declared_is_nothing_to_be_refused_for() -> None:
    assert declared(None, "m") == Need(model="m")
    assert declared(Estimate(input=5), "") == Need(input=5)
    assert declared(Estimate(max_output=9), "") == Need(max_output=9)
    assert declared(Estimate(output=4), "") == Need(output=4, max_output=4)
