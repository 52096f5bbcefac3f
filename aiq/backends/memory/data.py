"""What is stored: the tables, as plain dicts, and the indexes that find the next job without looking at all.

Tables are written by `transition` and by the operation that owns them; every record goes through `Tables.put`,
which keeps the indexes in step.
"""

from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

from aiq.bounds import CANCEL_GRACE_MS
from aiq.model import Chunk, JobRecord, Settled, State, Step, Wait
from aiq.rules.streams import Range

TimeKey: TypeAlias = tuple[int, str]
"""An instant in ms, and the id of the job that something happens to then."""
ReadyKey: TypeAlias = tuple[int, int, int, str]
"""Band, lane, position, id: the order in which a queue is served. Spec: CLAIM-6."""
Key = TypeVar("Key", TimeKey, ReadyKey)


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


def due(index: Index[TimeKey], now_ms: int, limit: int) -> list[str]:
    """At most `limit` jobs whose instant is now or past, in the order of (instant, id). Spec: TIME-3, TIME-4."""
    return [job_id for at_ms, job_id in index.first(limit) if at_ms <= now_ms]


@dataclass(slots=True)
class Edge:
    """From a job to one that waits for it, under the key of the wait.

    `done_order` counts the flips within the wait: 1, 2, 3 … None while the edge is not flipped.
    """

    upstream_id: str
    dependent_id: str
    key: str
    done_order: int | None = None


class Kind(StrEnum):
    """What is to be done for a row of the outbox."""

    FLIP = "flip"
    """Flip the rest of the edges that lead out of an ended job."""
    DIE = "die"
    """End a job that waits for a dependency which ended badly."""
    CANCEL_REST = "cancel_rest"
    """Cancel the children of a wait that is over without them."""
    CANCEL_CHILDREN = "cancel_children"
    """Cancel the children of a job that ended badly."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One row of the outbox: what follows from a step and did not fit into it. `key` is that of the wait, if any."""

    kind: Kind
    job_id: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a job. `row` is that of the table of states; `source` is None for a new job."""

    number: int
    at_ms: int
    row: str
    source: State | None
    target: State
    fence: int


@dataclass(slots=True)
class Signal:
    """A signal that was accepted. `bound` is the first answer; `kept` says that no wait has taken it yet."""

    name: str
    payload: bytes
    bound: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class LastSettlement:
    """The last settlement that took effect on a job, by which its repeat is recognised. Spec: STATE-6."""

    fence: int
    lease_id: str
    id: str
    answer: Settled


@dataclass(frozen=True, slots=True)
class LastClaim:
    """A worker's last claim that gave something. Spec: CLAIM-3, CLAIM-4, CLAIM-5."""

    number: int
    lease_id: str
    at_ms: int
    job_ids: tuple[str, ...]


@dataclass(slots=True)
class Stream:
    """The items of one job. Item n stands at place n - 1; `runs` holds what each fence appended, by its own count."""

    chunks: list[Chunk] = field(default_factory=list)
    runs: defaultdict[int, list[Chunk]] = field(default_factory=lambda: defaultdict(list))
    ranges: list[Range] = field(default_factory=list)
    size: int = 0
    """What the items that runs have appended take of MAX_STREAM_BYTES."""


@dataclass(slots=True)
class Indexes:
    """Where a job is found by what can happen to it next. A record is in exactly those of its state."""

    ready: defaultdict[str, Index[ReadyKey]] = field(default_factory=lambda: defaultdict(Index[ReadyKey]))
    """By queue."""
    scheduled: Index[TimeKey] = field(default_factory=Index[TimeKey])
    timeouts: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Suspended jobs that do not wait for ever."""
    leases: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Running jobs by expiry."""
    graces: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Running jobs with a cancel request, by the end of their grace."""

    def places(self, record: JobRecord) -> Iterator[tuple[Index[TimeKey], TimeKey]]:
        """The places of a record in the indexes by instant. Spec: STATE-3."""
        if record.due_ms is not None:
            index = self.scheduled if record.state is State.SCHEDULED else self.timeouts
            yield index, (record.due_ms, record.id)
        if record.expires_at_ms is not None:
            yield self.leases, (record.expires_at_ms, record.id)
            if record.cancel_requested_at_ms is not None:
                yield self.graces, (record.cancel_requested_at_ms + CANCEL_GRACE_MS, record.id)


def ready_key(record: JobRecord) -> ReadyKey:
    """The place of a ready job in its queue."""
    return (record.band, record.lane, record.position, record.id)


@dataclass(slots=True)
class Tables:
    """One storage."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """Ids in the order of enqueueing. Spec: STORE-8."""
    numbers: dict[str, int] = field(default_factory=dict)
    """The place of each id in that order."""
    children: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By parent."""
    indexes: Indexes = field(default_factory=Indexes)
    position: int = 0
    """The last position given to a ready job."""
    paused: set[str] = field(default_factory=set)

    waits: dict[tuple[str, str], Wait] = field(default_factory=dict)
    """By job and key."""
    edges_in: defaultdict[tuple[str, str], dict[str, Edge]] = field(default_factory=lambda: defaultdict(dict))
    """By dependent and key, then by upstream."""
    edges_out: defaultdict[str, list[Edge]] = field(default_factory=lambda: defaultdict(list))
    """By upstream: the edges that are not flipped."""
    outbox: deque[Outgoing] = field(default_factory=deque)

    steps: defaultdict[str, dict[str, Step]] = field(default_factory=lambda: defaultdict(dict))
    """By job, then by key."""
    signals: defaultdict[str, dict[str, Signal]] = field(default_factory=lambda: defaultdict(dict))
    """By job, then by id, in the order they were sent."""
    awaited: dict[str, str] = field(default_factory=dict)
    """The name of the signal that a suspended job waits for."""
    streams: defaultdict[str, Stream] = field(default_factory=lambda: defaultdict(Stream))
    events: defaultdict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    settlements: dict[str, LastSettlement] = field(default_factory=dict)
    claims: dict[str, LastClaim] = field(default_factory=dict)
    """By worker, oldest first."""

    def put(self, record: JobRecord) -> None:
        """Write a record in the place of the one that stands there, and keep each index in step."""
        before = self.jobs.get(record.id)
        if before is None:
            self.numbers[record.id] = len(self.order)
            self.order.append(record.id)
        else:
            self._leave_indexes(before)
        self.jobs[record.id] = record
        if record.state is State.READY:
            self.indexes.ready[record.queue].add(ready_key(record))
        for index, key in self.indexes.places(record):
            index.add(key)

    def _leave_indexes(self, before: JobRecord) -> None:
        if before.state is State.READY:
            self.indexes.ready[before.queue].remove(ready_key(before))
        for index, key in self.indexes.places(before):
            index.remove(key)

    def step(self, job_id: str, key: str) -> Step | None:
        """What a job remembers under a key."""
        return self.steps[job_id].get(key) if job_id in self.steps else None

    def winners(self, job_id: str, key: str) -> list[str]:
        """The jobs of a wait that succeeded, in the order in which they ended. Spec: FLOW-12."""
        done = [edge for edge in self.edges_in[job_id, key].values() if edge.done_order is not None]
        done.sort(key=lambda edge: edge.done_order or 0)
        return [edge.upstream_id for edge in done if self.jobs[edge.upstream_id].state is State.SUCCEEDED]

    def listed(self, after: int) -> Iterator[JobRecord]:
        """The records behind a place in the order of enqueueing."""
        return (self.jobs[job_id] for job_id in islice(self.order, after, None))
