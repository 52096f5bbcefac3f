"""The numbered output of a job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiq.model.job import Lease, State


class ChunkKind(StrEnum):
    """What an item of a stream is. The last four are written by the store alone."""

    DATA = "data"
    LOG = "log"
    PROGRESS = "progress"
    RESET = "reset"
    """`data` is JSON {"void": [[first, last], …]}: data items with these numbers no longer count."""
    END = "end"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewChunk:
    """One item to be appended. `seq` is 1, 2, 3 … within the run; `step` is the step under way, if any."""

    seq: int
    data: bytes
    kind: ChunkKind = ChunkKind.DATA
    step: str | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """What one run emitted, in the order of `seq`. No items at all ask how full the stream is."""

    lease: Lease
    chunks: Sequence[NewChunk] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """`last` is the number readers see on the job's newest item, `stream_bytes` what runs have used up of
    MAX_STREAM_BYTES."""

    last: int
    cancel_requested: bool
    late: bool = False
    stream_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One item of a job's stream. `number` is 1, 2, 3 … over all runs, and never used twice."""

    number: int
    kind: ChunkKind
    data: bytes
    fence: int
    at_ms: int
    step: str | None = None

    @property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 shows as a replacement sign."""
        return self.data.decode(errors="replace")

    @property
    def void(self) -> tuple[tuple[int, int], ...]:
        """Of a RESET: ranges of numbers, both ends included, whose items no longer count. Else nothing."""
        if self.kind is not ChunkKind.RESET:
            return ()
        return tuple((first, last) for first, last in json.loads(self.data)["void"])


@dataclass(frozen=True, slots=True)
class Read:
    """The items of one job's stream with a number over `after`."""

    job_id: str
    after: int = 0


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Items after a number, in order. `state` is the job's, read in the same step: when it is terminal and
    there are no items left, nothing more will come in this generation. `more` says that items are left."""

    chunks: tuple[Chunk, ...]
    state: State
    more: bool = False
