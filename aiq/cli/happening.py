"""Verbs that tell what happened: events, metrics, and how long that is kept: retention."""

import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

from aiq.bounds import MAX_KEEP_MS, MAX_PAGE
from aiq.cli.exits import Exit
from aiq.cli.output import Output
from aiq.cli.verbs import Verbs, add_actions, add_verb, asking
from aiq.happening import events
from aiq.model import Event, Keep, MinuteFilter, MinuteRow, RetentionSpec
from aiq.policy import dollars, money
from aiq.rules.retention import KINDS
from aiq.storage import Storage

_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DEFAULT_HOURS: Final = 1
_MINUTE_COLUMNS: Final = (
    *("MINUTE", "QUEUE", "TASK", "ENQUEUED", "STARTED", "SUCCEEDED", "FAILED", "DEAD", "CANCELLED"),
    *("WAITED ms", "RAN ms", "TOKENS", "USD"),
)


def add_verbs(verbs: Verbs) -> None:
    """Declare events, metrics and retention."""
    _add_events(verbs)
    _add_metrics(verbs)
    _add_retention(verbs)


def _add_events(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "events",
        asking(_events),
        help="tell what happened to jobs, from the oldest event that is kept or from a cursor on",
        example="  aiq events --follow --after now\n  aiq events --after 4711 --json | jq -r .job_id",
    )
    parser.add_argument("--after", metavar="CURSOR", help='the cursor of the last event seen, or "now"')
    parser.add_argument("--follow", action="store_true", help="wait for more; Ctrl-C stops it")


def _add_metrics(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "metrics",
        asking(_metrics),
        help="show what happened by minute, queue and task: jobs, waiting, running, tokens, cost",
        example="  aiq metrics --queue default --hours 24",
    )
    parser.add_argument("--queue", help="only this queue")
    parser.add_argument("--task", help="only this task")
    parser.add_argument("--hours", type=float, default=_DEFAULT_HOURS, help="since so long ago (default: %(default)s)")


def _add_retention(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "retention",
        asking(_show_retention),
        help="show how long what is over is kept, and how many of it; `set` changes it",
        example="  aiq retention\n  aiq retention set succeeded --for 1d --count 100000",
    )
    actions = add_actions(parser, "show")
    add_verb(actions, "show", asking(_show_retention), help="show what is kept", example="  aiq retention")
    change = add_verb(
        actions,
        "set",
        asking(_set_retention),
        help="set how long one kind is kept, and how many of it; upkeep removes the rest from then on",
        example="  aiq retention set events --for 12h --count 500000",
    )
    change.add_argument("kind", choices=(*KINDS, "ids"), metavar="KIND", help=f"one of {', '.join((*KINDS, 'ids'))}")
    change.add_argument(
        "--for", dest="period", type=_period, default=-1, metavar="TIME", help="30s, 5m, 12h, 7d, or ever"
    )
    change.add_argument("--count", type=_count, default=-1, metavar="N", help="at most so many, or all")


def _period(text: str) -> int | None:
    """A period in ms, None for ever."""
    if text == "ever":
        return None
    if not text[:-1].isdecimal() or text[-1] not in _UNITS or int(text[:-1]) * _UNITS[text[-1]] > MAX_KEEP_MS:
        raise ArgumentTypeError(f"{text!r} is no period; use 30s, 5m, 12h, 7d, or ever")
    return int(text[:-1]) * _UNITS[text[-1]]


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a number, or all")
    return int(text)


async def _events(storage: Storage, args: Namespace, output: Output) -> Exit:
    async for event in events(storage, args.after, follow=args.follow):
        _tell(event, output)
        if args.follow:
            output.flush()
    return Exit.DONE


async def show_events(storage: Storage, job_id: str, output: Output) -> None:
    """Tell what happened to one job."""
    after = 0
    while page := await storage.events_of(job_id, after=after):
        for event in page:
            _tell(event, output)
        after = page[-1].number
        if len(page) < MAX_PAGE:
            return


def _tell(event: Event, output: Output) -> None:
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    moved = event.target if event.source is None else f"{event.source} -> {event.target}"
    cause = f" ({event.cause})" if event.cause else ""
    line = f"{event.cursor}  {at}  {event.job_id}  {event.task}  {event.transition}  {moved}{cause}"
    output.fact(asdict(event), line)


async def _metrics(storage: Storage, args: Namespace, output: Output) -> Exit:
    since_ms = max(0, time.time_ns() // 1_000_000 - round(args.hours * _UNITS["h"]))
    query = MinuteFilter(queue=args.queue, task=args.task, since_ms=since_ms - since_ms % _UNITS["m"])
    rows: list[MinuteRow] = []
    cursor: str | None = None
    while True:
        page = await storage.metrics(query, cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            break
    if output.json:
        for row in rows:
            output.fact(asdict(row))
    else:
        output.table(_MINUTE_COLUMNS, [_minute(row) for row in rows])
    return Exit.DONE


def _minute(row: MinuteRow) -> Sequence[str]:
    """A row for people: waiting and running as means."""
    at = datetime.fromtimestamp(row.minute_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    counts = (row.enqueued, row.started, row.succeeded, row.failed, row.dead, row.cancelled)
    means = (row.waited_ms // max(1, row.started), row.ran_ms // max(1, row.ended))
    return [
        at,
        row.queue,
        row.task,
        *(str(one) for one in (*counts, *means, row.tokens)),
        money(dollars(row.usd_micros)),
    ]


async def _show_retention(storage: Storage, _: Namespace, output: Output) -> Exit:
    _tell_retention(await storage.get_retention(), output)
    return Exit.DONE


async def _set_retention(storage: Storage, args: Namespace, output: Output) -> Exit:
    spec = await storage.get_retention()
    if args.kind == "ids":
        changed = replace(spec, ids_ms=spec.ids_ms if args.period in (-1, None) else args.period)
    else:
        keep: Keep = getattr(spec, args.kind)
        for_ms = keep.for_ms if args.period == -1 else args.period
        count = keep.count if args.count == -1 else args.count
        kept: dict[str, Any] = {args.kind: Keep(for_ms=for_ms, count=count)}  # Any: any of its fields
        changed = replace(spec, **kept)
    _tell_retention(await storage.put_retention(changed), output)
    return Exit.DONE


def _tell_retention(spec: RetentionSpec, output: Output) -> None:
    if output.json:
        output.fact(asdict(spec))
        return
    kept = [(kind, getattr(spec, kind)) for kind in KINDS]
    rows = [[kind, _time(keep.for_ms), "all" if keep.count is None else f"{keep.count:,}"] for kind, keep in kept]
    output.table(["KIND", "FOR", "AT MOST"], [*rows, ["ids", _time(spec.ids_ms), "all"]])


def _time(ms: int | None) -> str:
    """A period in the largest unit that tells it exactly."""
    if ms is None:
        return "ever"
    unit = next((unit for unit in ("d", "h", "m", "s") if ms % _UNITS[unit] == 0), None)
    return f"{ms} ms" if unit is None else f"{ms // _UNITS[unit]}{unit}"
