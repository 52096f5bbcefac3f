"""What nobody may need any more, by the instant at which it last changed: upkeep takes the oldest. Spec: TIME-8"""

from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from aiq.backends.memory.index import Index

Spot = TypeVar("Spot", bound=tuple[object, ...])

PoolSpot: TypeAlias = tuple[str, str]
"""Queue and pool."""
LineSpot: TypeAlias = tuple[str, str, int, str]
"""Queue, pool, band, tenant."""


class Touched(Generic[Spot]):
    """Rows by (instant, key), each at the instant at which it was last touched."""

    def __init__(self) -> None:
        self._at: dict[Spot, int] = {}
        self._order: Index[tuple[int, Spot]] = Index()

    def touch(self, spot: Spot, at_ms: int) -> None:
        """Put a row at an instant, in the place of the one at which it was."""
        self.drop(spot)
        self._at[spot] = at_ms
        self._order.add((at_ms, spot))

    def drop(self, spot: Spot) -> None:
        """Take out a row, if it is there."""
        if spot in self._at:
            self._order.remove((self._at.pop(spot), spot))

    def at_ms(self, spot: Spot) -> int | None:
        """When a row was last touched, None for one that is not there."""
        return self._at.get(spot)

    def until(self, at_ms: int) -> list[Spot]:
        """The rows that were not touched after an instant, the oldest first."""
        return [spot for _, spot in self._order.first(self._order.place((at_ms + 1,)))]


@dataclass(slots=True)
class Idle:
    """Lines and pools of all queues without jobs in lanes. The plain pool is never among them: it has one line."""

    now_ms: int = 0
    """The instant of the step that is under way."""
    lines: Touched[LineSpot] = field(default_factory=Touched[LineSpot])
    pools: Touched[PoolSpot] = field(default_factory=Touched[PoolSpot])
