"""How a start ended, for programs and for the shell."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from aiq import State
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
    """What this start asked of the simulator, and how that ended."""

    new: int
    answered: int
    cut: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. `calls` is None with --live: a provider's ledger is his own."""

    job: str
    existed: bool
    state: State
    published: Published | None
    documents: tuple[DocumentReport, ...]
    calls: Calls | None
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
    answered = sum(entry.outcome is CallOutcome.ANSWERED for entry in entries)
    return Calls(len(entries), answered, len(entries) - answered)
