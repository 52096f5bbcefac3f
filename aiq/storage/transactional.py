"""Leaving jobs in a transaction of the caller's: for storages with the capability TRANSACTIONAL_ENQUEUE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiq.model import JobSpec


@dataclass(frozen=True, slots=True)
class Left:
    """A row that leaves jobs: `content` is to be inserted into the column of that name of `table`, quoted where
    it must be. `notice` is a statement that wakes workers at the commit, '' where they see that themselves."""

    table: str
    content: bytes
    notice: str = ""


class Transactional(Protocol):
    """What such a storage can do besides."""

    def left(self, batch: Sequence[JobSpec]) -> Left:
        """Describe the row that leaves a batch. Nothing is asked of the storage. Spec: ENQ-9

        Raises:
            InvalidInput: as for `enqueue`, of what can be seen without looking at what is stored.
        """
        ...
