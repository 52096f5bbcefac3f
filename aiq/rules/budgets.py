"""What a budget holds and has spent, and what still fits into it. Spec: chapter 11.

A reservation holds the most that it may spend, in the step that admits it, and spends what it used when it ends.

Source: authorise, then capture, as in card payments. A budget that is only checked after the fact is overspent by
everything in flight.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from aiq import bounds
from aiq.errors import InvalidInput
from aiq.model import (
    INPUT,
    OUTPUT,
    TOKENS,
    USD_MICROS,
    Amounts,
    BudgetSpec,
    BudgetState,
    Draw,
    Need,
    OnExceeded,
    Usage,
    Window,
)
from aiq.model.usage import check_category
from aiq.rules.charging import total_of, weighted
from aiq.rules.checks import check_count, check_opaque, check_range, check_weights
from aiq.rules.prices import cost

_DAY_MS: Final = 24 * 3_600_000
_CATEGORY: Final = f"{TOKENS}."


def check_budget(spec: BudgetSpec) -> None:
    """Refuse a budget with an improper id, parent or window, or a figure that is out of range. Spec: BUDGET-1

    Raises:
        InvalidInput: the text says what to pass instead.
    """
    check_whose(spec)
    check_amounts(f'caps of budget "{spec.id}"', spec.caps)
    check_weights(f'budget "{spec.id}"', spec.weights)
    if spec.window not in (None, "day", "month"):
        raise InvalidInput(
            f'The window of budget "{spec.id}" is {spec.window!r:.100}; pass "day", "month", or nothing.'
        )
    if spec.on_exceeded not in tuple(OnExceeded):
        words = ", ".join(OnExceeded)
        raise InvalidInput(f'on_exceeded of budget "{spec.id}" is {spec.on_exceeded!r:.100}; pass one of {words}.')


def check_whose(spec: BudgetSpec) -> None:
    """Refuse a budget with an improper id or parent; `check_budget` asks the rest too.

    Raises:
        InvalidInput: the text says what to pass instead.
    """
    check_opaque("id of a budget", spec.id)
    if spec.parent is not None:
        check_opaque("parent of a budget", spec.parent)
    if spec.parent == spec.id:
        raise InvalidInput(f'Budget "{spec.id}" is its own parent; leave the parent out.')


def check_amounts(kind: str, amounts: Amounts) -> None:
    """Refuse amounts of what no budget counts, too many of them, and what is no whole number from 0 to MAX_MONEY.

    Raises:
        InvalidInput: the text says what to pass instead.
    """
    check_count(kind, len(amounts), bounds.MAX_CATEGORIES)
    for name, amount in amounts.items():
        if name.startswith(_CATEGORY):
            check_category(name.removeprefix(_CATEGORY))
        elif name not in (TOKENS, USD_MICROS):
            raise InvalidInput(
                f"The {kind} name {name!r:.100}; a budget counts {TOKENS}, {USD_MICROS}, or {_CATEGORY}CATEGORY."
            )
        check_range(f"{name} in the {kind}", amount, 0, bounds.MAX_MONEY)


def check_grant(spec: BudgetSpec, amounts: Amounts) -> None:
    """Refuse to add to what a budget does not cap: nothing would come of it. Spec: BUDGET-10

    Raises:
        InvalidInput: the text says what the budget caps.
    """
    for name in sorted(amounts.keys() - spec.caps.keys()):
        capped = ", ".join(map(_called, sorted(spec.caps))) or "nothing"
        raise InvalidInput(
            f'Budget "{spec.id}" caps {capped}, and not {_called(name)}, so that nothing would come of the grant. '
            "Grant what it caps, or store it with a cap on that first."
        )


def window_start(window: Window | None, now_ms: int) -> int:
    """The instant at which the day or month of `now_ms` began in UTC; 0 for a budget without windows. BUDGET-7"""
    if window is None:
        return 0
    day = now_ms // _DAY_MS
    return (day if window == "day" else day - _day_of_month(day)) * _DAY_MS


def window_end(window: Window | None, now_ms: int) -> int | None:
    """The instant at which the next window begins, None for a budget without windows. BUDGET-7"""
    if window is None:
        return None
    # 31 days after the first day of a month it is the next month, whatever the length of either.
    span_ms = _DAY_MS if window == "day" else 31 * _DAY_MS
    return window_start(window, window_start(window, now_ms) + span_ms)


def is_over(spec: BudgetSpec, window_ms: int, at_ms: int) -> bool:
    """Whether the window that began at `window_ms` had ended at an instant. One of a budget that had windows when it
    began, and has none any more, was a month at most. BUDGET-15"""
    end_ms = window_end(spec.window or "month", window_ms)
    return end_ms is not None and end_ms <= at_ms


def amounts(spec: BudgetSpec, need: Need, prices: Mapping[str, int]) -> Amounts:
    """What a call reserves of a budget: its input and the most output that it may ask for, in every kind of amount.

    At least 1 of each that has a cap, so that nothing starts on a budget that is used up to the last unit; but nothing
    of a need that is declared to be none. Spec: BUDGET-2
    """
    tokens = {INPUT: need.input, OUTPUT: need.max_output}
    found = _amounts(spec, tokens, cost(tokens, prices)[0])
    none_needed = need.declared and not need.input and not need.max_output
    # What is nothing is left out of `found`, so that what is there is at least 1.
    return found if none_needed else {**dict.fromkeys(spec.caps, 1), **found}


def amounts_used(
    spec: BudgetSpec, used: Sequence[Usage], prices: Mapping[str, int], usd_micros: int | None = None
) -> Amounts:
    """What a call has spent of a budget, in every kind of amount. Spec: BUDGET-3

    `prices` are those of one model; for use of several pass what it costs together as `usd_micros`.
    """
    tokens = total_of(used)
    return _amounts(spec, tokens, cost(tokens, prices)[0] if usd_micros is None else usd_micros)


def room(spec: BudgetSpec, state: BudgetState) -> Amounts:
    """What is left of each amount that has a cap; below zero where more was spent, or a cap was lowered."""
    return {name: _left(state, name, cap) for name, cap in spec.caps.items()}


def ceiling(spec: BudgetSpec, state: BudgetState) -> Amounts:
    """The most that may be spent and held of each amount that has a cap, in the state's window. Spec: HOLD-4"""
    return {name: cap + state.granted.get(name, 0) for name, cap in spec.caps.items()}


