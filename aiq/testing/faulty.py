"""A storage that fails on demand: it holds a working one, and a list of what goes wrong.

Faults are data, each for one call, named by the operation. So a test says what breaks and when, and the same
fault works for every backend and for a whole worker.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeAlias, TypeVar, assert_never, cast

from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.errors import Conflict, LeaseLost, NotFound, StorageError, Unavailable
from aiq.model import (
    Acquired,
    Amounts,
    Append,
    Appended,
    Beat,
    BudgetSpec,
    BudgetStatus,
    CallRequest,
    CancelAnswer,
    Capability,
    ClaimRequest,
    Counts,
    DeadQuery,
    DueSchedules,
    Edit,
    Enqueued,
    Event,
    EventPage,
    Exchanged,
    Fact,
    Fire,
    Fired,
    GroupPage,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    LimitSpec,
    LimitStatus,
    MinuteFilter,
    MinutePage,
    Page,
    PriceRow,
    Purged,
    QueueSettings,
    QueueStatus,
    Read,
    Redrive,
    Redriven,
    Renewed,
    Report,
    Reported,
    RetentionSpec,
    Saved,
    ScheduleSpec,
    ScheduleStatus,
    Sent,
    Settlement,
    Step,
    StreamPage,
    Throttle,
    Upkept,
    UsageFilter,
    UsagePage,
    Violation,
    Why,
    WorkerStatus,
    moving,
)
from aiq.storage import AppendRefused, ReadRefused, Storage

_T = TypeVar("_T")
_List: TypeAlias = list  # inside the class `list` is the operation


@dataclass(frozen=True, slots=True)
class LoseReply:
    """The operation happens, and its caller hears `Unavailable(outcome_unknown=True)`."""

    operation: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The operation does not happen, and its caller hears `error`, or else `Unavailable`."""

    operation: str
    error: StorageError | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """The operation waits for `until` before it begins; a test opens the gate when it likes."""

    operation: str
    until: asyncio.Event


@dataclass(frozen=True, slots=True)
class CancelAt:
    """The operation is cancelled where it suspends for the `suspension`-th time (1 is the first).

    One that suspends less often is not touched, so that a test can count up until nothing is cancelled any more.
    """

    operation: str
    suspension: int


Fault: TypeAlias = LoseReply | Refuse | Delay | CancelAt


