"""The rules of budgets, prices and use in Lua, beside those in Python."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from aiq import bounds
from aiq.backends.redis import wire
from aiq.errors import Conflict, InvalidInput, NotFound
from aiq.model import (
    BudgetSpec,
    BudgetState,
    CallState,
    Draw,
    Need,
    Part,
    PriceRow,
    Reservation,
    Usage,
    Window,
)
from aiq.rules import budgets, drawing, prices, trees, usage
from aiq.rules.alike import Alike
from aiq.rules.books import Books
from tests.backends.redis.cases import MANY, NOW, compare, first, many, maybe

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
INSTANTS = st.integers(NOW - 3, NOW + 3)
ROWS = st.builds(PriceRow, model=st.just("m"), category=CATEGORIES, usd_micros_per_million=PRICE, from_ms=INSTANTS)
CALLS = st.tuples(
    NEEDS,
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=2),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from(CallState),
)
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
@given(many(st.tuples(st.sampled_from([None, "day", "month"]), INSTANT, INSTANT), 20))
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
@given(many(st.tuples(TOKENS, PRICES), 20))
def test_tokens_cost_the_same(cases: list[tuple[dict[str, int], dict[str, int]]]) -> None:
    compare(
        "return {prices.cost(case[1], case[2])}",
        cases,
        [list(prices.cost(tokens, charged)) for tokens, charged in cases],
        first,
    )


@MANY
@given(many(st.lists(ROWS, max_size=4), 20))
def test_the_same_prices_are_in_force(cases: list[list[PriceRow]]) -> None:
    kept = [sorted(rows, key=lambda row: (row.category, row.from_ms)) for rows in cases]

    compare(
        "return prices.in_force(case, step.now_ms)",
        [[[row.category, row.from_ms, row.usd_micros_per_million] for row in rows] for rows in kept],
        [[dict(prices.in_force(rows, NOW))] for rows in kept],
        read(dict),
    )


@MANY
@given(many(st.tuples(SPECS, STATES, NEEDS, PRICES), 20))
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
@given(
    many(st.tuples(SPECS, STATES, DRAWS, st.lists(TOKENS, max_size=2), st.sampled_from([0, 7, bounds.MAX_MONEY])), 20)
)
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
@given(many(st.tuples(SPECS, STATES, amounts_of(MONEY)), 20))
def test_a_budget_says_how_it_stands_in_the_same_words(cases: list[tuple[BudgetSpec, BudgetState, Any]]) -> None:
    capped = [case for case in cases if case[0].caps]

    compare(
        SHAPES + "return drawing.told(case.spec, case.state, case.wanted)",
        [{"spec": spec, "state": state, "wanted": wanted} for spec, state, wanted in capped],
        [drawing.told(*case) for case in capped],
        first,
    )


@MANY
@given(many(st.tuples(SPECS, amounts_of(MONEY)), 20))
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


BUDGETS = st.builds(
    BudgetSpec, id=st.sampled_from("abcdefghij"), parent=maybe(st.sampled_from("abcdefghij")), caps=st.just({})
)


@MANY
@given(many(st.tuples(st.lists(BUDGETS, max_size=4), st.lists(BUDGETS, max_size=6), st.booleans()), 20))
def test_the_same_budgets_are_stored_or_refused(cases: list[tuple[list[BudgetSpec], list[BudgetSpec], bool]]) -> None:
    def stored(budgets: list[BudgetSpec]) -> dict[str, BudgetSpec]:
        """Those of some whose chains are short and whole."""
        found: dict[str, BudgetSpec] = {}
        for spec in budgets:
            if spec.parent is None or (spec.parent in found and spec.id not in found):
                found.setdefault(spec.id, spec)
        return found

    def answer(before: list[BudgetSpec], asked: list[BudgetSpec], absent_only: bool) -> Any:
        try:
            wanted = trees.to_store(stored(before), asked, absent_only=absent_only)
        except NotFound as refused:
            return {"refused": "NotFound", "detail": [refused.job_id, str(refused)]}
        except Conflict as refused:
            return {"refused": "Conflict", "detail": {"message": str(refused), "reason": refused.reason}}
        return list(wanted.values())

    compare(
        "return trees.to_store(case.stored, case.budgets, case.absent_only)",
        [
            {"stored": stored(before), "budgets": asked, "absent_only": absent_only}
            for before, asked, absent_only in cases
        ],
        [answer(*case) for case in cases],
        lambda told: told if isinstance(told, dict) else [wire.heard(BudgetSpec, spec) for spec in told[0]],
    )


MODELS = st.sampled_from(["", "gpt", "claude 3"])
USED = st.lists(st.builds(Usage.known, MODELS, TOKENS.map(lambda tokens: dict(sorted(tokens.items())))), max_size=3)
STORED = """
local stored = {['claude 3'] = {{'input', 0, 7}, {'output', 5, 999999}}}
books.prices = function(model) return stored[model] or {} end
"""


@dataclass
class Prices:
    """Of all that books keep, the prices of one model."""

    now_ms: int = NOW
    alike: Alike = field(default_factory=Alike)

    def prices(self, model: str) -> Sequence[PriceRow]:
        known = [("input", 0, 7), ("output", 5, 999_999)] if model == "claude 3" else []
        return [
            PriceRow(model=model, category=name, from_ms=at, usd_micros_per_million=price) for name, at, price in known
        ]


@MANY
@given(many(st.tuples(USED, USED, NEEDS, PRICES, st.booleans(), st.sampled_from([4, 5])), 20))
def test_what_was_used_adds_up_and_is_worth_the_same(cases: list[Any]) -> None:
    def told(known: list[Usage], more: list[Usage], need: Need, charged: dict[str, int], guessed: bool, at: int) -> Any:
        used = usage.merged(known, more, "gpt")
        call = Reservation(job_id="j", fence=1, call=1, need=need, prices=charged, opened_at_ms=at)
        lines = usage.lines(cast(Books, Prices()), call, used, estimated=guessed)
        return [list(used), {" ".join(place): line._asdict() for place, line in lines.items()}]

    def heard(answer: list[Any]) -> Any:
        used = [Usage.known(one["model"], dict(sorted((one["tokens"] or {}).items()))) for one in answer[0]]
        return [used, {name.replace("\0", " "): line for name, line in (answer[1] or {}).items()}]

    compare(
        SHAPES + STORED + "local used = usage.merged(case.known, case.more, 'gpt')\n"
        "local call_ = {need = case.need, prices = case.prices, opened_at_ms = case.at_ms}\n"
        "return used, usage.lines(call_, used, case.guessed)",
        [
            {"known": known, "more": more, "need": need, "prices": charged, "guessed": guessed, "at_ms": at_ms}
            for known, more, need, charged, guessed, at_ms in cases
        ],
        [told(*case) for case in cases],
        heard,
    )


@MANY
@given(many(CALLS, 20))
def test_the_same_stands_for_a_call_of_which_nobody_says_what_it_used(cases: list[Any]) -> None:
    def call(need: Need, parts: list[tuple[int, int]], drawn: bool, number: int) -> Reservation:
        return Reservation(
            job_id="j",
            fence=1,
            call=number,
            need=need,
            parts=tuple(Part(limit="l", charge=charge, rest=rest) for charge, rest in parts),
            draws=(Draw(budget="b", window_ms=0),) if drawn else (),
        )

    calls = [call(*case[:4]) for case in cases]
    guesses = [usage.guess(one, case[4]) for one, case in zip(calls, cases, strict=True)]
    stands = [usage.standing(case[4], (), need) for need, case in zip(guesses, cases, strict=True)]
    compare(
        "local call_ = setmetatable(case.call, defaults.Reservation)\n"
        "setmetatable(call_.need, defaults.Need)\n"
        "for _, part in ipairs(call_.parts) do setmetatable(part, defaults.Part) end\n"
        "local need = usage.guess(call_, case.how)\n"
        "local used, guessed = usage.standing(case.how, {}, need)\n"
        "return need, used, guessed",
        [{"call": one, "how": case[4]} for one, case in zip(calls, cases, strict=True)],
        [[need, list(used), guessed] for need, (used, guessed) in zip(guesses, stands, strict=True)],
        lambda told: [wire.heard(Need, told[0] or {}), [uses(one) for one in told[1]], told[2]],
    )


def uses(told: dict[str, Any]) -> Usage:
    return Usage.known(told["model"], dict(sorted((told["tokens"] or {}).items())))


FIGURES = """
books.budget_state = function(id) return setmetatable(case.states[id], defaults.BudgetState) end
books.prices = function() return {{'input', 0, 2500000}, {'output', 0, 10000000}} end
"""


@dataclass
class Purse(Prices):
    """Of all that books keep, how some budgets stand."""

    states: Mapping[str, BudgetState] = field(default_factory=dict)

    def budget_state(self, budget_id: str, window_ms: int) -> BudgetState:
        return self.states[budget_id]

    def prices(self, model: str) -> Sequence[PriceRow]:
        return [
            PriceRow(model=model, category=name, usd_micros_per_million=price)
            for name, price in (("input", 2_500_000), ("output", 10_000_000))
        ]


SMALL = st.integers(0, 40) | MONEY
PURSES = st.lists(
    st.tuples(
        st.builds(BudgetSpec, id=st.just("b"), caps=amounts_of(SMALL)),
        st.builds(BudgetState, spent=amounts_of(SMALL), held=amounts_of(SMALL), granted=amounts_of(SMALL)),
        amounts_of(SMALL),
    ),
    max_size=3,
)
WANTS = st.builds(
    Need,
    model=st.just("m"),
    input=SMALL.map(lambda count: min(count, bounds.MAX_AMOUNT)),
    output=st.integers(0, 40),
    max_output=st.integers(0, 40) | COUNTS,
    min_output=maybe(st.integers(0, 20)),
    declared=st.booleans(),
    open_ended=st.booleans(),
)


@MANY
@given(many(st.tuples(PURSES, WANTS, st.booleans()), 20))
def test_a_call_may_hold_the_same_of_its_budgets(cases: list[tuple[list[Any], Need, bool]]) -> None:
    def arranged(purses: list[Any], given_back: bool) -> tuple[list[BudgetSpec], dict[str, BudgetState], list[Draw]]:
        specs = [structs.replace(spec, id=f"b{place}") for place, (spec, _, _) in enumerate(purses)]
        states = {f"b{place}": state for place, (_, state, _) in enumerate(purses)}
        draws = [Draw(budget=f"b{place}", window_ms=0, held=held) for place, (_, _, held) in enumerate(purses)]
        return specs, states, draws if given_back else []

    def told(purses: list[Any], need: Need, given_back: bool) -> Any:
        specs, states, draws = arranged(purses, given_back)
        books = cast(Books, Purse(states=states))
        fit = drawing.fit(books, specs, drawing.want(books, need), draws)
        if isinstance(fit, drawing.Short):
            return ["Short", fit.budget.id, fit.need, fit.text]
        assert isinstance(fit, drawing.Fit)
        return ["Fit", fit.want.need, [[draft.spec.id, draft.state, dict(draft.amounts)] for draft in fit.drafts]]

    def heard(answer: list[Any]) -> Any:
        (fit,) = answer
        if fit["is"] == "Short":
            return ["Short", fit["budget"]["id"], fit["need"] or {}, fit["text"]]
        drafts = [
            [one["spec"]["id"], wire.heard(BudgetState, one["state"] or {}), one["amounts"] or {}]
            for one in fit["drafts"]
        ]
        return ["Fit", wire.heard(Need, fit["want"]["need"]), drafts]

    def case(purses: list[Any], need: Need, given_back: bool) -> dict[str, Any]:
        specs, states, draws = arranged(purses, given_back)
        return {"specs": specs, "states": states, "draws": draws, "need": need}

    compare(
        SHAPES + FIGURES + "for _, spec in ipairs(case.specs) do setmetatable(spec, defaults.BudgetSpec) end\n"
        "for _, draw in ipairs(case.draws) do setmetatable(draw, defaults.Draw) end\n"
        "return drawing.fit(case.specs, drawing.want(case.need), case.draws)",
        [case(*one) for one in cases],
        [told(*one) for one in cases],
        heard,
    )
