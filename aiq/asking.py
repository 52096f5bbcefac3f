"""Asking: a job is enqueued, and whoever asked gets its one outcome, at the latest when his time is up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, NoReturn, TypeAlias, TypeVar

from aiq.errors import OUTAGES, ResultTimeout
from aiq.job import Job, until_known
from aiq.model import CancelAnswer, State
from aiq.policy import Duration, duration_ms
from aiq.storage import Storage

R = TypeVar("R")

OnTimeout: TypeAlias = Literal["leave", "cancel"]
"""What becomes of a job that was asked in vain: it goes on, or is told to stop."""

LAST_LOOK_S: Final = 0.25
"""How much longer than the deadline the last look at the storage may take, and a cancel after it."""
OUTAGE_PAUSE_S: Final = 0.25
"""How long a storage is left alone that does not answer; the job goes on meanwhile."""


class Question:
    """One question, from its enqueue to its answer. It holds no task, and nothing of a storage but one wait."""

    def __init__(self, storage: Storage, job_id: str, timeout: Duration | None, on_timeout: OnTimeout) -> None:
        self._storage, self._job_id, self._on_timeout = storage, job_id, on_timeout
        seconds = None if timeout is None else duration_ms("timeout", timeout) / 1000
        self._at_once = seconds == 0
        self._until = None if seconds is None else _now() + seconds

    async def answer(self, enqueue: Callable[[], Awaitable[Job[R]]], *, ours: bool) -> R:
        """Enqueue, and wait. `ours` says that no other than this question can have stored a job of this id.

        Raises:
            ResultTimeout: it had not ended in time.
            JobFailed, and what `enqueue` raises.
        """
        job = await self._stored(enqueue, ours=ours)
        try:
            return await self._result(job)
        except ResultTimeout as late:
            if self._on_timeout == "leave" or job.existed:
                raise
            return await self._cancelled(job, late)

    async def _stored(self, enqueue: Callable[[], Awaitable[Job[R]]], *, ours: bool) -> Job[R]:
        scope = asyncio.timeout_at(None if self._at_once else self._until)
        try:
            async with scope:
                return await enqueue()
        except TimeoutError as error:
            if not scope.expired():
                raise
            if self._on_timeout == "cancel" and ours:
                await self._cancel(self._job_id)
            text = f"The storage has not said in time whether job {self._job_id} is stored. Ask for it by its id."
            raise ResultTimeout(self._job_id, "unknown", text) from error

    async def _result(self, job: Job[R]) -> R:
        """The result, also of a storage that cannot be reached for a while.

        Raises:
            ResultTimeout: the time is up.
        """
        until = self._until
        while True:
            scope = asyncio.timeout_at(None if until is None else until + LAST_LOOK_S)
            try:
                async with scope:
                    return await job.result(None if until is None else max(0.0, until - _now()))
            except OUTAGES as error:
                if until is not None and _now() + OUTAGE_PAUSE_S >= until:
                    _unheard(job.id, error)
            except TimeoutError as error:
                if not scope.expired():
                    raise
                _unheard(job.id, error)
            await asyncio.sleep(OUTAGE_PAUSE_S)

    async def _cancelled(self, job: Job[R], late: ResultTimeout) -> R:
        """Tell the job to stop. What it has come to before that counts after all."""
        answer = await self._cancel(job.id)
        if answer is None:
            raise late
        if answer.state is not None and answer.state.terminal and answer.state is not State.CANCELLED:
            return await job.result(0)
        text = f"Job {job.id} had not ended in time, and was told to stop: it is {answer.state}."
        raise ResultTimeout(job.id, answer.state or "gone", text) from late

    async def _cancel(self, job_id: str) -> CancelAnswer | None:
        """What a cancel has found; None if the storage has not answered."""
        try:
            async with asyncio.timeout(LAST_LOOK_S):
                return (await until_known(lambda: self._storage.cancel([job_id], force=False)))[0]
        except (TimeoutError, *OUTAGES):
            return None


def _unheard(job_id: str, error: Exception) -> NoReturn:
    text = f"The storage has not said in time what became of job {job_id}. It goes on; ask for it by its id."
    raise ResultTimeout(job_id, "unknown", text) from error


def _now() -> float:
    return asyncio.get_running_loop().time()
