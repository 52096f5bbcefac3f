"""What a job must be able to take before it runs, and before each call that it makes.

Functions over `Books`, within one atomic step: each looks first and writes only when everything fits. A store's
`Books` answers the same question many times in a step, so it keeps what it has read. Spec: chapters 10 and 11
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from aiq.model import (
    Admitted,
    Amounts,
    BudgetSpec,
    By,
    CallRequest,
    Exceeded,
    HeldFor,
    JobRecord,
    JobSpec,
    MustWait,
    Refused,
    none,
)
from aiq.rules.books import Books


@dataclass(frozen=True, slots=True)
class Granted:
    """Everything was taken. `cost` is what the job counts for in its order."""

    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A limit has no room for so long, None until it is told: the one that keeps the job longest."""

    limit: str
    key: str = ""
    by: By | None = None
    wait_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """The first budget of the chain that has no room for `need`; `text` says so with the figures."""

    budget: BudgetSpec
    need: Amounts = field(default_factory=none)
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """No waiting helps: the job is to be held for its size or its price, by that limit or model."""

    reason: HeldFor
    by: str
    text: str


Claimed: TypeAlias = Granted | Blocked | Short | Hopeless


def check_at_enqueue(books: Books, spec: JobSpec) -> None:
    """Refuse a job that could never run as it is, on any of its routes. Writes nothing.

    Raises:
        UnknownLimit: it names a limit that is not stored. CALL-18
        NeverFits: it declares to need more than a limit can ever give. CALL-17
        PriceUnknown: a budget of its record's own chain counts money, and its model has no price. HOLD-8
        NotFound: a budget that it names is not stored.
    """
    raise NotImplementedError


def quote(books: Books, record: JobRecord) -> int:
    """What a ready job counts for in order and credits. Spec: chapter 12, cost"""
    raise NotImplementedError


def claim(books: Books, record: JobRecord, fence: int) -> Claimed:
    """Reserve what a ready job's first call needs, as call 0 of the run that `fence` begins; all of it, or nothing.

    `record` is the job as it stands, still ready. Only `Granted` has written anything. Spec: CALL-1, CALL-2, BUDGET-1
    """
    raise NotImplementedError


def acquire(books: Books, record: JobRecord, request: CallRequest) -> Admitted | MustWait | Exceeded | Refused:
    """Reserve for one more call of a running job, whose lease the store has found to be live; all of it, or nothing.

    One that must wait is put in line. After `Admitted` the store sets the record's `opened_calls`.
    Spec: CALL-1, CALL-3 to CALL-8, BUDGET-8
    """
    raise NotImplementedError


def resumes(record: JobRecord) -> bool:
    """Whether the next run of a job reserves units of concurrency only. Spec: CALL-16"""
    return record.resumes and record.opened_calls
