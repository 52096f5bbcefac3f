"""The load: who comes when, with which calls. Drawn once for a scenario and seed, shared by every policy and the model.

Sizes are drawn at even distances through their distribution, in random order, and scaled so that each class offers
exactly its load: a short run then differs from another in its order, not in how much is asked of the provider.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final

import msgspec

from benchmarks.ratelimit.scenarios import KINDS, URGENT, Scenario, Sizes, service_s

OPENING_S: Final = 60
"""An even load stands in line with what came in so long before the start: else the provider's full bucket would hide
for minutes that the load is more than its rate."""
BURST_S: Final = 120
"""How long a burst lasts, and the quiet after it. A scenario of whole pairs ends quietly."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the provider, in tokens."""

    input: int
    output: int
    max_output: int

    @property
    def tokens(self) -> int:
        """What it uses."""
        return self.input + self.output

    @property
    def service_s(self) -> float:
        """How long its answer takes, in simulated seconds."""
        return service_s(self.input, self.output)


@dataclass(frozen=True, slots=True)
class Job:
    """A job that comes at a simulated second, and makes its calls one after the other."""

    id: str
    kind: str
    arrival_s: float
    calls: tuple[Call, ...]

    @property
    def urgent(self) -> bool:
        """Whether it is of the interactive band."""
        return self.kind == URGENT

    @property
    def tokens(self) -> int:
        """What all of its calls use."""
        return sum(call.tokens for call in self.calls)

    @property
    def service_s(self) -> float:
        """How long it takes when it never waits."""
        return sum(call.service_s for call in self.calls)


Trace = Sequence[Job]
"""Jobs in the order of their arrival."""


def draw(scenario: Scenario, seed: int) -> Trace:
    """Draw the jobs of one run; the same scenario and seed give the same jobs."""
    jobs = [job for kind in KINDS for job in _of_kind(scenario, kind, random.Random(f"{scenario.name}/{seed}/{kind}"))]
    return sorted(jobs, key=lambda job: (job.arrival_s, job.id))


def save(trace: Trace, file: Path) -> None:
    """Write a trace for other processes."""
    file.write_bytes(msgspec.json.encode(trace))


def load(file: Path) -> Trace:
    """Read what `save` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=tuple[Job, ...])


def _of_kind(scenario: Scenario, kind: str, rng: random.Random) -> Iterator[Job]:
    sizes = scenario.sizes(kind)
    tokens = scenario.load[kind] * scenario.token_rate * (scenario.end_s + _opening_s(scenario))
    count = max(1, round(tokens / sizes.tokens))
    calls = _calls(sizes, count * sizes.calls, tokens, rng)
    for index, arrival_s in enumerate(_arrivals(scenario, count, rng)):
        first = index * sizes.calls
        yield Job(f"{kind}-{index}", kind, arrival_s, tuple(calls[first : first + sizes.calls]))


def _arrivals(scenario: Scenario, count: int, rng: random.Random) -> list[float]:
    """A Poisson process, given how many come: instants at random over the time in which jobs come at all."""
    if not scenario.bursts:
        return sorted(max(0.0, rng.uniform(-_opening_s(scenario), scenario.end_s)) for _ in range(count))
    bursts = max(1, scenario.end_s // (2 * BURST_S))
    instants = [rng.uniform(0, BURST_S) + 2 * BURST_S * rng.randrange(bursts) for _ in range(count)]
    return sorted(instants)


def _opening_s(scenario: Scenario) -> int:
    return 0 if scenario.bursts else OPENING_S


def _calls(sizes: Sizes, count: int, tokens: float, rng: random.Random) -> list[Call]:
    outputs = [min(output, sizes.max_output) for output in _lognormal(sizes.output, sizes.output_sigma, count, rng)]
    inputs = [min(size, sizes.largest_input) for size in _lognormal(sizes.input, sizes.input_sigma, count, rng)]
    scale = (tokens - sum(outputs)) / sum(inputs)
    return [
        Call(max(1, round(size * scale)), output, sizes.max_output)
        for size, output in zip(inputs, outputs, strict=True)
    ]


def _lognormal(mean: float, sigma: float, count: int, rng: random.Random) -> list[int]:
    """Draw whole numbers of this mean, one from each of `count` equally likely parts of the distribution."""
    normal = NormalDist()
    parts = [(index + rng.uniform(0.001, 0.999)) / count for index in range(count)]
    rng.shuffle(parts)
    scale = mean * _median(sigma)
    return [max(1, round(scale * math.exp(sigma * normal.inv_cdf(part)))) for part in parts]


def _median(sigma: float) -> float:
    """The median of a lognormal distribution as a part of its mean."""
    return math.exp(-sigma * sigma / 2)
