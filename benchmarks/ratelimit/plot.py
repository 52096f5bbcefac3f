"""The runs of one scenario side by side as an SVG: a column for each policy, all on the same scales."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.ratelimit import series
from benchmarks.ratelimit.records import Record
from benchmarks.ratelimit.scenarios import KINDS
from benchmarks.ratelimit.series import Points

WIDTH: Final = 340
HEIGHT: Final = 150
LEFT: Final = 56
GAP_X: Final = 46
GAP_Y: Final = 52
TOP: Final = 74
COLOURS: Final[Mapping[str, str]] = {"chat": "#1f77b4", "agent": "#2ca02c", "batch": "#ff7f0e", "large": "#d62728"}
INK: Final = "#333333"

Lines = Mapping[str, Points]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of panel: its title, the unit of its values, and the lines of each policy."""

    title: str
    lines: Mapping[str, Lines]
    low: float
    high: float


def svg(title: str, records: Mapping[str, Record]) -> str:
    """Draw the runs of several policies on the same trace."""
    end_s = max(record.scenario.end_s for record in records.values())
    rows = _rows(records)
    width = LEFT + len(records) * (WIDTH + GAP_X)
    height = TOP + len(rows) * (HEIGHT + GAP_Y)
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT, 20, title, size=15),
        *_legend(),
    ]
    for column, policy in enumerate(records):
        x = LEFT + column * (WIDTH + GAP_X)
        body.append(_text(x, TOP - 26, policy, size=13))
        for number, row in enumerate(rows):
            body += _panel(row, policy, x, TOP + number * (HEIGHT + GAP_Y), end_s)
    return "\n".join([*body, "</svg>", ""])


def _rows(records: Mapping[str, Record]) -> Sequence[Row]:
    levels = {policy: {"": series.level(record)} for policy, record in records.items()}
    admitted = {policy: series.admitted(record) for policy, record in records.items()}
    delays = {policy: series.delays(record) for policy, record in records.items()}
    return [
        Row("provider's bucket, part of its capacity", levels, min(0.0, _least(levels)), 1.0),
        Row("admitted load, part of the provider's rate", admitted, 0.0, _most(admitted)),
        Row("queueing delay, simulated seconds", delays, 0.0, _most(delays)),
    ]


def _panel(row: Row, policy: str, x: int, y: int, end_s: float) -> Iterator[str]:
    yield _text(x, y - 5, row.title)
    yield f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbbbbb"/>'
    for part in (0.0, 0.5, 1.0):
        value = row.low + part * (row.high - row.low)
        yield _text(x - 5, y + HEIGHT * (1 - part) + 4, f"{value:.3g}", anchor="end")
        yield _text(x + part * WIDTH, y + HEIGHT + 14, f"{part * end_s:.0f} s", anchor="middle")
    for kind, points in row.lines[policy].items():
        yield _polyline(row, points, x, y, end_s, COLOURS.get(kind, INK))


def _polyline(row: Row, points: Points, x: int, y: int, end_s: float, colour: str) -> str:
    placed = " ".join(
        f"{x + min(1.0, at / end_s) * WIDTH:.1f},{y + HEIGHT * (1 - (value - row.low) / (row.high - row.low)):.1f}"
        for at, value in points
    )
    return f'<polyline points="{placed}" fill="none" stroke="{colour}" stroke-width="1.4"/>'


def _legend() -> Iterator[str]:
    for number, kind in enumerate(KINDS):
        x = LEFT + number * 70
        yield f'<rect x="{x}" y="28" width="10" height="10" fill="{COLOURS[kind]}"/>'
        yield _text(x + 14, 37, kind)


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _values(lines: Mapping[str, Lines]) -> Iterator[float]:
    for of_policy in lines.values():
        for points in of_policy.values():
            yield from (value for _, value in points)


def _least(lines: Mapping[str, Lines]) -> float:
    return min(_values(lines), default=0.0)


def _most(lines: Mapping[str, Lines]) -> float:
    return max(_values(lines), default=0.0) or 1.0
