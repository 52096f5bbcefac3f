"""A storage whose word about calls is the test's: what was asked and told is kept, and each answer is chosen."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from aiq.errors import LeaseLost
from aiq.model import (
    Acquired,
    Admitted,
    CallRequest,
    CallState,
    ClaimRequest,
    Exchanged,
    MustWait,
    Outcome,
    Report,
    Reported,
    Settlement,
)
from aiq.storage import limit_topic
from aiq.testing import Faulty
from tests.engine.world import World


class Booked:
    """In front of a world's storage, behind its faults. Every call is admitted unless answers were given."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._storage = world.storage
        self._answers: deque[Acquired] = deque()
        self._to_reports: deque[Reported | LeaseLost] = deque()
        self.asked: list[CallRequest] = []
        self.told: list[Report] = []
        self.outcomes: list[Outcome] = []
        self.trips: list[str] = []
        """The round trips, each by what it was about, and how much of it."""
        world.faults = Faulty(self)  # type: ignore[arg-type]  # it stands for every method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def answer(self, *answers: Acquired) -> None:
        """The next calls that are asked for are answered so, in the order they are asked."""
        self._answers.extend(answers)

    def answer_report(self, *answers: Reported | LeaseLost) -> None:
        """The next reports are answered so."""
        self._to_reports.extend(answers)

    def wake(self, limit: str) -> None:
        """Something has changed on a limit."""
        self._storage._home.wakeups.notify([limit_topic(limit)])  # type: ignore[attr-defined]

    def closed(self) -> list[CallState]:
        """How calls ended, in the order it was told."""
        return [report.state for report in self.told if report.state is not CallState.OPEN]

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        self.outcomes += [settlement.outcome for settlement in settlements]
        self.trips += ["settle"] * bool(settlements)
        return await self._storage.exchange(settlements, claim)

    async def acquire(self, calls: Sequence[CallRequest]) -> list[Acquired]:
        self.asked += calls
        self.trips.append(f"acquire {len(calls)}")
        await asyncio.sleep(0)
        return [self._answers.popleft() if self._answers else _admitted(call) for call in calls]

    async def report(self, reports: Sequence[Report]) -> list[Reported | LeaseLost]:
        self.told += reports
        self.trips.append(f"report {len(reports)}")
        await asyncio.sleep(0)
        return [self._to_reports.popleft() if self._to_reports else Reported() for _ in reports]


def wait(ms: int | None, limit: str = "gpt") -> MustWait:
    return MustWait(limit=limit, wait_ms=ms)


def _admitted(call: CallRequest) -> Admitted:
    return Admitted(max_output=call.estimate.max_output or 1_000)
