"""How others decide whether a call may go now, in simulated seconds. Each is told of the calls that it let go."""

import sqlite3
from typing import Protocol

from benchmarks.ratelimit.buckets import Bucket
from benchmarks.ratelimit.scenarios import PER_S, REQUESTS, Scenario
from benchmarks.ratelimit.traces import Call


class Limiter(Protocol):
    """What a pool asks before each request."""

    def wait_s(self, kind: str, call: Call, now_s: float) -> float:
        """Let the call go and count it, with the answer 0; or say when to ask again."""
        ...

    def done(self, call: Call, now_s: float) -> None:
        """Hear that a call was answered, and what it used."""
        ...


class Unlimited:
    """Asks nobody: the provider will say no."""

    def wait_s(self, kind: str, call: Call, now_s: float) -> float:
        """Let everything go."""
        del kind, call, now_s
        return 0.0

    def done(self, call: Call, now_s: float) -> None:
        """Count nothing."""
        del call, now_s


class FixedWindow:
    """A counter for each minute, shared by all processes: looked at before a call, raised by what it used after it.

    Requests are counted as they go, tokens as they are answered: in between nobody knows of them.
    """

    def __init__(self, file: str, tokens: int) -> None:
        self._tokens = tokens
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS minute (number INTEGER PRIMARY KEY, requests INTEGER, tokens INTEGER)"
        )

    def wait_s(self, kind: str, call: Call, now_s: float) -> float:
        """Wait for the next minute if this one is used up."""
        del kind, call
        minute = int(now_s // PER_S)
        found = self._connection.execute("SELECT requests, tokens FROM minute WHERE number = ?", [minute]).fetchone()
        requests, tokens = found or (0, 0)
        if requests >= REQUESTS or tokens >= self._tokens:
            return (minute + 1) * PER_S - now_s
        self._add(minute, 1, 0)
        return 0.0

    def done(self, call: Call, now_s: float) -> None:
        """Count the tokens in the minute in which they are known."""
        self._add(int(now_s // PER_S), 0, call.tokens)

    def _add(self, minute: int, requests: int, tokens: int) -> None:
        self._connection.execute(
            "INSERT INTO minute VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE"
            " SET requests = requests + excluded.requests, tokens = tokens + excluded.tokens",
            [minute, requests, tokens],
        )


class LocalBucket:
    """A token bucket inside one process, charged with the input and the usual output of the class when a call goes.

    It knows nothing of other processes: each has a bucket of its own, with the whole limit or a part of it.
    """

    def __init__(self, scenario: Scenario, share: float) -> None:
        rate = scenario.token_rate * share
        requests = REQUESTS / PER_S * share
        self._scenario = scenario
        self._bucket = Bucket(rate, rate * scenario.assumed_burst_s)
        self._requests = Bucket(requests, max(1.0, requests * scenario.assumed_burst_s))

    def wait_s(self, kind: str, call: Call, now_s: float) -> float:
        """Wait until the bucket holds what the call needs, or is full: a part of the limit may be less than a call."""
        amount = call.input + self._scenario.sizes(kind).output
        self._bucket.advance(now_s)
        self._requests.advance(now_s)
        wait_s = max(self._bucket.wait_s(min(amount, self._bucket.capacity)), self._requests.wait_s(1))
        if wait_s == 0:
            self._bucket.take(amount)
            self._requests.take(1)
        return wait_s

    def done(self, call: Call, now_s: float) -> None:
        """Correct nothing."""
        del call, now_s
