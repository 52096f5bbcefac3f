"""The operator's side: what is set stays, and what is shown is in seconds, dollars and datetimes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

import aiq
from aiq.admin import Admin
from aiq.bounds import MAX_PAGE
from aiq.model import (
    BudgetSpec,
    BudgetState,
    BudgetStatus,
    LimitStatus,
    QueueSettings,
    UsageFilter,
    UsagePage,
    UsageRow,
)
from aiq.reports import Difference, Funds
from aiq.testing import Faulty, LoseReply, Refuse
from tests.api.seen import Seen

GPT = aiq.Limit("gpt", requests=600, tokens=450_000)
CLAUDE = aiq.Limit("claude", tokens=80_000, burst=5)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)


@aiq.task(limits=[GPT], routes=[aiq.Route("only", limits=[CLAUDE])])
async def chat(prompt: str) -> str:
    return prompt


@pytest.fixture
def admin(queue: aiq.Queue) -> Admin:
    return queue.admin


def test_a_queue_that_is_not_open_has_no_operator() -> None:
    with pytest.raises(aiq.InvalidInput, match="The queue is not open"):
        _ = aiq.Queue("memory://").admin


async def test_limits_are_stored_changed_and_listed_by_name(admin: Admin) -> None:
    assert await admin.limits() == []

    await admin.put_limits([GPT, CLAUDE])
    assert await admin.put_limit(aiq.Limit("gpt", requests=5)) == aiq.Limit("gpt", requests=5)

    assert [report.limit for report in await admin.limits()] == [CLAUDE, aiq.Limit("gpt", requests=5)]
    assert [report.limit.name for report in await admin.limits("gpt", "nobody")] == ["gpt"]


async def test_more_limits_than_a_page_holds_are_listed_whole(admin: Admin) -> None:
    names = [f"l{n:03}" for n in range(MAX_PAGE + 5)]
    await admin.put_limits(aiq.Limit(name, concurrency=1) for name in names)

    assert [report.limit.name for report in await admin.limits()] == names


def test_what_is_left_of_a_limit_is_told_in_its_own_units() -> None:
    status = LimitStatus(
        spec=GPT.spec(),
        key="acme",
        used=True,
        requests_left=3,
        tokens_left=-12,
        tokens_held=7,
        pace=900,
        frozen_ms=1_500,
        running=2,
        waiting=4,
        debt_ms=250,
    )

    report = aiq.LimitReport.of(status)

    assert (report.limit, report.key, report.used) == (GPT, "acme", True)
    assert (report.requests_left, report.tokens_left, report.tokens_held) == (3, -12, 7)
    assert (report.pace, report.frozen, report.running, report.waiting, report.debt) == (0.9, 1.5, 2, 4, 0.25)


async def test_differences_are_told_between_code_and_what_stands(admin: Admin) -> None:
    await admin.put_limits([aiq.Limit("gpt", requests=600, tokens=300_000, burst=60)])

    differences = await admin.differences([chat])

    assert differences == [
        Difference(code=GPT, stored=aiq.Limit("gpt", requests=600, tokens=300_000, burst=60)),
        Difference(code=CLAUDE, stored=None),
    ]
    assert [str(one) for one in differences] == [
        'Limit "gpt": tokens is 450000 in code and 300000 here, burst is 30.0 in code and 60.0 here.',
        'Limit "claude" is not stored yet.',
    ]


async def test_resetting_limits_gives_up_what_an_operator_changed(admin: Admin) -> None:
    await admin.put_limit(aiq.Limit("gpt", requests=1))

    assert await admin.reset_limits([chat, GPT]) == [GPT, CLAUDE]

    assert await admin.differences([chat]) == []


@pytest.mark.parametrize("given", [[7], ["gpt"], 7, GPT])
async def test_what_are_no_limits_is_refused(admin: Admin, given: Any) -> None:
    with pytest.raises(aiq.InvalidInput, match=r"is no (list of limits|limit)\. Pass one: "):
        await admin.reset_limits(given)


async def test_a_budget_is_stored_and_told_in_dollars(admin: Admin) -> None:
    budget = aiq.Budget("team", usd="50", tokens=1_000, per_category={"output": 10}, on_exceeded="approve")

    report = await admin.put_budget(budget)

    assert (report.id, report.budget, report.waiting, report.since) == ("team", budget, 0, None)
    assert report.left == Funds(usd=Decimal(50), tokens=1_000, per_category={"output": 10})
    assert (report.spent.usd, report.spent.tokens, report.held.usd) == (0, 0, 0)
    assert await admin.budget("team") == report


async def test_budgets_are_listed_by_id(admin: Admin) -> None:
    await admin.put_budget(aiq.Budget(tenant="acme", usd=1))
    await admin.put_budget(aiq.Budget("b", usd=1, parent="tenant:acme"))
    await admin.put_budget(aiq.Budget("a", usd=1))

    assert [report.id for report in await admin.budgets()] == ["a", "b", "tenant:acme"]


async def test_more_budgets_than_a_page_holds_are_listed_whole(admin: Admin, storage: Faulty) -> None:
    names = [f"b{n:03}" for n in range(MAX_PAGE + 5)]
    for name in names:
        await storage.put_budgets([aiq.Budget(name, usd=1).spec()])

    assert [report.id for report in await admin.budgets()] == names


def test_what_is_left_of_a_budget_counts_what_is_held_and_what_was_granted() -> None:
    status = BudgetStatus(
        spec=BudgetSpec(id="tenant:acme", caps={"usd_micros": 5_000_000}, window="day"),
        state=BudgetState(
            window_ms=NOON_MS,
            spent={"usd_micros": 4_000_000, "tokens": 70, "tokens.output": 7},
            held={"usd_micros": 2_500_000},
            granted={"usd_micros": 1_000_000},
        ),
        waiting=3,
    )

    report = aiq.BudgetReport.of(status)

    assert report.left == Funds(usd=Decimal("-0.5"))
    assert report.spent == Funds(usd=Decimal(4), tokens=70, per_category={"output": 7})
    assert (report.granted.usd, report.held.usd, report.waiting, report.since) == (1, Decimal("2.5"), 3, NOON)


async def test_a_budget_that_nobody_can_find_again_is_refused(admin: Admin) -> None:
    with pytest.raises(aiq.InvalidInput, match="Say whose budget it is"):
        await admin.put_budget(aiq.Budget(usd=1))
    with pytest.raises(aiq.NotFound, match='No budget "nobody" is stored here'):
        await admin.budget("nobody")
    with pytest.raises(aiq.NotFound, match="nobody"):
        await admin.put_budget(aiq.Budget("a", usd=1, parent="nobody"))
    with pytest.raises(aiq.InvalidInput, match=r"A `str` is no budget\. Pass one"):
        await admin.put_budget("team")  # type: ignore[arg-type]


async def test_a_grant_adds_to_the_caps(admin: Admin) -> None:
    await admin.put_budget(aiq.Budget("team", usd=1, tokens=5, per_category={"output": 1}))

    report = await admin.grant("team", usd="0.5", tokens=0, output=9)

    assert report.left == Funds(usd=Decimal("1.5"), tokens=5, per_category={"output": 10})


async def test_a_grant_whose_reply_is_lost_counts_once(admin: Admin, storage: Faulty) -> None:
    await admin.put_budget(aiq.Budget("team", usd=1))
    storage.plan(LoseReply("grant"), LoseReply("grant"))

    assert (await admin.grant("team", usd=2)).left.usd == 3


async def test_a_grant_of_unknown_outcome_is_repeated_under_the_id_of_its_note(admin: Admin, storage: Faulty) -> None:
    await admin.put_budget(aiq.Budget("team", usd=1))
    storage.plan(LoseReply("grant"), Refuse("grant"), Refuse("grant"))

    with pytest.raises(aiq.Unavailable) as caught:
        await admin.grant("team", usd=2)
    (note,) = caught.value.__notes__
    again = await admin.grant("team", usd=2, id=note.partition("id='")[2].rstrip("').").rstrip("'"))

    assert again.left.usd == 3


async def test_two_grants_are_two(admin: Admin) -> None:
    await admin.put_budget(aiq.Budget("team", usd=1))

    await admin.grant("team", usd=2)

    assert (await admin.grant("team", usd=2)).left.usd == 5


@pytest.mark.parametrize(
    ("budget", "figures", "message"),
    [
        ("team", {}, r"Say how much: grant\('team', usd=10\)"),
        ("team", {"usd": -1}, r"grant of usd is -1"),
        ("team", {"tokens": 1.5}, r"grant of tokens is 1\.5; pass a whole number"),
        ("team", {"output": -1}, r"grant of output is -1"),
        ("team", {"usd": 1, "id": ""}, r"grant id is empty"),
        ("", {"usd": 1}, r"budget is empty"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused(
    admin: Admin, budget: str, figures: dict[str, Any], message: str
) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        await admin.grant(budget, **figures)


async def test_a_grant_of_what_a_budget_does_not_cap_is_refused_in_words(admin: Admin) -> None:
    await admin.put_budget(aiq.Budget("team", usd=1, per_category={"output": 5}))

    with pytest.raises(aiq.InvalidInput, match=r'Budget "team" caps output tokens, money, and not tokens, so that'):
        await admin.grant("team", usd=1, tokens=5)

    assert (await admin.budget("team")).left == Funds(usd=Decimal(1), per_category={"output": 5})


async def test_prices_are_kept_with_the_time_from_which_they_hold(admin: Admin) -> None:
    prices = [
        aiq.Price("gpt", "input", "2.50"),
        aiq.Price("gpt", "output", "10"),
        aiq.Price("gpt", "output", "12", from_=NOON),
    ]

    await admin.put_prices(prices)
    await admin.put_prices([aiq.Price("gpt", "input", "2")])

    assert await admin.prices("gpt") == [aiq.Price("gpt", "input", 2), *prices[1:]]
    assert await admin.prices("other") == []
    with pytest.raises(aiq.InvalidInput, match=r"A `tuple` is no price\. Pass one: aiq\.Price"):
        await admin.put_prices([("gpt", "input", 2)])  # type: ignore[list-item]


class Paged:
    """A storage with a report of use in pages of one row."""

    def __init__(self, rows: Sequence[UsageRow]) -> None:
        self.rows, self.queries = rows, list[UsageFilter]()

    async def usage(self, query: UsageFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> UsagePage:
        self.queries.append(query)
        at = int(cursor or 0)
        last = at + 1 >= len(self.rows)
        return UsagePage(tuple(self.rows[at : at + 1]), None if last else str(at + 1))


def row(minute: int, model: str, category: str, tokens: int, **figures: int) -> UsageRow:
    minute_ms = NOON_MS + minute * 60_000
    return UsageRow(minute_ms=minute_ms, model=model, category=category, tokens=tokens, **{"usd_micros": 0, **figures})


ROWS = [
    row(0, "claude", "input", 100, usd_micros=3),
    row(0, "gpt", "input", 40, usd_micros=5, unpriced=40),
    row(0, "gpt", "output", 7, usd_micros=1_000_000, estimated=7),
    row(1, "gpt", "output", 3, usd_micros=2),
]


async def test_use_is_gathered_from_all_pages_and_summed_up() -> None:
    report = await Admin(cast(Any, Paged(ROWS))).usage()

    assert [one.tokens for one in report.rows] == [100, 40, 7, 3]
    assert (report.rows[0].minute, report.rows[0].model, report.rows[0].category) == (NOON, "claude", "input")
    assert (report.total.tokens, report.total.usd) == (150, Decimal("1.000010"))
    assert (report.total.unpriced, report.total.estimated) == (40, 7)
    assert {name: use.tokens for name, use in report.by_model.items()} == {"claude": 100, "gpt": 50}
    assert {name: use.tokens for name, use in report.by_category.items()} == {"input": 140, "output": 10}
    minutes = {minute: use.tokens for minute, use in report.by_minute.items()}
    assert minutes == {NOON: 147, NOON + timedelta(minutes=1): 3}


async def test_no_use_is_a_report_too() -> None:
    report = await Admin(cast(Any, Paged([]))).usage(tenant="acme")

    assert (report.rows, report.total.tokens, report.total.usd, report.by_model) == ((), 0, 0, {})


async def test_use_is_asked_for_by_one_job_flow_or_tenant_and_between_two_instants(queue: aiq.Queue) -> None:
    storage = Paged([])
    admin = Admin(cast(Any, storage))
    flow = aiq.Flow("chats")
    flow.add(chat.job("x"))
    run = await queue.run(flow)

    await admin.usage(job="j", since=NOON)
    await admin.usage(job=queue.job("j"), until=NOON)
    await admin.usage(flow=run)
    await admin.usage(flow="f")

    assert storage.queries == [
        UsageFilter(job_id="j", since_ms=NOON_MS),
        UsageFilter(job_id="j", until_ms=NOON_MS),
        UsageFilter(flow=run.id),
        UsageFilter(flow="f"),
    ]
    with pytest.raises(aiq.InvalidInput, match="one job, one flow or one tenant"):
        await admin.usage(job="j", tenant="acme")
    with pytest.raises(aiq.InvalidInput, match=r"since is .*time zone"):
        await admin.usage(since=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_what_a_handler_reports_is_found_by_its_tenant_at_its_price(queue: aiq.Queue) -> None:
    @aiq.task
    async def write(ctx: aiq.Context) -> None:
        ctx.report(aiq.Usage(model="gpt", input=2_000_000, output=1_000_000))

    await queue.admin.put_prices([aiq.Price("gpt", "input", "2.50"), aiq.Price("gpt", "output", 10)])
    job = await queue.enqueue(write.job(), tenant="acme", estimate=aiq.Estimate(model="gpt"), budget=aiq.Budget(usd=99))
    await aiq.Worker(queue, tasks=[write]).run_until_idle()

    report = await queue.admin.usage(tenant="acme")
    assert (report.total.usd, report.by_category["output"].tokens) == (15, 1_000_000)
    assert (await queue.admin.usage(job=job)).total.usd == 15
    assert (await queue.admin.usage(tenant="other")).rows == ()
    assert (await queue.admin.budget(f"job:{job.id}")).left.usd == 84


@pytest.mark.parametrize("weight", [0, -1, 1_000.5, float("nan"), "3", True, 0.0001])
async def test_a_weight_out_of_range_is_refused(admin: Admin, weight: Any) -> None:
    with pytest.raises(aiq.InvalidInput, match=r"weight of a tenant is .*; pass a number from 0\.001 to 1,000"):
        await admin.put_tenant("acme", weight=weight)


async def test_a_weight_is_handed_on_in_thousandths(storage: Faulty) -> None:
    class Weighing(Seen):
        async def weigh(self, tenant: str, weight: int) -> None:
            self.weighed = (tenant, weight)
            await self._storage.weigh(tenant, weight)

    weighing = Weighing(storage)
    await Admin(cast(Any, weighing)).put_tenant("acme", weight=2.5)

    assert weighing.weighed == ("acme", 2_500)
    with pytest.raises(aiq.InvalidInput, match="tenant is empty"):
        await Admin(storage).put_tenant("", weight=1)


@pytest.mark.parametrize(
    ("rate", "settings"),
    [
        (50, QueueSettings(rate=50)),
        (0.1, QueueSettings(rate=1, rate_per_ms=10_000)),
        (2.5, QueueSettings(rate=5, rate_per_ms=2_000)),
        (1 / 3, QueueSettings(rate=1, rate_per_ms=3_000)),
        (33.333, QueueSettings(rate=100, rate_per_ms=3_000)),
        (0.7, QueueSettings(rate=1, rate_per_ms=1_429)),
        (Decimal("0.01"), QueueSettings(rate=1, rate_per_ms=100_000)),
    ],
)
async def test_a_rate_of_starts_is_kept_in_whole_numbers(
    admin: Admin, storage: Faulty, rate: Any, settings: QueueSettings
) -> None:
    report = await admin.configure("bulk", rate=rate)

    assert (await storage.get_queue("bulk")).settings == settings
    assert report.rate == pytest.approx(float(rate), rel=1e-3)


async def test_what_bounds_a_queue_is_set_as_a_whole(admin: Admin, queue: aiq.Queue) -> None:
    report = await admin.configure("bulk", max_ready=10, concurrency=8, rate=50)
    assert (report.name, report.max_ready, report.concurrency, report.rate) == ("bulk", 10, 8, 50.0)
    assert (report.paused, report.ready) == (False, 0)

    await admin.configure("bulk", concurrency=2)
    await queue["bulk"].pause()

    report = await admin.queue("bulk")
    assert (report.max_ready, report.concurrency, report.rate) == (None, 2, None)
    assert (report.paused, report.ready) == (True, None)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"max_ready": 0}, r"max_ready is 0; pass a whole number from 1"),
        ({"max_ready": 1.5}, r"max_ready is 1\.5"),
        ({"concurrency": 0}, r"concurrency is 0; pass a whole number from 1"),
        ({"rate": 0}, r"rate is 0; it must be from one job in 31 days to 1,000,000 jobs a second"),
        ({"rate": 1e-7}, r"rate is 1e-07; it must be from"),
        ({"rate": -1}, r"rate is -1; it must be from"),
        ({"rate": 10**6 + 1}, r"rate is 1000001; it must be from"),
        ({"rate": float("nan")}, r"rate is nan; pass how many jobs start in a second"),
        ({"rate": float("inf")}, r"rate is inf; pass how many"),
        ({"rate": Decimal("sNaN")}, r"pass how many"),
        ({"rate": 10**400}, r"it must be from one job in 31 days"),
        ({"rate": "50"}, r"rate is '50'; pass how many"),
        ({"rate": True}, r"rate is True; pass how many"),
    ],
)
async def test_a_bound_that_cannot_work_is_refused(admin: Admin, figures: dict[str, Any], message: str) -> None:
    with pytest.raises(aiq.InvalidInput, match=message):
        await admin.configure("bulk", **figures)


async def test_preparing_stores_what_tasks_name_without_a_worker(queue: aiq.Queue) -> None:
    await queue.prepare([chat])

    assert [report.limit for report in await queue.admin.limits()] == [CLAUDE, GPT]
