"""Budgets: ceilings on tokens and money, in a tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from aiq.model.limit import none

Window: TypeAlias = Literal["day", "month"]
"""A stretch of the calendar in UTC, after which a budget begins anew."""

TOKENS: Final = "tokens"
USD_MICROS: Final = "usd_micros"
Amounts: TypeAlias = Mapping[str, int]
"""Whole numbers by what they count: TOKENS, USD_MICROS, and "tokens.CATEGORY" for one category. Missing is nothing."""


class OnExceeded(StrEnum):
    """What becomes of a job that its budget cannot hold."""

    HOLD = "hold"
    """It is held until there is room: a grant, a refund, a new window."""
    FAIL = "fail"
    """It is dead."""
    DEGRADE = "degrade"
    """It takes its next route; held if there is none."""
    APPROVE = "approve"
    """It is held until somebody grants more, whatever else frees room."""


class BudgetSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A ceiling. `caps` are amounts; what is not there is not bounded. `weights` are per mille of a token by category,
    for TOKENS only. `parent` is the budget from which this one draws as well.

    Ids: "tenant:T" binds every job of a tenant, "flow:F" and "job:J" come with their flow or job; any other is a name.
    """

    id: str
    parent: str | None = None
    caps: Amounts = none()
    weights: Mapping[str, int] = none()
    window: Window | None = None
    on_exceeded: OnExceeded = OnExceeded.HOLD


class BudgetState(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was spent and what is held of a budget, in the window that began at `window_ms` (0 without windows).

    `granted` is what was added to the caps for this window.
    """

    window_ms: int = 0
    spent: Amounts = none()
    held: Amounts = none()
    granted: Amounts = none()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """A budget as it stands now, and how many jobs are held on it."""

    spec: BudgetSpec
    state: BudgetState
    waiting: int = 0