class Faulty:
    """A Storage in front of another. Each fault strikes the next call of its operation, once, in the order given."""

    def __init__(self, storage: Storage, *faults: Fault) -> None:
        self._storage = storage
        self._faults = list(faults)

    def plan(self, *faults: Fault) -> None:
        """Add faults behind those that have not struck yet."""
        self._faults.extend(faults)

    @property
    def planned(self) -> tuple[Fault, ...]:
        """The faults that have not struck yet."""
        return tuple(self._faults)

    async def _call(self, operation: str, make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        fault = next((fault for fault in self._faults if fault.operation == operation), None)
        if fault is None:
            return await make()
        self._faults.remove(fault)
        match fault:
            case LoseReply():
                await make()
                raise Unavailable(f"The reply of {operation} was lost.", outcome_unknown=True)
            case Refuse(error=error):
                raise error or Unavailable(f"{operation} was refused.")
            case Delay(until=gate):
                await gate.wait()
                return await make()
            case CancelAt(suspension=suspension):
                return await asyncio.create_task(_cancelled_at(suspension, make()))
            case _:
                assert_never(fault)

    @property
    def url(self) -> str:
        """The address of the storage behind it."""
        return self._storage.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the storage behind it."""
        return self._storage.capabilities

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """As the contract says, or as planned."""
        return await self._call("enqueue", lambda: self._storage.enqueue(batch, parent))

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """As the contract says, or as planned."""
        return await self._call("exchange", lambda: self._storage.exchange(settlements, claim))

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """As the contract says, or as planned."""
        return await self._call("renew", lambda: self._storage.renew(leases, lease_ms=lease_ms, shrink=shrink))

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """As the contract says, or as planned."""
        return await self._call("cancel", lambda: self._storage.cancel(job_ids, force=force))

    async def hold(self, job_ids: Sequence[str]) -> _List[JobRecord | None]:
        """As the contract says, or as planned."""
        return await self._call("hold", lambda: self._storage.hold(job_ids))

    async def update(self, edits: Sequence[Edit]) -> _List[JobRecord | None]:
        """As the contract says, or as planned."""
        return await self._call("update", lambda: self._storage.update(edits))

    async def unhold(self, job_ids: Sequence[str]) -> _List[JobRecord | None]:
        """As the contract says, or as planned."""
        return await self._call("unhold", lambda: self._storage.unhold(job_ids))

    async def explain(self, job_id: str) -> Why:
        """As the contract says, or as planned."""
        return await self._call("explain", lambda: self._storage.explain(job_id))

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """As the contract says, or as planned."""
        return await self._call("get", lambda: self._storage.get(job_ids))

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """As the contract says, or as planned."""
        return await self._call("list", lambda: self._storage.list(query, cursor=cursor, limit=limit))

    async def count(self, queue: str | None = None) -> Counts:
        """As the contract says, or as planned."""
        return await self._call("count", lambda: self._storage.count(queue))

    async def dead_groups(self, query: DeadQuery, *, cursor: str | None = None, limit: int = MAX_PAGE) -> GroupPage:
        """As the contract says, or as planned."""
        return await self._call("dead_groups", lambda: self._storage.dead_groups(query, cursor=cursor, limit=limit))

    async def redrive(self, request: Redrive) -> Sequence[Redriven | Conflict | NotFound]:
        """As the contract says, or as planned."""
        return await self._call("redrive", lambda: self._storage.redrive(request))

    async def purge(self, job_ids: Sequence[str]) -> Sequence[Purged]:
        """As the contract says, or as planned."""
        return await self._call("purge", lambda: self._storage.purge(job_ids))

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """As the contract says, or as planned."""
        return await self._call("upkeep", lambda: self._storage.upkeep(limit))

    async def pause(self, queue: str) -> None:
        """As the contract says, or as planned."""
        return await self._call("pause", lambda: self._storage.pause(queue))

    async def resume(self, queue: str) -> None:
        """As the contract says, or as planned."""
        return await self._call("resume", lambda: self._storage.resume(queue))

    async def pause_key(self, queue: str, key: str) -> None:
        """As the contract says, or as planned."""
        return await self._call("pause_key", lambda: self._storage.pause_key(queue, key))

    async def resume_key(self, queue: str, key: str) -> None:
        """As the contract says, or as planned."""
        return await self._call("resume_key", lambda: self._storage.resume_key(queue, key))

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """As the contract says, or as planned."""
        return await self._call("configure", lambda: self._storage.configure(queue, settings))

    async def get_queue(self, queue: str) -> QueueStatus:
        """As the contract says, or as planned."""
        return await self._call("get_queue", lambda: self._storage.get_queue(queue))

    async def weigh(self, tenant: str, weight: int) -> None:
        """As the contract says, or as planned."""
        return await self._call("weigh", lambda: self._storage.weigh(tenant, weight))

    async def audit(self, limit: int = MAX_PAGE) -> _List[Violation]:
        """As the contract says, or as planned."""
        return await self._call("audit", lambda: self._storage.audit(limit))

    async def facts(self) -> Sequence[Fact]:
        """As the contract says, or as planned."""
        return await self._call("facts", self._storage.facts)

    async def beat(self, beat: Beat) -> None:
        """As the contract says, or as planned."""
        return await self._call("beat", lambda: self._storage.beat(beat))

    async def leave(self, worker: str) -> None:
        """As the contract says, or as planned."""
        return await self._call("leave", lambda: self._storage.leave(worker))

    async def workers(self, *, after: str = "", limit: int = MAX_PAGE) -> _List[WorkerStatus]:
        """As the contract says, or as planned."""
        return await self._call("workers", lambda: self._storage.workers(after=after, limit=limit))

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """As the contract says, or as planned."""
        return await self._call("save_step", lambda: self._storage.save_step(lease, step))

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> _List[Step]:
        """As the contract says, or as planned."""
        return await self._call("get_steps", lambda: self._storage.get_steps(job_id, after=after, limit=limit))

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """As the contract says, or as planned."""
        return await self._call("send", lambda: self._storage.send(job_id, name, signal_id, payload))

    async def append(self, appends: Sequence[Append]) -> _List[Appended | AppendRefused]:
        """As the contract says, or as planned."""
        return await self._call("append", lambda: self._storage.append(appends))

    async def read(self, reads: Sequence[Read], *, limit: int = MAX_PAGE) -> _List[StreamPage | ReadRefused]:
        """As the contract says, or as planned."""
        return await self._call("read", lambda: self._storage.read(reads, limit=limit))

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> _List[LimitSpec]:
        """As the contract says, or as planned."""
        return await self._call("put_limits", lambda: self._storage.put_limits(limits, absent_only=absent_only))

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[LimitStatus]:
        """As the contract says, or as planned."""
        return await self._call("get_limits", lambda: self._storage.get_limits(names, after=after, limit=limit))

    async def acquire(self, calls: Sequence[CallRequest]) -> _List[Acquired]:
        """As the contract says, or as planned."""
        return await self._call("acquire", lambda: self._storage.acquire(calls))

    async def report(self, reports: Sequence[Report]) -> _List[Reported | LeaseLost]:
        """As the contract says, or as planned."""
        return await self._call("report", lambda: self._storage.report(reports))

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """As the contract says, or as planned."""
        return await self._call("throttled", lambda: self._storage.throttled(throttles))

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> _List[BudgetSpec]:
        """As the contract says, or as planned."""
        return await self._call("put_budgets", lambda: self._storage.put_budgets(budgets, absent_only=absent_only))

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[BudgetStatus]:
        """As the contract says, or as planned."""
        return await self._call("get_budgets", lambda: self._storage.get_budgets(ids, after=after, limit=limit))

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """As the contract says, or as planned."""
        return await self._call("grant", lambda: self._storage.grant(budget_id, grant_id, amounts))

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """As the contract says, or as planned."""
        return await self._call("put_prices", lambda: self._storage.put_prices(prices, absent_only=absent_only))

    async def get_prices(self, model: str) -> _List[PriceRow]:
        """As the contract says, or as planned."""
        return await self._call("get_prices", lambda: self._storage.get_prices(model))

    async def read_events(self, after: str | None = None, limit: int = MAX_PAGE) -> EventPage:
        """As the contract says, or as planned."""
        return await self._call("read_events", lambda: self._storage.read_events(after, limit))

    async def events_of(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> Sequence[Event]:
        """As the contract says, or as planned."""
        return await self._call("events_of", lambda: self._storage.events_of(job_id, after=after, limit=limit))

    async def metrics(self, query: MinuteFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> MinutePage:
        """As the contract says, or as planned."""
        return await self._call("metrics", lambda: self._storage.metrics(query, cursor=cursor, limit=limit))

    async def put_retention(self, spec: RetentionSpec) -> RetentionSpec:
        """As the contract says, or as planned."""
        return await self._call("put_retention", lambda: self._storage.put_retention(spec))

    async def get_retention(self) -> RetentionSpec:
        """As the contract says, or as planned."""
        return await self._call("get_retention", self._storage.get_retention)

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """As the contract says, or as planned."""
        return await self._call("usage", lambda: self._storage.usage(query, cursor=cursor, limit=limit))

    async def put_schedules(
        self, schedules: Sequence[ScheduleSpec], *, absent_only: bool = False
    ) -> _List[ScheduleStatus]:
        """As the contract says, or as planned."""
        return await self._call(
            "put_schedules", lambda: self._storage.put_schedules(schedules, absent_only=absent_only)
        )

    async def get_schedules(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[ScheduleStatus]:
        """As the contract says, or as planned."""
        return await self._call("get_schedules", lambda: self._storage.get_schedules(names, after=after, limit=limit))

    async def due_schedules(self, limit: int = MAX_PAGE) -> DueSchedules:
        """As the contract says, or as planned."""
        return await self._call("due_schedules", lambda: self._storage.due_schedules(limit))

    async def fire(self, fires: Sequence[Fire]) -> _List[Fired]:
        """As the contract says, or as planned."""
        return await self._call("fire", lambda: self._storage.fire(fires))

    async def run_schedule(self, name: str, job: JobSpec) -> Fired:
        """As the contract says, or as planned."""
        return await self._call("run_schedule", lambda: self._storage.run_schedule(name, job))

    async def pause_schedules(self, names: Sequence[str]) -> _List[ScheduleStatus | None]:
        """As the contract says, or as planned."""
        return await self._call("pause_schedules", lambda: self._storage.pause_schedules(names))

    async def resume_schedules(self, names: Sequence[str]) -> _List[ScheduleStatus | None]:
        """As the contract says, or as planned."""
        return await self._call("resume_schedules", lambda: self._storage.resume_schedules(names))

    async def delete_schedules(self, names: Sequence[str]) -> None:
        """As the contract says, or as planned."""
        return await self._call("delete_schedules", lambda: self._storage.delete_schedules(names))

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """As the contract says, or as planned."""
        return await self._call("wait", lambda: self._storage.wait(topics, after=after, timeout_ms=timeout_ms))

    async def retire(self, moved_to: str | None, move_id: str = "") -> str:
        """As the contract says, or as planned."""
        return await self._call("retire", lambda: self._storage.retire(moved_to, move_id))

    async def dump(self, *, cursor: str | None = None, limit: int = MAX_PAGE) -> moving.Dumped:
        """As the contract says, or as planned."""
        return await self._call("dump", lambda: self._storage.dump(cursor=cursor, limit=limit))

    async def load(self, move_id: str, records: Sequence[moving.Record], *, last: bool = False) -> None:
        """As the contract says, or as planned."""
        return await self._call("load", lambda: self._storage.load(move_id, records, last=last))

    async def sibling(self) -> Self:
        """A sibling of the storage behind it, with no faults planned."""
        return type(self)(await self._storage.sibling())

    async def close(self) -> None:
        """As the contract says."""
        await self._storage.close()


def _conforms(faulty: Faulty) -> Storage:
    return faulty


async def _cancelled_at(suspension: int, operation: Coroutine[Any, Any, _T]) -> _T:
    return await _Counted(suspension, operation)


class _Counted(Generic[_T]):
    """Runs an operation, and cancels the task it runs in just before it suspends for the n-th time.

    `Task.cancel` reaches the future that the operation is about to wait for, as if somebody else had called it
    at that moment. Throwing CancelledError in by hand would leave that future alive, and prove less.
    """

    def __init__(self, suspension: int, operation: Coroutine[Any, Any, _T]) -> None:
        self._suspension, self._operation = suspension, operation

    def __await__(self) -> Generator[Any, Any, _T]:
        turns, suspended = self._operation.__await__(), 0
        task = asyncio.current_task()
        assert task is not None
        try:
            awaited = next(turns)
            while True:
                suspended += 1
                if suspended == self._suspension:
                    task.cancel()
                try:
                    yield awaited
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is the operation's to handle
                    awaited = turns.throw(error)
                else:
                    awaited = next(turns)
        except StopIteration as done:
            return cast(_T, done.value)
