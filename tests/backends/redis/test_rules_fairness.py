"""The rules of fairness and routes in Lua, beside those in Python."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.model import (
    Cancelled,
    Deferred,
    Died,
    Estimate,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    LimitSpec,
    Outcome,
    Released,
    Retried,
    RouteSpec,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Waiting,
)
from aiq.rules import fairness, routes
from aiq.rules.dispatch import _next_open
from tests.backends.redis.cases import MANY, NOW, TOP, compare, given_, many, maybe, near

JOB = "setmetatable(case.job, defaults.JobRecord)"


@MANY
@given(many(st.text(max_size=bounds.MAX_OPAQUE_BYTES // 4)))
def test_a_tenant_has_the_same_digest(tenants: list[str]) -> None:
    tenants += ["a" * size for size in (0, 54, 55, 56, 63, 64, 65, 119, 120, 128, 256)]

    compare("return fairness.digest(case)", tenants, list(map(fairness.digest, tenants)))


SERVICES = near(0, low=0, high=2**52)


@MANY
@given(many(st.tuples(SERVICES, maybe(SERVICES), near(0, low=-(10**15), high=10**15), st.integers(1, 10**6))))
def test_service_rises_and_is_lifted_alike(cases: list[tuple[int, int | None, int, int]]) -> None:
    cases = [case for case in cases if abs(fairness.risen(case[0], case[2], case[3])) < TOP]

    compare(
        "local own, least, cost, weight = case.own, case.least, case.cost, case.weight\n"
        "local lifted, adds_nothing = fairness.lifted(own, least, 5), fairness.adds_nothing(own, least, 5)\n"
        "return lifted, adds_nothing, fairness.risen(own, cost, weight)",
        [given_(own=own, least=least, cost=cost, weight=weight) for own, least, cost, weight in cases],
        [
            [
                fairness.lifted(own, least, 5),
                fairness.adds_nothing(own, least, 5),
                fairness.risen(own, cost, weight),
            ]
            for own, least, cost, weight in cases
        ],
        lambda answer: answer,
    )


NAMES = ["b", "B", "a-1", "a.1", "a1", "c_"]
LIMITS: Mapping[str, LimitSpec] = {
    name: LimitSpec(name=name, tokens=60, by=by)  # type: ignore[arg-type] # mypy widens a literal of a list
    for name, by in zip(NAMES, [None, None, None, "tenant", "key", None], strict=True)
}
TAKEN = st.lists(st.sampled_from([*NAMES, "gone"]), max_size=4).map(tuple)
MODELS = st.sampled_from(["", "m"])
PATIENCE = maybe(st.sampled_from([0, 999, 1_001]))
ROUTES = st.lists(
    st.builds(RouteSpec, name=st.just("r"), model=MODELS, limits=TAKEN, patience_ms=PATIENCE), max_size=4
).map(tuple)


@st.composite
def jobs(draw: st.DrawFn) -> JobRecord:
    ways = draw(ROUTES)
    return JobRecord(
        id="j",
        task="t",
        state=State.READY,
        tenant=draw(st.sampled_from(["", "acme"])),
        limits=draw(TAKEN),
        routes=ways,
        route=draw(st.integers(0, max(0, len(ways) - 1))),
        closed_routes=draw(st.integers(0, 2 ** len(ways) - 1)),
        estimate=draw(maybe(st.builds(Estimate, model=MODELS))),
    )


@MANY
@given(many(jobs()))
def test_a_job_stands_in_the_same_pool_and_takes_the_same_route(records: list[JobRecord]) -> None:
    compare(
        "for name, spec in pairs(case.limits) do rows.put('limits', name, spec) end\n"
        f"return fairness.pool({JOB}), routes.open_routes({JOB}, case.job.closed_routes or 0),"
        f" routes.next_route({JOB}, 0)",
        [{"job": record, "limits": LIMITS} for record in records],
        [
            [
                fairness.pool_of(LIMITS, record),
                list(routes.open_routes(record, record.closed_routes)),
                routes.next_route(record, 0),
            ]
            for record in records
        ],
        lambda answer: [*answer, None][:3],
    )


ERROR = JobError(type="E", message="")
OUTCOMES: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Succeeded(b""),
        Died(ERROR),
        Retried(ERROR, 0),
        Cancelled(),
        Released(),
        Suspended("k", "s"),
        Waiting("k", None),
        Sleeping("k", 1),
        Held(reason=HeldFor.OPERATOR),
        Deferred(ERROR, 1),
        Deferred(ERROR, 0, close_route=True),
    ]
)
INSTANTS = maybe(st.just(NOW - 1))


@MANY
@given(many(st.tuples(jobs(), OUTCOMES, INSTANTS, INSTANTS)))
def test_a_run_leaves_the_same_for_the_next_one(
    cases: list[tuple[JobRecord, Outcome, int | None, int | None]],
) -> None:
    found = [
        (replace(record, cancel_requested_at_ms=asked_ms, deferred_at_ms=since_ms), outcome)
        for record, outcome, asked_ms, since_ms in cases
        if record.routes
    ]

    compare(
        f"local course = routes.course(case.outcome, {JOB}, step.now_ms)\n"
        "if course.deferred_at_ms == none then course.deferred_at_ms = nil end\n"
        f"return course, routes.patience_anew_ms({JOB}), routes.next_open({JOB})",
        [
            {"job": record, "outcome": {"kind": type(outcome).__name__, **wire.said(outcome)}}
            for record, outcome in found
        ],
        [
            [
                given_(**asdict(routes.course(outcome, record, NOW))),
                routes.patience_anew_ms(record),
                _next_open(record),
            ]
            for record, outcome in found
        ],
        lambda answer: [*answer, None][:3],
    )
