"""Instants from one on and before another, as filters take them."""

from datetime import datetime

from aiq.model import TimeRange
from aiq.policy.durations import instant_ms


def between(since: datetime | None = None, until: datetime | None = None) -> TimeRange:
    """From `since` on, and before `until`; None is open: `JobFilter(ended=aiq.between(since=this_morning))`.

    Raises:
        InvalidInput: an instant has no time zone.
    """
    return TimeRange(
        None if since is None else instant_ms("since", since), None if until is None else instant_ms("until", until)
    )
