"""What is stored: the tables, as plain dicts, and the indexes that find the next job without looking at all.

Tables are written by `transition` and by the operation that owns them; every record goes through `Tables.put`,
which keeps the indexes in step.
"""

import secrets
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from aiq.backends.memory.accounts import Accounts
from aiq.backends.memory.calendar import Calendar
from aiq.backends.memory.graves import Graves
from aiq.backends.memory.idle import Idle
from aiq.backends.memory.index import Index, TimeKey
from aiq.backends.memory.keys import Keys
from aiq.backends.memory.lanes import Lanes, LineKey, line_of, place_of
from aiq.backends.memory.unique_keys import UniqueKeys
from aiq.bounds import CANCEL_GRACE_MS
from aiq.model import Beat, Chunk, Event, JobRecord, RetentionSpec, Settled, State, Step, Wait
from aiq.rules.events import log_cursor, log_number
from aiq.rules.fairness import pool_of
from aiq.rules.keys import Branch
from aiq.rules.metrics import nothing
from aiq.rules.outbox import Kind
from aiq.rules.streams import Range

EndKey: TypeAlias = tuple[int, int]
"""An instant in ms, and the place of a job in the order of enqueueing."""


@dataclass(slots=True)
class Edge:
    """From a job to one that waits for it, under the key of the wait.

    `done_order` counts the flips within the wait: 1, 2, 3 … None while the edge is not flipped. `succeeded` is how the
    job had ended then: it may have had another generation since.
    """

    upstream_id: str
    dependent_id: str
    key: str
    done_order: int | None = None
    succeeded: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One row of the outbox: what follows from a step and did not fit into it. `key` is that of the wait, if any."""

    kind: Kind
    job_id: str
    key: str = ""


@dataclass(slots=True)
class Log:
    """The events of all jobs in their order, numbered from 1; the oldest are trimmed. Spec: EVENT-1, KEEP-6"""

    events: list[Event] = field(default_factory=list)
    trimmed: int = 0
    """The number of the last event that was removed."""
    storage_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Made with the storage: a cursor says in whose log it counts. Spec: EVENT-9"""

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self.trimmed + len(self.events)

    def cursor(self, number: int) -> str:
        """The cursor behind the event of a number."""
        return log_cursor(number, self.storage_id)

    def number(self, cursor: str) -> int:
        """The number of the event behind which a cursor is."""
        return log_number(cursor, self.storage_id, self.last)

    def after(self, number: int, limit: int) -> list[Event]:
        """At most `limit` events behind a number."""
        start = max(0, number - self.trimmed)
        return self.events[start : start + limit]

    def trim(self, count: int) -> list[Event]:
        """Remove the oldest, and tell which they were."""
        gone = self.events[:count]
        del self.events[:count]
        self.trimmed += len(gone)
        return gone


@dataclass(slots=True)
class Signal:
    """A signal that was accepted. `bound` is the first answer; `kept` says that no wait has taken it yet, and `over_ms`
    when one has."""

    name: str
    payload: bytes
    bound: bool
    kept: bool
    over_ms: int | None = None


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


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """A worker by its last beat, and when it began by its first."""

    beat: Beat
    started_at_ms: int
    beat_at_ms: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is remembered of a job that is gone. Spec: GONE-2"""

    digest: str
    state: State
    until_ms: int


@dataclass(slots=True)
class Remains:
    """What is still to be done after a job is gone: its children go too, then its budget and use. Spec: GONE-6"""

    parent_id: str | None
    flow: str | None
    due_ms: int


@dataclass(slots=True)
class Stream:
    """The items of one job. Item n stands at place n - 1, less the trimmed; `runs` holds what each fence appended, by
    its own count."""

    chunks: list[Chunk] = field(default_factory=list)
    runs: defaultdict[int, list[Chunk]] = field(default_factory=lambda: defaultdict(list))
    ranges: list[Range] = field(default_factory=list)
    size: int = 0
    """What the items that runs have appended take of MAX_STREAM_BYTES."""
    trimmed: int = 0
    """The number of the last item that was removed. Spec: KEEP-4"""


@dataclass(slots=True)
class Indexes:
    """Where a job is found by the instant at which something happens to it. A record is in those of its state."""

    scheduled: Index[TimeKey] = field(default_factory=Index[TimeKey])
    timeouts: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Suspended jobs that do not wait for ever."""
    leases: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Running jobs by expiry."""
    graces: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Running jobs with a cancel request, by the end of their grace."""
    deadlines: Index[TimeKey] = field(default_factory=Index[TimeKey])
    """Jobs that have a deadline, and neither ended nor were asked to."""

    def places(self, record: JobRecord) -> Iterator[tuple[Index[TimeKey], TimeKey]]:
        """The places of a record in the indexes by instant. Spec: STATE-3."""
        if record.due_ms is not None:
            index = self.scheduled if record.state is State.SCHEDULED else self.timeouts
            yield index, (record.due_ms, record.id)
        if record.expires_at_ms is not None:
            yield self.leases, (record.expires_at_ms, record.id)
            if record.cancel_requested_at_ms is not None:
                yield self.graces, (record.cancel_requested_at_ms + CANCEL_GRACE_MS, record.id)
        if record.deadline_ms is not None and record.cancel_requested_at_ms is None and not record.state.terminal:
            yield self.deadlines, (record.deadline_ms, record.id)


