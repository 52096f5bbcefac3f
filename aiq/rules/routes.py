"""Which of its routes a job takes, and what else a run leaves to the next one. Spec: ROUTE-1 to ROUTE-5."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, assert_never

from aiq.model import (
    Cancelled,
    Deferred,
    Died,
    Held,
    JobRecord,
    Outcome,
    Released,
    Retried,
    Sleeping,
    Succeeded,
    Suspended,
    Waiting,
)


@dataclass(frozen=True, slots=True)
class Course:
    """What a settled run leaves on its record for the next one; the fields are those of JobRecord."""

    route: int
    closed_routes: int
    resumes: bool = False
    deferred_at_ms: int | None = None


LEAST_PATIENCE_MS: Final = 1_000
"""How soon a job looks for another route again that has found none free."""


def open_routes(record: JobRecord, closed_routes: int) -> Iterator[int]:
    """The open routes of a job: those after the one it stands on, then from the first one on, itself the last."""
    count = len(record.routes)
    places = ((record.route + step) % count for step in range(1, count + 1))
    return (place for place in places if not closed_routes >> place & 1)


def next_route(record: JobRecord, closed_routes: int) -> int | None:
    """The next open route after the one that a job stands on, beginning anew after the last; None without one."""
    return next(open_routes(record, closed_routes), None)


def freer_route(record: JobRecord, parked: Callable[[JobRecord], bool]) -> int | None:
    """The next open route whose pool is not parked, for a job whose own pool is; None where there is none.

    `parked` says of the job, as it would stand on a route, whether its pool there is parked. Spec: ROUTE-5
    """
    if not parked(record):
        return None
    others = (route for route in open_routes(record, record.closed_routes) if route != record.route)
    return next((route for route in others if not parked(replace(record, route=route))), None)


def patience_anew_ms(record: JobRecord) -> int:
    """How long a job waits for its route that has waited before. Spec: ROUTE-5"""
    return max(record.routes[record.route].patience_ms or 0, LEAST_PATIENCE_MS)


def course(outcome: Outcome, record: JobRecord, now_ms: int) -> Course:
    """What a settlement leaves. A failure takes the next route, a rate limit stays, a spent quota closes the route.

    A run that was asked to stop is the last one, and leaves nothing.
    """
    route, closed = record.route, record.closed_routes
    if record.cancel_requested_at_ms is not None:
        return Course(route, closed)
    match outcome:
        case Succeeded() | Died() | Cancelled() | Released():
            return Course(route, closed)
        case Retried():
            onward = next_route(record, closed)
            return Course(route if onward is None else onward, closed)
        case Suspended() | Waiting() | Sleeping() | Held():
            return Course(route, closed, resumes=True)
        case Deferred(close_route=True):
            closed |= 1 << route
            onward = next_route(record, closed)
            return Course(route if onward is None else onward, closed)
        case Deferred():
            since_ms = now_ms if record.deferred_at_ms is None else record.deferred_at_ms
            return Course(route, closed, deferred_at_ms=since_ms)
        case _:
            assert_never(outcome)
