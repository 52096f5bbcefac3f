"""The operator's side of a queue: limits, budgets, prices, use, tenants, schedules and what bounds a queue."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Final

from aiq.bounds import MAX_AMOUNT, MAX_CONCURRENCY, MAX_PAGE, MAX_PERIOD_MS
from aiq.checkup import checkup
from aiq.differing import differences
from aiq.errors import InvalidInput, NotFound, Unavailable
from aiq.flow import FlowRun
from aiq.job import Job, fresh_id, until_known
from aiq.misuse import check_kind
from aiq.model import Fact, LimitSpec, QueueSettings, UsageFilter
from aiq.needs import limits_in, parts
from aiq.policy import (
    Budget,
    Limit,
    Money,
    Price,
    amounts,
    dollars,
    instant_ms,
    per_mille,
    usd_micros,
    whole,
)
from aiq.reports import BudgetReport, Difference, LimitReport, QueueReport, UsageReport, UseRow, WorkerReport
from aiq.rules.validation import check_name, check_opaque
from aiq.schedule import ScheduleAdmin
from aiq.task import Task

__all__ = ["Admin"]

_SLOWEST: Final = Fraction(1000, MAX_PERIOD_MS)
_MOST_SECONDS: Final = 10
"""A rate above one job a second is counted in periods of at most so many seconds: 2.5 is 5 in 2."""


class Admin(ScheduleAdmin):
    """Sets and shows what all queues of a storage share. Made by `Queue.admin`; any process may use it at any time.

        await queue.admin.put_limit(aiq.Limit("openai.gpt", requests=600, tokens=450_000))
        await queue.admin.put_budget(aiq.Budget(tenant="acme", usd="50", window="day"))
        await queue.admin.grant("tenant:acme", usd=10)
        for limit in await queue.admin.limits():
            print(limit.limit.name, limit.tokens_left, limit.frozen)
        print((await queue.admin.usage(tenant="acme")).total.usd)

    What is set here counts from the next claim on, and stays whatever a later deploy names in its code. A call whose
    outcome is unknown is repeated, twice; all of them can be.
    """

    async def put_limit(self, limit: Limit) -> Limit:
        """Store a limit, in the place of one of its name, and answer with what stands. What is left of that goes along.

        Raises:
            Conflict("by"): the stored one goes `by` something else; make one of another name.
        """
        return (await self.put_limits([limit]))[0]

    async def put_limits(self, limits: Iterable[Limit]) -> list[Limit]:
        """Store any number of limits, as `put_limit` does."""
        return await self._put(_in_code(limits))

    # Any: tasks of all signatures.
    async def reset_limits(self, code: Iterable[Limit | Task[Any, object]]) -> list[Limit]:
        """Give up what an operator changed: store the limits, or those of tasks, as code names them."""
        return await self._put(_in_code(code))

    async def limits(self, *names: str) -> list[LimitReport]:
        """Limits with what is left of them, by name: those named, if they are stored, or all."""
        found: list[LimitReport] = []
        after = ""
        while page := await self._storage.get_limits(names, after=after):
            found += map(LimitReport.of, page)
            after = page[-1].spec.name
            if names or len(page) < MAX_PAGE:
                break
        return found

    # Any: as above.
    async def differences(self, code: Iterable[Limit | Budget | Price | Task[Any, object]]) -> list[Difference]:
        """The limits (or those of tasks), budgets and prices that are stored otherwise than code names them."""
        return await differences(self._storage, code)

    # Any: as above.
    async def doctor(
        self, code: Iterable[Limit | Budget | Price | Task[Any, object]] = (), *, audit: bool = True
    ) -> list[Fact]:
        """Look at the storage, its workers and queues, and say what is wrong and what to do; `code` as above.

        Reads only, but the audit reads everything.
        """
        return await checkup(self._storage, code, audit=audit)

    async def put_budget(self, budget: Budget) -> BudgetReport:
        """Store a budget with a name or a tenant, in the place of what stood there. What was spent stays; more room
        lets held jobs go.

        Raises:
            NotFound: its parent is not stored.
            Conflict("parent"): it would be its own ancestor, or the chain would be too long.
            InvalidInput: nothing says whose budget it is.
        """
        check_kind("budget", budget, Budget, 'aiq.Budget("team-a", usd="50")')
        spec = budget.spec()
        await until_known(partial(self._storage.put_budgets, [spec]))
        return await self.budget(spec.id)

    async def budget(self, id: str) -> BudgetReport:
        """One budget as it stands: a name, "tenant:T", "flow:ID" or "job:ID".

        Raises:
            NotFound: no such budget.
        """
        found = await self._storage.get_budgets([id])
        if not found:
            raise NotFound(id, _NO_BUDGET.format(id))
        return BudgetReport.of(found[0])

    async def budgets(self, *ids: str) -> list[BudgetReport]:
        """Budgets as they stand, by id: those named, if they are stored, or all, with those of jobs and flows."""
        found: list[BudgetReport] = []
        while page := await self._storage.get_budgets(ids, after=found[-1].id if found else ""):
            found += map(BudgetReport.of, page)
            if ids or len(page) < MAX_PAGE:
                break
        return found

    async def grant(
        self,
        budget: str,
        /,
        *,
        usd: Money | None = None,
        tokens: int | None = None,
        id: str | None = None,
        **categories: int,
    ) -> BudgetReport:
        """Add to the caps of a budget, for its present window, and let held jobs go that it can hold now.

            await queue.admin.grant("tenant:acme", usd="10", output=100_000)

        The same grant counts once however often it is repeated: give it an `id` of your own to repeat it yourself.

        Raises:
            NotFound: no such budget.
            InvalidInput: it does not cap one of these amounts; the text says what it caps.
            Unavailable: a note says under which id to repeat the call.
        """
        check_opaque("budget", budget)
        counted = {name: whole(f"grant of {name}", count, 0, MAX_AMOUNT) for name, count in categories.items()}
        added = amounts(
            None if usd is None else dollars(usd_micros("grant of usd", usd)),
            None if tokens is None else whole("grant of tokens", tokens, 0, MAX_AMOUNT),
            counted,
        )
        if not added:
            raise InvalidInput(f"Say how much: grant({budget!r}, usd=10), tokens=50_000, or a category, output=10_000.")
        grant_id = fresh_id() if id is None else id
        check_opaque("grant id", grant_id)
        try:
            return BudgetReport.of(await until_known(partial(self._storage.grant, budget, grant_id, added)))
        except Unavailable as error:
            error.add_note(f"To repeat it without granting twice: grant(…, id={grant_id!r}).")
            raise

    async def put_prices(self, prices: Iterable[Price]) -> None:
        """Store what tokens cost. A price of the same model, category and instant takes the place of the stored one;
        jobs that are held because their model has no price go on."""
        given = list(prices)
        for price in given:
            check_kind("price", price, Price, 'aiq.Price("gpt", "input", "2.50")')
        for batch in parts(price.row() for price in given):
            await until_known(partial(self._storage.put_prices, batch))

    async def prices(self, model: str) -> list[Price]:
        """Every price of a model, by category and instant, also those that have not begun."""
        return [Price.of(row) for row in await self._storage.get_prices(model)]

    async def usage(
        self,
        *,
        job: Job[object] | str | None = None,
        flow: FlowRun | str | None = None,
        tenant: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> UsageReport:
        """What one job, flow or tenant has used, or all of them, in the minutes from `since` and up to `until`.

        The whole answer is read, a row for each minute, model and category: ask for a part of a long time.

        Raises:
            InvalidInput: more than one of job, flow and tenant, or an instant without a time zone.
        """
        if sum(one is not None for one in (job, flow, tenant)) > 1:
            raise InvalidInput("Ask for the use of one job, one flow or one tenant; or of none of them, for all.")
        query = UsageFilter(
            job_id=job.id if isinstance(job, Job) else job,
            flow=flow.id if isinstance(flow, FlowRun) else flow,
            tenant=tenant,
            since_ms=None if since is None else instant_ms("since", since),
            until_ms=None if until is None else instant_ms("until", until),
        )
        page = await self._storage.usage(query)
        rows = [UseRow.of(row) for row in page.rows]
        while page.cursor is not None:
            page = await self._storage.usage(query, cursor=page.cursor)
            rows += map(UseRow.of, page.rows)
        return UsageReport(tuple(rows))

    async def put_tenant(self, tenant: str, *, weight: float) -> None:
        """Give a tenant `weight` times the usual share, from its next job on: 3 for three times, at most 1,000."""
        check_opaque("tenant", tenant)
        milli = per_mille("weight of a tenant", weight, low=1)
        await until_known(partial(self._storage.weigh, tenant, milli))

    async def configure(
        self,
        queue: str,
        *,
        max_ready: int | None = None,
        concurrency: int | None = None,
        rate: float | Decimal | None = None,
        lifo: bool = False,
    ) -> QueueReport:
        """Set what bounds a queue, all of it: what is left out is not bounded any more.

        `max_ready` bounds the jobs that have not started: an enqueue of more waits or is refused. `concurrency` bounds
        those that run, `rate` how many start in a second (0.1 is one in ten seconds), over all workers. `lifo` gives
        the newest first, of the jobs that become ready from then on; such a queue refuses jobs with an ordered key.
        """
        check_name("queue", queue)
        jobs, period_ms = (None, 1000) if rate is None else _starts(rate)
        settings = QueueSettings(
            max_ready=None if max_ready is None else whole("max_ready", max_ready, 1, MAX_AMOUNT),
            concurrency=None if concurrency is None else whole("concurrency", concurrency, 1, MAX_CONCURRENCY),
            rate=jobs,
            rate_per_ms=period_ms,
            lifo=lifo,
        )
        return QueueReport.of(await until_known(partial(self._storage.configure, queue, settings)))

    async def queue(self, queue: str) -> QueueReport:
        """What bounds a queue, and how it stands."""
        check_name("queue", queue)
        return QueueReport.of(await self._storage.get_queue(queue))

    async def workers(self) -> list[WorkerReport]:
        """Every worker that has told of itself within a day and has not stopped in order, by name."""
        found: list[WorkerReport] = []
        while page := await self._storage.workers(after=found[-1].name if found else ""):
            found += map(WorkerReport.of, page)
            if len(page) < MAX_PAGE:
                break
        return found

    async def _put(self, specs: Sequence[LimitSpec]) -> list[Limit]:
        stands: list[LimitSpec] = []
        for batch in parts(specs):
            stands += await until_known(partial(self._storage.put_limits, batch))
        return [Limit.of(spec) for spec in stands]


_NO_BUDGET: Final = (
    'No budget "{}" is stored here. A tenant\'s is "tenant:T", those of flows and jobs "flow:ID", "job:ID".'
)


# Any: as above.
def _in_code(code: Iterable[Limit | Task[Any, object]]) -> list[LimitSpec]:
    """The limits of a list, which may name tasks for theirs; each name once."""
    found: dict[str, LimitSpec] = {}
    check_kind("list of limits", code, Iterable, "[GPT]")
    for one in code:
        check_kind("limit", one, Limit | Task, 'aiq.Limit("gpt", requests=600)')
        for limit in limits_in(one) if isinstance(one, Task) else (one,):
            found.setdefault(limit.name, limit.spec())
    return list(found.values())


def _starts(rate: float | Decimal) -> tuple[int, int]:
    """A rate in jobs a second as whole jobs in whole ms. Few at a time, since so many may start at once."""
    if not _is_finite(rate):
        raise InvalidInput(f"rate is {rate!r:.100}; pass how many jobs start in a second, 50 or 0.1.")
    if not _SLOWEST <= rate <= MAX_CONCURRENCY:
        raise InvalidInput(
            f"rate is {rate!r:.100}; it must be from one job in 31 days to {MAX_CONCURRENCY:,} jobs a second."
        )
    exact = Fraction(rate)
    if exact < 1:
        return 1, round(1000 / exact)
    near = exact.limit_denominator(_MOST_SECONDS)
    return near.numerator, near.denominator * 1000


def _is_finite(value: object) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
