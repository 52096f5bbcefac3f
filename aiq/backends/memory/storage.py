"""The async face of the reference: one lock around each transition, and wake-ups once it is done."""

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Concatenate, Final, ParamSpec, Self, TypeAlias, TypeVar

from aiq.backends.clock import Clock, host_clock
from aiq.backends.memory.acquire import acquire
from aiq.backends.memory.append import append
from aiq.backends.memory.audit import audit
from aiq.backends.memory.cancel import cancel
from aiq.backends.memory.configure import configure, get_queue
from aiq.backends.memory.count import count
from aiq.backends.memory.data import Tables
from aiq.backends.memory.enqueue import enqueue
from aiq.backends.memory.exchange import exchange
from aiq.backends.memory.explain import explain
from aiq.backends.memory.get import get
from aiq.backends.memory.get_budgets import get_budgets
from aiq.backends.memory.get_limits import get_limits
from aiq.backends.memory.get_prices import get_prices
from aiq.backends.memory.get_steps import get_steps
from aiq.backends.memory.grant import grant
from aiq.backends.memory.hold import hold
from aiq.backends.memory.holding import let_go_on_room
from aiq.backends.memory.list import list_jobs
from aiq.backends.memory.pause import pause, resume
from aiq.backends.memory.put_budgets import put_budgets
from aiq.backends.memory.put_limits import put_limits
from aiq.backends.memory.put_prices import put_prices
from aiq.backends.memory.read import read
from aiq.backends.memory.renew import renew
from aiq.backends.memory.report import report
from aiq.backends.memory.save_step import save_step
from aiq.backends.memory.send import send
from aiq.backends.memory.throttled import throttled
from aiq.backends.memory.transition import Transaction
from aiq.backends.memory.unhold import unhold
from aiq.backends.memory.upkeep import upkeep
from aiq.backends.memory.usage import usage
from aiq.backends.memory.weigh import weigh
from aiq.backends.wakeups import Wakeups
from aiq.bounds import MAX_BATCH, MAX_PAGE, MAX_SWEEP
from aiq.errors import InvalidName, LeaseLost, Misconfigured, Unavailable
from aiq.model import (
    Acquired,
    Amounts,
    Appended,
    BudgetSpec,
    BudgetStatus,
    CallRequest,
    CancelAnswer,
    Capability,
    ClaimRequest,
    Counts,
    Enqueued,
    Exchanged,
    JobFilter,
    JobRecord,
    JobSpec,
    Lease,
    LimitSpec,
    LimitStatus,
    NewChunk,
    Page,
    PriceRow,
    QueueSettings,
    QueueStatus,
    Renewed,
    Report,
    Reported,
    Saved,
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
)
from aiq.rules.validation import check_count, check_name
from aiq.storage import Storage

_List: TypeAlias = list  # inside the class `list` is the operation
_P = ParamSpec("_P")
_A = TypeVar("_A")


@dataclass(eq=False, slots=True)
class Home:
    """What siblings share: the tables, the clock, the one lock, and the hub of wake-ups."""

    url: str
    clock: Clock
    tables: Tables = field(default_factory=Tables)
    lock: threading.Lock = field(default_factory=threading.Lock)
    wakeups: Wakeups = field(default_factory=Wakeups)
    holders: int = 0
    """Storages that hold it open."""


