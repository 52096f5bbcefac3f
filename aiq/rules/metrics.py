"""What is counted of a transition, by minute, queue and task. Spec: METRIC-1, METRIC-2."""

from functools import cache
from typing import Final

from aiq.errors import InvalidInput
from aiq.model import Cause, State

MINUTE_MS: Final = 60_000
COLUMNS: Final = (
    *("enqueued", "started", "ended", "succeeded", "failed", "retried", "dead", "cancelled"),
    *("waited_ms", "waited_most_ms", "ran_ms", "ran_most_ms", "tokens", "usd_micros"),
)
"""The figures of a MinuteRow in their order. A store adds them up, but those of GREATEST."""
GREATEST: Final = frozenset({"waited_most_ms", "ran_most_ms"})
_PLACES: Final = {name: place for place, name in enumerate(COLUMNS)}
_STARTED: Final = _PLACES["started"]
_WAITED: Final = _PLACES["waited_ms"]
_WAITED_MOST: Final = _PLACES["waited_most_ms"]
_RAN: Final = _PLACES["ran_ms"]
_RAN_MOST: Final = _PLACES["ran_most_ms"]
_TOKENS: Final = _PLACES["tokens"]
_USD_MICROS: Final = _PLACES["usd_micros"]
_FAILED: Final = frozenset({"T6", "T7", "T9"})
"""The rows by which a run has failed, unless they lead to a cancelled job."""
_RETRIED: Final = frozenset({State.READY, State.SCHEDULED})


def nothing() -> list[int]:
    """The figures of a minute in which nothing happened yet."""
    return [0] * len(COLUMNS)


def tally(figures: list[int], row: str, source: State | None, target: State, lasted_ms: int) -> None:
    """Count a transition; the job was in `source` for `lasted_ms`."""
    for place in _counted(row, source, target):
        figures[place] += 1
    if row == "T3":
        figures[_WAITED] += lasted_ms
        figures[_WAITED_MOST] = max(figures[_WAITED_MOST], lasted_ms)
    elif source is State.RUNNING and target is not State.RUNNING:
        figures[_RAN] += lasted_ms
        figures[_RAN_MOST] = max(figures[_RAN_MOST], lasted_ms)


def count_starts(figures: list[int], jobs: int, waited_ms: int, waited_most_ms: int) -> None:
    """Count many starts at once: how many, and how long those jobs had stood ready in all and at most."""
    figures[_STARTED] += jobs
    figures[_WAITED] += waited_ms
    figures[_WAITED_MOST] = max(figures[_WAITED_MOST], waited_most_ms)


def count_use(figures: list[int], tokens: int, usd_micros: int) -> None:
    """Count what was used; a correction may be below zero. Spec: METRIC-3"""
    figures[_TOKENS] += tokens
    figures[_USD_MICROS] += usd_micros


def told_cause(target: State, cause: Cause | None) -> Cause | None:
    """The cause that the event of a transition tells: why a job died. Spec: EVENT-2"""
    return cause if target is State.DEAD else None


def minute_cursor(minute_ms: int, queue: str, task: str) -> str:
    """Where a page of minutes ended. Names have no space in them."""
    return f"{minute_ms} {queue} {task}"


def minute_place(cursor: str | None) -> tuple[int, str, str]:
    """The place behind which a page of minutes begins."""
    if cursor is None:
        return (-1, "", "")
    parts = cursor.split(" ")
    if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdecimal()) or len(parts[0]) > 16:
        raise InvalidInput(f"{cursor!r:.100} is not a cursor. Pass the one that came with the page before, or None.")
    return (int(parts[0]), parts[1], parts[2])


@cache
def _counted(row: str, source: State | None, target: State) -> tuple[int, ...]:
    """Which figures rise by one."""
    names = ["enqueued"] if row == "T1" else []
    if row == "T3":
        names.append("started")
    if source is State.RUNNING and target is not State.RUNNING:
        names.append("ended")
    if row in _FAILED and target is not State.CANCELLED:
        names.append("failed")
        if target in _RETRIED:
            names.append("retried")
    if target in (State.SUCCEEDED, State.DEAD, State.CANCELLED):
        names.append(target.value)
    return tuple(_PLACES[name] for name in names)
