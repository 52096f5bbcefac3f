"""The parts of a worker, put together."""

import asyncio
import contextvars
import logging
from collections.abc import Iterable
from dataclasses import replace

from aiq.engine.appends import Appends
from aiq.engine.batches import Batches
from aiq.engine.bookings import Bookings
from aiq.engine.calls import Unsaid
from aiq.engine.exchanger import Exchanger
from aiq.engine.idleness import any_to_come
from aiq.engine.intake import Intake
from aiq.engine.leases import Held, Leases
from aiq.engine.lines import Lines
from aiq.engine.outage import Outage
from aiq.engine.pools import Processes, Threads
from aiq.engine.presence import here
from aiq.engine.rest import Rest
from aiq.engine.run import Desk, Run
from aiq.engine.runner import Runner
from aiq.engine.settings import Settings
from aiq.engine.shutdown import Shutdown
from aiq.engine.slots import Slots
from aiq.engine.statistics import Statistics, Tally
from aiq.engine.tasks import PATIENCE_S, Tasks
from aiq.engine.unroutable import Unroutable
from aiq.engine.unserved import Unserved
from aiq.engine.upkeep import Upkeep
from aiq.errors import OUTAGES
from aiq.model import Beat, JobRecord
from aiq.needs import Needs
from aiq.storage import Storage, queue_topic

_log = logging.getLogger("aiq.worker")


class KeeperEnded(RuntimeError):
    """The thread that renews leases has ended; without it no job may run. The log says why."""


class Engine:
    """Claims and runs jobs from a storage until it is told to stop. Good for one run."""

    def __init__(self, storage: Storage, settings: Settings, tally: Tally, unserved: Unserved) -> None:
        self._storage, self._settings, self._tally = storage, settings, tally
        clock, rng = settings.clock, settings.rng
        self._tasks = Tasks()
        self._leases = Leases()
        self._slots = Slots(settings.slots)
        self._keeper = settings.keeper(storage, self._leases, clock, rng, self._census)
        self._upkeep = Upkeep(storage, clock=clock, rng=rng)
        self._threads = Threads(settings.threads, "aiq-handler")
        self._processes = Processes(settings.processes)
        self._rest = Rest(storage, [queue_topic(name) for name in settings.slots], tasks=self._tasks, rng=rng)
        exchanger = Exchanger(storage, clock=clock, rng=rng, stopping=lambda: not self._intake.claiming)
        self._intake = Intake(
            self, exchanger, self._rest, self._slots, self._leases, worker=settings.name, tally=tally, rng=rng
        )
        self._appends = Appends(storage)
        self._bookings = Bookings(storage, clock=clock, rng=rng)
        self._desk = Desk(
            storage=storage,
            default_queue=settings.default_queue,
            unserved=unserved,
            unsaid=Unsaid(),
            appends=self._appends,
            bookings=self._bookings,
            lines=Lines(storage, tasks=self._tasks, rng=rng),
            needs=Needs(threads=False),
            settle=self._intake.settle,
            stopping=self._stopping,
            lend=self._intake.lend,
            take_back=self._intake.take_back,
            outage=Outage(_log, "What runs ask of the storage waits", "It takes what runs ask of it", clock=clock),
            middleware=settings.enqueue_middleware,
            tasks=self._tasks,
            clock=clock,
            rng=rng,
        )
        self._runner = Runner(
            settings.tasks,
            self._threads,
            self._processes,
            Batches(self._threads, settings.slots),
            settings.run_middleware,
            Unroutable(settings.unknown_grace_ms, clock=clock, rng=rng),
            finish=self._intake.finish,
            vacate=self._intake.vacate,
            rng=rng,
            redact=settings.redact,
        )
        self._shutdown = Shutdown(
            self._intake, self._slots, settle_stuck=self._runner.settle_stuck, grace_ms=settings.grace_ms
        )

    @property
    def statistics(self) -> Statistics:
        """The numbers as they stand."""
        return self._tally.snapshot(running=len(self._slots.runs))

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._shutdown.asked

    async def start(self) -> None:
        """Bring up what must be there before the first claim.

        Raises:
            StorageError: the keeper could not get a connection of its own.
        """
        await self._keeper.start()

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`, or until nothing is left to do, and shut down in order.

        Raises:
            StorageError: the storage is beyond repair. What could be given back was given back.
            KeeperEnded: leases are not renewed any more.
        """
        intake = asyncio.create_task(self._intake.run(idle=self._nothing_due if until_idle else None))
        upkeep = asyncio.create_task(self._upkeep.run())
        keeper = asyncio.create_task(self._keeper_ended())
        parts = (intake, upkeep, keeper)
        try:
            await self._shutdown.until_asked(set(parts))
            upkeep.cancel()
            await self._shutdown.release_all(intake)
            _raise_first(parts)
        finally:
            for task in parts:
                task.cancel()
            await asyncio.wait(parts, timeout=PATIENCE_S)
            await self._close()

    def stop(self) -> None:
        """Claim no more, let what runs finish within the grace, give the rest back."""
        self._shutdown.ask()

    def hurry(self) -> None:
        """As `stop`, with no grace."""
        self._shutdown.hurry()

    # As the intake's Crew.

    def begin(self, record: JobRecord, sent_ms: int) -> Run:
        """A run of a claimed job."""
        return Run(record, sent_ms, self._desk)

    def start_run(self, run: Run) -> None:
        """Start the handler, in a context that inherits nothing from ours."""
        name = f"{run.record.task} {run.record.id}"
        run.task = asyncio.get_running_loop().create_task(
            self._runner.run(run), name=name, context=contextvars.Context()
        )

    def hold(self, batch: Iterable[Held]) -> None:
        """Renew these leases from now on."""
        self._keeper.hold(batch)

    def due_in(self, ms: int | None) -> None:
        """When upkeep is due."""
        self._upkeep.due_in(ms)

    def _stopping(self, run: Run) -> None:
        self._slots.tell(run)
        asyncio.get_running_loop().call_later(self._settings.cancel_grace_ms / 1000, self._check_stuck, run)

    def _check_stuck(self, run: Run) -> None:
        """Its job does not wait for it: it is settled by why it was to stop. The slot stays taken."""
        if run in self._slots.runs:
            self._tally.add("stuck")
            self._runner.settle_stuck(run)
            _log.error(
                "A handler did not end within %g s after it was told to (%s). Its slot stays taken; its job is settled "
                "without it, and does not run again here beside it. Handlers must let CancelledError pass; a thread "
                "cannot be ended at all. Restart this worker.",
                self._settings.cancel_grace_ms / 1000,
                run.why,
                extra=run.extra,
            )

    async def _nothing_due(self) -> bool:
        try:
            done = await self._upkeep.once()
            if not done.did_something:
                return not await any_to_come(self._storage, self._settings.slots)
        except OUTAGES:
            return False
        self._intake.look()
        return False

    def _census(self) -> Beat:
        """How the worker stands. Asked by the keeper's thread: what it reads is whole, if not all of one moment."""
        return replace(here(), worker=self._intake.worker, slots=self._slots.use(), lent=self._slots.lent)

    async def _keeper_ended(self) -> None:
        await self._keeper.ended()
        raise KeeperEnded("The thread that renews leases has ended.")

    async def _close(self) -> None:
        self._rest.close()
        await self._appends.close()
        await self._bookings.close()
        await self._keeper.stop()
        self._threads.close()
        self._processes.close()
        await self._tasks.cancel_all()


def _raise_first(tasks: "Iterable[asyncio.Task[None]]") -> None:
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()
