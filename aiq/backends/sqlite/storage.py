"""The async face of a SQLite file: each operation is checked here, and made one step in the writer's thread."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, Self, TypeAlias, TypeVar

from aiq.backends.clock import Clock, host_clock
from aiq.backends.sqlite import atomic
from aiq.backends.sqlite.acquire import acquire
from aiq.backends.sqlite.address import parse
from aiq.backends.sqlite.append import append
from aiq.backends.sqlite.atomic import Home
from aiq.backends.sqlite.audit import audit
from aiq.backends.sqlite.cancel import cancel
from aiq.backends.sqlite.configure import configure
from aiq.backends.sqlite.connection import WorkConnection
from aiq.backends.sqlite.count import count
from aiq.backends.sqlite.enqueue import enqueue
from aiq.backends.sqlite.exchange import exchange, nothing_to_exchange
from aiq.backends.sqlite.explain import explain
from aiq.backends.sqlite.get import get
from aiq.backends.sqlite.get_budgets import get_budgets
from aiq.backends.sqlite.get_limits import get_limits
from aiq.backends.sqlite.get_prices import get_prices
from aiq.backends.sqlite.get_queue import get_queue
from aiq.backends.sqlite.get_steps import get_steps
from aiq.backends.sqlite.grant import grant
from aiq.backends.sqlite.hold import hold
from aiq.backends.sqlite.list import list_jobs
from aiq.backends.sqlite.opening import open_connections
from aiq.backends.sqlite.pause import pause, resume
from aiq.backends.sqlite.put_budgets import put_budgets
from aiq.backends.sqlite.put_limits import put_limits
from aiq.backends.sqlite.put_prices import put_prices
from aiq.backends.sqlite.read import read
from aiq.backends.sqlite.renew import renew
from aiq.backends.sqlite.report import report
from aiq.backends.sqlite.save_step import save_step
from aiq.backends.sqlite.send import send
from aiq.backends.sqlite.throttled import throttled
from aiq.backends.sqlite.transaction import Transaction
from aiq.backends.sqlite.unhold import unhold
from aiq.backends.sqlite.upkeep import nothing_to_keep_up, upkeep
from aiq.backends.sqlite.usage import usage
from aiq.backends.sqlite.watch import Watch
from aiq.backends.sqlite.weigh import weigh
from aiq.bounds import MAX_BATCH, MAX_INSTANT_MS, MAX_LEASE_MS, MAX_PAGE, MAX_SWEEP, MIN_LEASE_MS
from aiq.errors import LeaseLost, Unavailable
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
from aiq.rules.budgets import check_amounts, check_budget
from aiq.rules.limits import check_limit as check_limit_spec
from aiq.rules.prices import check_price
from aiq.rules.validation import (
    check_batch,
    check_calls,
    check_chunks,
    check_claim,
    check_count,
    check_limit,
    check_name,
    check_opaque,
    check_range,
    check_reports,
    check_settings,
    check_settlements,
    check_signal,
    check_step,
    check_throttles,
    check_usage_filter,
    check_weight,
)
from aiq.storage import Storage

_P = ParamSpec("_P")
_A = TypeVar("_A")
_List: TypeAlias = list  # inside the class `list` is the operation


class SQLiteStorage:
    """A storage in one SQLite file, which processes on the same machine share.

    An operation is one function in the writer's thread, transaction and all; reads have a thread of their own.
    Cancelled, an operation has happened wholly or not at all by the time the cancellation goes on.
    """

    def __init__(self, home: Home, writer: WorkConnection, reader: WorkConnection) -> None:
        self._home = home
        self._writer = writer
        self._reader = reader
        self._watch = Watch(home.path, home.news)
        self._open = True

    @property
    def url(self) -> str:
        """The address it was opened with."""
        return self._home.address.url

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What is acknowledged outlives the process. Changes of other processes are found by looking."""
        return frozenset({Capability.DURABLE})

    async def enqueue(self, batch: Sequence[JobSpec], parent: Lease | None = None) -> list[Enqueued]:
        """See `aiq.storage.Jobs`."""
        check_batch(batch, parent)
        return await self._write(enqueue, batch, parent)

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        """See `aiq.storage.Jobs`."""
        check_settlements(settlements)
        if claim is not None:
            check_claim(claim)
        look = partial(nothing_to_exchange, settlements=settlements, request=claim)
        return await self._write_unless(look, exchange, settlements, claim)

    async def renew(
        self, leases: Sequence[Lease], *, lease_ms: int | None = None, shrink: bool = False
    ) -> list[Renewed | LeaseLost]:
        """See `aiq.storage.Jobs`."""
        check_count("list of leases", len(leases), MAX_BATCH)
        if lease_ms is not None:
            check_range("lease in ms", lease_ms, MIN_LEASE_MS, MAX_LEASE_MS)
        return await self._write(renew, leases, lease_ms, shrink=shrink)

    async def cancel(self, job_ids: Sequence[str], *, force: bool = False) -> list[CancelAnswer]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(cancel, job_ids, force=force)

    async def hold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(hold, job_ids)

    async def unhold(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_BATCH)
        return await self._write(unhold, job_ids)

    async def explain(self, job_id: str) -> Why:
        """See `aiq.storage.Jobs`."""
        return await self._read(explain, job_id)

    async def get(self, job_ids: Sequence[str]) -> list[JobRecord | None]:
        """See `aiq.storage.Jobs`."""
        check_count("list of jobs", len(job_ids), MAX_PAGE)
        return await self._read(get, job_ids)

    async def count(self, queue: str | None = None) -> Counts:
        """See `aiq.storage.Jobs`."""
        return await self._read(count, queue)

    async def upkeep(self, limit: int = MAX_SWEEP) -> Upkept:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit, MAX_SWEEP)
        return await self._write_unless(nothing_to_keep_up, upkeep, limit)

    async def pause(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(pause, queue)

    async def resume(self, queue: str) -> None:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        await self._write(resume, queue)

    async def configure(self, queue: str, settings: QueueSettings) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_settings(queue, settings)
        return await self._write(configure, queue, settings)

    async def get_queue(self, queue: str) -> QueueStatus:
        """See `aiq.storage.Upkeep`."""
        check_name("queue", queue)
        return await self._read(get_queue, queue)

    async def weigh(self, tenant: str, weight: int) -> None:
        """See `aiq.storage.Upkeep`."""
        check_weight(tenant, weight)
        await self._write(weigh, tenant, weight)

    async def audit(self, limit: int = MAX_PAGE) -> list[Violation]:
        """See `aiq.storage.Upkeep`."""
        check_limit(limit)
        return await self._read(audit, limit)

    async def save_step(self, lease: Lease, step: Step) -> Saved:
        """See `aiq.storage.Steps`."""
        check_step(step)
        return await self._write(save_step, lease, step)

    async def get_steps(self, job_id: str, *, after: str = "", limit: int = MAX_PAGE) -> list[Step]:
        """See `aiq.storage.Steps`."""
        check_limit(limit)
        return await self._read(get_steps, job_id, after, limit)

    async def send(self, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        """See `aiq.storage.Signals`."""
        check_signal(name, signal_id, payload)
        return await self._write(send, job_id, name, signal_id, payload)

    async def append(self, lease: Lease, chunks: Sequence[NewChunk]) -> Appended:
        """See `aiq.storage.Streams`."""
        check_chunks(chunks)
        return await self._write(append, lease, chunks)

    async def read(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> StreamPage:
        """See `aiq.storage.Streams`."""
        check_limit(limit)
        check_range("number of an item", after, 0, MAX_INSTANT_MS)
        return await self._read(read, job_id, after, limit)

    async def put_limits(self, limits: Sequence[LimitSpec], *, absent_only: bool = False) -> _List[LimitSpec]:
        """See `aiq.storage.Limits`."""
        check_count("list of limits", len(limits), MAX_BATCH)
        for spec in limits:
            check_limit_spec(spec)
        return await self._write(put_limits, limits, absent_only=absent_only)

    async def get_limits(
        self, names: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[LimitStatus]:
        """See `aiq.storage.Limits`."""
        check_limit(limit)
        check_count("list of limits", len(names), MAX_PAGE)
        return await self._read(get_limits, names, after, limit)

    async def acquire(self, calls: Sequence[CallRequest]) -> _List[Acquired]:
        """See `aiq.storage.Limits`."""
        check_calls(calls)
        return await self._write(acquire, calls)

    async def report(self, reports: Sequence[Report]) -> _List[Reported | LeaseLost]:
        """See `aiq.storage.Limits`."""
        check_reports(reports)
        return await self._write(report, reports)

    async def throttled(self, throttles: Sequence[Throttle]) -> None:
        """See `aiq.storage.Limits`."""
        check_throttles(throttles)
        await self._write(throttled, throttles)

    async def put_budgets(self, budgets: Sequence[BudgetSpec], *, absent_only: bool = False) -> _List[BudgetSpec]:
        """See `aiq.storage.Budgets`."""
        check_count("list of budgets", len(budgets), MAX_BATCH)
        for spec in budgets:
            check_budget(spec)
        return await self._write(put_budgets, budgets, absent_only=absent_only)

    async def get_budgets(
        self, ids: Sequence[str] = (), *, after: str = "", limit: int = MAX_PAGE
    ) -> _List[BudgetStatus]:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_count("list of budgets", len(ids), MAX_PAGE)
        return await self._read(get_budgets, ids, after, limit)

    async def grant(self, budget_id: str, grant_id: str, amounts: Amounts) -> BudgetStatus:
        """See `aiq.storage.Budgets`."""
        check_opaque("id of a grant", grant_id)
        check_amounts("grant", amounts)
        return await self._write(grant, budget_id, grant_id, amounts)

    async def put_prices(self, prices: Sequence[PriceRow], *, absent_only: bool = False) -> None:
        """See `aiq.storage.Budgets`."""
        check_count("list of prices", len(prices), MAX_BATCH)
        for row in prices:
            check_price(row)
        await self._write(put_prices, prices, absent_only=absent_only)

    async def get_prices(self, model: str) -> _List[PriceRow]:
        """See `aiq.storage.Budgets`."""
        return await self._read(get_prices, model)

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        """See `aiq.storage.Budgets`."""
        check_limit(limit)
        check_usage_filter(query)
        return await self._read(usage, query, cursor, limit)

    async def wait(self, topics: Collection[str], *, after: str | None, timeout_ms: int) -> str:
        """See `aiq.storage.Wakeups`. A change by another process is seen within 35 ms."""
        self._check_usable()
        check_count("list of topics", len(topics), MAX_BATCH)
        return await self._watch.wait(topics, after=after, timeout_ms=timeout_ms)

    async def list(self, query: JobFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> Page:
        """See `aiq.storage.Jobs`."""
        check_limit(limit)
        return await self._read(list_jobs, query, cursor, limit)

    async def sibling(self) -> Self:
        """Open the same file again, with connections and threads of its own; wake-ups are shared."""
        self._check_usable()
        return type(self)(self._home, *await open_connections(self._home))

    async def close(self) -> None:
        """Let go of the file once what was asked for is done. Closing twice is fine."""
        if self._open:
            self._open = False
            self._watch.close()
            try:
                await self._reader.close()
            finally:
                await self._writer.close()

    async def _write(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        self._check_usable()
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    async def _write_unless(
        self,
        look: Callable[[Transaction], _A | None],
        operation: Callable[Concatenate[Transaction, _P], _A],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _A:
        """As `_write`, unless a look finds that there is nothing to write, and what to answer."""
        self._check_usable()
        home = self._home
        return await self._writer.perform(
            lambda connection, unwanted: atomic.write(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs), look
            )
        )

    async def _read(
        self, operation: Callable[Concatenate[Transaction, _P], _A], *args: _P.args, **kwargs: _P.kwargs
    ) -> _A:
        self._check_usable()
        home = self._home
        return await self._reader.perform(
            lambda connection, unwanted: atomic.read(
                home, connection, unwanted, lambda tx: operation(tx, *args, **kwargs)
            )
        )

    def _check_usable(self) -> None:
        self._home.check_process()
        if not self._open:
            raise Unavailable(f"This storage ({self.url}) is closed; open it again.")


async def open_sqlite(url: str, clock: Clock | None = None) -> SQLiteStorage:
    """Open a file, make it if it is not there, and bring its schema up to date.

    `sqlite:///jobs.db` is relative, `sqlite:////var/jobs.db` absolute. `?synchronous=normal` gives up the last
    commits when the power fails, for speed; the default is `full`.

    Raises:
        Misconfigured: the address names no file that could be opened, or an unknown setting.
        StorageMismatch: a later version of aiq has made the file.
        Corrupt: the file is damaged, or no database.
        ReadOnly: the file cannot be written.
    Spec: STORE-12
    """
    home = Home(parse(url), clock or host_clock)
    return SQLiteStorage(home, *await open_connections(home))


def _conforms(storage: SQLiteStorage) -> Storage:
    return storage
