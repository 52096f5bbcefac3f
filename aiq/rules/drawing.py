"""The budgets that a job draws from, and what a call may hold of them. Spec: chapter 11."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from aiq.errors import PriceUnknown
from aiq.model import (
    TOKENS,
    USD_MICROS,
    Amounts,
    BudgetSpec,
    BudgetState,
    Draw,
    HeldFor,
    JobRecord,
    JobSpec,
    Need,
    none,
)
from aiq.policy import counted, dollars, money
from aiq.rules import budgets, prices
from aiq.rules.alike import Want
from aiq.rules.books import Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """The first budget of the chain that has no room for `need`; `text` says so with the figures."""

    budget: BudgetSpec
    need: Amounts = field(default_factory=none)
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """No waiting helps: the job is to be held for its size or its price, by that limit or model."""

    reason: HeldFor
    by: str
    text: str


class Draft(Struct, frozen=True, gc=False):
    """What is to be held of one budget."""

    spec: BudgetSpec
    state: BudgetState
    amounts: Amounts


class Fit(Struct, frozen=True, gc=False):
    """What a call may hold of its chain, with what it wants as far as that had to shrink."""

    want: Want
    drafts: Sequence[Draft]


def own_chain(books: Books, spec: JobSpec) -> list[BudgetSpec]:
    """The budgets that a job names, and their ancestors."""
    return _chain(books, spec.budgets)


def chain(books: Books, record: JobRecord) -> list[BudgetSpec]:
    """Every budget that a job draws from, the nearest first, none of them twice."""
    if not record.tenant:
        return _chain(books, record.budgets) if record.budgets else []
    return _chain(books, (*record.budgets, f"tenant:{record.tenant}"))


def in_money(budgets: Iterable[BudgetSpec]) -> BudgetSpec | None:
    """The first budget that has a ceiling in money."""
    for spec in budgets:
        if USD_MICROS in spec.caps:
            return spec
    return None


def prices_of(books: Books, model: str, at_ms: int) -> Mapping[str, int]:
    """The prices of a model by category at an instant; empty where nobody stored any, or the model is not known."""
    return prices.in_force(books.prices(model), at_ms) if model else none()


def state_of(books: Books, spec: BudgetSpec) -> BudgetState:
    """How a budget stands in its present window."""
    return books.budget_state(spec.id, budgets.window_start(spec.window, books.now_ms))


def want(books: Books, need: Need) -> Want:
    """What a call of some need wants in this step."""
    found = books.alike.wants.get(need)
    if found is None:
        found = books.alike.wants[need] = Want(need, prices_of(books, need.model, books.now_ms))
    return found


def fit(books: Books, specs: Sequence[BudgetSpec], wanted: Want, given: Sequence[Draw] = ()) -> Fit | Short | Hopeless:
    """What a call may hold of each budget of its chain, if `given` were given back before. Writes nothing.

    Where a budget has too little room, a need with a `min_output` shrinks to the most output that fits, and one that
    nobody declared to the room that is left. BUDGET-1, BUDGET-8, HOLD-8
    """
    if not specs:
        return Fit(wanted, ())
    priced = in_money(specs)
    if priced is not None and wanted.need.model and not wanted.prices:
        text = str(PriceUnknown(wanted.need.model, priced.id))
        return Hopeless(reason=HeldFor.PRICE, by=wanted.need.model, text=text)
    drafts, shrunk, lacking = [], wanted, False
    for spec in specs:
        state = state_of(books, spec)
        if given:
            state = _without(state, spec, given)
        amounts = shrunk.amounts(spec)
        if not budgets.fits(spec, state, amounts):
            answer = _shrunk(spec, state, shrunk)
            if isinstance(answer, Short):
                return answer
            shrunk, lacking = want(books, answer), True
        drafts.append(Draft(spec, state, amounts))
    if lacking:
        # Also where the need is as before: its amounts are then what there is room for.
        drafts = [_draft(draft.spec, draft.state, shrunk.need, shrunk.prices) for draft in drafts]
    return Fit(shrunk, drafts)


def hold(books: Books, drafts: Iterable[Draft]) -> tuple[Draw, ...]:
    """Hold what was drafted."""
    draws = []
    for draft in drafts:
        name, state = draft.spec.id, draft.state
        books.put_budget_state(name, budgets.drawn(state, draft.amounts))
        draws.append(Draw(budget=name, window_ms=state.window_ms, held=draft.amounts))
    return tuple(draws)


def hold_instead(books: Books, drafts: Iterable[Draft], given: Sequence[Draw]) -> tuple[Draw, ...]:
    """Hold what was drafted as if `given` had been given back, and give those back: one change for each budget."""
    found = list(drafts)
    drafted = {(one.spec.id, one.state.window_ms) for one in found}
    before = [(one.spec.id, books.budget_state(one.spec.id, one.state.window_ms)) for one in found]
    draws = hold(books, found)
    for name, state in before:
        put(books, name, state, books.budget_state(name, state.window_ms))
    for draw in given:
        if (draw.budget, draw.window_ms) not in drafted:
            state = books.budget_state(draw.budget, draw.window_ms)
            put(books, draw.budget, state, budgets.returned(state, draw))
    return draws


def settled(draw: Draw, old: BudgetState, new: BudgetState) -> Draw:
    """A draw that holds nothing any more, with what the step has spent for it."""
    return replace(draw, held=none(), spent=budgets.total(draw.spent, budgets.less(new.spent, old.spent)))


def put(books: Books, budget: str, old: BudgetState, new: BudgetState) -> None:
    """Write how a budget stands, and say so when it has more room than before. HOLD-4"""
    books.put_budget_state(budget, new)
    spec = books.budget(budget)
    for kind in spec.caps if spec is not None else ():
        if _used(new, kind) < _used(old, kind):
            books.room_appeared(budget)
            return


def told(spec: BudgetSpec, state: BudgetState, need: Amounts) -> str:
    """Say how a budget stands, beside what was asked of it."""
    room = budgets.room(spec, state)
    lacking = [kind for kind in sorted(spec.caps) if need.get(kind, 0) > room.get(kind, 0)] or sorted(spec.caps)
    kind = lacking[0]
    cap = spec.caps[kind] + state.granted.get(kind, 0)
    asked = need.get(kind, 0)
    are = "is" if asked == 1 and kind != USD_MICROS else "are"
    return (
        f'Budget "{spec.id}" has {_figure(kind, max(0, room[kind]))} left of {_figure(kind, cap)}, '
        f"and {_figure(kind, asked)} {are} needed."
    )


def _used(state: BudgetState, kind: str) -> int:
    return state.spent.get(kind, 0) + state.held.get(kind, 0)


def _chain(books: Books, ids: Iterable[str]) -> list[BudgetSpec]:
    found: dict[str, BudgetSpec] = {}
    names = list(ids)
    for name in names:
        spec = books.budget(name) if name not in found else None
        if spec is not None:
            found[name] = spec
            if spec.parent is not None:
                names.append(spec.parent)
    return list(found.values())


def _without(state: BudgetState, spec: BudgetSpec, given: Sequence[Draw]) -> BudgetState:
    """A budget's state as if a draw on it had been given back; one of another window does not matter to it."""
    for draw in given:
        if draw.budget == spec.id and draw.window_ms == state.window_ms:
            return budgets.returned(state, draw)
    return state