def fits(spec: BudgetSpec, state: BudgetState, amounts: Amounts) -> bool:
    """Whether a budget can hold these as well; exactly equal fits. Spec: BUDGET-1"""
    return all(amounts.get(name, 0) <= _left(state, name, cap) for name, cap in spec.caps.items())


def largest_output(spec: BudgetSpec, state: BudgetState, need: Need, prices: Mapping[str, int]) -> int:
    """The most output, up to what the need asks for, with which it fits; -1 where it does not fit without any.

    More output never needs less of anything, so the answer is found by halving. Spec: BUDGET-8
    """

    def too_much(output: int) -> bool:
        return not fits(spec, state, amounts(spec, replace(need, max_output=output), prices))

    return bisect_left(range(need.max_output + 1), True, key=too_much) - 1


def drawn(state: BudgetState, amounts: Amounts) -> BudgetState:
    """Hold what was granted. Spec: BUDGET-1"""
    return replace(state, held=total(state.held, amounts))


def reported(state: BudgetState, draw: Draw, used: Amounts) -> tuple[BudgetState, Draw]:
    """Move use so far out of what is held; `used` is all that the call has used, as in every report. Keep the new draw.

    Where the report says less than an earlier one nothing changes. Spec: BUDGET-6, USAGE-2
    """
    more = {name: max(0, amount - draw.spent.get(name, 0)) for name, amount in used.items()}
    moved = {name: min(amount, draw.held.get(name, 0)) for name, amount in more.items()}
    kept = _known(state, draw, more)
    state = replace(state, held=less(state.held, moved), spent=total(state.spent, kept))
    return state, replace(draw, held=less(draw.held, moved), spent=total(draw.spent, kept))


