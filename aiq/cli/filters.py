"""Which jobs a verb means: the options that several verbs share, and the filter that they make."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import datetime
from typing import Final

from aiq.errors import InvalidInput
from aiq.model import JobFilter, State, TimeRange
from aiq.policy import instant_ms

UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WHEN: Final = (("", "created", "enqueued"), ("ended-", "ended", "that ended"), ("due-", "due", "due"))


def positive(text: str) -> int:
    """A number from 1 up, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def now_ms() -> int:
    """This host's time: for ages, and for what is said to be so long ago."""
    return time.time_ns() // 1_000_000


def add_filters(parser: ArgumentParser) -> None:
    """Declare what narrows jobs down, but for their states."""
    parser.add_argument("--queue", help="only jobs of this queue")
    parser.add_argument("--task", help="only jobs of this task")
    parser.add_argument("--flow", help="only jobs of this flow")
    parser.add_argument("--tenant", help="only jobs of this tenant")
    for prefix, _, word in _WHEN:
        parser.add_argument(
            f"--{prefix}since",
            type=_instant,
            metavar="WHEN",
            help=f"only jobs {word} since: 2h or 7d ago, or an instant",
        )
        parser.add_argument(f"--{prefix}until", type=_instant, metavar="WHEN", help=f"only jobs {word} before")


def filter_of(args: Namespace, *, parent: str | None = None, group: str | None = None) -> JobFilter:
    """The filter that the options make."""
    ranges = {field: _range(args, prefix) for prefix, field, _ in _WHEN}
    return JobFilter(
        queue=args.queue,
        states=frozenset(getattr(args, "state", None) or ()),
        task=args.task,
        flow=args.flow,
        parent_id=parent,
        fingerprint=group,
        tenant=args.tenant,
        **ranges,
    )


def _range(args: Namespace, prefix: str) -> TimeRange | None:
    name = prefix.replace("-", "_")
    since_ms, until_ms = getattr(args, f"{name}since"), getattr(args, f"{name}until")
    return None if since_ms is None and until_ms is None else TimeRange(since_ms, until_ms)


def _instant(text: str) -> int:
    """An instant, or how long ago it was, in ms."""
    if text[:-1].isdecimal() and text[-1] in UNITS_MS:
        return max(0, now_ms() - int(text[:-1]) * UNITS_MS[text[-1]])
    try:
        return instant_ms("the instant", datetime.fromisoformat(text))
    except (ValueError, InvalidInput) as error:
        told = "write 30m, 2h or 7d for so long ago, or 2027-01-01T09:00:00+01:00"
        raise ArgumentTypeError(f"{text!r} is no instant: {told}") from error


def add_states(parser: ArgumentParser, *states: State) -> None:
    """Declare which states may be asked for."""
    parser.add_argument(
        "--state",
        action="append",
        type=State,
        choices=states,
        metavar="STATE",
        help=f"only jobs in this state; give it again for more. One of {', '.join(states)}",
    )