class ByQueue(dict[str, Lanes]):
    """The ready jobs of each queue."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = Idle()

    def __missing__(self, queue: str) -> Lanes:
        self[queue] = Lanes(queue, self.idle)
        return self[queue]


class Ended:
    """The jobs that have ended, in the order in which upkeep looks whether their time is over. Spec: KEEP-1, KEEP-2"""

    def __init__(self) -> None:
        self.counts: Counter[State] = Counter()
        self.by_state: defaultdict[State, Index[EndKey]] = defaultdict(Index[EndKey])
        """Those that go by the retention of their state."""
        self.apart: Index[EndKey] = Index()
        """Those with an instant of their own: given, or put off."""
        self._places: dict[int, EndKey] = {}

    def follow(self, number: int, before: JobRecord | None, after: JobRecord) -> None:
        """Keep step with a record that is written."""
        if before is not None and before.finished_at_ms is not None:
            if before.finished_at_ms == after.finished_at_ms:
                return
            self.leave(number, before)
        if after.finished_at_ms is None:
            return
        self.counts[after.state] += 1
        if after.keep_ms is None:
            self.by_state[after.state].add((after.finished_at_ms, number))
        else:
            self._stand_apart(number, after.finished_at_ms + after.keep_ms)

    def leave(self, number: int, record: JobRecord) -> None:
        """Take out a job."""
        self.counts[record.state] -= 1
        place = self._places.pop(number, None)
        if place is not None:
            self.apart.remove(place)
        elif record.finished_at_ms is not None:
            self.by_state[record.state].remove((record.finished_at_ms, number))

    def put_off(self, number: int, record: JobRecord, until_ms: int) -> None:
        """Look at a job no earlier than at an instant."""
        self.leave(number, record)
        self.counts[record.state] += 1
        self._stand_apart(number, until_ms)

    def _stand_apart(self, number: int, at_ms: int) -> None:
        self._places[number] = (at_ms, number)
        self.apart.add((at_ms, number))


def unstarted(record: JobRecord) -> bool:
    """Whether a job counts against the bound of its queue. Spec: QUEUE-1"""
    stands = record.state in (State.READY, State.SCHEDULED)
    return stands and record.fence == 0 and record.parent_id is None


@dataclass(slots=True)
class Tables:
    """One storage."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    order: list[str] = field(default_factory=lambda: [""])
    """Ids by number, empty where no job has it (any more). Spec: STORE-8."""
    numbers: dict[str, int] = field(default_factory=dict)
    """By id, in the order of enqueueing."""
    branches: dict[str, Branch] = field(default_factory=dict)
    """Where each job that was stored as a child stands in its tree. Spec: KEY-13"""
    children: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By parent."""
    indexes: Indexes = field(default_factory=Indexes)
    lanes: ByQueue = field(default_factory=ByQueue)
    keys: Keys = field(default_factory=Keys)
    accounts: Accounts = field(default_factory=Accounts)
    graves: Graves = field(default_factory=Graves)
    calendar: Calendar = field(default_factory=Calendar)
    unique: UniqueKeys = field(default_factory=UniqueKeys)
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
    loading: str | None = None
    """The move whose records are being taken in. Spec: MOVE-4"""
    loaded: str | None = None
    """The move that was taken in here. Spec: MOVE-2"""
    moved_to: str | None = None
    """Where the storage has gone. Spec: MOVE-3"""
    move_id: str = ""
    """The name of the move by which it went."""
    workers: dict[str, KnownWorker] = field(default_factory=dict)
    """By name."""

    retention: RetentionSpec = field(default_factory=RetentionSpec)
    results_mark: EndKey = (-1, 0)
    """The last of the jobs that have succeeded at whose results upkeep has looked."""
    ended: Ended = field(default_factory=Ended)
    log: Log = field(default_factory=Log)
    since: dict[str, int] = field(default_factory=dict)
    """When each job came into its state."""
    minutes: defaultdict[tuple[int, str, str], list[int]] = field(default_factory=lambda: defaultdict(nothing))
    """By minute, queue and task."""
    needed_by: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """The waits that have an edge from a job, by upstream."""
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    """By the id of a job that is gone, in the order in which they went."""
    remains: dict[str, Remains] = field(default_factory=dict)
    """By the id of a job that is gone, in the order in which they went."""

    def put(self, record: JobRecord) -> None:
        """Write a record in the place of the one that stands there, and keep each index in step."""
        before = self.jobs.get(record.id)
        if before is None:
            self.enlist(record.id)
        else:
            self._leave_indexes(before)
        self.ended.follow(self.numbers[record.id], before, record)
        self.jobs[record.id] = record
        self._stand(before, record)
        for index, key in self.indexes.places(record):
            index.add(key)

    def enlist(self, job_id: str) -> int:
        """The number of a job, which is its place in the order of enqueueing: a new one has the next."""
        if job_id not in self.numbers:
            self.numbers[job_id] = self.next_number()
            self.order[-1] = job_id
        return self.numbers[job_id]

    def next_number(self) -> int:
        """A number that no job has."""
        self.order.append("")
        return len(self.order) - 1

    def take_number(self, number: int) -> None:
        """Give numbers up to this one to nobody from now on."""
        while len(self.order) <= number:
            self.order.append("")

    def enlist_as(self, job_id: str, number: int) -> None:
        """Give a job that comes from another storage the number that it had there."""
        self.take_number(number)
        self.numbers[job_id], self.order[number] = number, job_id

    def pool(self, record: JobRecord) -> str:
        """The name of the pool in which a job stands when it is ready. What a limit goes by never changes."""
        return pool_of(self.accounts.limits, record)

    def line(self, record: JobRecord) -> LineKey:
        """The line in which a job stands when it is ready."""
        return line_of(record, self.pool(record))

    def stands(self, record: JobRecord) -> bool:
        """Whether a job has its place in a lane, behind a gate, or in the line of its key."""
        if record.id in self.keys.aside:
            return True
        lanes = self.lanes.get(record.queue)
        return lanes is not None and lanes.holds(record, self.pool(record))

    def _leave_indexes(self, before: JobRecord) -> None:
        for index, key in self.indexes.places(before):
            index.remove(key)

    def _stand(self, before: JobRecord | None, record: JobRecord) -> None:
        """Let a job take its place among those that are ready, and leave the one that it had.

        One that changes in another way keeps its place, behind a gate too.
        """
        if before is not None:
            self.accounts.unstarted[before.queue] -= unstarted(before)
        self.accounts.unstarted[record.queue] += unstarted(record)
        was_ready = before is not None and before.state is State.READY
        is_ready = record.state is State.READY
        if before is not None and was_ready and is_ready and self._place(before) == self._place(record):
            return
        if before is not None and was_ready:
            self._leave_place(before)
        if is_ready and self.keys.keeps_out(record):
            self.keys.aside.add(record.id)
        elif is_ready:
            self.lanes[record.queue].join(record, self.pool(record))

    def _leave_place(self, before: JobRecord) -> None:
        lanes = self.lanes[before.queue]
        if before.id in self.keys.aside:
            self.keys.aside.remove(before.id)
            lanes.patience.end(before.id)
        else:
            lanes.leave(before, self.pool(before))

    def _place(self, record: JobRecord) -> tuple[object, ...]:
        return (record.queue, self.line(record), place_of(record))

    def step(self, job_id: str, key: str) -> Step | None:
        """What a job remembers under a key."""
        return self.steps[job_id].get(key) if job_id in self.steps else None

    def winners(self, job_id: str, key: str) -> list[str]:
        """The jobs of a wait that succeeded, in the order in which they ended. Spec: FLOW-12."""
        done = [edge for edge in self.edges_in[job_id, key].values() if edge.done_order is not None]
        done.sort(key=lambda edge: (edge.done_order or 0, edge.upstream_id))
        return [edge.upstream_id for edge in done if edge.succeeded]

    def listed(self, first: int) -> Iterator[tuple[int, JobRecord]]:
        """The records from a place on in the order of enqueueing, each with its place."""
        places = range(first, len(self.order))
        return ((place, self.jobs[self.order[place]]) for place in places if self.order[place])
