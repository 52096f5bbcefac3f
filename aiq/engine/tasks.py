"""Keeping hold of asyncio tasks: the loop itself only holds them weakly, and forgets their exceptions."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_log = logging.getLogger("aiq.worker")

PATIENCE_S: Final = 2.0
"""How long a cancelled caller still waits for a call that is under way, to learn what it did."""


class Tasks:
    """A group of tasks that do not depend on each other; one that fails is logged and changes nothing else."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    # Any: how a coroutine is driven is asyncio's business.
    def start(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """Run `work` beside the caller, and keep it until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def cancel_all(self) -> None:
        """Cancel what still runs, and wait PATIENCE_S for it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE_S)

    async def outlast(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run `work` to its end even when the caller is cancelled meanwhile; the cancellation goes on afterwards.

        For what must not stay half known, such as saving what was paid for. After PATIENCE_S it is cancelled too.
        """
        task = self.start(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=PATIENCE_S)
            task.cancel()
            raise
        return task.result()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("A background task ended with %s.", type(error).__name__, exc_info=error)
