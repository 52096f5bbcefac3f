"""A figure that was measured in several rounds, as it is told: the median, the least and the most."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rounds gave. A ratio is that of the two sides of one round, never one of medians."""

    median: float
    min: float
    max: float

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.min)}–{short(self.max)})"


def spread(values: Sequence[float]) -> Spread:
    """Over the rounds."""
    return Spread(statistics.median(values), min(values), max(values))


def short(value: float) -> str:
    """Three digits that say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as what is in them; the first is text, the rest are figures."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
