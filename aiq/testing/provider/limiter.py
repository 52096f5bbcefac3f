"""The gate before every call: the buckets of all limits, of which a call takes its part of each or of none."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiq.testing.provider.answers import Pace
from aiq.testing.provider.bucket import HIDDEN_CALLS, Production, TokenBucket, hidden_calls
from aiq.testing.provider.calls import Call
from aiq.testing.provider.limits import (
    NS_PER_S,
    BucketState,
    RateLimit,
    arrival_charge,
    counts_output,
    final_correction,
)
from aiq.testing.provider.styles import (
    Headers,
    Kind,
    Refusal,
    Standing,
    Style,
    refusal_body,
    retry_headers,
    standing_headers,
)

MAX_LIMITS: Final = 100


@dataclass(slots=True)
class _Gate:
    """One bucket in its place."""

    limit: RateLimit
    kind: Kind
    bucket: TokenBucket
    admitted: int = 0
    rejected: int = 0

    def state(self) -> BucketState:
        bucket = self.bucket
        return BucketState(
            model=self.limit.model,
            kind=self.kind,
            rate=bucket.rate,
            per=self.limit.per,
            capacity=bucket.capacity,
            level=bucket.level,
            refilled=bucket.refilled,
            overflowed=bucket.overflowed,
            taken=bucket.taken,
            returned=bucket.returned,
            hidden=bucket.hidden,
            admitted=self.admitted,
            rejected=self.rejected,
        )

    def standing(self) -> Standing:
        return Standing(self.kind, self.bucket.rate, max(0, self.bucket.level), self.bucket.full_in_ns())


@dataclass(slots=True)
class _Hold:
    """What one call has to do with one bucket until it ends."""

    gate: _Gate
    charged: int
    production: Production | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A call that was refused: what it is answered with status 429."""

    kind: Kind
    """What the bucket counts that must be waited for longest."""
    headers: Headers
    body: bytes


@dataclass(slots=True)
class Admission:
    """A call that was let in, until its end. The caller says once when its answer is begun, and once when ended."""

    style: Style
    headers: Headers
    _limiter: "Limiter"
    _call: Call
    _arrived_ns: int
    _holds: Sequence[_Hold] = field(default=())

    def begin(self, pace: Pace, tokens_out: int) -> None:
        """Count the answer as it will be made, where its limit does that."""
        self._limiter.begin(self._holds, pace, tokens_out, self._arrived_ns)

    def end(self, tokens_out: int) -> None:
        """Settle the call, of whose answer so many tokens were made."""
        self._limiter.end(self._holds, self._call, tokens_out)


