"""The rules of runs, budgets, prices and use in Lua, beside those in Python."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.errors import InvalidInput
from aiq.model import (
    BudgetSpec,
    BudgetState,
    Cancelled,
    Cause,
    Deferred,
    Died,
    Draw,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    Lease,
    Need,
    Outcome,
    PriceRow,
    Released,
    Retried,
    RouteSpec,
    Sleeping,
    State,
    StepKind,
    Succeeded,
    Suspended,
    Usage,
    Wait,
    Waiting,
    Window,
)
from aiq.rules import budgets, deadlines, drawing, failures, leases, prices, settling, waits
from tests.backends.redis.lua import run

MANY = settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow], database=None
)
"""Each example is a list of cases, which one script goes through. A failure names its case, so nothing is shrunk."""
JOB = "setmetatable(case.job, defaults.JobRecord) "
NOW = 1_000_000_000
INSTANTS = st.integers(NOW - 3, NOW + 3)
_Case = TypeVar("_Case")


def many(cases: st.SearchStrategy[_Case]) -> st.SearchStrategy[list[_Case]]:
    return st.lists(cases, min_size=20, max_size=60)


def maybe(values: st.SearchStrategy[_Case]) -> st.SearchStrategy[_Case | None]:
    return st.none() | values


ERRORS = st.builds(
    JobError,
    type=st.text(max_size=3),
    message=st.text(max_size=3).map(lambda text: text * 3_000),
    traceback=st.text(alphabet="a\0é€😀", max_size=4).map(lambda text: text * 1_400),
    cause=st.sampled_from(Cause),
    fingerprint=st.sampled_from(["", "f" * 32]),
    code=st.text(alphabet="aé€😀", max_size=100),
    pattern=st.text(alphabet="aé€😀", max_size=3).map(lambda text: text * 130),
)
DELAYS = st.sampled_from([0, 1, 1_000, bounds.MAX_DELAY_MS, bounds.MAX_DELAY_MS + 1])
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(b"")),
    st.builds(Retried, error=ERRORS, delay_ms=DELAYS),
    st.builds(Died, error=ERRORS),
    st.just(Cancelled()),
    st.builds(Released, delay_ms=DELAYS),
    st.builds(Suspended, key=st.just("k"), signal=st.just("s"), timeout_ms=maybe(DELAYS)),
    st.builds(Waiting, key=st.just("k"), need=st.none()),
    st.builds(Sleeping, key=st.just("k"), delay_ms=DELAYS),
    st.builds(Deferred, error=ERRORS, delay_ms=DELAYS, close_route=st.booleans()),
    st.builds(Held, reason=st.sampled_from(HeldFor)),
)
ROUTES = (RouteSpec(name="a"), RouteSpec(name="b"), RouteSpec(name="c"))
JOBS = st.builds(
    JobRecord,
    id=st.just("j"),
    task=st.just("t"),
    state=st.sampled_from(State),
    owner=st.just("w"),
    max_attempts=st.integers(1, 3),
    max_stalls=st.integers(1, 3),
    failures=st.integers(0, 3),
    stalls=st.integers(0, 3),
    fence=st.integers(0, 2),
    lease_id=st.sampled_from(["a", "b"]),
    expires_at_ms=maybe(INSTANTS),
    deadline_ms=maybe(INSTANTS),
    cancel_requested_at_ms=maybe(INSTANTS),
    deferred_at_ms=maybe(INSTANTS),
    max_deferral_ms=st.integers(0, 2),
    routes=st.just(ROUTES),
    route=st.integers(0, 2),
    closed_routes=st.integers(0, 7),
)


def outcome(one: Outcome) -> dict[str, Any]:
    return {"kind": type(one).__name__, **wire.said(one)}


def compare(body: str, cases: Sequence[Any], expected: Sequence[Any], read: Callable[[Any], Any]) -> None:
    found = [read(answer) for answer in run(body, cases, now_ms=NOW)]
    for case, right, said in zip(cases, expected, found, strict=True):
        assert said == right, case


def first(answer: list[Any]) -> Any:
    return answer[0] if answer else None


def changed(answer: list[Any]) -> settling.Change:
    return wire.heard(settling.Change, answer[0])


@MANY
@given(many(st.tuples(JOBS, OUTCOMES)))
def test_a_settlement_takes_a_job_to_the_same_state(cases: list[tuple[JobRecord, Outcome]]) -> None:
    compare(
        f"return settling.after(case.outcome, {JOB}, step.now_ms)",
        [{"job": job, "outcome": outcome(one)} for job, one in cases],
        [settling.after(one, job, NOW) for job, one in cases],
        changed,
    )


@MANY
@given(many(JOBS))
def test_a_revoked_run_takes_a_job_to_the_same_state(jobs: list[JobRecord]) -> None:
    cases = [{"job": job} for job in jobs]

    compare(
        f"return settling.after_expiry({JOB}, step.now_ms)",
        cases,
        [settling.after_expiry(job, NOW) for job in jobs],
        changed,
    )
    compare(
        f"return settling.after_grace({JOB}, step.now_ms)",
        cases,
        [settling.after_grace(job, NOW) for job in jobs],
        changed,
    )


@MANY
@given(many(st.tuples(maybe(JOBS), st.builds(Lease, st.just("j"), st.integers(0, 2), st.sampled_from(["a", "b"])))))
def test_a_lease_is_lost_for_the_same_reason(cases: list[tuple[JobRecord | None, Lease]]) -> None:
    told = [leases.lost_or_expired(job, lease, NOW) for job, lease in cases]

    compare(
        "if case.job then setmetatable(case.job, defaults.JobRecord) end\n"
        "return leases.lost_or_expired(case.job, case.lease, step.now_ms)",
        [{"lease": lease} | ({"job": job} if job else {}) for job, lease in cases],
        [lost.reason if lost else None for lost in told],
        first,
    )


@MANY
@given(many(st.tuples(JOBS, maybe(INSTANTS), maybe(st.integers(0, 3)))))
def test_a_deadline_is_the_first_of_those_that_were_named(
    cases: list[tuple[JobRecord, int | None, int | None]],
) -> None:
    named = [(replace(job, expires_ms=expires_ms), parent_ms) for job, parent_ms, expires_ms in cases]

    compare(
        f"return deadlines.effective_ms({JOB}, case.parent_ms, step.now_ms)",
        [{"job": job} | ({} if parent_ms is None else {"parent_ms": parent_ms}) for job, parent_ms in named],
        [deadlines.effective_ms(job, parent_ms, NOW) for job, parent_ms in named],
        first,
    )


@MANY
@given(many(st.tuples(JOBS, st.lists(ERRORS, max_size=bounds.MAX_ERRORS), ERRORS)))
def test_an_error_is_written_down_as_the_same(cases: list[tuple[JobRecord, list[JobError], JobError]]) -> None:
    jobs = [replace(job, id=str(place), errors=tuple(kept)) for place, (job, kept, _) in enumerate(cases)]
    stored = [
        {"job": replace(job, errors=()), "kept": kept, "error": error}
        for job, (_, kept, error) in zip(jobs, cases, strict=True)
    ]

    compare(
        f"jobs.put_errors(case.job.id, case.kept)\nreturn failures.appended({JOB}, case.error, step.now_ms)",
        stored,
        [failures.appended(job, error, NOW) for job, (_, _, error) in zip(jobs, cases, strict=True)],
        lambda answer: tuple(wire.heard(JobError, error) for error in answer[0]),
    )


@MANY
@given(many(JOBS))
def test_the_errors_that_a_store_makes_say_the_same(jobs: list[JobRecord]) -> None:
    for name, of in (
        ("deadlines.deadline_passed", deadlines.deadline_passed),
        ("failures.lease_expired", failures.lease_expired),
        ("failures.upstream_failed", failures.upstream_failed),
    ):
        compare(
            f"return {name}({JOB})",
            [{"job": job} for job in jobs],
            [of(job) for job in jobs],
            lambda answer: wire.heard(JobError, answer[0]),
        )


WAITS = st.builds(
    Wait,
    key=st.just("k"),
    total=st.integers(0, 4),
    succeeded=st.integers(0, 2),
    failed=st.integers(0, 2),
    need=maybe(st.integers(0, 4)),
    first_failed=maybe(st.just("f")),
)


@MANY
@given(many(st.tuples(WAITS, st.booleans())))
def test_a_wait_is_over_at_the_same_end(cases: list[tuple[Wait, bool]]) -> None:
    compare(
        "local wait = waits.counted(setmetatable(case.wait, defaults.Wait), 'u', case.succeeded)\n"
        "return wait, waits.verdict(wait)",
        [{"wait": wait, "succeeded": succeeded} for wait, succeeded in cases],
        [[after, waits.verdict(after)] for after in (waits.counted(one, "u", succeeded=good) for one, good in cases)],
        lambda answer: [wire.heard(Wait, answer[0]), answer[1] if len(answer) > 1 else None],
    )


@MANY
@given(many(st.tuples(WAITS, st.booleans(), st.lists(st.sampled_from("abc"), max_size=3))))
def test_a_wait_that_is_over_is_remembered_as_the_same(cases: list[tuple[Wait, bool, list[str]]]) -> None:
    kinds = [StepKind.CHILDREN if good else StepKind.CHILD_FAILED for _, good, _ in cases]
    steps = [waits.remembered(wait, kind, won, 7) for (wait, _, won), kind in zip(cases, kinds, strict=True)]

    compare(
        "return waits.remembered(setmetatable(case.wait, defaults.Wait), case.kind, case.winners, 7)",
        [{"wait": wait, "kind": kind, "winners": won} for (wait, _, won), kind in zip(cases, kinds, strict=True)],
        [[{"kind": one.kind, "fence": one.fence}, one.value.decode()] for one in steps],
        lambda answer: answer,
    )


KINDS = ["tokens", "usd_micros", "tokens.input", "tokens.output", "tokens.cache_read"]
MONEY = st.sampled_from([1, 2, 7, 999_999, 10**12, bounds.MAX_MONEY - 1, bounds.MAX_MONEY])
LEVELS = MONEY | st.sampled_from([-3, 2**52, bounds.MAX_LEVEL - 1, bounds.MAX_LEVEL])
COUNTS = st.sampled_from([0, 1, 2, 999, 1_000_001, bounds.MAX_AMOUNT - 1, bounds.MAX_AMOUNT]) | st.integers(0, 10**12)
PRICE = st.sampled_from([0, 1, 3, 2_500_000, 10**15 - 1, 10**15]) | st.integers(0, 10**10)


def amounts_of(values: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(st.sampled_from(KINDS), values, max_size=4)


CATEGORIES = st.sampled_from(["input", "output", "cache_read", "reasoning"])
SPECS = st.builds(
    BudgetSpec,
    id=st.just("b"),
    caps=amounts_of(MONEY),
    weights=st.dictionaries(CATEGORIES, st.sampled_from([0, 1, 1_500, bounds.MAX_WEIGHT]), max_size=2),
    window=st.sampled_from([None, "day", "month"]),
)
STATES = st.builds(
    BudgetState, window_ms=st.just(0), spent=amounts_of(LEVELS), held=amounts_of(MONEY), granted=amounts_of(MONEY)
)
DRAWS = st.builds(Draw, budget=st.just("b"), window_ms=st.just(0), held=amounts_of(MONEY), spent=amounts_of(MONEY))
NEEDS = st.builds(
    Need,
    model=st.just("m"),
    input=COUNTS,
    output=COUNTS,
    max_output=COUNTS,
    min_output=maybe(COUNTS),
    declared=st.booleans(),
    open_ended=st.booleans(),
)
PRICES = st.dictionaries(CATEGORIES, PRICE, max_size=3)
TOKENS = st.dictionaries(CATEGORIES, COUNTS, max_size=4)
INSTANT = st.integers(0, bounds.MAX_INSTANT_MS) | st.integers(0, 4 * 10**12)
SHAPES = """
if case.spec then setmetatable(case.spec, defaults.BudgetSpec) end
if case.state then setmetatable(case.state, defaults.BudgetState) end
if case.draw then setmetatable(case.draw, defaults.Draw) end
if case.need then setmetatable(case.need, defaults.Need) end
"""


def read(*kinds: type[Any]) -> Callable[[list[Any]], list[Any]]:
    """Read each of the values that a body returned as one of its class."""
    return lambda answer: [
        (value or {}) if kind is dict else value if kind in (bool, int) else wire.heard(kind, value or {})
        for kind, value in zip(kinds, answer, strict=True)
    ]


@MANY
@given(many(st.tuples(st.sampled_from([None, "day", "month"]), INSTANT, INSTANT)))
def test_windows_begin_and_end_at_the_same_instants(cases: list[tuple[Window | None, int, int]]) -> None:
    compare(
        "local spec = setmetatable({window = case[1]}, defaults.BudgetSpec)\n"
        "return budgets.window_start(case[1] or nil, case[2]), budgets.is_over(spec, case[3], case[2]),\n"
        "budgets.window_end(case[1] or nil, case[2])",
        [[window or False, at_ms, other_ms] for window, at_ms, other_ms in cases],
        [
            [budgets.window_start(window, at_ms), budgets.is_over(BudgetSpec(id="b", window=window), other_ms, at_ms)]
            + ([] if window is None else [budgets.window_end(window, at_ms)])
            for window, at_ms, other_ms in cases
        ],
        lambda answer: answer,
    )


@MANY
@given(many(st.tuples(TOKENS, PRICES)))
def test_tokens_cost_the_same(cases: list[tuple[dict[str, int], dict[str, int]]]) -> None:
    compare(
        "return {prices.cost(case[1], case[2])}",
        cases,
        [list(prices.cost(tokens, charged)) for tokens, charged in cases],
        first,
    )


@MANY
@given(many(st.lists(st.builds(PriceRow, model=st.just("m"), category=CATEGORIES, usd_micros_per_million=PRICE, from_ms=INSTANTS), max_size=4)))  # fmt: skip
def test_the_same_prices_are_in_force(cases: list[list[PriceRow]]) -> None:
    kept = [sorted(rows, key=lambda row: (row.category, row.from_ms)) for rows in cases]

    compare(
        "return prices.in_force(case, step.now_ms)",
        [[[row.category, row.from_ms, row.usd_micros_per_million] for row in rows] for rows in kept],
        [[dict(prices.in_force(rows, NOW))] for rows in kept],
        read(dict),
    )


@MANY
@given(many(st.tuples(SPECS, STATES, NEEDS, PRICES)))
def test_a_budget_holds_the_same(cases: list[tuple[BudgetSpec, BudgetState, Need, dict[str, int]]]) -> None:
    def told(spec: BudgetSpec, state: BudgetState, need: Need, charged: dict[str, int]) -> list[Any]:
        wanted = budgets.amounts(spec, need, charged)
        # Room far below zero is never told.
        room = {name: max(amount, -bounds.MAX_LEVEL) for name, amount in budgets.room(spec, state).items()}
        return [
            wanted,
            budgets.fits(spec, state, wanted),
            budgets.largest_output(spec, state, need, charged),
            budgets.drawn(state, wanted),
            room,
            budgets.ceiling(spec, state),
        ]

    compare(
        SHAPES + "local wanted = budgets.amounts(case.spec, case.need, case.prices)\n"
        "local fits = budgets.fits(case.spec, case.state, wanted)\n"
        "local largest = budgets.largest_output(case.spec, case.state, case.need, case.prices)\n"
        "local room = budgets.room(case.spec, case.state)\n"
        "for name, amount in pairs(room) do room[name] = math.max(amount, -bounds.MAX_LEVEL) end\n"
        "return wanted, fits, largest, budgets.drawn(case.state, wanted), room,\n"
        "budgets.ceiling(case.spec, case.state)",
        [{"spec": spec, "state": state, "need": need, "prices": charged} for spec, state, need, charged in cases],
        [told(*case) for case in cases],
        read(dict, bool, int, BudgetState, dict, dict),
    )


@MANY
@given(many(st.tuples(SPECS, STATES, DRAWS, st.lists(TOKENS, max_size=2), st.sampled_from([0, 7, bounds.MAX_MONEY]))))
def test_a_budget_spends_the_same(
    cases: list[tuple[BudgetSpec, BudgetState, Draw, list[dict[str, int]], int]],
) -> None:
    def told(spec: BudgetSpec, state: BudgetState, draw: Draw, used: list[dict[str, int]], money: int) -> list[Any]:
        spent = budgets.amounts_used(spec, [Usage.known("m", tokens) for tokens in used], {}, money)
        return [
            *budgets.reported(state, draw, spent),
            budgets.settled(state, draw, spent),
            budgets.returned(state, draw),
            budgets.spent_in_full(state, draw),
        ]

    compare(
        SHAPES + "local used = budgets.amounts_used(case.spec, case.used, {}, case.money)\n"
        "local state, draw = budgets.reported(case.state, case.draw, used)\n"
        "return state, draw, budgets.settled(case.state, case.draw, used), budgets.returned(case.state, case.draw),\n"
        "budgets.spent_in_full(case.state, case.draw)",
        [
            {
                "spec": spec,
                "state": state,
                "draw": draw,
                "used": [Usage.known("m", tokens) for tokens in used],
                "money": money,
            }
            for spec, state, draw, used, money in cases
        ],
        [told(*case) for case in cases],
        read(BudgetState, Draw, BudgetState, BudgetState, BudgetState),
    )


@MANY
@given(many(st.tuples(SPECS, STATES, amounts_of(MONEY))))
def test_a_budget_says_how_it_stands_in_the_same_words(cases: list[tuple[BudgetSpec, BudgetState, Any]]) -> None:
    capped = [case for case in cases if case[0].caps]

    compare(
        SHAPES + "return drawing.told(case.spec, case.state, case.wanted)",
        [{"spec": spec, "state": state, "wanted": wanted} for spec, state, wanted in capped],
        [drawing.told(*case) for case in capped],
        first,
    )


@MANY
@given(many(st.tuples(SPECS, amounts_of(MONEY))))
def test_a_grant_is_refused_in_the_same_words(cases: list[tuple[BudgetSpec, dict[str, int]]]) -> None:
    def refusal(spec: BudgetSpec, amounts: dict[str, int]) -> Any:
        try:
            budgets.check_grant(spec, amounts)
        except InvalidInput as refused:
            return {"refused": "InvalidInput", "detail": [str(refused)]}
        return []

    compare(
        SHAPES + "budgets.check_grant(case.spec, case.amounts)",
        [{"spec": spec, "amounts": amounts} for spec, amounts in cases],
        [refusal(*case) for case in cases],
        lambda answer: answer,
    )
