"""The figures of a policy in a scenario, as they are printed and judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.ratelimit.measure import ENOUGH_CALLS, Tally, low_share, percentile
from benchmarks.ratelimit.scenarios import KINDS

HANDOVER_S: Final = 0.05
"""Real seconds that a job may take from one process to another at the 99th of a hundred (benchmarks/latency.py).

The model hands over in no time. Where its own delay is below this, a ratio to it would measure the handover: ours is
then compared with this, in simulated seconds.
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of one policy in one scenario, over all seeds. Delays are simulated seconds beyond pure service."""

    calls: int
    """Requests that the provider got in the measured time, rejected ones included."""
    enough_calls: bool
    rejected: int
    rejected_per_1000: float
    utilisation_percent: float
    admitted_percent: float
    """Tokens of the calls that the provider accepted, of what it refilled."""
    wasted_tokens: int
    dead_jobs: int
    goodput_percent: float
    """Tokens of the jobs that ended well, of those offered."""
    served_percent: Mapping[str, float]
    """The same by class."""
    large_to_batch: float
    """Served share of large jobs, for each per cent of that of batch jobs."""
    low_to_high: float
    """Tokens of the lower band that the provider accepted, for each of the interactive one."""
    delay_p50_s: Mapping[str, float]
    delay_p99_s: Mapping[str, float]
    p50_ratio: Mapping[str, float]
    p99_ratio: Mapping[str, float]
    """Delays as multiples of those of the model on the same traces."""


def figures(found: Tally, model: Tally, compress: float) -> Figures:
    """Reckon the figures of pooled runs, with the model's runs on the same traces as the measure of delays."""
    served = {kind: _percent(found.finished[kind], found.offered[kind]) for kind in KINDS}
    p50, p99 = _delays(found, 50), _delays(found, 99)
    floor_s = HANDOVER_S * compress
    return Figures(
        calls=found.requests,
        enough_calls=found.requests >= ENOUGH_CALLS,
        rejected=found.rejected,
        rejected_per_1000=_per(found.rejected * 1000, found.requests, 2),
        utilisation_percent=min(100.0, _percent(found.used, found.available)),
        admitted_percent=_percent(found.admitted.total(), found.available),
        wasted_tokens=found.wasted,
        dead_jobs=found.dead,
        goodput_percent=_percent(found.finished.total(), found.offered.total()),
        served_percent=served,
        large_to_batch=_per(served["large"], served["batch"], 3),
        low_to_high=round(low_share(found), 3),
        delay_p50_s=p50,
        delay_p99_s=p99,
        p50_ratio=_ratios(p50, _delays(model, 50), floor_s),
        p99_ratio=_ratios(p99, _delays(model, 99), floor_s),
    )


def _delays(found: Tally, percent: int) -> dict[str, float]:
    return {kind: round(percentile(found.delays[kind], percent), 2) for kind in KINDS}


def _ratios(ours: Mapping[str, float], model: Mapping[str, float], floor_s: float) -> dict[str, float]:
    return {kind: round(ours[kind] / max(model[kind], floor_s), 2) for kind in KINDS}


def _percent(part: float, whole: float) -> float:
    return _per(100 * part, whole, 2)


def _per(part: float, whole: float, digits: int) -> float:
    return round(part / whole, digits) if whole else 0.0
