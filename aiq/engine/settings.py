"""What a worker is set up with, in the engine's units."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Protocol

from aiq.engine.keeper_thread import KeeperThread
from aiq.engine.leases import Held, Leases
from aiq.engine.presence import Census
from aiq.engine.timing import BootClock, boot_ms
from aiq.middleware import EnqueueMiddleware, RunMiddleware
from aiq.storage import Storage
from aiq.task import Task


class KeeperHost(Protocol):
    """Where the keeper lives: a thread, or in tests the loop itself."""

    async def start(self) -> None:
        """Bring it up.

        Raises:
            StorageError: it could not get a connection of its own.
        """
        ...

    def hold(self, batch: Iterable[Held]) -> None:
        """Keep these leases from now on."""
        ...

    async def ended(self) -> None:
        """Wait until it has ended, for whatever reason."""
        ...

    async def stop(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Sizes, patience, and the sources of time and chance."""

    # Any: a worker runs tasks of all signatures.
    tasks: Mapping[str, Task[Any, object]]
    slots: Mapping[str, int]
    default_queue: str
    name: str
    grace_ms: int
    cancel_grace_ms: int
    unknown_grace_ms: int
    threads: int
    processes: int
    redact: Callable[[str], str] | None = None
    clock: BootClock = boot_ms
    enqueue_middleware: Sequence[EnqueueMiddleware] = ()
    run_middleware: Sequence[RunMiddleware] = ()
    rng: Random = field(default_factory=SystemRandom)
    keeper: Callable[[Storage, Leases, BootClock, Random, Census], KeeperHost] = KeeperThread
