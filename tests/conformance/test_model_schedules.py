"""Random histories of schedules: the storage under test answers as the reference does, and no slot is fired twice."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from aiq.model import Fire, Missed, Overlap, ScheduleSpec, Settlement, Succeeded
from aiq.rules.schedules import job_of
from aiq.rules.slots import plan, without_jobs
from aiq.testing.actions import BAD, failed
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.schedules import SECOND, TEMPLATE, schedule
from aiq.testing.twins import Twins, run_histories

EFFORTS = {"dev": (25, 12), "ci": (150, 40), "nightly": (3_000, 120)}
"""Histories, and steps in each."""

NAMES = ("a", "b")
names = st.sampled_from(NAMES)
times: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(dict, every_ms=st.sampled_from((SECOND, 3 * SECOND)), anchor_ms=st.sampled_from((0, 7))),
    st.builds(dict, cron=st.sampled_from(("*/2 * * * * *", "* * * * *"))),
    st.builds(dict, after_ms=st.sampled_from((0, 500, 2 * SECOND))),
)
policies: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, overlap=st.sampled_from(Overlap), missed=st.sampled_from(Missed), catch_up=st.integers(1, 4)
)
EVENTS = (
    *("slot", "slot", "slot", "late", "late", "again", "end", "end", "run", "back", "change"),
    *("pause_schedules", "resume_schedules"),
)


def other(spec: ScheduleSpec, n: int) -> ScheduleSpec:
    """A schedule with other times."""
    return replace(spec, cron="", after_ms=None, every_ms=SECOND * (n + 1))


class Histories(Twins):
    """Operators change schedules, workers fire them, some of them late, and clocks step."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Fire] = []
        self.slots: Counter[str] = Counter()

    @rule(
        name=names,
        when=times,
        policy=policies,
        bounds=st.sampled_from(({}, {"max_fires": 3}, {"max_fires": 1}, {"paused": True})),
        tenant=st.sampled_from(("", "acme")),
        absent_only=st.booleans(),
    )
    def put(
        self,
        name: str,
        when: dict[str, Any],
        policy: dict[str, Any],
        bounds: dict[str, Any],
        tenant: str,
        absent_only: bool,
    ) -> None:
        if "after_ms" in when:
            policy = {}
        spec = schedule(name, replace(TEMPLATE, queue=name, tenant=tenant), **when, **policy, **bounds)
        self.both(lambda s: s.put_schedules([spec], absent_only=absent_only))

    @rule(
        when=times,
        policy=policies,
        most=st.sampled_from((None, None, 2)),
        end_s=st.sampled_from((None, None, 5)),
        events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 5)), min_size=6, max_size=14),
    )
    def a_schedule_lives(
        self,
        when: dict[str, Any],
        policy: dict[str, Any],
        most: int | None,
        end_s: int | None,
        events: list[tuple[str, int]],
    ) -> None:
        """A story of one schedule; only the details are drawn."""
        name = f"story{self.next()}"
        end_ms = None if end_s is None else self.clock() + end_s * SECOND
        if "after_ms" in when:
            policy = {}
        template = replace(TEMPLATE, queue=name)
        spec = schedule(name, template, **when, **policy, max_fires=most, end_ms=end_ms)
        self.both(lambda s: s.put_schedules([spec]))
        self.fire_what_is_due()
        for event, n in events:
            match event:
                case "slot":
                    self.to_the_slot(name, -1 if n == 0 else 0)
                    self.fire_what_is_due()
                case "late":
                    self.clock.advance_ms((1, 2_500, 7_000, 59_000, 61_000, 130_000)[n])
                    self.fire_what_is_due()
                case "again":
                    self.fire_again(n)
                case "end":
                    self.end(name, (Succeeded(b""), BAD, failed())[n % 3])
                case "run":
                    self.both(lambda s, n=n: s.run_schedule(name, job_of(template, f"{name} {n}")))
                case "back":
                    self.clock.advance_ms(-700 * n)
                case "change":
                    changed = replace(spec, template=replace(template, tenant="acme")) if n % 2 else other(spec, n)
                    self.both(lambda s, changed=changed: s.put_schedules([changed]))
                case _:
                    self.both(lambda s, event=event: getattr(s, event)([name]))

    def to_the_slot(self, name: str, by_ms: int) -> None:
        """Let the next slot of a schedule come, or the instant just before it."""
        found = self.both(lambda s: s.get_schedules([name]))
        for status in found or ():
            if status.next_ms is not None:
                self.clock.set_ms(max(self.clock(), status.next_ms + by_ms))

    def fire_what_is_due(self) -> None:
        """As a worker does in two rounds: plan, then fire."""
        for _ in range(2):
            self.fire(9, 0, refused=False)

    @rule(
        name=names,
        deed=st.sampled_from(("pause_schedules", "resume_schedules", "resume_schedules", "delete_schedules")),
    )
    def operate(self, name: str, deed: str) -> None:
        self.both(lambda s: getattr(s, deed)([name, "ghost"]))
        if deed == "delete_schedules":
            # One that is made anew may find the job of a slot that comes again, since the clock went back.
            self.slots = Counter({job_id: n for job_id, n in self.slots.items() if not job_id.startswith(f"{name}@")})

    @rule(count=st.integers(1, 2), wait_ms=st.sampled_from((0, 0, 1, 1_500)), refused=st.booleans())
    def fire(self, count: int, wait_ms: int, refused: bool) -> None:
        """A worker reads what is due, and fires it now or a little later."""
        due = self.both(lambda s: s.due_schedules(count))
        assert due is not None
        told = [plan(status, due.now_ms) for status in due.schedules]
        told = [without_jobs(one, "no") if refused and one.jobs else one for one in told]
        self.told += told
        self.clock.advance_ms(wait_ms)
        self.send(told)

    @rule(pick=st.integers(0, 30))
    def fire_again(self, pick: int) -> None:
        """A worker that was stopped for long goes on with what it had computed."""
        if self.told:
            self.send([self.told[-1 - pick % len(self.told)]])

    @rule(name=names, number=st.integers(1, 3))
    def run_beside(self, name: str, number: int) -> None:
        template = replace(TEMPLATE, queue=name)
        self.both(lambda s: s.run_schedule(name, job_of(template, f"{name} by hand {number}")))

    @rule(name=names, how=st.sampled_from((Succeeded(b""), Succeeded(b""), BAD, failed())))
    def end(self, name: str, how: Any) -> None:
        """The next job of a schedule is run."""
        for run in self.take(name):
            self.both(lambda s, run=run: s.exchange([Settlement(run.lease, f"end {self.next()}", how)]))

    @rule(pick=st.integers(0, 30), force=st.booleans())
    def cancel(self, pick: int, force: bool) -> None:
        self.both(lambda s: s.cancel([self.known(pick)], force=force))

    @rule(ms=st.sampled_from((1, 500, 1_000, 2_500, 60_000, 61_000, -700, -5_000)))
    def turn_the_clock(self, ms: int) -> None:
        self.clock.advance_ms(ms)

    @rule()
    def keep_up(self) -> None:
        self.both(lambda s: s.upkeep())

    @invariant()
    def schedules_are_equal(self) -> None:
        """Compare all schedules, and those that are due."""
        self.both(lambda s: s.get_schedules())
        self.both(lambda s: s.due_schedules())
        self.both(lambda s: s.exchange(()))

    def send(self, told: list[Fire]) -> None:
        answers = self.both(lambda s: s.fire(told))
        for one in answers or ():
            if not one.existed:
                self.slots.update(one.job_ids)
        again = {job_id for job_id, count in self.slots.items() if count > 1}
        assert not again, f"{again} were made twice"

    def teardown(self) -> None:
        stored = self.both(lambda s: s.get_schedules())
        self.both(lambda s: s.delete_schedules([status.name for status in stored or ()]))
        super().teardown()


@clause(
    "SCHED-2", "SCHED-3", "SCHED-7", "SCHED-8", "SCHED-12", "SCHED-13", "SCHED-14", "SCHED-15", "SCHED-17", "SCHED-24"
)
def test_every_history_of_schedules_is_that_of_the_reference(aiq_backend: Backend, pytestconfig: pytest.Config) -> None:
    run_histories(Histories, aiq_backend, pytestconfig, EFFORTS)
