"""What a storage holds, as records that any other can take in: the rows of chapter 20.

A record says what was stored, not how: what a store can derive (counts, indexes, places in lanes) is not in it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from msgspec import Struct

from aiq.model import call as calls
from aiq.model import event as events
from aiq.model import step as steps
from aiq.model.budget import Amounts, BudgetSpec, BudgetState
from aiq.model.dead import DeadGroup
from aiq.model.event import MinuteRow
from aiq.model.job import HeldFor, JobRecord, OnUnique, State
from aiq.model.limit import LimitSpec, LimitState, QueueSettings, none
from aiq.model.retention import RetentionSpec
from aiq.model.schedule import ScheduleStatus
from aiq.model.stream import Chunk
from aiq.model.usage import PriceRow


class Limit(Struct, frozen=True, kw_only=True, tag="limit"):
    """A limit. Those of queues' own settings, "queue:NAME", come with their queue."""

    spec: LimitSpec


class Level(Struct, frozen=True, kw_only=True, tag="level"):
    """What is left of a limit, or of one tenant's or key's part."""

    name: str
    key: str
    state: LimitState


class Budget(Struct, frozen=True, kw_only=True, tag="budget"):
    """A budget."""

    spec: BudgetSpec


class Balance(Struct, frozen=True, kw_only=True, tag="balance"):
    """What was spent and is held of a budget in a window."""

    budget: str
    state: BudgetState


class Grant(Struct, frozen=True, kw_only=True, tag="grant"):
    """The id of a grant, so that its repeat changes nothing."""

    budget: str
    id: str
    window_ms: int


class Price(Struct, frozen=True, kw_only=True, tag="price"):
    """A price."""

    row: PriceRow


class Learned(Struct, frozen=True, kw_only=True, tag="learned"):
    """What is known of a task and model. EST-2"""

    task: str
    model: str
    output: int
    outputs: int
    input: int
    inputs: int


class Tenant(Struct, frozen=True, kw_only=True, tag="tenant"):
    """The weight of a tenant."""

    tenant: str
    weight: int


class Queue(Struct, frozen=True, kw_only=True, tag="queue"):
    """What is set of a queue."""

    name: str
    paused: bool
    settings: QueueSettings


class Line(Struct, frozen=True, kw_only=True, tag="line"):
    """What a tenant was served in a band of a pool. FAIR-1"""

    queue: str
    pool: str
    band: int
    tenant: str
    service: int


class Pool(Struct, frozen=True, kw_only=True, tag="pool"):
    """What the line of a pool that was served last had been served, by band: there new ones begin. FAIR-3"""

    queue: str
    name: str
    served: tuple[int, int, int, int]


class Group(Struct, frozen=True, kw_only=True, tag="group"):
    """A group of dead letters, without its members."""

    group: DeadGroup


class Unique(Struct, frozen=True, kw_only=True, tag="unique"):
    """Who has a unique key. UNIQ-1"""

    task: str
    key: str
    job_id: str
    how: OnUnique
    last_id: str
    last_digest: str
    until_ms: int | None
    state: State | None


class Grave(Struct, frozen=True, kw_only=True):
    """Of what group a dead job is, and what that counts of it. DEAD-1"""

    fingerprint: str
    died_at_ms: int
    tokens: int
    usd_micros: int
    sample: str | None


class Rising(Struct, frozen=True, kw_only=True):
    """By which redrive a job has another generation, from what group, and what groups count of it already. DEAD-11"""

    redrive_id: str
    fingerprint: str | None
    tokens: int
    usd_micros: int


class Key(Struct, frozen=True, kw_only=True, tag="key"):
    """An ordered key of a queue: how many may hold it, how many do and stand in its line, and whether it is paused."""

    queue: str
    key: str
    per_key: int
    places: int
    holders: int
    line: int
    paused: bool


class Turn(Struct, frozen=True, kw_only=True):
    """Where an ordered job stands at its key: `turn` is its number when it was enqueued or began anew, `stand` says
    whether it is in the line, holds the key, or is away. KEY-2"""

    turn: int
    stand: int


class Schedule(Struct, frozen=True, kw_only=True, tag="schedule"):
    """A schedule as it stands."""

    status: ScheduleStatus


class Job(Struct, frozen=True, kw_only=True, tag="job"):
    """A job, with its payload, result and errors; in the order of enqueueing, which `number` says.

    One that was stored as a child stands `depth` below the job of the number `root`; of any other both are 0. KEY-13

    `signal` is the name of that for which a suspended one waits; `held_at` the place of a held one among those that
    are held, and `need` what its budget refused; `since_ms` is when it came into its state. A ready one waits for its
    route until `patience_end_ms`.
    """

    record: JobRecord
    number: int
    root: int = 0
    depth: int = 0
    signal: str | None = None
    held_at: int = 0
    need: Amounts = none()
    since_ms: int = 0
    patience_end_ms: int | None = None
    turn: Turn | None = None
    grave: Grave | None = None
    rising: Rising | None = None


