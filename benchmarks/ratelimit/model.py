"""What our rules would do with a trace if nothing took time but the provider, and nothing had to be learned.

A discrete-event model in virtual time. Bands are strict, with the same share for the lower one as ours; inside a band
it is first come, first served, but that the next call of a running job goes before new jobs. Nobody knows what a call
will put out, so the 90th percentile of its class is held for it until it ends, as ours does; the model knows that
percentile from the start. It also looks into the provider's bucket, so nothing is ever rejected. Its utilisation is the
most that the load allows, its delays are what ours are measured against.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from benchmarks.ratelimit.buckets import Bucket
from benchmarks.ratelimit.records import Reading, Record, Request
from benchmarks.ratelimit.scenarios import OUTPUT_PER_S, PER_S, REQUESTS, Scenario, first_output_s
from benchmarks.ratelimit.traces import Call, Job, Trace

FLOOR: Final = 0.1
"""What the lower band gets for each token that the higher one was given."""
READ_EVERY_S: Final = 5.0


def ideal(scenario: Scenario, trace: Trace, slots: int) -> Record:
    """Run the model to the end of the scenario; `slots` is how many jobs run at once."""
    return _Model(scenario, slots).run(trace)


@dataclass(slots=True)
class _Running:
    """A job that has come, and how many of its calls are answered."""

    job: Job
    done: int = 0

    @property
    def call(self) -> Call:
        return self.job.calls[self.done]


@dataclass(slots=True)
class _Band:
    """What waits in one band: next calls of running jobs, and new jobs; and the share it has saved up, in tokens."""

    running: deque[_Running] = field(default_factory=deque)
    new: deque[_Running] = field(default_factory=deque)
    credit: float = 0.0

    def head(self, *, slot_free: bool) -> _Running | None:
        if self.running:
            return self.running[0]
        return self.new[0] if self.new and slot_free else None

    def pop(self) -> _Running:
        return self.running.popleft() if self.running else self.new.popleft()


class _Model:
    def __init__(self, scenario: Scenario, slots: int) -> None:
        self._scenario = scenario
        rate = scenario.token_rate * (1 - scenario.hidden_share)
        self._tokens = Bucket(rate, scenario.capacity)
        self._ledger = Bucket(rate, scenario.capacity)
        """What we believe of the provider's tokens: output is taken when a call ends, and held before."""
        self._held = 0.0
        requests = REQUESTS / PER_S
        self._requests = Bucket(requests, requests * scenario.capacity_s)
        self._slots = slots
        self._high, self._low = _Band(), _Band()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._now = 0.0
        self._wake_s = math.inf
        """When the head that waits will fit if nothing happens before; reckoned anew whenever something does."""
        self._calls: dict[tuple[str, int], tuple[float, Call]] = {}
        """Those under way, with the instants at which they began."""
        self._made: list[Request] = []
        self._readings: list[Reading] = []

    def run(self, trace: Trace) -> Record:
        for job in trace:
            self._at(job.arrival_s, lambda job=job: self._arrive(job))  # type: ignore[misc]
        for number in range(int(self._scenario.end_s / READ_EVERY_S) + 1):
            self._at(number * READ_EVERY_S, self._read)
        while (next_s := min(self._events[0][0] if self._events else math.inf, self._wake_s)) <= self._scenario.end_s:
            self._now, self._wake_s = next_s, math.inf
            self._tokens.advance(self._now)
            self._ledger.advance(self._now)
            self._requests.advance(self._now)
            while self._events and self._events[0][0] <= self._now:
                heapq.heappop(self._events)[2]()
            self._dispatch()
        return Record(self._scenario, trace, [*self._made, *self._under_way()], self._readings, frozenset())

    def _under_way(self) -> list[Request]:
        return [
            Request(job, number, started, started, "running", call.input, 0)
            for (job, number), (started, call) in self._calls.items()
        ]

    def _at(self, instant: float, happen: Callable[[], None]) -> None:
        # The number keeps events of one instant in order, and functions from being compared.
        self._scheduled += 1
        heapq.heappush(self._events, (instant, self._scheduled, happen))

    def _arrive(self, job: Job) -> None:
        (self._high if job.urgent else self._low).new.append(_Running(job))

    def _dispatch(self) -> None:
        while (band := self._next_band()) is not None:
            head = band.head(slot_free=self._slots > 0)
            assert head is not None
            wait_s = self._wait_s(head)
            if wait_s > 0:
                self._wake_s = self._now + wait_s
                return
            self._settle_credit(band, head.call)
            self._start(band.pop())

    def _wait_s(self, head: _Running) -> float:
        charge = self._charge(head.call)
        wait_s = max(self._tokens.wait_s(charge), self._requests.wait_s(1))
        return max(wait_s, self._ledger.wait_s(charge + self._rest(head) + self._held))

    def _next_band(self) -> _Band | None:
        """The higher band, unless the lower has saved up the price of its head."""
        free = self._slots > 0
        low = self._low.head(slot_free=free)
        if low is not None and self._low.credit >= self._cost(low.call):
            return self._low
        if self._high.head(slot_free=free) is not None:
            return self._high
        return None if low is None else self._low

    def _settle_credit(self, band: _Band, call: Call) -> None:
        low = self._low.head(slot_free=True)
        if low is None or band is self._low:
            # A floor is for a band that gets nothing else: what it was given, opposed or not, ends what it has saved.
            self._low.credit = 0.0
        else:
            self._low.credit = min(self._low.credit + FLOOR * self._cost(call), self._cost(low.call))

    def _start(self, running: _Running) -> None:
        if running.done == 0:
            self._slots -= 1
        call = running.call
        self._calls[running.job.id, running.done] = (self._now, call)
        self._requests.take(1)
        self._tokens.take(self._charge(call))
        self._ledger.take(self._charge(call))
        self._held += self._rest(running)
        if self._scenario.charge == "stream":
            self._at(self._now + first_output_s(call.input), lambda: self._tokens.drain_by(OUTPUT_PER_S))
        self._at(self._now + call.service_s, lambda: self._end(running))

    def _end(self, running: _Running) -> None:
        started, call = self._calls.pop((running.job.id, running.done))
        if self._scenario.charge == "stream":
            self._tokens.drain_by(-OUTPUT_PER_S)
            self._ledger.take(call.output)
        elif self._scenario.refund:
            self._tokens.give_back(call.max_output - call.output)
            self._ledger.give_back(call.max_output - call.output)
        self._held -= self._rest(running)
        self._made.append(
            Request(running.job.id, running.done, started, self._now, "answered", call.input, call.output)
        )
        running.done += 1
        if running.done == len(running.job.calls):
            self._slots += 1
        else:
            (self._high if running.job.urgent else self._low).running.append(running)

    def _charge(self, call: Call) -> float:
        return call.input if self._scenario.charge == "stream" else call.input + call.max_output

    def _rest(self, running: _Running) -> float:
        return self._scenario.sizes(running.job.kind).usual_output if self._scenario.charge == "stream" else 0.0

    def _cost(self, call: Call) -> float:
        return call.tokens if self._scenario.charge == "stream" else call.input + call.max_output

    def _read(self) -> None:
        bucket = self._tokens
        self._readings.append(Reading(self._now, bucket.level, bucket.refilled, bucket.taken, bucket.returned))
