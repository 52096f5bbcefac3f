"""How a worker ends: no job is counted as an attempt for it, and none stays leased.

The order matters. Claiming ends first, so that nothing new begins; the keeper ends last, so that no lease runs out
while its handler still has its grace.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiq.engine.intake import Intake
from aiq.engine.run import Run, Stop
from aiq.engine.slots import Slots

_log = logging.getLogger("aiq.worker")

UNWIND_S: Final = 3.0
"""How long handlers that were cancelled may take to unwind."""
SETTLE_S: Final = 2.0
"""How long the last exchange may take; what it does not bring over is revoked when its lease runs out."""


class Shutdown:
    """Asked once it is orderly, asked twice it is quick."""

    def __init__(self, intake: Intake, slots: Slots, *, settle_stuck: Callable[[Run], None], grace_ms: int) -> None:
        self._intake, self._slots, self._settle_stuck = intake, slots, settle_stuck
        self._grace_ms = grace_ms
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether it has begun."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Begin, with grace."""
        self._intake.stop_claiming()
        self._asked.set()

    def hurry(self) -> None:
        """Begin, or go on, without grace."""
        self.ask()
        self._hurried.set()

    async def until_asked(self, working: "set[asyncio.Task[None]]") -> None:
        """Wait until somebody asks, or one of the parts has ended by itself."""
        await _first_of(self._asked.wait(), *working)

    async def release_all(self, intake: "asyncio.Task[None]") -> None:
        """Let handlers finish within the grace, give the other jobs back, and settle everything."""
        self.ask()
        if not intake.done():
            await _first_of(self._slots.empty(), self._hurried.wait(), intake, timeout_s=self._grace_ms / 1000)
        for run in list(self._slots.runs):
            run.stop(Stop.SHUTDOWN)
        await _first_of(self._slots.empty(), timeout_s=UNWIND_S)
        for run in list(self._slots.runs):
            # Left to run out, its lease would be a stall, and count as an attempt.
            self._settle_stuck(run)
        self._intake.end()
        await asyncio.wait({intake}, timeout=SETTLE_S)
        if not intake.done():
            _log.warning("Not every outcome could be settled; those jobs come back when their leases run out.")
        for run in list(self._slots.runs):
            _abandon(run)


def _abandon(run: Run) -> None:
    """Leave a handler behind that does not end. It can write nothing, and does not keep the program alive."""
    run.close()
    _log.error("A handler did not end, and is left behind.", extra=run.extra)
    for task in (run.task, run.work):
        if isinstance(task, asyncio.Task):
            # asyncio.run waits at its end for every registered task, for ever if one does not heed its cancel. This is
            # the documented way out of the register.
            asyncio._unregister_task(task)  # noqa: SLF001


# Any: what they answer does not matter, nor how a coroutine is driven.
async def _first_of(*work: "Coroutine[Any, Any, object] | asyncio.Task[None]", timeout_s: float | None = None) -> None:
    """Wait for the first of some coroutines and tasks; the tasks go on, the coroutines are cancelled."""
    ours = [asyncio.create_task(one) for one in work if not isinstance(one, asyncio.Task)]
    theirs = [one for one in work if isinstance(one, asyncio.Task)]
    try:
        await asyncio.wait([*ours, *theirs], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in ours:
            task.cancel()
