"""Keeping the dead-letter view in step with the jobs: gathered in a step, and written when that ends.

By then all that the step has counted of use is written, so that a death finds what its job has used. Spec: DEAD-1 to
DEAD-6, DEAD-10, DEAD-22
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

from aiq.backends.relational.connection import Question
from aiq.backends.relational.rows import Job, numbers
from aiq.backends.relational.statements import load
from aiq.backends.relational.transaction import Transaction
from aiq.bounds import DEAD_GROUP_KEPT_MS, MAX_SAMPLES
from aiq.model import Cause, DeadGroup, JobError, JobRecord, State
from aiq.rules import deaths

SQL: Final = load("deaths")


@dataclass(slots=True)
class Grave:
    """What is stored of one job: the group in which it stands and what that counts of it; its redrive, and what was
    counted before that; and what it has used in all."""

    n: int
    group: str | None
    died_at_ms: int | None
    tokens: int
    usd_micros: int
    sample: str | None
    redrive_id: str | None
    redriven_from: str | None
    counted_tokens: int
    counted_usd_micros: int
    used_tokens: int
    used_usd_micros: int


class Graves:
    """What a step does to the dead-letter view."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._groups: dict[str, DeadGroup] = {}
        self._samples: dict[str, int] = {}
        self._acts: list[tuple[int, Callable[[Grave], None]]] = []

    def ended(self, job: Job, state: State, cause: Cause | None, failures: int, sample: str | None) -> None:
        """A job has ended: the group it was redriven from is told, and it stands in that of its error if it is dead."""
        record = replace(job.record, state=state, cause=cause, failures=failures)
        error = job.last_error or deaths.no_error(cause)
        self._acts.append((job.n, lambda grave: self._follow_end(grave, record, error, sample)))

    def redriven(self, n: int, redrive_id: str) -> None:
        """A job has another generation."""
        self._acts.append((n, lambda grave: self._leave(grave, redrive_id)))

    def removed(self, n: int) -> None:
        """A job is removed, as soon as this is written: nothing is left of it here."""
        self._acts.append((n, self._remove))

    def used(self, n: int) -> None:
        """Late use of a job that is dead was counted. Spec: DEAD-5"""
        self._acts.append((n, self._count_waste))

    def write(self) -> None:
        """Write what was changed. Admission is written before."""
        acts, self._acts = self._acts, []
        if not acts:
            return
        found = self._fetch({n for n, _ in acts})
        for n, act in acts:
            act(found[n])
        for group in self._groups.values():
            self._tx.later(SQL["put_group"], astuple(group))
        for grave in found.values():
            self._write(grave)
        self._groups.clear()

    def _fetch(self, ns: Iterable[int]) -> dict[int, Grave]:
        rows = self._tx.table(SQL["graves"], {"ns": numbers(sorted(ns))})
        found = {row[0]: Grave(*row) for row in rows}
        self._fetch_groups({name for one in found.values() for name in (one.group, one.redriven_from) if name})
        return found

    def _fetch_groups(self, names: Iterable[str]) -> None:
        for group, samples in read_groups(self._tx, names):
            self._groups[group.fingerprint] = group
            self._samples[group.fingerprint] = samples

    def _write(self, grave: Grave) -> None:
        if grave.group is None:
            self._tx.later(SQL["drop_death"], (grave.n,))
        else:
            place = (grave.n, grave.group, grave.died_at_ms)
            self._tx.later(SQL["put_death"], (*place, grave.tokens, grave.usd_micros, grave.sample))
        if grave.redrive_id is None:
            self._tx.later(SQL["drop_redriven"], (grave.n,))
        else:
            counted = (grave.counted_tokens, grave.counted_usd_micros)
            self._tx.later(SQL["put_redriven"], (grave.n, grave.redrive_id, grave.redriven_from, *counted))

    def _follow_end(self, grave: Grave, record: JobRecord, error: JobError, sample: str | None) -> None:
        before = self._groups.get(grave.redriven_from or "")
        if before is not None and record.state is State.SUCCEEDED:
            self._put(deaths.recovered(before, self._tx.now_ms))
        elif before is not None and record.state is State.DEAD:
            self._put(deaths.relapsed(before, self._tx.now_ms))
        grave.redriven_from = None
        if record.state is State.DEAD:
            self._bury(grave, record, error, sample)

    def _bury(self, grave: Grave, record: JobRecord, error: JobError, sample: str | None) -> None:
        name = error.fingerprint
        if name not in self._groups:
            self._fetch_groups([name])
        self._put(deaths.died(self._groups.get(name), record, error, self._tx.now_ms))
        kept = self._samples.get(name, 0)
        grave.group, grave.died_at_ms, grave.tokens, grave.usd_micros = name, self._tx.now_ms, 0, 0
        grave.sample = deaths.kept_sample(sample, kept, MAX_SAMPLES)
        self._samples[name] = kept + (grave.sample is not None)
        self._count_waste(grave)

    def _count_waste(self, grave: Grave) -> None:
        if grave.group is None:
            return
        tokens = grave.used_tokens - grave.counted_tokens
        usd_micros = grave.used_usd_micros - grave.counted_usd_micros
        more = (tokens - grave.tokens, usd_micros - grave.usd_micros)
        self._put(deaths.wasted(self._groups[grave.group], *more))
        grave.tokens, grave.usd_micros = tokens, usd_micros

    def _leave(self, grave: Grave, redrive_id: str) -> None:
        grave.redrive_id, grave.redriven_from = redrive_id, grave.group
        if grave.group is not None:
            self._put(deaths.redriven(self._groups[grave.group], self._tx.now_ms))
            grave.counted_tokens += grave.tokens
            grave.counted_usd_micros += grave.usd_micros
            self._unbury(grave)

    def _remove(self, grave: Grave) -> None:
        grave.redrive_id = None
        if grave.group is not None:
            self._put(deaths.removed(self._groups[grave.group], self._tx.now_ms))
            self._unbury(grave)

    def _unbury(self, grave: Grave) -> None:
        if grave.group is not None and grave.sample is not None:
            self._samples[grave.group] -= 1
        grave.group, grave.sample = None, None

    def _put(self, group: DeadGroup) -> None:
        self._groups[group.fingerprint] = group


