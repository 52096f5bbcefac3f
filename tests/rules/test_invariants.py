"""No history of calls breaks an invariant of the ledger, and every fault that is put in does."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from msgspec import structs

from aiq.model import LimitState
from aiq.rules import buckets, budgets, limits
from tests.rules import histories
from tests.rules.histories import Event, Ledger

PROVEN = settings(max_examples=400, deadline=None)
TRIED = settings(
    max_examples=2_000,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
Fault = Callable[[Any], Any]


@PROVEN
@given(histories.ledgers(), histories.histories())
def test_no_history_breaks_an_invariant(ledger: Ledger, history: list[Event]) -> None:
    ledger.play(history)


def no_clamp(right: Any) -> Any:
    return lambda found, level, pace, elapsed_ms: level + elapsed_ms * found.step * pace


def no_wait(right: Any) -> Any:
    return lambda *args: 0


def holds_ignored(right: Any) -> Any:
    return lambda spec, state, part: right(spec, structs.replace(state, held=0), part)


def told_too_early(right: Any) -> Any:
    return lambda value, divisor: value // divisor


def clock_goes_back(right: Any) -> Any:
    def refilled(spec: Any, state: LimitState, now_ms: int) -> LimitState:
        if now_ms < state.at_ms:
            began = {"born_ms": min(state.born_ms, now_ms), "paced_at_ms": min(state.paced_at_ms, now_ms)}
            return structs.replace(state, at_ms=now_ms, **began)
        return right(spec, state, now_ms)

    return refilled


def hold_leaked(right: Any) -> Any:
    return lambda spec, state, part, used: right(spec, state, structs.replace(part, rest=0), used)


def refund_unbounded(right: Any) -> Any:
    return lambda found, level: level


def draw_leaked(right: Any) -> Any:
    return lambda state, draw: state


def budget_ignores_holds(right: Any) -> Any:
    return lambda spec, state, amounts: right(spec, structs.replace(state, held={}), amounts)


def correction_ignores_what_was_counted(right: Any) -> Any:
    return lambda state, draw, used: right(state, structs.replace(draw, spent={}), used)


def unit_kept(right: Any) -> Any:
    return lambda state: state


def admitted_twice(right: Any) -> Any:
    return lambda ledger, who: False


# What a fault breaks first depends on the history that meets it.
FAULTS: list[tuple[Any, str, Fault, str]] = [
    (buckets, "refilled", no_clamp, "I4|I7"),
    (limits, "wait_ms", no_wait, "I1"),
    (limits, "wait_ms", holds_ignored, "I1"),
    (buckets, "ceiling", told_too_early, "I1|I2"),
    (limits, "refilled", clock_goes_back, "I7"),
    (limits, "settled", hold_leaked, "I5"),
    (limits, "bounded", refund_unbounded, "I4"),
    (limits, "released", unit_kept, "I5"),
    (budgets, "fits", budget_ignores_holds, "I6"),
    (budgets, "returned", draw_leaked, "I5"),
    (budgets, "settled", correction_ignores_what_was_counted, "I6|I8"),
    (Ledger, "_known", admitted_twice, "I5"),
]


@pytest.mark.parametrize(("place", "name", "fault", "broken"), FAULTS, ids=[row[2].__name__ for row in FAULTS])
def test_a_fault_breaks_an_invariant(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, fault: Fault, broken: str
) -> None:
    monkeypatch.setattr(place, name, fault(getattr(place, name)))

    @TRIED
    @given(histories.ledgers(), histories.histories())
    def tried(ledger: Ledger, history: list[Event]) -> None:
        ledger.play(history)

    with pytest.raises(AssertionError, match=broken):
        tried()
