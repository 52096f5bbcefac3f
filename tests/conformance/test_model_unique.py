"""Random histories of unique keys: the storage under test answers as the reference does, and as a small model.

The model knows of each key who has it, until when, and by whose word; it says beforehand whether a job will be stored,
and if not, what it is answered and what it changes.
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from aiq.bounds import MAX_SWEEP
from aiq.model import (
    ClaimRequest,
    Enqueued,
    JobRecord,
    JobSpec,
    OnUnique,
    Outcome,
    Redrive,
    Redriven,
    Released,
    Settlement,
    State,
    Succeeded,
    Target,
    Want,
)
from aiq.testing.actions import BAD, failed
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.twins import Twins, run_histories

EFFORTS = {"dev": (40, 20), "ci": (200, 50), "nightly": (5_000, 100)}
"""Histories, and steps in each."""

picks = st.integers(0, 9)
asked = st.tuples(
    st.sampled_from("uv"),
    st.sampled_from(("keep", "keep", "replace", "debounce")),
    st.sampled_from((None, None, 20)),
    st.sampled_from((0, 0, 10)),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Succeeded(b"")), st.just(BAD), st.just(failed()), st.just(Released(0))
)


@dataclass(slots=True)
class Holder:
    """Who has a key, by the word of which job and in what manner, and until when: None as long as it has not ended."""

    job_id: str
    how: OnUnique
    last_id: str
    until_ms: int | None


class Histories(Twins):
    """Jobs ask for two keys in every manner, while those that have them start, end and begin again."""

    def __init__(self) -> None:
        super().__init__()
        self.holders: dict[str, Holder] = {}
        self.payloads: dict[str, bytes] = {}

    @rule(wanted=st.lists(asked, min_size=1, max_size=3))
    def enqueue(self, wanted: list[tuple[str, OnUnique, int | None, int]]) -> None:
        batch = [self.job_of(f"job {self.next()}", *one) for one in wanted]
        expected = [self.expect(spec) for spec in batch]
        answers = self.both(lambda s: s.enqueue(batch))
        assert answers is not None
        assert [(one.job_id, one.by) for one in answers] == [(one.job_id, one.by) for one in expected]
        self.let_go()

    @rule(pick=picks)
    def enqueue_again(self, pick: int) -> None:
        """What was sent before is found by its id, or has changed the one that has its key, and does so once."""
        known = [one for one in self.seen.values() if one.unique]
        if known:
            one = known[pick % len(known)]
            spec = replace(self.job_of(one.id, one.unique or "", "keep", None, 0), payload=b"other")
            answers = self.both(lambda s: s.enqueue([spec]))
            assert answers == [Enqueued(one.id, one.state, existed=True, by="id")]

    def job_of(self, name: str, key: str, how: OnUnique, for_ms: int | None, delay_ms: int) -> JobSpec:
        """A job that asks for a key."""
        return JobSpec(
            id=name,
            task="work",
            queue="q",
            payload=name.encode(),
            unique=key,
            on_unique=how,
            unique_for_ms=for_ms if how == "keep" else None,
            delay_ms=max(delay_ms, 10 * (how == "debounce")),
            max_attempts=2,
        )

    def expect(self, spec: JobSpec) -> Enqueued:
        """What a job is answered. Spec: UNIQ-1, UNIQ-3, UNIQ-5, UNIQ-6, UNIQ-9"""
        key, now_ms = spec.unique or "", self.clock()
        holder = self.holders.get(key)
        if holder is None or self.is_free(holder, spec):
            until_ms = None if spec.unique_for_ms is None else now_ms + spec.unique_for_ms
            self.holders[key] = Holder(spec.id, spec.on_unique, spec.id, until_ms)
            self.payloads[spec.id] = spec.payload
            return Enqueued(spec.id, State.READY)
        if spec.on_unique != "keep" and not self.started(holder):
            holder.how, holder.last_id = spec.on_unique, spec.id
            self.payloads[holder.job_id] = spec.payload
        return Enqueued(holder.job_id, State.READY, existed=True, by="unique")

    def is_free(self, holder: Holder, spec: JobSpec) -> bool:
        if holder.until_ms is not None:
            return self.clock() >= holder.until_ms
        return self.started(holder) and (holder.how != "keep" or spec.on_unique != "keep")

    def started(self, holder: Holder) -> bool:
        """Whether it has run or ended; one that comes earlier in the same batch has not."""
        job = self.seen.get(holder.job_id)
        return job is not None and (job.fence > 0 or job.state.terminal)

    @rule(count=st.integers(1, 3))
    def claim(self, count: int) -> None:
        self.claim_as(ClaimRequest("w", self.next(), f"lease {self.number}", (Want("q", count),)))
        self.let_go()

    @rule(pick=picks, outcome=outcomes)
    def settle(self, pick: int, outcome: Outcome) -> None:
        running = [one for one in self.seen.values() if one.state is State.RUNNING]
        if running:
            settlement = Settlement(running[pick % len(running)].lease, str(self.next()), outcome)
            self.both(lambda s: s.exchange([settlement]))
            self.let_go()

    @rule(pick=picks, verb=st.sampled_from(("cancel", "hold", "unhold")))
    def an_operator_acts(self, pick: int, verb: str) -> None:
        name = self.known(pick)
        if verb == "cancel":
            self.both(lambda s: s.cancel([name], force=True))
        else:
            self.both(lambda s: s.hold([name]) if verb == "hold" else s.unhold([name]))
        self.let_go()

    @rule(turn_ms=st.sampled_from((1, 10, 20, 30_000)), sweep=st.booleans())
    def turn_the_clock(self, turn_ms: int, sweep: bool) -> None:
        self.clock.advance_ms(turn_ms)
        if sweep:
            self.both(lambda s: s.upkeep(MAX_SWEEP))
        self.let_go()

    @rule(pick=picks)
    def redrive(self, pick: int) -> None:
        """Spec: DEAD-23"""
        ended = [one for one in self.seen.values() if one.state in (State.DEAD, State.CANCELLED)]
        if not ended:
            return
        one = ended[pick % len(ended)]
        may, targets = self.may_have_again(one), (Target(one.id, one.generation),)
        request = Redrive(id=str(self.next()), targets=targets)
        answers = self.both(lambda s: s.redrive(request))
        assert answers is not None
        assert isinstance(answers[0], Redriven) == may
        if may and not self.has_for_a_time(one):
            self.holders[one.unique or ""] = Holder(one.id, "keep", one.id, None)

    def may_have_again(self, job: JobRecord) -> bool:
        holder = self.holders.get(job.unique or "")
        if holder is None or holder.job_id == job.id:
            return True
        if holder.until_ms is not None:
            return self.clock() >= holder.until_ms
        return self.started(holder) and holder.how != "keep"

    def has_for_a_time(self, job: JobRecord) -> bool:
        """Whether the time for which a job has its key goes on."""
        holder = self.holders.get(job.unique or "")
        until_ms = None if holder is None or holder.job_id != job.id else holder.until_ms
        return until_ms is not None and self.clock() < until_ms

    def let_go(self) -> None:
        """Free the keys of those that have ended. Spec: UNIQ-2, UNIQ-5"""
        self.records_are_equal_and_their_history_is_lawful()
        for key, holder in list(self.holders.items()):
            if holder.until_ms is None and self.seen[holder.job_id].state.terminal:
                del self.holders[key]

    @invariant()
    def jobs_have_the_content_of_whom_they_heeded(self) -> None:
        """Spec: UNIQ-6, UNIQ-7"""
        for name, payload in self.payloads.items():
            assert self.seen[name].payload == payload

    def _drain(self) -> None:
        for one in list(self.seen.values()):
            if one.state is State.HELD:
                self.both(lambda s, name=one.id: s.unhold([name]))
        super()._drain()


@clause("UNIQ-1", "UNIQ-2", "UNIQ-3", "UNIQ-5", "UNIQ-6", "UNIQ-7", "UNIQ-9", "DEAD-23")
def test_every_history_of_unique_keys_is_that_of_the_reference(
    aiq_backend: Backend, pytestconfig: pytest.Config
) -> None:
    run_histories(Histories, aiq_backend, pytestconfig, EFFORTS)
