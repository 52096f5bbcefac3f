"""What a storm has done, judged by what is stored, what the processes noted, and what was done to them."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.fleet import Event
from tests.chaos.nemesis import Act
from tests.chaos.notes import Note

PUTS_DOWN = frozenset({"T5", "T6", "T7", "T8", "T9", "T10", "T11", "T16", "T20"})
"""The transitions by which a run ends."""
TERMINAL = frozenset({"succeeded", "dead", "cancelled"})


@dataclass(slots=True)
class Run:
    """One run of a job: who ran it, as far as it came to be known, and how it ended."""

    job: str
    fence: int
    claimed_ms: int
    ended_by: str = ""
    ended_ms: int = 0
    pid: int | None = None


@dataclass(slots=True)
class Verdict:
    """Figures and faults. `faults` is empty when all is well."""

    jobs: int = 0
    runs: int = 0
    expired: int = 0
    released: int = 0
    duplicate_effects: int = 0
    paid_again: int = 0
    recovery_ms: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def histories(path: Path) -> dict[str, list[Event]]:
    """What was recorded of every job, oldest first."""
    found: dict[str, list[Event]] = defaultdict(list)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for job, *event in connection.execute(
            "SELECT id, e.at_ms, transition, target, e.fence FROM aiq_events e JOIN aiq_jobs USING (n) "
            "ORDER BY n, number"
        ):
            found[job].append(Event(*event))
    return found


def judge(path: Path, notes: Sequence[Note], acts: Sequence[Act], *, lease_ms: int) -> Verdict:
    """Compare the three accounts."""
    verdict = Verdict()
    runs = _runs(histories(path), verdict)
    _match(runs, notes, verdict)
    for run in runs.values():
        if run.ended_by == "T9":
            _explain(run, acts, lease_ms, verdict)
    verdict.duplicate_effects = _repeated(runs, (n for n in notes if n.what == "effect"), verdict)
    verdict.paid_again = _repeated(runs, (n for n in notes if n.what == "paid"), verdict)
    return verdict


def _runs(stored: dict[str, list[Event]], verdict: Verdict) -> dict[tuple[str, int], Run]:
    runs: dict[tuple[str, int], Run] = {}
    for job, events in stored.items():
        ends = [event.target for event in events if event.target in TERMINAL]
        if ends != ["succeeded"] or events[-1].target != "succeeded":
            verdict.faults.append(f"{job} ended {ends}: {events}")
        for event in events:
            if event.transition == "T3":
                runs[job, event.fence] = Run(job, event.fence, event.at_ms)
            elif event.transition in PUTS_DOWN and event.target != "running":
                run = runs[job, event.fence]
                run.ended_by, run.ended_ms = event.transition, event.at_ms
    verdict.jobs, verdict.runs = len(stored), len(runs)
    verdict.expired = sum(run.ended_by == "T9" for run in runs.values())
    verdict.released = sum(run.ended_by == "T8" for run in runs.values())
    return runs


def _match(runs: dict[tuple[str, int], Run], notes: Iterable[Note], verdict: Verdict) -> None:
    """Each handler that started belongs to a claim, and no claim started two."""
    for note in notes:
        if note.what == "start":
            run = runs.get((note.job, note.fence))
            if run is None or run.pid is not None:
                verdict.faults.append(f"started twice, or never claimed: {note}")
            else:
                run.pid = note.pid


def _explain(run: Run, acts: Iterable[Act], lease_ms: int, verdict: Verdict) -> None:
    """A lease ends only because something was done to the process that held it, if it is known which one that was."""
    behind = [
        act
        for act in acts
        if run.pid in (None, act.pid)
        and act.from_ms <= run.ended_ms
        and (act.to_ms is None or run.claimed_ms <= act.to_ms + lease_ms)
    ]
    if not behind:
        verdict.faults.append(f"expired for no reason: {run}")
        return
    # The lease was renewed at most until the act; what is left is the lease, and the time until somebody looked.
    verdict.recovery_ms.append(min(run.ended_ms - max(act.from_ms, run.claimed_ms) for act in behind))


def _repeated(runs: dict[tuple[str, int], Run], notes: Iterable[Note], verdict: Verdict) -> int:
    """How often something was done again; each time because the run that did it before has lost its lease."""
    done: dict[tuple[str, str], list[Note]] = defaultdict(list)
    for note in notes:
        done[note.job, note.detail].append(note)
    again = 0
    for same in done.values():
        again += len(same) - 1
        last = max(note.fence for note in same)
        for note in same:
            if note.fence != last and runs[note.job, note.fence].ended_by != "T9":
                verdict.faults.append(f"done again without need: {note} {runs[note.job, note.fence]}")
    return again
