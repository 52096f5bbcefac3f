"""What is asked of a rate limiter: the provider, the load and the window of each scenario, in simulated seconds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, Literal

Charge = Literal["stream", "reserve"]
"""What the provider debits on arrival: the input, and output as it is made; or input and allowed output at once."""

REQUESTS: Final = 600
TOKENS: Final = 450_000
PER_S: Final = 60
"""The provider's limits: so many requests and tokens in so many seconds."""

FIRST_TOKEN_S: Final = 0.4
INPUT_PER_S: Final = 25_000
OUTPUT_PER_S: Final = 80
"""How fast it answers: a while, then the input is read, then the output is made."""

SLOTS: Final = 32
"""Jobs that a worker process runs at once."""

KINDS: Final = ("chat", "agent", "batch", "large")
URGENT: Final = "chat"
"""The one class of the interactive band; the others share the normal one."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The calls of one class: means in tokens, spread as lognormal sigmas, and the allowed output."""

    calls: int
    input: int
    output: int
    max_output: int
    input_sigma: float
    output_sigma: float
    largest_input: int = 180_000

    @property
    def tokens(self) -> int:
        """What a job of this class uses on average."""
        return self.calls * (self.input + self.output)

    @property
    def usual_output(self) -> float:
        """What nine calls of ten do not put out more than."""
        spread = self.output_sigma * NormalDist().inv_cdf(0.9)
        return min(self.max_output, self.output * math.exp(spread - self.output_sigma**2 / 2))


SIZES: Final[Mapping[str, Sizes]] = {
    "chat": Sizes(1, 900, 300, 1_000, 0.5, 0.6),
    "agent": Sizes(4, 5_450, 550, 2_000, 0.4, 0.5),
    "batch": Sizes(1, 4_200, 800, 3_000, 1.0, 0.8),
    "large": Sizes(1, 94_000, 1_000, 4_000, 0.5, 0.6),
}
LONG_AGENT: Final = Sizes(40, 5_250, 500, 2_000, 0.4, 0.5)

MIX: Final[Mapping[str, float]] = {"chat": 0.20, "agent": 0.20, "batch": 0.35, "large": 0.25}
"""Each class's part of the load, by tokens."""


def mix(load: float) -> Mapping[str, float]:
    """The usual mix at this load, as multiples of the provider's token rate."""
    return {kind: load * share for kind, share in MIX.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One question. Instants are simulated seconds; loads are multiples of the provider's token rate."""

    name: str
    title: str
    load: Mapping[str, float]
    charge: Charge = "stream"
    refund: bool = True
    """Whether what was reserved and not used comes back at the end."""
    capacity_s: int = 60
    """What the provider's bucket holds, in seconds of its rate."""
    assumed_burst_s: int = 60
    """What our limit believes of that."""
    hidden_share: float = 0.0
    """What somebody else takes of the rate, whom we do not know of."""
    bursts: bool = False
    """Two minutes of twice the load, two of none, in turn; else even."""
    agent_calls: Literal[4, 40] = 4
    warm_up_s: int = 120
    """Not measured."""
    measured_s: int = 600

    @property
    def end_s(self) -> int:
        """When the trace and what is measured end."""
        return self.warm_up_s + self.measured_s

    @property
    def token_rate(self) -> float:
        """Tokens per second that the provider refills for everybody."""
        return TOKENS / PER_S

    @property
    def capacity(self) -> float:
        """Tokens that its bucket holds."""
        return self.token_rate * self.capacity_s

    def sizes(self, kind: str) -> Sizes:
        """The sizes of a class in this scenario."""
        return LONG_AGENT if kind == "agent" and self.agent_calls == LONG_AGENT.calls else SIZES[kind]

    def shortened(self, warm_up_s: int | None, measured_s: int | None) -> "Scenario":
        """The same question in another window."""
        return replace(self, warm_up_s=warm_up_s or self.warm_up_s, measured_s=measured_s or self.measured_s)


def service_s(input: int, output: int) -> float:
    """How long the provider takes to answer a call that it accepts."""
    return first_output_s(input) + output / OUTPUT_PER_S


def first_output_s(input: int) -> float:
    """When the output of an accepted call begins."""
    return FIRST_TOKEN_S + input / INPUT_PER_S


SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="S1", title="saturation 1.3×", load=mix(1.3)),
        Scenario(name="S2", title="bursts, mean load 0.9×", load=mix(0.9), bursts=True),
        Scenario(name="S3a", title="provider reserves max_tokens, returns the rest", load=mix(1.3), charge="reserve"),
        Scenario(name="S3b", title="provider keeps max_tokens", load=mix(1.3), charge="reserve", refund=False),
        Scenario(name="S4", title="a hidden client takes 30 %", load=mix(1.3), hidden_share=0.3),
        Scenario(name="S5", title="provider bursts 30 s, we assume 60 s", load=mix(1.3), capacity_s=30),
        Scenario(name="S6", title="chat alone offers 110 %", load={**mix(1.3), "chat": 1.1}),
        Scenario(name="S7", title="agents with 40 calls", load=mix(1.3), agent_calls=40, measured_s=2_400),
    )
}
