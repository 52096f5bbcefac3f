"""The operator's side of a queue: limits, budgets, prices, use, tenants, schedules and what bounds a queue."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Final, Literal

from aiq import revival
from aiq.bounds import MAX_AMOUNT, MAX_CONCURRENCY, MAX_PAGE, MAX_PERIOD_MS
from aiq.checkup import checkup
from aiq.differing import InCode, differences
from aiq.errors import InvalidInput, NotFound, Unavailable
from aiq.flow import FlowRun
from aiq.job import Job, fresh_id, until_known
from aiq.misuse import check_kind, check_word
from aiq.model import (
    Band,
    DeadQuery,
    Fact,
    JobFilter,
    LimitSpec,
    MinuteFilter,
    MinuteRow,
    QueueSettings,
    Redrive,
    UsageFilter,
)
from aiq.needs import limits_in, parts
from aiq.outcomes import Outcomes
from aiq.policy import (
    BandName,
    Budget,
    Duration,
    Kept,
    Limit,
    Money,
    Price,
    amounts,
    band_of,
    dollars,
    duration_ms,
    instant_ms,
    keep_ms_of,
    per_mille,
    usd_micros,
    whole,
)
from aiq.reports import BudgetReport, Difference, LimitReport, QueueReport, UsageReport, UseRow, WorkerReport
from aiq.revival import DeadReport, Walk, Which
from aiq.rules.retention import KINDS
from aiq.rules.validation import check_name, check_opaque, check_range
from aiq.schedule import ScheduleAdmin
from aiq.storage import every_worker
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

    async def differences(self, code: Iterable[InCode]) -> list[Difference]:
        """The limits (or those of tasks), budgets, prices and schedules that are stored otherwise than code names them.

        A schedule that is paused, or that runs late, stands as code names it.
        """
        return await differences(self._storage, code, self._queue)

    async def doctor(self, code: Iterable[InCode] = (), *, audit: bool = True) -> list[Fact]:
        """Look at the storage, its workers and queues, and say what is wrong and what to do; `code` as above.

        Reads only, but the audit reads everything.
        """
        return await checkup(self._storage, code, queue=self._queue, audit=audit)

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

    async def dead(self, *, by: Literal["last_seen", "dead"] = "last_seen", limit: int = MAX_PAGE) -> list[DeadReport]:
        """What jobs died of, in groups: those of the newest death first, or those with the most dead; at most `limit`.

        for group in await queue.admin.dead():
            print(group.dead, group.type, group.place, group.pattern, group.usd, group.success_rate)
        await queue.admin.redrive(JobFilter(fingerprint=group.fingerprint), spread=0.1)
        """
        check_word("by", by, "last_seen", "dead")
        check_range("limit", limit, 1, MAX_AMOUNT)
        query, cursor = DeadQuery(by=by), None
        found: list[DeadReport] = []
        while True:
            page = await self._storage.dead_groups(query, cursor=cursor, limit=min(MAX_PAGE, limit - len(found)))
            found += map(DeadReport.of, page)
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                return found

    async def dead_group(self, fingerprint: str) -> DeadReport:
        """One group, by its fingerprint.

        Raises:
            NotFound: no job has died so, or none for long.
        """
        found = (await self._storage.dead_groups(DeadQuery(fingerprint=fingerprint))).groups
        if not found:
            raise NotFound(fingerprint, f"No group of dead jobs has the fingerprint {fingerprint!r}. See admin.dead().")
        return DeadReport.of(found[0])

    async def redrive(
        self,
        which: Which,
        *,
        queue: str | None = None,
        band: BandName | Band | None = None,
        route: str | None = None,
        budget: str | None = None,
        delay: Duration = 0,
        spread: Duration = 0,
        forget_steps: bool = False,
        detach: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Outcomes:
        """Give jobs that are dead or cancelled another generation: by handle or id, or all that a filter finds.

        They have all their attempts again, and keep what they remember, unless `forget_steps`. What is named takes the
        place of their own: another `queue`, `band`, `route`, or `budget` by its id. The first may start after `delay`,
        each further one `spread` later. A child whose parent has ended is refused, unless it is to be on its own from
        now on (`detach`): redrive the parent, and what failed of its children goes with it.

        At most `limit` jobs, done or refused; the next ones come with `after`, which is `Outcomes.after`.

        Raises:
            NotFound: the budget is not stored; nothing was changed.
            InvalidInput: a value is out of range.
            StorageError: nothing was changed. If something was, `Outcomes.stopped` says what ended it.
        """
        request = Redrive(
            id=fresh_id(),
            targets=(),
            queue=queue,
            band=None if band is None else band_of(band),
            route=route,
            budget=budget,
            delay_ms=duration_ms("delay", delay),
            spread_ms=duration_ms("spread", spread),
            forget_steps=forget_steps,
            detach=detach,
        )
        return await revival.redrive(self._storage, Walk(which, limit, after), request)

    async def replay(
        self,
        which: "Which | FlowRun",
        *,
        id: str | None = None,
        queue: str | None = None,
        spread: Duration = 0,
        limit: int | None = None,
        after: str | None = None,
    ) -> Outcomes:
        """Enqueue jobs that have succeeded once more, each as a job of its own that names the first as its `origin`.

        Jobs of a flow that are replayed together are a flow again, whose id the new ones tell: each waits for the new
        ones of those it depended on. One that is replayed without these reads the results that they once had.

        With an `id` of your own, the same replay again makes no job twice. `done` has the ids of the new jobs. `limit`
        and `after` are as for `redrive`; going on takes the same `id`.

        Raises:
            StorageError: nothing was stored. If something was, `Outcomes.stopped` says what ended it: a queue that is
                full, for instance.
        """
        if id is not None:
            check_opaque("replay id", id)
        if after is not None and id is None:
            raise InvalidInput("A replay goes on under its own id: pass the `id` with which it began.")
        meant = JobFilter(flow=which.id) if isinstance(which, FlowRun) else which
        name, spread_ms = fresh_id() if id is None else id, duration_ms("spread", spread)
        return await revival.replay(self._storage, Walk(meant, limit, after), name, queue=queue, spread_ms=spread_ms)

    async def purge(self, which: Which, *, limit: int | None = None, after: str | None = None) -> Outcomes:
        """Remove jobs that have ended now, with all that belongs to them: results, steps, streams, samples.

        One that another job needs is refused, unless a filter without `limit` finds that one too: a child goes with
        its parent. `limit` and `after` are as for `redrive`.
        """
        return await revival.purge(self._storage, Walk(which, limit, after))

    async def metrics(
        self, *, queue: str | None = None, task: str | None = None, since: datetime | None = None
    ) -> list[MinuteRow]:
        """What happened by minute, queue and task: how many jobs were enqueued, started and ended, how long they waited
        and ran, tokens and cost. A minute in which nothing happened has no row. No job is read for it.
        """
        since_ms = None if since is None else instant_ms("since", since)
        query = MinuteFilter(queue=queue, task=task, since_ms=since_ms)
        page = await self._storage.metrics(query)
        rows = [*page.rows]
        while page.cursor is not None:
            page = await self._storage.metrics(query, cursor=page.cursor)
            rows += page.rows
        return rows

    async def retention(self) -> dict[str, Kept]:
        """How long, and how many of, what is over is kept: by kind, and "ids" for the ids of jobs that are gone."""
        spec = await self._storage.get_retention()
        kept = {kind: Kept.of(getattr(spec, kind)) for kind in KINDS}
        return {**kept, "ids": Kept(spec.ids_ms / 1000)}

    async def put_retention(self, **kinds: Kept) -> dict[str, Kept]:
        """Say how long, and how many of, what is over is kept. What is not named stays as it is.

            await queue.admin.put_retention(
                succeeded=aiq.Kept(timedelta(days=1), count=100_000), dead=aiq.Kept(timedelta(days=90))
            )

        Kinds are `succeeded`, `dead` and `cancelled` jobs, with all that belongs to them; what may go before its job:
        `results`, `steps`, `signals` (taken, or of a job that has ended) and `streams`; `events`; `minutes` of metrics;
        `usage` by minute; and `ids` of jobs that are gone. Of a job whose result is gone, `Job.result` raises
        ResultGone; one that is redriven without its steps begins from its beginning.

        Raises:
            InvalidInput: there is no such kind, or a number is out of range.
        """
        unknown = sorted(kinds.keys() - {*KINDS, "ids"})
        if unknown:
            raise InvalidInput(f"Nothing of the kind {unknown[0]!r} is kept. There are: {', '.join((*KINDS, 'ids'))}.")
        for kept in kinds.values():
            check_kind("retention", kept, Kept, "aiq.Kept(timedelta(days=7), count=100_000)")
        spec = await self._storage.get_retention()
        ids = kinds.pop("ids", Kept(spec.ids_ms / 1000))
        if ids.period is None or ids.count is not None:
            raise InvalidInput("The ids of jobs that are gone are kept for a period: ids=aiq.Kept(timedelta(days=1)).")
        changed = replace(spec, ids_ms=keep_ms_of(ids.period), **{kind: kept.spec() for kind, kept in kinds.items()})
        await until_known(partial(self._storage.put_retention, changed))
        return await self.retention()

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
        return [WorkerReport.of(status) for status in await every_worker(self._storage)]

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
