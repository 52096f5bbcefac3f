"""What the processes of a run are told, and the clock that they share."""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.ratelimit.scenarios import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run, as its worker processes get it."""

    scenario: Scenario
    policy: str
    trace_file: str
    base_url: str
    """Of the provider simulator."""
    store_url: str
    """Where our jobs are stored; other policies have no store."""
    shared_file: str
    """Where the processes of a policy that shares a counter keep it."""
    workers: int
    compress: float
    """Simulated seconds in a real one."""

    def save(self, file: Path) -> None:
        """Write it for the workers."""
        file.write_bytes(msgspec.json.encode(self))

    @staticmethod
    def load(file: Path) -> "Plan":
        """Read what `save` wrote."""
        return msgspec.json.decode(file.read_bytes(), type=Plan)


@dataclass(frozen=True, slots=True)
class Clock:
    """Simulated seconds since the start of a run, the same in all processes of the machine."""

    zero: float
    """Real seconds UTC."""
    compress: float

    @property
    def now_s(self) -> float:
        """The simulated time."""
        return self.at_s(time.time())

    def at_s(self, instant: float) -> float:
        """The simulated time of an instant in real seconds UTC."""
        return (instant - self.zero) * self.compress

    async def until(self, instant_s: float) -> None:
        """Wait until a simulated instant."""
        await self.sleep(instant_s - self.now_s)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        await asyncio.sleep(max(0.0, seconds) / self.compress)


async def wait_for_start(compress: float) -> Clock:
    """Tell the parent that this process is up, and wait until it says when time begins."""
    print("up", flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        raise SystemExit("The benchmark ended before it began.")
    return Clock(float(line), compress)


async def until_told() -> None:
    """Wait until the parent closes our input: the run is over."""
    await asyncio.to_thread(sys.stdin.read)


def tell(result: Mapping[str, object]) -> None:
    """Give the parent what this process knows, as its last line."""
    print(msgspec.json.encode(result).decode(), flush=True)
