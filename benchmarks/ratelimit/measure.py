"""From the record of a run to sums, and from the sums of several runs to theirs: a run of few calls counts as few."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from benchmarks.ratelimit.records import Reading, Record, Request
from benchmarks.ratelimit.scenarios import KINDS, URGENT
from benchmarks.ratelimit.traces import Call, Job

Calls: TypeAlias = Mapping[tuple[str, int], tuple[str, Call]]
"""The class and the sizes of each call of a trace."""

ENOUGH_CALLS: Final = 10_000
"""Below this a rate of 429s of one in ten thousand cannot be told from none."""


@dataclass(slots=True)
class Tally:
    """The sums of the measured part of one run, or of several."""

    requests: int = 0
    rejected: int = 0
    used: float = 0.0
    """Tokens that the provider debited and that work came of, or still may."""
    available: float = 0.0
    """Tokens that the provider refilled for us, net of what its bucket gained."""
    wasted: int = 0
    """Tokens answered for jobs that were given up, answered a second time, or to nobody."""
    dead: int = 0
    admitted: Counter[str] = field(default_factory=Counter)
    """Tokens of the calls of each class that the provider accepted."""
    offered: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    """Tokens of the jobs of each class that came and that ended well, those of the warm-up included: an offer that
    is the same for each seed makes the share of so few large jobs less a matter of luck."""
    delays: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """Seconds beyond pure service. A job that did not end counts with what it had waited by the end."""


def pooled(tallies: Sequence[Tally]) -> Tally:
    """The sums of several runs."""
    total = Tally()
    for one in tallies:
        total.requests += one.requests
        total.rejected += one.rejected
        total.used += one.used
        total.available += one.available
        total.wasted += one.wasted
        total.dead += one.dead
        total.admitted.update(one.admitted)
        total.offered.update(one.offered)
        total.finished.update(one.finished)
        for kind, delays in one.delays.items():
            total.delays[kind] += delays
    return total


def tally(record: Record) -> Tally:
    """The sums of what was measured of one run: all that happened after the warm-up."""
    begin, end = record.scenario.warm_up_s, record.scenario.end_s
    calls = _calls(record)
    within = [request for request in record.requests if begin <= request.started_s < end]
    admitted = [request for request in within if request.ending != "rejected"]
    wasted = sum(request.tokens for request in _wasted(record) if begin <= request.ended_s < end)
    first, last = reading_at(record, begin), reading_at(record, end)
    found = Tally(
        requests=len(within),
        rejected=len(within) - len(admitted),
        used=max(0.0, _net(first, last) - _kept(record, calls, admitted) - wasted),
        available=_available(first, last),
        wasted=wasted,
        dead=len(record.dead),
    )
    for request in admitted:
        kind, call = calls[request.job, request.call]
        found.admitted[kind] += call.tokens if request.ending == "running" else request.tokens
    _count_jobs(record, found)
    return found


def reading_at(record: Record, instant: float) -> Reading:
    """The reading nearest to an instant."""
    return min(record.readings, key=lambda reading: abs(reading.at_s - instant))


def delay_s(job: Job, ended_s: float | None, end_s: float) -> float | None:
    """How much longer than pure service a job took, or has by the end; None if it could not have ended by then."""
    if ended_s is None and job.arrival_s + job.service_s > end_s:
        return None
    return max(0.0, (end_s if ended_s is None else ended_s) - job.arrival_s - job.service_s)


def ends(record: Record) -> Mapping[str, float]:
    """When each job that ended well did so: with the answer to the last of its calls."""
    answers: dict[tuple[str, int], float] = {}
    for request in record.requests:
        if request.ending == "answered" and request.ended_s <= record.scenario.end_s:
            key = (request.job, request.call)
            answers[key] = min(answers.get(key, request.ended_s), request.ended_s)
    found = {}
    for job in record.trace:
        of_calls = [answers.get((job.id, number)) for number in range(len(job.calls))]
        known = [instant for instant in of_calls if instant is not None]
        if len(known) == len(of_calls) and job.id not in record.dead:
            found[job.id] = max(known)
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many of a hundred are not above; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def _count_jobs(record: Record, found: Tally) -> None:
    begin, end = record.scenario.warm_up_s, record.scenario.end_s
    ended = ends(record)
    for job in record.trace:
        ended_s = ended.get(job.id)
        found.offered[job.kind] += job.tokens
        found.finished[job.kind] += 0 if ended_s is None else job.tokens
        delay = delay_s(job, ended_s, end)
        if job.arrival_s >= begin and delay is not None:
            found.delays[job.kind].append(delay)


def _net(first: Reading, last: Reading) -> float:
    return (last.taken - last.returned) - (first.taken - first.returned)


def _available(first: Reading, last: Reading) -> float:
    return (last.refilled - last.hidden - last.level) - (first.refilled - first.hidden - first.level)


def _calls(record: Record) -> Calls:
    return {(job.id, number): (job.kind, call) for job in record.trace for number, call in enumerate(job.calls)}


def _kept(record: Record, calls: Calls, admitted: Sequence[Request]) -> int:
    """What the provider took for output that was never made, and keeps."""
    if record.scenario.refund:
        return 0
    sizes = [calls[request.job, request.call][1] for request in admitted]
    return sum(call.max_output - call.output for call in sizes)


def _wasted(record: Record) -> Iterator[Request]:
    answered: set[tuple[str, int]] = set()
    for request in record.requests:
        again = (request.job, request.call) in answered
        if request.ending == "lost" or (request.ending == "answered" and (again or request.job in record.dead)):
            yield request
        if request.ending == "answered":
            answered.add((request.job, request.call))


def low_share(found: Tally) -> float:
    """What the lower band was admitted with for each token of the interactive one."""
    low = sum(tokens for kind, tokens in found.admitted.items() if kind != URGENT)
    return low / found.admitted[URGENT] if found.admitted[URGENT] else 0.0