def graves(tx: Transaction) -> Graves:
    """Those of a step; made when they are first asked for."""
    if tx.graves is None:
        tx.graves = Graves(tx)
    return tx.graves


def read_groups(tx: Transaction, names: Iterable[str]) -> list[tuple[DeadGroup, int]]:
    """Groups, with the number of samples that are kept of each; in no order."""
    rows: list[list[Any]] = tx.table(SQL["groups"], {"fingerprints": json.dumps(list(names))})
    return [(_group(row[:-1]), row[-1]) for row in rows]


def forget_deaths(tx: Transaction, ns: Iterable[int]) -> None:
    """Some jobs are about to be removed: nothing is left of them here."""
    if tx.graves is not None:
        tx.graves.write()
    found = tx.numbers(SQL["buried"], {"ns": numbers(ns)})
    for n in found:
        graves(tx).removed(n)
    if found:
        graves(tx).write()


def forget_groups(tx: Transaction, limit: int) -> None:
    """Forget at most `limit` groups in which no job has stood for long. Spec: DEAD-10"""
    if tx.graves is not None:
        if tx.admission is not None:
            tx.admission.write()
        tx.graves.write()
    tx.run(SQL["forget_groups"], {"since_ms": tx.now_ms - DEAD_GROUP_KEPT_MS, "limit": limit})


def any_group_to_forget(tx: Transaction) -> bool:
    """Whether upkeep has a group to forget."""
    return bool(tx.rows(*question_of_groups(tx))[0][0])


def question_of_groups(tx: Transaction) -> Question:
    """What `any_group_to_forget` will ask, for `foresee`."""
    return SQL["any_forgotten"], {"since_ms": tx.now_ms - DEAD_GROUP_KEPT_MS}


def _group(row: list[Any]) -> DeadGroup:
    values = dict(zip(DeadGroup.__slots__, row, strict=True))
    return DeadGroup(**{**values, "cause": Cause(values["cause"])})
