"""How much goes into one call: what is to be stored is cut into parts, and a claim gives and opens so much at most."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiq.bounds import MAX_BATCH, MAX_BATCH_BYTES, MAX_DEPENDENCIES, MAX_PAGE, MAX_PAGE_BYTES, MAX_SWEEP
from aiq.model import JobSpec, Step

_Spec = TypeVar("_Spec", bound=JobSpec)


def batches(specs: Iterable[_Spec]) -> Iterator[list[_Spec]]:
    """Parts of a list of jobs, in order, each within the bounds of one enqueue."""
    batch: list[_Spec] = []
    size = edges = 0
    for spec in specs:
        size, edges = size + len(spec.payload), edges + len(spec.depends_on)
        if batch and (len(batch) == MAX_BATCH or size > MAX_BATCH_BYTES or edges > MAX_DEPENDENCIES):
            yield batch
            batch, size, edges = [], len(spec.payload), len(spec.depends_on)
        batch.append(spec)
    if batch:
        yield batch


def page_length(sizes: Iterable[int], most: int = MAX_PAGE_BYTES) -> int:
    """How many of the first go into one page: it ends with the one that takes it to so many bytes. Spec: STORE-13"""
    length = total = 0
    for size in sizes:
        if total >= most:
            break
        length, total = length + 1, total + size
    return length


def may_go_on(steps: Sequence[Step], limit: int = MAX_PAGE) -> bool:
    """Whether a page of steps may be followed by another. Spec: STORE-13"""
    return len(steps) == limit or sum(len(step.value) for step in steps) >= MAX_PAGE_BYTES


class Room:
    """The payload bytes that one claim may still give. Spec: CLAIM-11."""

    def __init__(self) -> None:
        self._left = MAX_BATCH_BYTES
        self._given = False

    def takes(self, size: int) -> bool:
        """Give a job whose payload is of `size` bytes, if it fits or is the first. Once one does not, none does."""
        self._left -= size
        fits = self._left >= 0 or not self._given
        self._given = True
        return fits


@dataclass(slots=True)
class Wakes:
    """How many pools, lines and gates one claim may still open whose instant has come. Spec: POOL-3"""

    pools: int = MAX_SWEEP
    lines: int = MAX_SWEEP
    gates: int = MAX_SWEEP

    @property
    def used_up(self) -> bool:
        """Whether there may be more of a kind than the claim has opened."""
        return 0 in (self.pools, self.lines, self.gates)
