"""Settlements that wait for the next exchange."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES
from aiq.engine.run import Run
from aiq.errors import InvalidInput, LeaseLost
from aiq.model import Outcome, Settled, Settlement, Succeeded

Answer: TypeAlias = Settled | LeaseLost | InvalidInput
"""What became of a settlement; InvalidInput, such as TooLarge, where no store could record what it says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One settlement. `answer` is set where a run waits for it in place; None is the last word of a run.

    An answer that is cancelled is not waited for any more: an entry that has not gone out yet is withdrawn by it.
    """

    run: Run
    settlement: Settlement
    answer: "asyncio.Future[Answer] | None"

    @property
    def withdrawn(self) -> bool:
        """Whether nobody wants it to be sent any more."""
        return self.answer is not None and self.answer.cancelled()


class Outbox:
    """First in, first out; bounded by the runs of a worker, each of which has at most a few settlements under way."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()

    def put(self, run: Run, outcome: Outcome, answer: "asyncio.Future[Answer] | None" = None) -> None:
        """Add an outcome of a run."""
        self._entries.append(Entry(run, run.settlement(outcome), answer))

    def take(self) -> list[Entry]:
        """Remove what fits into one exchange, by count and by the bytes of the results."""
        batch: list[Entry] = []
        size = 0
        while self._entries and len(batch) < MAX_BATCH:
            if self._entries[0].withdrawn:
                self._entries.popleft()
                continue
            outcome = self._entries[0].settlement.outcome
            if isinstance(outcome, Succeeded):
                size += len(outcome.result)
                if batch and size > MAX_BATCH_BYTES:
                    break
            batch.append(self._entries.popleft())
        return batch

    def __len__(self) -> int:
        return len(self._entries)
