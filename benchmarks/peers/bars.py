"""What the queues of a run do in a second, as an SVG: a panel for each figure, a bar for each queue."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.peers.queues import OURS
from benchmarks.spread import Spread, short

Found = Mapping[str, Mapping[str, Spread | None]]

LEFT: Final = 210
WIDTH: Final = 440
BAR: Final = 18
LINE: Final = 26
TITLE: Final = 34
COLOURS: Final = ("#1f77b4", "#b8bcc2")
INK: Final = "#333333"


def svg(title: str, found: Found, figures: Sequence[str]) -> str:
    """Bars as long as the medians, with a stroke from the least to the most of the rounds."""
    body, y = [_text(12, 24, title, size=15)], 40
    for figure in figures:
        spreads = {name: value for name, each in found.items() if (value := each[figure]) is not None}
        body += _panel(figure, spreads, y)
        y += TITLE + LINE * len(spreads)
    size = f'viewBox="0 0 {LEFT + WIDTH + 80} {y + 10}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>", ""])


def _panel(figure: str, spreads: Mapping[str, Spread], top: int) -> Iterator[str]:
    yield _text(12, top + 22, f"{figure.replace('_', ' ')}, jobs a second", size=12)
    most = max((one.max for one in spreads.values()), default=0.0) or 1.0
    for number, (name, one) in enumerate(spreads.items()):
        y = top + TITLE + number * LINE
        least, middle, last = (LEFT + value / most * WIDTH for value in (one.min, one.median, one.max))
        yield _text(LEFT - 8, y + BAR - 5, name, anchor="end")
        yield (
            f'<rect x="{LEFT}" y="{y}" width="{middle - LEFT:.1f}" height="{BAR}" fill="{COLOURS[name != OURS]}"/>'
            f'<path d="M{least:.1f} {y + BAR / 2}H{last:.1f}" stroke="{INK}"/>'
        )
        yield _text(last + 6, y + BAR - 5, short(one.median))


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
