"""Why a job does not run: one gate, named in the same sentence by every store. Spec: WHY-1."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aiq.model import Amounts, JobRecord, Why, none
from aiq.rules.books import Books, Line, Pool, WaitingCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A ready job that was taken out of its lane, by which limit, and until when (MAX_INSTANT_MS: until it is told)."""

    limit: str
    key: str
    wake_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a store has read about one job. Only what goes with its state needs to be there.

    Of a job that waits: `upstream` is the first id of `depends_on` that has not ended, None once it has run;
    `signal` the name that a suspended one waits for. Of a running one: `calls`, those that stand in line. Of a held
    one: `need`, what its budget could not hold. Of a ready one: whether its queue is `paused`, where it was put
    `aside`, its `pool` and `line` as they are stored (None where nothing is), and `before`, how many jobs of its line
    go before it, `urgent`, how many ready jobs of its queue are of more urgent bands, and `others`, how many lines of
    its pool and band have less service; each counted to at most MAX_PAGE.
    """

    record: JobRecord
    upstream: str | None = None
    signal: str = ""
    calls: Sequence[WaitingCall] = ()
    need: Amounts = field(default_factory=none)
    paused: bool = False
    aside: Aside | None = None
    pool: Pool | None = None
    line: Line | None = None
    before: int = 0
    urgent: int = 0
    others: int = 0


def why(books: Books, facts: Facts) -> Why:
    """Name the one gate that a job waits for. Reads only."""
    raise NotImplementedError
