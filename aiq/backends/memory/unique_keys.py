"""The table of unique keys."""

from dataclasses import dataclass, field

from aiq.backends.memory.index import Index
from aiq.rules.unique import Holder, Key


@dataclass(slots=True)
class UniqueKeys:
    """Who has which key, and which of them are taken for a time, by its end."""

    holders: dict[Key, Holder] = field(default_factory=dict)
    windows: Index[tuple[int, str, str]] = field(default_factory=Index[tuple[int, str, str]])

    def put(self, key: Key, holder: Holder) -> None:
        """Write who has a key, in the place of whoever had it."""
        self.drop(key)
        self.holders[key] = holder
        if holder.until_ms is not None:
            self.windows.add((holder.until_ms, *key))

    def drop(self, key: Key) -> None:
        """Let nobody have a key."""
        before = self.holders.pop(key, None)
        if before is not None and before.until_ms is not None:
            self.windows.remove((before.until_ms, *key))