def _shrunk(spec: BudgetSpec, state: BudgetState, wanted: Want) -> Need | Short:
    """A need that a budget can hold, if the need can shrink so far."""
    need, charged = wanted.need, wanted.prices
    largest = budgets.largest_output(spec, state, need, charged)
    if need.declared:
        if need.min_output is not None and largest >= need.min_output:
            return _asking(need, largest)
        least = need if need.min_output is None else _asking(need, min(need.min_output, need.max_output))
        amounts = budgets.amounts(spec, least, charged)
        return Short(budget=spec, need=amounts, text=told(spec, state, amounts))
    smaller = _asking(need, min(need.max_output, max(1, largest)))
    amounts = _draft(spec, state, smaller, charged).amounts
    if budgets.fits(spec, state, amounts):
        return smaller
    return Short(budget=spec, need=amounts, text=told(spec, state, amounts))


def _draft(spec: BudgetSpec, state: BudgetState, need: Need, charged: Mapping[str, int]) -> Draft:
    amounts = budgets.amounts(spec, need, charged)
    if not need.declared:
        room = budgets.room(spec, state)
        amounts = {kind: min(amount, max(1, room.get(kind, amount))) for kind, amount in amounts.items()}
    return Draft(spec, state, amounts)


def _asking(need: Need, output: int) -> Need:
    kept = need.open_ended and output >= need.max_output
    return replace(need, max_output=output, output=min(need.output, output), open_ended=kept)


def _figure(kind: str, amount: int) -> str:
    if kind == USD_MICROS:
        return money(dollars(amount))
    category = kind.removeprefix(TOKENS).removeprefix(".")
    return counted(amount, f"{category} token" if category else "token")