class MemoryStorage:
    """A storage in this process's memory. Nothing outlives the process; every method may be cancelled at any time."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._open = True
        with _named_lock:
            home.holders += 1

    @property
    def url(self) -> str:
        """The address it was opened with."""
        return self._home.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Whoever could change something is in this process, so every wake-up is at once."""
        return frozenset({Capability.PUSH_WAKEUPS})

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        return await self._run(enqueue, batch, parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        return await self._run(exchange, settlements, claim)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        return await self._run(renew, leases, lease_ms, shrink=shrink)

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        return await self._run(cancel, job_ids, force=force)

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(hold, job_ids)

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(unhold, job_ids)

    async def explain(self, job_id: str) -> Why:
        """See `aiq.storage.Jobs`."""
        return await self._run(explain, job_id)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        return await self._run(get, job_ids)

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        return await self._run(count, queue)

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        return await self._run(upkeep, limit)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(pause, queue)

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(resume, queue)

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        return await self._run(configure, queue, settings)

    async def get_queue(self, queue: str) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        return await self._run(get_queue, queue)

    async def weigh(self, tenant: str, weight: int) -> None:
        """See `aiq.storage.Upkeep`."""
        await self._run(weigh, tenant, weight)

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        return await self._run(audit, limit)

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        return await self._run(save_step, lease, step)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        return await self._run(get_steps, job_id, after, limit)

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        return await self._run(send, job_id, name, signal_id, payload)

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """See `aiq.storage.Streams`."""
        return await self._run(append, lease, chunks)

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """See `aiq.storage.Streams`."""
        return await self._run(read, job_id, after, limit)

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> _List[LimitSpec]:
        """See `aiq.storage.Limits`."""
        return await self._run(put_limits, limits, absent_only=absent_only)

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[LimitStatus]:
        """See `aiq.storage.Limits`."""
        return await self._run(get_limits, names, after, limit)

    async def acquire(self, calls: Sequence[CallRequest]) -> _List[Acquired]:
        """See `aiq.storage.Limits`."""
        return await self._run(acquire, calls)

    async def report(self, reports: Sequence[Report]) -> _List[Reported | LeaseLost]:
        """See `aiq.storage.Limits`."""
        return await self._run(report, reports)

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """See `aiq.storage.Limits`."""
        await self._run(throttled, throttles)

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> _List[BudgetSpec]:
        """See `aiq.storage.Budgets`."""
        return await self._run(put_budgets, budgets, absent_only=absent_only)

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[BudgetStatus]:
        """See `aiq.storage.Budgets`."""
        return await self._run(get_budgets, ids, after, limit)

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """See `aiq.storage.Budgets`."""
        return await self._run(grant, budget_id, grant_id, amounts)

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """See `aiq.storage.Budgets`."""
        await self._run(put_prices, prices, absent_only=absent_only)

    async def get_prices(self, model: str) -> _List[PriceRow]:
        """See `aiq.storage.Budgets`."""
        return await self._run(get_prices, model)

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """See `aiq.storage.Budgets`."""
        return await self._run(usage, query, cursor, limit)

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`."""
        self._check_open()
        check_count("list of topics", len(topics), MAX_BATCH)
        return await self._home.wakeups.wait(topics, after=after, timeout_ms=timeout_ms)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        return await self._run(list_jobs, query, cursor, limit)

    async def sibling(self) -> Self:
        """Open the same tables again: they belong to no loop, and the one lock serves every thread."""
        self._check_open()
        return type(self)(self._home)

    async def close(self) -> None:
        """Let go. A named storage is forgotten with its last holder."""
        home = self._home
        with _named_lock:
            if self._open:
                self._open = False
                home.holders -= 1
            if home.holders == 0 and _named.get(home.url) is home:
                del _named[home.url]

    def _check_open(self) -> None:
        if not self._open:
            raise Unavailable(f"This storage ({self.url}) is closed; open it again.")

    async def _run(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        """Make one atomic step. Nothing waits inside it, so nothing can cut it in two. Spec: STORE-1, STORE-3

        The one turn that others get comes before it: a loop that only talks to this storage would else starve
        its neighbours, and a cancellation here finds nothing done.
        """
        await asyncio.sleep(0)
        self._check_open()
        home = self._home
        with home.lock:
            tx = Transaction(home.tables, home.clock())
            answer = operation(tx, *args, **kwargs)
            let_go_on_room(tx)
        home.wakeups.notify(tx.topics)
        return answer


_named: Final[dict[str, Home]] = {}
_named_lock: Final = threading.RLock()
"""Also counts holders: a storage is not forgotten between being found and being opened."""


async def open_memory(url: str, clock: Clock | None = None) -> MemoryStorage:
    """Open `memory://`, which is new and empty, or `memory://NAME`, which is shared within this process.

    Raises:
        Misconfigured: there is more to the address than a name, or it is open already with another clock.
    """
    _, _, name = url.partition("://")
    if not name:
        return MemoryStorage(Home("memory://", clock or host_clock))
    _check_address(name)
    home = Home(f"memory://{name}", clock or host_clock)
    with _named_lock:
        home = _named.setdefault(home.url, home)
        if clock is not None and home.clock != clock:
            raise Misconfigured(f"{home.url} is open already with another clock. Pass the same one, or another name.")
        return MemoryStorage(home)


def _check_address(name: str) -> None:
    try:
        check_name("storage in memory", name)
    except InvalidName as error:
        raise Misconfigured(f"A storage in memory is opened as memory:// or memory://NAME. {error}") from error


def _conforms(storage: MemoryStorage) -> Storage:
    return storage