class Limiter:
    """The limits of a simulator. Any thread may use it; `clock` gives nanoseconds and does not go back."""

    def __init__(self, limits: Iterable[RateLimit] = (), *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.set(limits)

    def set(self, limits: Iterable[RateLimit]) -> None:
        """Put these in the place of all limits there were, with full buckets. Calls under way settle with the old.

        Raises:
            ValueError: there are more than `MAX_LIMITS`; nothing was changed.
        """
        limits = tuple(limits)
        if len(limits) > MAX_LIMITS:
            raise ValueError(f"at most {MAX_LIMITS} limits may be set, not {len(limits)}")
        with self._lock:
            self._set_ns = self._clock()
            self._limits = limits
            self._gates = tuple(gate for limit in limits for gate in _gates(limit, self._set_ns))

    def limits(self) -> tuple[RateLimit, ...]:
        """List the limits that hold."""
        with self._lock:
            return self._limits

    def buckets(self) -> tuple[BucketState, ...]:
        """Say how each bucket stands now, in the order of the limits."""
        with self._lock:
            self._advance(self._gates)
            return tuple(gate.state() for gate in self._gates)

    def elapsed_ms(self) -> int:
        """Say for how many milliseconds these limits have held."""
        with self._lock:
            return (self._clock() - self._set_ns) // 1_000_000

    def admit(self, call: Call) -> Admission | Rejection:
        """Take a call's charge from every bucket that counts it, or refuse it and take nothing.

        A bucket that a call takes nothing from on arrival must hold one token all the same. Where refused calls
        count, one costs a request as far as there is one.
        """
        with self._lock:
            gates = [gate for gate in self._gates if gate.limit.model in {None, call.model}]
            now_ns = self._advance(gates)
            holds = [_Hold(gate, arrival_charge(gate.limit, gate.kind, call)) for gate in gates]
            short = [hold for hold in holds if _wait_ns(hold) != 0]
            if short:
                return _reject(call, holds, short)
            for hold in holds:
                hold.gate.admitted += 1
                hold.gate.bucket.take(hold.charged)
            style: Style = gates[0].limit.style if gates else "openai"
            return Admission(style, _headers(gates, style), self, call, now_ns, holds)

    def begin(self, holds: Sequence[_Hold], pace: Pace, tokens_out: int, arrived_ns: int) -> None:
        """Follow an answer in the buckets that count it as it is made."""
        first_at_ns = arrived_ns + round(pace.first_token * NS_PER_S)
        with self._lock:
            for hold in holds:
                if tokens_out and counts_output(hold.gate.limit, hold.gate.kind):
                    hold.production = Production(first_at_ns, round(pace.per_token * NS_PER_S), tokens_out)
                    hold.gate.bucket.follow(hold.production)

    def end(self, holds: Sequence[_Hold], call: Call, tokens_out: int) -> None:
        """Settle a call in its buckets."""
        with self._lock:
            self._advance([hold.gate for hold in holds])
            for hold in holds:
                gate, charged = hold.gate, hold.charged
                if hold.production is not None:
                    gate.bucket.finish(hold.production, tokens_out)
                gate.bucket.correct(
                    final_correction(gate.limit, gate.kind, call, charged=charged, tokens_out=tokens_out)
                )

    def _advance(self, gates: Iterable[_Gate]) -> int:
        now_ns = self._clock()
        for gate in gates:
            gate.bucket.advance(now_ns)
        return now_ns


def _gates(limit: RateLimit, now_ns: int) -> Iterator[_Gate]:
    for kind, rate in limit.rates.items():
        hidden: Iterator[tuple[int, int]] = iter(())
        if limit.hidden_share:
            tokens = 1 if kind == "requests" else max(1, rate // HIDDEN_CALLS)
            mean_ns = round(tokens * limit.per_ns / (rate * limit.hidden_share))
            hidden = hidden_calls(tokens, mean_ns, start_ns=now_ns, seed=f"{limit.seed} {limit.model} {kind}")
        yield _Gate(limit, kind, TokenBucket(rate, limit.per_ns, limit.burst_ns, now_ns, hidden))


def _wait_ns(hold: _Hold) -> int | None:
    return hold.gate.bucket.wait_ns(max(1, hold.charged))


def _by_wait(hold: _Hold) -> tuple[bool, int]:
    wait_ns = _wait_ns(hold)
    return wait_ns is None, wait_ns or 0


def _reject(call: Call, holds: Sequence[_Hold], short: Sequence[_Hold]) -> Rejection:
    for hold in short:
        hold.gate.rejected += 1
    for hold in holds:
        if hold.gate.kind == "requests" and hold.gate.limit.counts_rejected:
            hold.gate.bucket.take_at_most(1)
    # Only now: the request that it cost may be what it has to wait for.
    longest = max(holds, key=_by_wait)
    wait_ns = _wait_ns(longest)
    limit, kind = longest.gate.limit, longest.gate.kind
    refusal = Refusal(call.model, kind, longest.gate.bucket.rate, max(1, longest.charged), wait_ns)
    headers = retry_headers(limit.style, wait_ns, exact=limit.exact_retry) if limit.retry_header else []
    headers += _headers([hold.gate for hold in holds], limit.style)
    return Rejection(kind, headers, refusal_body(limit.style, refusal))


def _headers(gates: Sequence[_Gate], style: Style) -> Headers:
    """Tell how the buckets of one style stand; of two that count the same, the first."""
    told: dict[Kind, Standing] = {}
    for gate in gates:
        if gate.limit.style == style and gate.kind not in told:
            told[gate.kind] = gate.standing()
    return standing_headers(style, tuple(told.values()), now_ms=time.time_ns() // 1_000_000)
