"""What a run looked like over time: the lines of the plot, as points of simulated seconds and values."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from benchmarks.ratelimit.measure import delay_s, ends
from benchmarks.ratelimit.records import Record
from benchmarks.ratelimit.scenarios import KINDS

BIN_S: Final = 20

Points: TypeAlias = Sequence[tuple[float, float]]


def level(record: Record) -> Points:
    """The provider's bucket, as a part of its capacity."""
    capacity = record.scenario.capacity
    return [(reading.at_s, reading.level / capacity) for reading in record.readings]


def admitted(record: Record) -> Mapping[str, Points]:
    """Tokens of the accepted calls that began in each stretch of time, by class, as a part of the provider's rate."""
    kinds = {job.id: job.kind for job in record.trace}
    sizes = {(job.id, number): call.tokens for job in record.trace for number, call in enumerate(job.calls)}
    sums = {kind: [0.0] * _bins(record) for kind in KINDS}
    for request in record.requests:
        if request.ending != "rejected" and 0 <= request.started_s < record.scenario.end_s:
            sums[kinds[request.job]][int(request.started_s // BIN_S)] += sizes[request.job, request.call]
    rate = record.scenario.token_rate * BIN_S
    return {kind: [(_middle(n), total / rate) for n, total in enumerate(totals)] for kind, totals in sums.items()}


def delays(record: Record) -> Mapping[str, Points]:
    """The mean delay of the jobs that came in each stretch of time, by class; a stretch without any is left out."""
    ended = ends(record)
    found: dict[str, list[list[float]]] = {kind: [[] for _ in range(_bins(record))] for kind in KINDS}
    for job in record.trace:
        delay = delay_s(job, ended.get(job.id), record.scenario.end_s)
        if delay is not None and job.arrival_s < record.scenario.end_s:
            found[job.kind][int(job.arrival_s // BIN_S)].append(delay)
    return {
        kind: [(_middle(n), sum(values) / len(values)) for n, values in enumerate(bins) if values]
        for kind, bins in found.items()
    }


def _bins(record: Record) -> int:
    return -(-record.scenario.end_s // BIN_S)


def _middle(number: int) -> float:
    return (number + 0.5) * BIN_S
