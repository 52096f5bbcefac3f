"""What ours must reach, and whether it does: each target is one figure, a bound, and a word."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.ratelimit.figures import Figures

FLOOR: Final = 0.1

Word = Literal["pass", "FAIL", "pass, few calls"]
Bound = Callable[[Figures], float]
"""From the model's figures on the same traces: what is possible bounds what can be asked."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that a scenario must show."""

    name: str
    figure: Callable[[Figures], float]
    sign: Literal["<=", ">="]
    bound: Bound
    needs_calls: bool = False
    """A rate that means little before there are enough calls."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, what was reached, and the word."""

    name: str
    reached: float
    sign: str
    bound: float
    word: Word


def _is(value: float) -> Bound:
    return lambda _: value


def _worst(ratios: Mapping[str, float]) -> float:
    return max(ratios.values())


UTILISATION: Final = Target("utilisation %", lambda f: f.utilisation_percent, ">=", _is(99.0))
NO_WASTE: Final = Target("wasted tokens", lambda f: f.wasted_tokens, "<=", _is(0))
NO_DEAD: Final = Target("dead jobs", lambda f: f.dead_jobs, "<=", _is(0))
LARGE: Final = Target(
    "large served / batch served, of the model's",
    lambda f: f.large_to_batch, ">=", lambda model: round(0.9 * min(1.0, model.large_to_batch), 3),
)  # fmt: skip
P50: Final = Target("worst p50 delay / the model's", lambda f: _worst(f.p50_ratio), "<=", _is(1.5))
P99: Final = Target("worst p99 delay / the model's", lambda f: _worst(f.p99_ratio), "<=", _is(1.5))


def _rejected(bound: float) -> Target:
    return Target("429s per 1,000 calls", lambda f: f.rejected_per_1000, "<=", _is(bound), needs_calls=True)


def _of_possible(part: float) -> Target:
    return Target(
        f"utilisation %, {part:.0%} of the model's", lambda f: f.utilisation_percent, ">=",
        lambda model: round(part * model.utilisation_percent, 2),
    )  # fmt: skip


SATURATED: Final = (UTILISATION, _rejected(0.1), NO_WASTE, NO_DEAD, LARGE, P50, P99)
TARGETS: Final[Mapping[str, Sequence[Target]]] = {
    "S1": SATURATED,
    "S2": (
        Target("goodput %, of the model's", lambda f: f.goodput_percent, ">=", lambda model: model.goodput_percent),
        Target("p99 delay of chats, s", lambda f: f.delay_p99_s["chat"], "<=", _is(1.5)),
        Target("p99 delay of large jobs, s", lambda f: f.delay_p99_s["large"], "<=", _is(200)),
        P50,
        P99,
    ),
    "S3a": SATURATED,
    "S3b": (_of_possible(0.97),),
    "S4": (_of_possible(0.94), _rejected(10)),
    "S5": (_rejected(1),),
    "S6": (
        Target("low band / interactive", lambda f: f.low_to_high, ">=", lambda model: min(FLOOR, model.low_to_high)),
    ),
    "S7": (UTILISATION,),
}


def judge(scenario: str, ours: Figures, model: Figures) -> Sequence[Verdict]:
    """Hold ours against each target of a scenario."""
    return [_verdict(target, ours, model) for target in TARGETS[scenario]]


def _verdict(target: Target, ours: Figures, model: Figures) -> Verdict:
    reached, bound = target.figure(ours), target.bound(model)
    holds = reached <= bound if target.sign == "<=" else reached >= bound
    return Verdict(target.name, reached, target.sign, bound, _word(target, ours, holds=holds))


def _word(target: Target, ours: Figures, *, holds: bool) -> Word:
    if not holds:
        return "FAIL"
    return "pass, few calls" if target.needs_calls and not ours.enough_calls else "pass"