class Answer(Struct, frozen=True, kw_only=True, tag="answer"):
    """What the last settlement of a job was answered, for its repeat. STATE-6"""

    job_id: str
    fence: int
    lease_id: str
    id: str
    state: State
    late: bool
    step: str | None


class Wait(Struct, frozen=True, kw_only=True, tag="wait"):
    """A wait of a job on others; `wait.key` is "" for its dependencies."""

    job_id: str
    wait: steps.Wait


class Edge(Struct, frozen=True, kw_only=True, tag="edge"):
    """From a job to one that waits for it. `ended` is its place in the order in which they ended, 0 before."""

    upstream: str
    dependent: str
    key: str
    ended: int
    succeeded: bool


class Step(Struct, frozen=True, kw_only=True, tag="step"):
    """A remembered sub-result, or the end of a wait."""

    job_id: str
    step: steps.Step


class Signal(Struct, frozen=True, kw_only=True, tag="signal"):
    """A signal that was accepted; those of a job come in the order in which they were sent."""

    job_id: str
    id: str
    name: str
    payload: bytes
    bound: bool
    kept: bool
    over_ms: int | None = None
    """When a wait took it."""


class Item(Struct, frozen=True, kw_only=True, tag="item"):
    """An item of a stream. `seq` is its number within the run that wrote it, None for what the storage wrote."""

    job_id: str
    chunk: Chunk
    seq: int | None


class Range(Struct, frozen=True, kw_only=True, tag="range"):
    """Numbers that one run emitted within one step. STREAM-4"""

    job_id: str
    first: int
    last: int
    fence: int
    step: str | None
    void: bool


class Log(Struct, frozen=True, kw_only=True, tag="log"):
    """Whether the oldest events of the storage were removed, and what is kept for how long."""

    trimmed: bool
    retention: RetentionSpec
    results_ms: int = -1
    """The end of the last job at whose result upkeep has looked."""


class Event(Struct, frozen=True, kw_only=True, tag="event"):
    """A transition of a job, or of one that is gone; in the order of the log. Cursors do not move. STATE-4"""

    event: events.Event


class Minute(Struct, frozen=True, kw_only=True, tag="minute"):
    """What happened in a minute."""

    row: MinuteRow


class Tombstone(Struct, frozen=True, kw_only=True, tag="tombstone"):
    """What is remembered of a job that is gone. GONE-2"""

    id: str
    digest: str
    state: State
    task: str
    queue: str
    until_ms: int


class Remains(Struct, frozen=True, kw_only=True, tag="remains"):
    """A job that is gone, of which something is still to be done. GONE-6"""

    job_id: str
    parent_id: str | None
    flow: str | None
    due_ms: int


class Reservation(Struct, frozen=True, kw_only=True, tag="reservation"):
    """A call, open, or closed and kept for a late report."""

    reservation: calls.Reservation


class Room(Struct, frozen=True, kw_only=True, tag="room"):
    """What is left of a room in which held jobs are still to be let go, and whether a grant has made it. HOLD-8"""

    reason: HeldFor
    by: str
    left: Amounts
    granted: bool


class Usage(Struct, frozen=True, kw_only=True, tag="usage"):
    """What was used in a minute, by model and category, for one `scope`: a job, flow, tenant, or all."""

    scope: str
    owner: str
    minute_ms: int
    model: str
    category: str
    tokens: int
    usd_micros: int
    unpriced: int
    estimated: int


class Outgoing(Struct, frozen=True, kw_only=True, tag="outgoing"):
    """What follows from a step and did not fit into it."""

    kind: str
    job_id: str
    key: str


Record: TypeAlias = (
    Limit
    | Level
    | Budget
    | Balance
    | Grant
    | Group
    | Price
    | Key
    | Learned
    | Tenant
    | Queue
    | Line
    | Pool
    | Log
    | Minute
    | Remains
    | Tombstone
    | Unique
    | Job
    | Answer
    | Wait
    | Edge
    | Step
    | Signal
    | Item
    | Range
    | Event
    | Reservation
    | Room
    | Schedule
    | Usage
    | Outgoing
)


@dataclass(frozen=True, slots=True)
class Dumped:
    """A page of a dump. `cursor` asks for the next one; None ends it."""

    records: tuple[Record, ...]
    cursor: str | None
