"""Settling what is done and claiming what is next."""

from dataclasses import dataclass

from aiq.errors import LeaseLost, TooLarge
from aiq.model.job import JobRecord, Lease, State
from aiq.model.outcome import Outcome
from aiq.model.step import Step


@dataclass(frozen=True, slots=True)
class Settlement:
    """One outcome to be recorded. `id` is made by the caller, once per settlement: a repeat is recognised by it."""

    lease: Lease
    id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement that took effect, now or when it was first sent.

    `state` is where the step left the job. After `Suspended` it is RUNNING when a signal was there
    already; `step` is then that wait. `late` says that the lease had run out.
    """

    state: State
    late: bool = False
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """How many jobs of one queue a worker can take."""

    queue: str
    count: int


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A worker's wish for jobs. (worker, number) is the claim id: `number` rises with every new claim of the
    worker, and repeating one, with the same lease_id, gives the same jobs. `lease_id` is 128 random bits."""

    worker: str
    number: int
    lease_id: str
    wants: tuple[Want, ...]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What an exchange did. `settled` answers each settlement in its place; a refusal is a value there, not
    raised, so that one lost lease does not hide its neighbours. `next_due_ms` is how long until the storage
    has something to do by itself, 0 for now, None for nothing."""

    settled: tuple[Settled | LeaseLost | TooLarge, ...]
    claimed: tuple[JobRecord, ...]
    next_due_ms: int | None
