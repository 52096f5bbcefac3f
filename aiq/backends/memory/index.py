"""Keys in their order, and what stands aside until an instant or until a limit has room."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator
from typing import Generic, TypeAlias, TypeVar

from aiq.bounds import MAX_INSTANT_MS

TimeKey: TypeAlias = tuple[int, str]
"""An instant in ms, and the id of the job that something happens to then."""
Key = TypeVar("Key", bound=tuple[object, ...])
Spot = TypeVar("Spot", bound=tuple[object, ...])


class Index(Generic[Key]):
    """Keys in their order."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Key) -> bool:
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and self._keys[place] == key

    def add(self, key: Key) -> None:
        """Put a key in its place; it is not there yet."""
        insort(self._keys, key)

    def remove(self, key: Key) -> None:
        """Take out a key that is there."""
        place = bisect_left(self._keys, key)
        assert self._keys[place] == key
        del self._keys[place]

    def first(self, count: int) -> list[Key]:
        """The first `count` keys, or fewer."""
        return self._keys[:count]

    def after(self, key: Key, count: int) -> list[Key]:
        """The first `count` keys behind a key, or fewer."""
        place = bisect_right(self._keys, key)
        return self._keys[place : place + count]

    def over(self, least: tuple[object, ...]) -> Key | None:
        """The first key that is over `least`, as far as that goes; those that begin like it are not."""
        place = bisect_right(self._keys, least, key=lambda key: key[: len(least)])
        return self._keys[place] if place < len(self._keys) else None

    def place(self, key: tuple[object, ...]) -> int:
        """How many keys go before a key, or before all that begin like it."""
        return bisect_left(self._keys, key)


def due(index: Index[TimeKey], now_ms: int, limit: int) -> list[str]:
    """At most `limit` jobs whose instant is now or past, in the order of (instant, id). Spec: TIME-3, TIME-4."""
    return [job_id for at_ms, job_id in index.first(limit) if at_ms <= now_ms]


class Parked(Generic[Spot]):
    """Spots that stand aside, each by one limit and key, until an instant or until that has room. Spec: POOL-1"""

    def __init__(self) -> None:
        self._all: dict[Spot, tuple[int, str, str]] = {}
        self._wakes: Index[tuple[int, Spot]] = Index()
        self._behind: defaultdict[tuple[str, str], dict[Spot, None]] = defaultdict(dict)

    def __contains__(self, spot: Spot) -> bool:
        return spot in self._all

    def __iter__(self) -> Iterator[Spot]:
        return iter(self._all)

    def wake_ms(self, spot: Spot) -> int | None:
        """Until when a spot stands aside, MAX_INSTANT_MS: until it is told; None for one that does not."""
        return self._all[spot][0] if spot in self._all else None

    def park(self, spot: Spot, wake_at_ms: int, limit: str, key: str) -> None:
        """Let a spot stand aside, in the place of what it stood aside for before."""
        self.wake(spot)
        self._all[spot] = (wake_at_ms, limit, key)
        self._behind[limit, key][spot] = None
        if wake_at_ms < MAX_INSTANT_MS:
            self._wakes.add((wake_at_ms, spot))

    def wake(self, spot: Spot) -> None:
        """Let a spot stand aside no more, if it does."""
        if spot not in self._all:
            return
        wake_at_ms, limit, key = self._all.pop(spot)
        del self._behind[limit, key][spot]
        if not self._behind[limit, key]:
            del self._behind[limit, key]
        if wake_at_ms < MAX_INSTANT_MS:
            self._wakes.remove((wake_at_ms, spot))

    def due(self, now_ms: int, limit: int) -> list[Spot]:
        """At most `limit` spots whose instant is now or past, in the order of (instant, spot)."""
        return [spot for _, spot in self._wakes.first(min(limit, self._wakes.place((now_ms + 1,))))]

    def next_ms(self, now_ms: int) -> int | None:
        """The first instant ahead. One that has passed opens nothing by itself: a claim does. Spec: POOL-4"""
        found = self._wakes.over((now_ms,))
        return None if found is None else found[0]

    def behind(self, limit: str, key: str) -> list[Spot]:
        """The spots that a limit keeps."""
        return list(self._behind.get((limit, key), ()))
