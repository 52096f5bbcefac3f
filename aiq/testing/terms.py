"""What random histories of admission draw from: what is stored, what jobs say of themselves, and how runs end.

Few of each, and scarce, so that jobs and calls meet.
"""

from dataclasses import replace

from hypothesis import strategies as st

from aiq.model import (
    BudgetSpec,
    Charge,
    Deferred,
    Died,
    Estimate,
    Held,
    HeldFor,
    JobError,
    LimitSpec,
    OnExceeded,
    Outcome,
    PriceRow,
    Released,
    Retried,
    RouteSpec,
    Sleeping,
    Succeeded,
    Suspended,
    Throttle,
    Usage,
    Waiting,
)

ERROR = JobError(type="RateLimited", message="429")
QUEUES, TENANTS, MODELS = ("q", "r"), ("", "acme", "bolt"), ("", "m", "n")
TURNS_MS = (0, 1, 7, 100, 100, 900, 3_000, 10_000, 60_000, 86_400_000, -50)

LIMITS = (
    LimitSpec(name="gpt", tokens=60_000, requests=600, burst_ms=10_000),
    LimitSpec(name="max", tokens=7_777, per_ms=9_973, burst_ms=9_000, charge=Charge.MAX, refund=False),
    LimitSpec(name="both", tokens=90_000, concurrency=2, charge=Charge.RESERVE, weights={"output": 1_500}),
    LimitSpec(name="units", concurrency=2),
    LimitSpec(name="tenant", tokens=30_000, burst_ms=10_000, concurrency=3, by="tenant"),
    LimitSpec(name="key", concurrency=1, by="key"),
    LimitSpec(name="rate", requests=60, burst_ms=2_000, by="key"),
)
NAMES = tuple(spec.name for spec in LIMITS)
CHANGED = (
    replace(LIMITS[0], tokens=30_000, ramp_ms=5_000),
    replace(LIMITS[0], requests=None),
    replace(LIMITS[2], concurrency=1),
    replace(LIMITS[2], tokens=None),
    replace(LIMITS[3], concurrency=4, requests=60),
    replace(LIMITS[4], tokens=300),
    LIMITS[0],
)
BUDGETS = (
    BudgetSpec(id="org", caps={"tokens": 60_000}),
    BudgetSpec(id="purse", parent="org", caps={"tokens": 15_000, "tokens.output": 9_000}),
    BudgetSpec(id="daily", parent="org", caps={"usd_micros": 20_000}, window="day", on_exceeded=OnExceeded.APPROVE),
    BudgetSpec(id="cheap", caps={"usd_micros": 6_000}, on_exceeded=OnExceeded.DEGRADE),
    BudgetSpec(id="strict", caps={"tokens": 4_000}, weights={"output": 3_000}, on_exceeded=OnExceeded.FAIL),
    BudgetSpec(id="tenant:bolt", caps={"tokens": 20_000}, parent="org"),
)
CHAINS = ((), (), ("purse",), ("daily",), ("cheap",), ("strict",), ("purse", "daily"))
PRICES = (
    PriceRow(model="m", category="input", usd_micros_per_million=1_300_001),
    PriceRow(model="m", category="output", usd_micros_per_million=2_900_000),
    PriceRow(model="n", category="input", usd_micros_per_million=300_000),
)

queues, picks = st.sampled_from(QUEUES), st.integers(0, 9)
names = st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple)
amounts = st.sampled_from((0, 1, 40, 700, 2_500, 2_500, 9_000, 20_000, 70_000))
small = st.sampled_from((0, 1, 40, 700, 2_500))
estimates = st.one_of(
    st.just(Estimate()),
    st.builds(Estimate, input=small, max_output=small, model=st.sampled_from(MODELS)),
    st.builds(Estimate, input=amounts, output=small, max_output=amounts, model=st.sampled_from(MODELS)),
    st.builds(Estimate, input=small, max_output=st.sampled_from((900, 9_000)), min_output=st.sampled_from((1, 500))),
)
routes = st.sampled_from(
    (
        (),
        (),
        (RouteSpec(name="one", model="m", limits=("gpt",), patience_ms=500), RouteSpec(name="two", model="n")),
        (RouteSpec(name="one", model="m", limits=("both",)), RouteSpec(name="two", model="n", limits=("max", "units"))),
    )
)
used = st.one_of(
    st.just(()),
    st.builds(lambda i, o: (Usage("m", i, o),), small, small),
    st.builds(lambda i, o: (Usage("", i, o, cache_read=7),), amounts, small),
    st.builds(lambda i: (Usage("n", i), Usage("m", 3, reasoning=5)), small),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(b"")),
    st.just(Succeeded(b"")),
    st.builds(Retried, st.just(ERROR), st.sampled_from((0, 50))),
    st.just(Died(ERROR)),
    st.builds(Released, st.sampled_from((0, 50))),
    st.just(Suspended("k", "go", 100)),
    st.builds(Sleeping, st.sampled_from("kl"), st.sampled_from((0, 50))),
    st.just(Waiting("k", None)),
    st.builds(
        Deferred,
        st.just(ERROR),
        st.sampled_from((0, 50, 1_000)),
        st.lists(
            st.builds(
                Throttle, limit=st.sampled_from(NAMES), tokens=small, retry_after_ms=st.sampled_from((None, 300))
            ),
            max_size=1,
        ).map(tuple),
        st.sampled_from((False, False, True)),
    ),
    st.builds(
        Held,
        reason=st.sampled_from((HeldFor.BUDGET, HeldFor.APPROVAL, HeldFor.QUOTA)),
        by=st.sampled_from(("purse", "daily", "ghost")),
        need=st.builds(lambda n: {"tokens": n}, amounts),
    ),
)
