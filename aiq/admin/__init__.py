"""The operator's side of a queue: limits, budgets, prices, use, tenants, schedules and what bounds a queue.

`admin` has the class; the rooms behind it are `limits`, `budgets` (with prices and grants), `usage` (with metrics),
`queues` (with the shares of tenants), `workers` (with the doctor), `dead` (what is done with jobs that have ended) and
`retention`. Schedules have theirs in `aiq.schedule`.
"""

from aiq.admin.admin import Admin

__all__ = ["Admin"]
