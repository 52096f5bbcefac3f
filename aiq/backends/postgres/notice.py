"""What a notification says: which process it comes from and, where that is little, what has changed.

Whoever hears it need not look at once. Anybody in the database may listen, so that topics go as numbers: names of
queues and ids of jobs cannot be read from them, though they can be guessed. Two topics of one number wake each other's
waiters in vain. Anybody may also send one that is not true, which costs a wake-up, or one that the next look finds.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

MOST_TOPICS: Final = 64
"""A notification that would name more names none: the server takes 8,000 bytes, and a look costs less than to go
through many."""


def number(topic: str) -> int:
    """What stands for a topic, in every process the same."""
    return crc32(topic.encode(errors="surrogatepass"))


@dataclass(slots=True)
class Notice:
    """What a line has committed since it told of that last. `word` is that of its process."""

    channel: str
    word: str
    _topics: set[str] = field(default_factory=set)
    _changes: range = range(0)
    _is_whole: bool = True

    def add(self, topics: Collection[str], changes: range) -> None:
        """One more step. Where it does not follow the one before, somebody else's lies in between."""
        follows = not self._changes or self._changes.stop == changes.start
        # What has changed and is no topic, such as what was loaded, only a look can tell.
        if not changes or not topics or not follows or len(self._topics) + len(topics) > MOST_TOPICS:
            self._is_whole = False
        else:
            self._topics.update(topics)
            self._changes = range(self._changes.start if self._changes else changes.start, changes.stop)

    def take(self) -> str:
        """Its text. What comes after that begins anew."""
        told = [self.word]
        if self._is_whole and self._changes:
            told += map(str, (self._changes.start, self._changes.stop, *map(number, self._topics)))
        self._topics, self._changes, self._is_whole = set(), range(0), True
        return " ".join(told)


class Heard(NamedTuple):
    """What a notification has said. Without changes it says no more than that there are some."""

    word: str
    changes: range
    topics: list[int]


def read(text: str) -> Heard:
    """Understand a notification. One that is none of these, such as that of another release, says little."""
    word, _, rest = text.partition(" ")
    try:
        start, stop, *topics = map(int, rest.split())
    except ValueError:
        return Heard(word, range(0), [])
    return Heard(word, range(start, stop), topics) if 0 < start < stop else Heard(word, range(0), [])
