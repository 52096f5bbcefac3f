"""How a start ended, for programs and for the shell."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Final

from aiq import State, UsageReport
from aiq.testing.provider import Entry
from aiq.testing.provider import Outcome as CallOutcome
from examples.digesting.prove import Proof
from examples.digesting.tasks import Published
from examples.digesting.watch import Picture


class Exit(IntEnum):
    """The status of the process."""

    PUBLISHED = 0
    FAILED = 1
    USAGE = 2
    NOT_APPROVED = 3
    INTERRUPTED = 130
    TERMINATED = 143


EXITS: Final = """\
exit status:
  0    published, now or by an earlier start; with --prove, and the proof holds
  1    failed: the digest is dead or cancelled, a document is missing in it, or the proof does not hold
  2    wrong usage: no such folder, nothing to digest, an address or a key that cannot work
  3    not published: a person said no, or nobody has answered yet
  130  Ctrl-C; 143 SIGTERM. Start again: it goes on where it was
"""


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """One document. `runs` counts the times a worker took it, `attempts` what counts as tries."""

    name: str
    job: str
    state: State
    runs: int
    attempts: int
    tokens_in: int
    tokens_out: int
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class Calls:
    """What was asked of a simulator, by its own ledger. `refused` are those that it answered with 429."""

    new: int
    answered: int
    refused: int
    cut: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one model and category, by the books of the queue. `estimated` are those that nobody reported."""

    model: str
    category: str
    tokens: int
    estimated: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Costs:
    """What a digest has taken. `waited_s` is how long its jobs have waited for limits, all of them together, as far as
    this start has seen it; `without` is what the same questions meet that are asked without limits."""

    spent: tuple[Spent, ...]
    budget_usd: Decimal
    waited_s: float
    calls: Calls | None
    without: Calls | None

    @property
    def usd(self) -> Decimal:
        """Dollars, all together."""
        return sum((part.usd for part in self.spent), Decimal(0))


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. `calls` is None with --live: a provider's ledger is his own."""

    job: str
    existed: bool
    state: State
    published: Published | None
    documents: tuple[DocumentReport, ...]
    calls: Calls | None
    costs: Costs
    proof: Proof | None
    proved: bool | None
    jobs_ended: int
    jobs_per_second: float
    seconds: float
    error: str

    @property
    def exit(self) -> Exit:
        """What to tell the shell."""
        if self.published is None:
            ended_badly = self.state in (State.DEAD, State.CANCELLED)
            return Exit.FAILED if ended_badly else Exit.NOT_APPROVED
        whole = all(document.state is State.SUCCEEDED for document in self.documents)
        return Exit.PUBLISHED if whole and self.proved is not False else Exit.FAILED


def documents_of(picture: Picture) -> tuple[DocumentReport, ...]:
    """What is said of each document."""
    return tuple(
        DocumentReport(r.name, r.job_id, r.state, r.runs, r.attempt, r.tokens_in, r.tokens_out, r.seconds, r.error)
        for r in picture.documents
    )


def calls_of(entries: Sequence[Entry]) -> Calls:
    """Count what the ledger has gained."""
    ends = Counter(entry.outcome for entry in entries)
    answered, refused = ends[CallOutcome.ANSWERED], ends[CallOutcome.REJECTED]
    return Calls(len(entries), answered, refused, len(entries) - answered - refused)


def spent_in(reports: Iterable[UsageReport]) -> tuple[Spent, ...]:
    """Add up what several jobs have used."""
    rows = [row for report in reports for row in report.rows]
    spent: list[Spent] = []
    for model, category in sorted({(row.model, row.category) for row in rows}):
        used = UsageReport(tuple(row for row in rows if (row.model, row.category) == (model, category))).total
        spent.append(Spent(model, category, used.tokens, used.estimated, used.usd))
    return tuple(spent)
