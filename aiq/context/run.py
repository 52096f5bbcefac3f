"""The seam between a Context and the engine that runs the job."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from aiq.model import (
    Admitted,
    CallState,
    ChunkKind,
    Enqueued,
    Estimate,
    Exceeded,
    JobRecord,
    JobSpec,
    MustWait,
    Outcome,
    Refused,
    Remaining,
    Step,
    Usage,
)
from aiq.policy import Limit

if TYPE_CHECKING:
    from aiq.middleware import EnqueueMiddleware


class Parked(BaseException):
    """Unwinds a handler whose run has left its worker. Let it pass, as a cancellation; `finally` works as ever."""


class Calls(Protocol):
    """The calls of one run, as the storage books them."""

    async def open(
        self,
        limits: tuple[str, ...],
        estimate: Estimate,
        inside: tuple[int, ...] = (),
        patience_ms: int | None = None,
    ) -> tuple[int, Admitted | MustWait | Exceeded | Refused]:
        """Wait until a call may be made, or can never be. The number names it from then on.

        `inside` are calls that end after it. While one of them is open it waits for `patience_ms` at most, and then
        answers that it must wait; None is for ever."""
        ...

    def report(
        self,
        call: int,
        state: CallState,
        used: tuple[Usage, ...] = (),
        *,
        retry_after_ms: int | None = None,
        remaining: tuple[Remaining, ...] = (),
    ) -> None:
        """Say what became of a call so far, or in the end; it is sent soon."""
        ...

    def add(self, usage: Usage) -> None:
        """Say what the handler has used beside its calls, on top of what it said before."""
        ...

    def unsaid(self) -> None:
        """A call has ended, and nobody has said what it used."""
        ...


class Run(Protocol):
    """What a Context needs of the engine that runs the job. Each call raises LeaseLost once the job is not ours."""

    @property
    def record(self) -> JobRecord:
        """The job, as it was claimed."""
        ...

    @property
    def default_queue(self) -> str:
        """Where children go whose task names no queue."""
        ...

    @property
    def steps(self) -> Mapping[str, Step]:
        """What is remembered, by key."""
        ...

    @property
    def calls(self) -> Calls:
        """Its calls."""
        ...

    def require_live(self) -> None:
        """Raise LeaseLost when the run may start nothing new."""
        ...

    async def bring(self, limits: Iterable[Limit], models: Iterable[str]) -> None:
        """Store limits that code names, and default prices of models, where they are absent."""
        ...

    async def save_step(self, step: Step) -> Step:
        """Remember a step; the answer is what stands under the key."""
        ...

    async def park(self, outcome: Outcome) -> Step:
        """Wait. The step of the wait if it is over already; else raises Parked."""
        ...

    @property
    def middleware(self) -> "Sequence[EnqueueMiddleware]":
        """What children go through on their way into the storage."""
        ...

    async def spawn(self, specs: Sequence[JobSpec]) -> list[Enqueued]:
        """Store children."""
        ...

    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """Read jobs, in the order asked."""
        ...

    async def emit(self, kind: ChunkKind, data: bytes, step: str | None) -> None:
        """Add an item to the stream, soon."""
        ...
