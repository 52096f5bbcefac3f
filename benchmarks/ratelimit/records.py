"""What a run leaves behind, in simulated seconds: the same for real processes, for baselines and for the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.ratelimit.scenarios import Scenario
from benchmarks.ratelimit.traces import Trace

Ending = Literal["answered", "rejected", "lost", "running"]
"""What became of a request by the end of the run; lost are those that failed or whose client went away."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the provider saw it."""

    job: str
    call: int
    started_s: float
    ended_s: float
    ending: Ending
    input: int
    output: int
    """Tokens made until it ended."""

    @property
    def tokens(self) -> int:
        """What it used of the rate; a rejected one uses nothing."""
        return 0 if self.ending == "rejected" else self.input + self.output


@dataclass(frozen=True, slots=True)
class Reading:
    """The provider's bucket of tokens at an instant; all but the level are sums since its start."""

    at_s: float
    level: float
    refilled: float
    """What the rate gave, that which overflowed included."""
    taken: float
    returned: float
    hidden: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """One run of one policy on one trace. The readings are in order of time, from the start to the end."""

    scenario: Scenario
    trace: Trace
    requests: Sequence[Request]
    readings: Sequence[Reading]
    dead: frozenset[str]
    """Jobs that were given up."""
