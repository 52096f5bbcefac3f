"""The provider of a run: the simulator as a process of its own, and what its bucket and its ledger say."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.ratelimit.client import Client
from benchmarks.ratelimit.plan import Clock
from benchmarks.ratelimit.processes import started
from benchmarks.ratelimit.records import Ending, Reading, Request
from benchmarks.ratelimit.scenarios import FIRST_TOKEN_S, INPUT_PER_S, OUTPUT_PER_S, PER_S, REQUESTS, TOKENS, Scenario

PAGE: Final = 10_000


class _Bucket(msgspec.Struct):
    kind: str
    level: int
    refilled: int
    taken: int
    returned: int
    hidden: int


class _Limits(msgspec.Struct):
    at_ms: int
    buckets: list[_Bucket]


class _Entry(msgspec.Struct):
    number: int
    idempotency_key: str
    outcome: str
    tokens_in: int
    tokens_out: int
    started_at_ms: int
    finished_at_ms: int | None


class _Ledger(msgspec.Struct):
    entries: list[_Entry]
    dropped: int


class Provider:
    """A running simulator."""

    def __init__(self, base_url: str, control_url: str) -> None:
        self.base_url = base_url
        self._control = Client(control_url)
        self._path = urlsplit(control_url).path

    async def reading(self, clock: Clock) -> Reading:
        """Read its bucket of tokens."""
        limits = msgspec.json.decode(await self._control.get("/limits"), type=_Limits)
        bucket = next(bucket for bucket in limits.buckets if bucket.kind == "tokens")
        return Reading(
            clock.at_s(limits.at_ms / 1000), bucket.level, bucket.refilled, bucket.taken, bucket.returned, bucket.hidden
        )

    async def requests(self, clock: Clock) -> Sequence[Request]:
        """Read its whole ledger.

        Raises:
            RuntimeError: it has dropped entries, so that nobody can say what happened.
        """
        found: list[Request] = []
        after = 0
        while True:
            page = msgspec.json.decode(await self._control.get(f"/ledger?after={after}&limit={PAGE}"), type=_Ledger)
            if page.dropped:
                raise RuntimeError(f"The provider's ledger has dropped {page.dropped} calls: make the run shorter.")
            found += [_request(entry, clock) for entry in page.entries]
            if len(page.entries) < PAGE:
                return found
            after = page.entries[-1].number


@asynccontextmanager
async def simulator(scenario: Scenario, compress: float, seed: int) -> AsyncIterator[Provider]:
    """A simulator with the limits of a scenario, `compress` times as fast."""
    async with started(
        "aiq.testing.provider",
        "--limits", json.dumps([limits(scenario, compress, seed)]),
        "--latency-first-token", str(FIRST_TOKEN_S / compress),
        "--latency-per-input-token", f"{1 / INPUT_PER_S / compress:.12f}",
        "--latency-per-token", str(1 / OUTPUT_PER_S / compress),
    ) as process:  # fmt: skip
        ready = json.loads(await process.line())
        yield Provider(ready["base_url"], ready["control_url"])


def limits(scenario: Scenario, compress: float, seed: int) -> dict[str, object]:
    """The provider's limits, in real seconds, in the shape that the simulator takes."""
    return {
        "requests": REQUESTS,
        "tokens": TOKENS,
        "per": PER_S / compress,
        "burst": scenario.capacity_s / compress,
        "charge": scenario.charge,
        "refund": scenario.refund,
        "style": "openai",
        "rejected_count": True,
        "hidden_share": scenario.hidden_share,
        "seed": seed,
        "exact_retry": True,
    }


def _request(entry: _Entry, clock: Clock) -> Request:
    job, _, call = entry.idempotency_key.rpartition("/")
    ended_ms = entry.started_at_ms if entry.finished_at_ms is None else entry.finished_at_ms
    return Request(
        job,
        int(call),
        clock.at_s(entry.started_at_ms / 1000),
        clock.at_s(ended_ms / 1000),
        _ending(entry.outcome),
        entry.tokens_in,
        entry.tokens_out,
    )


def _ending(outcome: str) -> Ending:
    match outcome:
        case "answered" | "rejected" | "running":
            return outcome
        case _:
            return "lost"
