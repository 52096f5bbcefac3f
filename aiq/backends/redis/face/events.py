"""Events, metrics and retention in Redis: each operation one call of the script of its name."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from aiq.backends.redis import wire
from aiq.backends.redis.door import Door
from aiq.bounds import MAX_LEVEL, MAX_LOOKED, MAX_PAGE
from aiq.model import NOW, Event, EventPage, MinuteFilter, MinutePage, MinuteRow, RetentionSpec
from aiq.rules.checks import check_limit
from aiq.rules.events import event_of, log_cursor, log_number
from aiq.rules.metrics import COLUMNS, minute_cursor, minute_place
from aiq.rules.retention import check_retention

_BEYOND: Final = 10**19
"""More than any number in a cursor."""
_TOP_MS: Final = 10**16 - 1
"""The last instant that 16 digits can say."""


class EventsFace(Door):
    """See `aiq.storage.Events`."""

    async def read_events(self, after: str | None = None, limit: int = MAX_PAGE) -> EventPage:
        """See `aiq.storage.Events`."""
        check_limit(limit)
        args: dict[str, Any] = {"limit": limit, "storage_id": secrets.token_hex(8)}
        if after == NOW:
            args["now"] = True
        elif after is not None:
            owner = after.partition("-")[2]
            args |= {"after": min(log_number(after, owner, _BEYOND), MAX_LEVEL), "owner": owner}
        told = (await self._step("read_events", args)).value
        owner = told["storage_id"]
        if after is not None and after != NOW:
            # The step tells no events where the cursor is none of its own.
            log_number(after, owner, told["last"])
        events = tuple(event_of(owner, *one) for one in told["events"])
        return EventPage(events, log_cursor(told["number"], owner), lost=told["lost"], more=told["more"])

    async def events_of(self, job_id: str, *, after: int = 0, limit: int = MAX_PAGE) -> Sequence[Event]:
        """See `aiq.storage.Events`."""
        check_limit(limit)
        args = {"id": job_id, "after": after, "limit": limit, "storage_id": secrets.token_hex(8)}
        told = (await self._step("events_of", args)).value
        return [event_of(told["storage_id"], *one) for one in told["events"]]

    async def metrics(self, query: MinuteFilter, *, cursor: str | None = None, limit: int = MAX_PAGE) -> MinutePage:
        """See `aiq.storage.Events`. A step looks at no more than MAX_LOOKED minutes, so this may take several."""
        check_limit(limit)
        names = {name: value for name in ("queue", "task") if (value := getattr(query, name)) is not None}
        first: str | None = _first(cursor, query.since_ms)
        found = list[Any]()
        while first is not None and len(found) <= limit:
            asked = {"first": first, "limit": limit + 1 - len(found), "looked": MAX_LOOKED, **names}
            told = (await self._step("metrics", asked)).value
            found += told["minutes"]
            first = f"({told['last']}" if "last" in told else None
        rows = tuple(minute_row(place, figures) for place, figures in found[:limit])
        more = len(found) > limit
        return MinutePage(rows, minute_cursor(rows[-1].minute_ms, rows[-1].queue, rows[-1].task) if more else None)

    async def put_retention(self, spec: RetentionSpec) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        check_retention(spec)
        await self._step("put_retention", {"spec": wire.said(spec)})
        return spec

    async def get_retention(self) -> RetentionSpec:
        """See `aiq.storage.Events`."""
        return wire.heard(RetentionSpec, (await self._step("get_retention")).value)


def _first(cursor: str | None, since_ms: int | None) -> str:
    """Where a page of minutes begins, as the script wants it."""
    minute_ms, queue, task = minute_place(cursor)
    if minute_ms >= (since_ms or 0):
        return f"({minute_ms:016d} {queue} {task}"
    return f"[{min(max(since_ms or 0, 0), _TOP_MS):016d}"


def minute_row(place: str, figures: Sequence[int]) -> MinuteRow:
    """A minute from its id and its figures. See `events.minute` in lua/_events.lua."""
    minute_ms, queue, task = place.split(" ")
    return MinuteRow(minute_ms=int(minute_ms), queue=queue, task=task, **dict(zip(COLUMNS, figures, strict=True)))
