"""Short sentences for tests of limits, calls and budgets.

A limit named here refills one token a ms, and has 5,000 tokens at a first look: whoever reads a test can reckon in the
head. The rest is said with the options of the models.
"""

from collections.abc import Iterable
from typing import Any, Final

from aiq.errors import LeaseLost
from aiq.model import (
    Acquired,
    Admitted,
    BudgetSpec,
    BudgetStatus,
    CallRequest,
    CallState,
    Estimate,
    JobError,
    JobRecord,
    LimitSpec,
    LimitStatus,
    MustWait,
    PriceRow,
    Remaining,
    Report,
    Reported,
    Usage,
    UsageFilter,
    UsageRow,
)
from aiq.storage import Storage
from aiq.testing.actions import wish

OPENING: Final = 5_000
"""Tokens of a new limit: five seconds of its rate."""
CAPACITY: Final = 10_000
"""What it can hold."""
REFUSED: Final = JobError(type="RateLimited", message="429")
"""What a run that is deferred says."""


def tokens(name: str = "gpt", **options: Any) -> LimitSpec:
    """A limit of one token a ms, that holds 10,000; one with a `by`, whose parts begin full, holds 5,000 for each.
    The options are those of LimitSpec, hence Any."""
    burst_ms = CAPACITY if options.get("by") is None else OPENING
    return LimitSpec(**{"name": name, "tokens": 60_000, "burst_ms": burst_ms, **options})


def units(name: str = "gpt", concurrency: int = 1, **options: Any) -> LimitSpec:
    """A limit of so many at once, and nothing else unless an option says so."""
    return LimitSpec(name=name, concurrency=concurrency, **options)


def need(input: int = 0, output: int = 0, **options: Any) -> Estimate:
    """What a call needs: input, and at most so much output, all of which is expected. For the options see Estimate."""
    return Estimate(**{"input": input, "output": output, "max_output": output, **options})


async def put_limit(storage: Storage, name: str = "gpt", **options: Any) -> LimitSpec:
    """Store a limit of tokens; see `tokens`."""
    (stored,) = await storage.put_limits([tokens(name, **options)])
    return stored


async def the_limit(storage: Storage, name: str = "gpt", key: str = "") -> LimitStatus:
    """How a limit stands now, or one tenant's or key's part of it."""
    found = await storage.get_limits([name])
    return next(status for status in found if status.key == key)


async def left(storage: Storage, name: str = "gpt", key: str = "") -> tuple[int | None, int]:
    """What is left of a limit's tokens, and what is held of them."""
    status = await the_limit(storage, name, key)
    return status.tokens_left, status.tokens_held


async def ask(
    storage: Storage,
    run: JobRecord,
    number: int = 1,
    estimate: Estimate | None = None,
    *limits: str,
    inside: tuple[int, ...] = (),
) -> Acquired:
    """Ask for a call of a run; without names on the limits of its job."""
    request = CallRequest(lease=run.lease, number=number, limits=limits, estimate=estimate or Estimate(), inside=inside)
    (answer,) = await storage.acquire([request])
    return answer


async def open_call(
    storage: Storage, run: JobRecord, number: int = 1, estimate: Estimate | None = None, *limits: str
) -> Admitted:
    """Ask for a call that must be admitted at once."""
    answer = await ask(storage, run, number, estimate, *limits)
    assert isinstance(answer, Admitted), answer
    return answer


async def wait_of(
    storage: Storage, run: JobRecord, number: int = 1, estimate: Estimate | None = None, *limits: str
) -> int | None:
    """Ask for a call that must wait, and tell how long."""
    answer = await ask(storage, run, number, estimate, *limits)
    assert isinstance(answer, MustWait), answer
    return answer.wait_ms


async def tell(
    storage: Storage,
    run: JobRecord,
    call: int = 1,
    state: CallState = CallState.SETTLED,
    used: Usage | Iterable[Usage] = (),
    retry_after_ms: int | None = None,
    remaining: tuple[Remaining, ...] = (),
) -> Reported | LeaseLost:
    """Report a call of a run: that it is settled, unless another state is given."""
    usages = (used,) if isinstance(used, Usage) else tuple(used)
    told = Report(
        lease=run.lease, call=call, state=state, used=usages, retry_after_ms=retry_after_ms, remaining=remaining
    )
    (answer,) = await storage.report([told])
    return answer


async def offered(storage: Storage, *queues: str, count: int = 10) -> tuple[list[str], int | None]:
    """Claim up to so many jobs from each queue: which were given, and how long until something may happen."""
    answer = await storage.exchange((), wish(count, *queues))
    return [run.id for run in answer.claimed], answer.next_due_ms


async def put_budget(storage: Storage, budget_id: str = "purse", **options: Any) -> BudgetSpec:
    """Store a budget. `caps` may be given as tokens= and usd_micros=; the other options are those of BudgetSpec."""
    caps = {name: options.pop(name) for name in ("tokens", "usd_micros") if name in options}
    (stored,) = await storage.put_budgets([BudgetSpec(**{"id": budget_id, "caps": caps, **options})])
    return stored


async def the_budget(storage: Storage, budget_id: str = "purse") -> BudgetStatus:
    """How a budget stands now."""
    (status,) = await storage.get_budgets([budget_id])
    return status


async def balance(storage: Storage, budget_id: str = "purse", kind: str = "tokens") -> tuple[int, int]:
    """What was spent and what is held of one kind of amount."""
    state = (await the_budget(storage, budget_id)).state
    return state.spent.get(kind, 0), state.held.get(kind, 0)


async def put_prices(storage: Storage, model: str = "gpt", from_ms: int = 0, **micros_per_million: int) -> None:
    """Store prices of a model by category."""
    await storage.put_prices(
        [
            PriceRow(model=model, category=category, usd_micros_per_million=price, from_ms=from_ms)
            for category, price in micros_per_million.items()
        ]
    )


async def used(storage: Storage, **whose: Any) -> list[UsageRow]:
    """All rows of use. The options are those of UsageFilter."""
    rows: list[UsageRow] = []
    cursor: str | None = None
    while True:
        page = await storage.usage(UsageFilter(**whose), cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows


async def counted(storage: Storage, **whose: Any) -> dict[str, int]:
    """What was used, by category, over all minutes and models. For the options see UsageFilter."""
    sums: dict[str, int] = {}
    for row in await used(storage, **whose):
        sums[row.category] = sums.get(row.category, 0) + row.tokens
    return {category: count for category, count in sums.items() if count}
