"""What users write about how jobs run: retries, signals, limits, budgets, prices, routes, durations and bands.

Durations are given in seconds or as a timedelta, money in dollars; both are kept whole, in milliseconds and
micro-dollars. One room a noun; import the names from here.
"""

from aiq.policy.bands import BandName, band_of
from aiq.policy.between import between
from aiq.policy.budget import Budget, OnExceededName, amounts, budget_of, categories
from aiq.policy.durations import (
    Duration,
    duration_ms,
    instant_ms,
    instant_of,
    lease_ms_of,
    max_deferral_ms_of,
    seconds_of,
    timeout_ms_of,
)
from aiq.policy.figures import Money, dollars, per_mille, usd_micros, whole
from aiq.policy.keep import Kept, keep_ms_of
from aiq.policy.limit import ChargeName, Limit, Limits, limit_name, limits_of
from aiq.policy.price import Price
from aiq.policy.retry import Retry
from aiq.policy.route import Route, routes_of
from aiq.policy.signal import Signal
from aiq.policy.telling import counted, money

__all__ = [
    "BandName",
    "Budget",
    "ChargeName",
    "Duration",
    "Kept",
    "Limit",
    "Limits",
    "Money",
    "OnExceededName",
    "Price",
    "Retry",
    "Route",
    "Signal",
    "amounts",
    "band_of",
    "between",
    "budget_of",
    "categories",
    "counted",
    "dollars",
    "duration_ms",
    "instant_ms",
    "instant_of",
    "keep_ms_of",
    "lease_ms_of",
    "limit_name",
    "limits_of",
    "max_deferral_ms_of",
    "money",
    "per_mille",
    "routes_of",
    "seconds_of",
    "timeout_ms_of",
    "usd_micros",
    "whole",
]
