"""What a notification says: which process it comes from and, where that is little, what has changed.

Whoever hears it need not look at once. Anybody in the database may listen, so that topics go as numbers: names of
queues and ids of jobs cannot be read from them, though they can be guessed. Two topics of one number wake each other's
waiters in vain. Anybody may also send one that is not true, which costs a wake-up, or one that the next look finds.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

MOST_TOPICS: Final = 256
"""A notification that would name more names none: the server takes 8,000 bytes."""
MOST_RANGES: Final = 16
"""The same of its changes, between which lie those of others."""


def number(topic: str) -> int:
    """What stands for a topic, in every process the same."""
    return crc32(topic.encode(errors="surrogatepass"))


@dataclass(slots=True)
class Notice:
    """What a line has committed since it told of that last. `word` is that of its process."""

    channel: str
    word: str
    _topics: set[str] = field(default_factory=set)
    _changes: list[range] = field(default_factory=list)
    _is_whole: bool = True

    def add(self, topics: Collection[str], changes: range) -> None:
        """One more step."""
        self._topics.update(topics)
        if self._changes and self._changes[-1].stop == changes.start:
            self._changes[-1] = range(self._changes[-1].start, changes.stop)
        else:
            self._changes.append(changes)
        # What has changed and is no topic, such as what was loaded, only a look can tell.
        if not changes or not topics or len(self._topics) > MOST_TOPICS or len(self._changes) > MOST_RANGES:
            self._forget(is_whole=False)

    def take(self) -> str:
        """Its text. What comes after that begins anew."""
        told = [self.word]
        if self._is_whole and self._changes:
            told.append(",".join([f"{changes.start}:{changes.stop}" for changes in self._changes]))
            told += map(str, map(number, self._topics))
        self._forget(is_whole=True)
        return " ".join(told)

    def _forget(self, *, is_whole: bool) -> None:
        self._topics, self._changes, self._is_whole = set(), [], is_whole


class Heard(NamedTuple):
    """What a notification has said. Without changes it says no more than that there are some."""

    word: str
    changes: tuple[range, ...]
    topics: list[int]


def read(text: str) -> Heard:
    """Understand a notification. One that is none of these, such as that of another release, says little."""
    word, *rest = text.split(" ")
    try:
        changes = [range(*map(int, one.split(":", 1))) for one in rest[0].split(",")]
        topics = list(map(int, rest[1:]))
    except (IndexError, TypeError, ValueError):
        return Heard(word, (), [])
    is_sane = len(changes) <= MOST_RANGES and all(0 < one.start < one.stop for one in changes)
    return Heard(word, tuple(changes), topics) if is_sane else Heard(word, (), [])
