"""Jobs that limits and budgets bind, many at once: as the model tells their lives, to the last figure."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from aiq.model import (
    Band,
    BudgetSpec,
    CallRequest,
    ClaimRequest,
    Estimate,
    JobFilter,
    JobRecord,
    JobSpec,
    LimitSpec,
    MinuteFilter,
    Outcome,
    PriceRow,
    Released,
    Retried,
    Settlement,
    Succeeded,
    Throttle,
    UsageFilter,
    Want,
)
from aiq.model.moving import Reservation
from aiq.rules import books
from aiq.storage import Storage
from aiq.testing.actions import job
from aiq.testing.clock import Clock
from tests import stores
from tests.backends.lives import ERROR
from tests.backends.lives import told as answered

STEPS = 60
MANY = 9
CAPS = {"usd_micros": 10_000}
NEED = Estimate(input=90, max_output=40, output=30, model="m")


@dataclass
class Kind:
    """What jobs of one kind ask for."""

    limits: tuple[str, ...] = ("requests", "tokens")
    budget: str | None = None
    estimate: Estimate | None = NEED
    options: dict[str, Any] | None = None

    def spec(self, number: int) -> JobSpec:
        job_id = f"{number:032x}"
        said: dict[str, Any] = {"limits": self.limits, "estimate": self.estimate, **(self.options or {})}
        if self.budget == "own":
            own = f"job:{job_id}"
            said |= {"budgets": (own,), "creates": (BudgetSpec(id=own, caps=CAPS),)}
        elif self.budget:
            said["budgets"] = (self.budget,)
        return job(job_id, queue="q", payload=b"p" * (number % 3 * 200), digest=f"{number:064x}", **said)


KINDS = {
    "limits": [Kind()],
    "own budget": [Kind(budget="own")],
    "own budget alone": [Kind((), "own")],
    "shared budget": [Kind(budget="purse")],
    "budget of the day": [Kind(budget="daily")],
    "guessed": [Kind(estimate=None, budget="purse")],
    "units": [Kind(("tokens", "units"))],
    "a tenant": [Kind(budget="purse", options={"tenant": "acme"})],
    "a flow": [Kind(budget="own", options={"flow": "f"})],
    "two sizes": [Kind(budget="own"), Kind(estimate=Estimate(input=10, max_output=700, model="m"), budget="own")],
    "two lines": [Kind(options={"tenant": "acme"}), Kind(options={"tenant": "bolt"})],
    "two bands": [Kind(), Kind(options={"band": Band.HIGH})],
    "two pools": [Kind(), Kind(("tokens",))],
    "plain beside": [Kind(), Kind((), estimate=None)],
    "parts": [Kind(("requests", "each"), options={"tenant": "acme"})],
    "keys": [Kind(("requests", "keyed"), options={"key": "k"}), Kind(("requests", "keyed"), options={"key": "l"})],
    "calls": [Kind(budget="own", options={"keep_ms": 10**9}), Kind(budget="purse")],
}


@dataclass
class Life:
    """One random life of two storages: what is drawn for one is done to both."""

    clock: Clock
    random: Random
    kinds: list[Kind]
    both: tuple[Storage, Storage]
    jobs: int = 0
    claims: int = 0

    def __post_init__(self) -> None:
        self.runs: list[JobRecord] = []

    async def begin(self) -> None:
        """Store what jobs are bound by: once in a while all of it is used up."""
        for storage in self.both:
            await storage.put_limits(
                [
                    LimitSpec(name="requests", requests=6_000, burst_ms=1_000),
                    LimitSpec(name="tokens", tokens=60_000, burst_ms=10_000, refund=False),
                    LimitSpec(name="units", concurrency=7, tokens=10**9),
                    LimitSpec(name="each", tokens=60_000, by="tenant"),  # type: ignore[arg-type]
                    LimitSpec(name="keyed", concurrency=2, by="key"),  # type: ignore[arg-type]
                ]
            )
            await storage.put_budgets(
                [
                    BudgetSpec(id="org", caps={"tokens": 20_000}),
                    BudgetSpec(id="purse", caps={"usd_micros": 30_000}, parent="org"),
                    BudgetSpec(id="daily", caps={"tokens.input": 3_000, "usd_micros": 10**9}, window="day"),  # type: ignore[arg-type]
                ]
            )
            prices = [("input", 2_500_000), ("output", 10_000_000)]
            await storage.put_prices(
                [PriceRow(model="m", category=name, usd_micros_per_million=price) for name, price in prices]
            )

    async def step(self) -> None:
        """Let both do the same, and compare what they answer."""
        self.clock.advance_ms(self.random.choice((0, 1, 50, 700)))
        drawn = self.random.random()
        if drawn < 0.3:
            specs = [self._spec() for _ in range(self.random.randint(1, MANY))]
            await self._same(lambda storage: storage.enqueue(specs))
        elif drawn < 0.4:
            await self._deed()
        else:
            await self._exchange()

    def _spec(self) -> JobSpec:
        self.jobs += 1
        return self.random.choice(self.kinds).spec(self.jobs)

    async def _deed(self) -> None:
        call = [CallRequest(lease=run.lease, number=1, limits=("tokens",)) for run in self.runs[:1]]
        deeds = [
            lambda storage: storage.upkeep(),
            lambda storage: storage.acquire(call),
            lambda storage: storage.grant("purse", f"grant {self.jobs}", {"usd_micros": 5_000}),
            lambda storage: storage.throttled([Throttle(limit="tokens", tokens=50, retry_after_ms=100)]),
        ]
        await self._same(self.random.choice(deeds))

    async def _exchange(self) -> None:
        chosen = self.random.sample(self.runs, self.random.randint(0, len(self.runs)))
        if self.random.random() < 0.7:
            chosen = self.runs
        done = [Settlement(run.lease, f"s{run.fence}", self._outcome()) for run in chosen]
        self.claims += 1
        claim = ClaimRequest("w", self.claims, f"{self.claims:032x}", (Want("q", self.random.choice((1, 3, MANY))),))
        answer = await self._same(lambda storage: storage.exchange(done, claim))
        over = {run.id for run in chosen}
        self.runs = [run for run in self.runs if run.id not in over] + list(answer.claimed)

    def _outcome(self) -> Outcome:
        rare = (Retried(ERROR, 0), Released())
        return self.random.choice(rare) if self.random.random() < 0.03 else Succeeded(b"r" * (self.jobs % 2 * 300))

    async def _same(self, deed: Any) -> Any:  # Any: what a storage answers
        ours, theirs = self.both
        found = await deed(ours)
        said = await answered(deed(theirs))
        assert said == repr(found), said[:600]
        return found


async def told(storage: Storage) -> list[object]:
    """All that a storage tells of jobs, limits, budgets and use."""
    events = await storage.read_events()
    use = [
        await storage.usage(query) for query in (UsageFilter(), UsageFilter(job_id=f"{1:032x}"), UsageFilter(tenant=""))
    ]
    return [
        *(await storage.list(JobFilter())).jobs,
        *(replace(event, cursor="") for event in events.events),
        *(await storage.metrics(MinuteFilter())).rows,
        await storage.count(),
        *await storage.get_limits(),
        *await storage.get_budgets(),
        *(page.rows for page in use),
    ]


async def reserved(storage: Storage) -> list[books.Reservation]:
    """The reservations that are stored, which nobody is told."""
    await storage.retire("elsewhere")
    found, cursor = list[books.Reservation](), None
    while True:
        page = await storage.dump(cursor=cursor)
        found += [one.reservation for one in page.records if isinstance(one, Reservation)]
        cursor = page.cursor
        if cursor is None:
            return sorted(found, key=lambda one: (one.job_id, one.fence, one.call))


@pytest.mark.parametrize("called", KINDS)
async def test_lives_of_jobs_that_limits_bind_are_told_as_the_model_tells_them(called: str) -> None:
    clock = Clock()
    async with stores.memory(clock) as ours, stores.redis(clock) as theirs:
        life = Life(clock, Random(11), KINDS[called], (ours, theirs))
        await life.begin()
        for _ in range(STEPS):
            await life.step()

        for one, other in zip(await told(ours), await told(theirs), strict=True):
            assert one == other
        assert await theirs.audit() == []
        for one, other in zip(await reserved(ours), await reserved(theirs), strict=True):
            assert one == other
