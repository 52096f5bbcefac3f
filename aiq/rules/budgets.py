"""What a budget holds and has spent. Spec: chapter 11."""

from collections.abc import Iterable, Mapping

from aiq.model import Amounts, BudgetSpec, BudgetState, Draw, Need, Usage, Window


def check_budget(spec: BudgetSpec) -> None: raise NotImplementedError
def check_amounts(kind: str, amounts: Amounts) -> None: raise NotImplementedError
def window_start(window: Window | None, now_ms: int) -> int: raise NotImplementedError
def window_end(window: Window | None, now_ms: int) -> int | None: raise NotImplementedError
def amounts(spec: BudgetSpec, need: Need, prices: Mapping[str, int], at_least_one: bool = True) -> Amounts: raise NotImplementedError
def amounts_used(spec: BudgetSpec, used: Iterable[Usage], prices: Mapping[str, int], usd_micros: int | None = None) -> Amounts:
    """`prices` are of one model; for calls on several, pass what they cost together as `usd_micros`."""
    raise NotImplementedError
def room(spec: BudgetSpec, state: BudgetState) -> Amounts: raise NotImplementedError
def fits(spec: BudgetSpec, state: BudgetState, amounts: Amounts) -> bool: raise NotImplementedError
def largest_output(spec: BudgetSpec, state: BudgetState, need: Need, prices: Mapping[str, int]) -> int:
    """The most output, up to need.max_output, with which the need fits; -1 if it does not fit even without any."""
    raise NotImplementedError
def drawn(state: BudgetState, amounts: Amounts) -> BudgetState: raise NotImplementedError
def reported(state: BudgetState, draw: Draw, used: Amounts) -> tuple[BudgetState, Draw]:
    """Use so far: moved from held to spent; `used` is all that the call has used."""
    raise NotImplementedError
def settled(state: BudgetState, draw: Draw, used: Amounts) -> BudgetState:
    """held - draw.held, spent + (used - draw.spent): also the late correction of a draw that was spent in full."""
    raise NotImplementedError
def returned(state: BudgetState, draw: Draw) -> BudgetState: raise NotImplementedError
def spent_in_full(state: BudgetState, draw: Draw) -> BudgetState:
    """All that it holds is spent; keep it as replace(draw, held=none(), spent=total(draw.spent, draw.held))."""
    raise NotImplementedError
def total(first: Amounts, second: Amounts) -> Amounts: raise NotImplementedError
