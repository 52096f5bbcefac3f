"""What a call is expected to need, declared or learned. Spec: EST-1 to EST-3.

Source: a quantile by multiplicative updates, the stochastic-approximation quantile of Robbins and Monro on the
logarithm of the value. It keeps two integers for a task and model, and follows a shift within about a hundred calls.
"""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from aiq.model import Estimate, Need
from aiq.rules.books import Learned

ENOUGH: Final = 20
"""Settled calls before what was learned counts."""
UNKNOWN: Final = 1_000
"""Tokens of input, and of output, that stand for a call of which nobody knows anything."""
LEAST_STEP: Final = 50
NOTHING: Final = Estimate()
"""Says nothing."""


def _steps() -> Iterator[int]:
    """For each count the largest s with s <= 1000 / count^0.6, found without a float: s^5 count^3 <= 1000^5."""
    s = 1000
    for count in range(144):
        while s > LEAST_STEP and s**5 * count**3 > 1000**5:
            s -= 1
        yield s


STEPS: Final[tuple[int, ...]] = tuple(_steps())
"""How far a sample moves the quantile, per mille, by the number of samples before it.

The last entry holds for all higher numbers. The first is not used: the first sample sets the quantile.
"""


def taught(learned: Learned, input: int | None, output: int | None) -> Learned:
    """What is known after one more settled call, with the tokens that were reported; None teaches nothing.

    Spec: EST-2, EST-3
    """
    if input is not None:
        learned = replace(learned, input=_moved(learned.input, learned.inputs, input), inputs=learned.inputs + 1)
    if output is not None:
        learned = replace(learned, output=_moved(learned.output, learned.outputs, output), outputs=learned.outputs + 1)
    return learned


def need(estimate: Estimate | None, learned: Learned, model: str) -> Need:
    """Fill in what was not declared. `model` is what the job's route says, if anything.

    The need counts as declared where its input is. Where nobody said anything of the output, 1 token of it is of
    use, so that a budget with less room than a guess lowers the guess instead of keeping the job. Spec: EST-1, BUDGET-8
    """
    said = estimate or NOTHING
    most = said.max_output if said.max_output is not None else said.output
    output = said.output if said.output is not None else _expected(learned.output, learned.outputs, most)
    least = 1 if most is None else None
    return Need(
        model=model or said.model,
        input=_expected(learned.input, learned.inputs, None) if said.input is None else said.input,
        output=output,
        max_output=output if most is None else most,
        min_output=least if said.min_output is None else said.min_output,
        declared=said.input is not None,
        open_ended=said.max_output is None,
    )


def declared(estimate: Estimate | None, model: str) -> Need:
    """Only what somebody said; every other number is 0. A job is refused for its size by this alone. Spec: CALL-17"""
    said = estimate or NOTHING
    output = said.output or 0
    most = output if said.max_output is None else said.max_output
    return Need(model=model or said.model, input=said.input or 0, output=output, max_output=most)


def _moved(quantile: int, count: int, tokens: int) -> int:
    sample = tokens * 1000
    if count == 0:
        return max(1000, sample)
    s = STEPS[min(count, len(STEPS) - 1)]
    factor = 10_000 + 9 * s if sample > quantile else 10_000 - s
    return max(1000, quantile * factor // 10_000)


def _expected(quantile: int, count: int, most: int | None) -> int:
    if count < ENOUGH:
        return UNKNOWN if most is None else most
    return quantile // 1000 if most is None else min(most, quantile // 1000)
