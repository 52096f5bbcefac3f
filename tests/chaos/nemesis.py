"""Who kills, freezes and restarts workers, at moments drawn from a seed."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.chaos.fleet import Fleet, Member
from tests.chaos.notes import now_ms

Kind = Literal["kill", "freeze", "stop"]


@dataclass(slots=True)
class Act:
    """What was done to a process, and until when it lasted, once it is over."""

    kind: Kind
    pid: int
    from_ms: int
    to_ms: int | None = None


class Nemesis:
    """Acts on one worker after the other; one that it has ended is followed by a new one at once.

    One always works: how soon a lost job is found could not be said of a file that nobody looks at.
    """

    def __init__(self, fleet: Fleet, seed: int, *, gap_s: float, lease_s: float, **options: object) -> None:
        self._fleet, self._rng = fleet, Random(seed)
        self._gap_s, self._lease_s, self._options = gap_s, lease_s, options
        self._alive: list[Member] = []
        self.acts: list[Act] = []

    @contextlib.asynccontextmanager
    async def raging(self, workers: int) -> AsyncIterator[None]:
        """Keep so many workers, none of them safe, and leave them in peace at the end."""
        self._alive = [self._fleet.launch(**self._options) for _ in range(workers)]
        raging = asyncio.create_task(self._rage())
        try:
            yield
        finally:
            raging.cancel()
            await asyncio.wait({raging})
            for member in self._alive:
                member.send(signal.SIGCONT)
                await self._fleet.noted("up", pid=member.pid)

    async def leave(self) -> list[int]:
        """Have the last workers stop in order; how they ended."""
        for member in self._alive:
            member.send(signal.SIGTERM)
        return [await member.ended() for member in self._alive]

    async def _rage(self) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._gap_s))
            await self._fleet.until(lambda: sum(map(self._fleet.is_up, self._alive)) > 1, "two of them work")
            kind: Kind = self._rng.choices(("kill", "freeze", "stop"), (6, 2, 2))[0]
            victim = self._rng.choice(self._alive)
            act = Act(kind, victim.pid, now_ms())
            self.acts.append(act)
            if kind == "freeze":
                await self._freeze(victim)
            else:
                await self._replace(victim, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
            act.to_ms = now_ms()

    async def _freeze(self, victim: Member) -> None:
        await self._fleet.freeze(victim)
        try:
            await asyncio.sleep(self._rng.uniform(0.2, 3) * self._lease_s)
        finally:
            victim.send(signal.SIGCONT)

    async def _replace(self, victim: Member, number: signal.Signals) -> None:
        victim.send(number)
        self._alive.remove(victim)
        self._alive.append(self._fleet.launch(**self._options))
        await victim.ended()