def settled(state: BudgetState, draw: Draw, used: Amounts) -> BudgetState:
    """Give back what a draw holds, and spend what was used and is not counted yet. So a late settlement corrects a draw
    that was spent in full. Spec: BUDGET-3, BUDGET-4"""
    change = _known(state, draw, less(used, draw.spent))
    return replace(state, held=less(state.held, draw.held), spent=total(state.spent, change))


def returned(state: BudgetState, draw: Draw) -> BudgetState:
    """Give back what a draw holds, of a call that was never sent. Spec: BUDGET-5"""
    return replace(state, held=less(state.held, draw.held))


def spent_in_full(state: BudgetState, draw: Draw) -> BudgetState:
    """Spend all that a draw holds, since its run was lost. Keep it as
    `replace(draw, held=none(), spent=total(draw.spent, draw.held))`, for a late settlement. Spec: BUDGET-4"""
    return replace(state, held=less(state.held, draw.held), spent=total(state.spent, draw.held))


def total(first: Amounts, second: Amounts) -> Amounts:
    """Both together, without what is nothing; at most MAX_LEVEL, the most that every store keeps exactly."""
    if not second:
        return first
    if not first and min(second.values()) > 0 and max(second.values()) <= bounds.MAX_LEVEL:
        # So it is of a budget that one call alone draws from.
        return second
    sums = dict(first)
    for name, more in second.items():
        amount = sums.get(name, 0) + more
        if amount:
            sums[name] = min(bounds.MAX_LEVEL, amount)
        else:
            sums.pop(name, None)
    return sums


def less(first: Amounts, second: Amounts) -> Amounts:
    """The first without the second, and without what is nothing; below zero where that has more."""
    if not second:
        return first
    if first == second:
        return {}
    rest = dict(first)
    for name, taken in second.items():
        amount = rest.get(name, 0) - taken
        if amount:
            rest[name] = amount
        else:
            rest.pop(name, None)
    return rest


def _left(state: BudgetState, name: str, cap: int) -> int:
    return cap + state.granted.get(name, 0) - state.spent.get(name, 0) - state.held.get(name, 0)


def _amounts(spec: BudgetSpec, tokens: Mapping[str, int], usd_micros: int) -> Amounts:
    found = {TOKENS: weighted(tokens, spec.weights), USD_MICROS: usd_micros}
    for name, count in tokens.items():
        found[_CATEGORY + name] = count
    return {name: amount for name, amount in found.items() if amount}


def _called(name: str) -> str:
    """A kind of amount, in words."""
    return "money" if name == USD_MICROS else " ".join(reversed(name.split(".", 1)))


def _known(state: BudgetState, draw: Draw, change: Amounts) -> Amounts:
    """Leave out categories that nobody has capped and that come after too many others: a category is named by
    whoever reports, and a row that grew with every new name would have no bound. They still count in the sums."""
    room_left = 2 * bounds.MAX_CATEGORIES - len(state.spent)
    if room_left >= len(change):
        return change
    known: dict[str, int] = {}
    for name in sorted(change):
        if name in state.spent or name in draw.held or name in draw.spent or not name.startswith(_CATEGORY):
            known[name] = change[name]
        elif room_left > 0:
            known[name] = change[name]
            room_left -= 1
    return known


def _day_of_month(day: int) -> int:
    """How many days of its month have passed before a day, which is counted from 1970-01-01.

    Instants may lie after the year 9999, where the standard library ends. Source: Howard Hinnant, "chrono-compatible
    low-level date algorithms", civil_from_days; years begin in March there, so that a leap day is the last of one.
    """
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return of_year - (153 * month + 2) // 5
