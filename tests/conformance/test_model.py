"""Random histories: the storage under test and the reference do the same and must answer the same, step by step.

The example tests explain; this one finds. Single operations drawn at random seldom lose a lease and then use it, so
there are also stories: short scripts of which only the details are drawn. What no storage may ever show is checked
by itself, so that the reference is tried too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from aiq.backends import open_storage
from aiq.bounds import MAX_BATCH, MAX_SWEEP
from aiq.errors import AiqError
from aiq.model import (
    Band,
    Cancelled,
    Cause,
    ChunkKind,
    ClaimRequest,
    Died,
    Exchanged,
    JobError,
    JobFilter,
    JobRecord,
    JobSpec,
    NewChunk,
    Outcome,
    Released,
    Retried,
    Settlement,
    Sleeping,
    State,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Waiting,
    Want,
)
from aiq.storage import Storage
from aiq.testing.actions import look
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend

T = TypeVar("T")
S, K = State, ChunkKind
EFFORTS = {"dev": (50, 30), "ci": (200, 50), "nightly": (5_000, 100)}
"""Histories, and steps in each."""

ERROR = JobError(type="E", message="m", cause=Cause.HANDLER)
JOBS, KEYS, QUEUES, WORKERS = "abcdef", ("k", "l"), ("q", "r"), ("v", "w")
TURNS_MS = (0, 1, 5, 10, 10, 20, 40, -7, 30_000)

ids, keys, queues = st.sampled_from(JOBS), st.sampled_from(KEYS), st.sampled_from(QUEUES)
delays = st.sampled_from((0, 5, 10))
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Succeeded, st.sampled_from((b"r", b"s"))),
    st.builds(Retried, st.just(ERROR), delays),
    st.just(Died(ERROR)),
    st.just(Cancelled()),
    st.builds(Released, delays),
    st.builds(Suspended, keys, st.just("go"), st.sampled_from((None, 5, 10))),
    st.builds(Waiting, keys, st.sampled_from((None, 0, 1, 2)), st.sampled_from(("cancel", "leave"))),
    st.builds(Sleeping, keys, delays),
)
specs = st.builds(
    JobSpec,
    id=ids,
    task=st.just("work"),
    queue=queues,
    digest=st.sampled_from(("", "", "", "x")),
    band=st.sampled_from(Band),
    delay_ms=delays,
    lease_ms=st.sampled_from((10, 20)),
    max_attempts=st.sampled_from((1, 2, 3)),
    max_stalls=st.sampled_from((1, 2)),
    depends_on=st.lists(ids, max_size=2).map(tuple),
    on_upstream=st.sampled_from(("fail", "continue")),
)
items = st.builds(
    NewChunk,
    seq=st.integers(1, 4),
    data=st.sampled_from((b"x", b"y")),
    kind=st.sampled_from((K.DATA, K.DATA, K.LOG, K.PROGRESS)),
    step=st.sampled_from((None, *KEYS)),
)


def comparable(answer: object) -> object:
    """An answer with errors by kind and reason, since two errors are never equal."""
    if isinstance(answer, Exception):
        return type(answer), getattr(answer, "reason", None)
    if isinstance(answer, Exchanged):
        return replace(answer, settled=tuple(map(comparable, answer.settled)))
    return [comparable(one) for one in answer] if isinstance(answer, list) else answer


class Twins(RuleBasedStateMachine):
    """Two storages on one clock."""

    open_subject: Backend
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.open = AsyncExitStack()
        self.reference: Storage = self.loop.run(open_storage("memory://", clock=self.clock))
        self.subject: Storage = self.loop.run(self.open.enter_async_context(self.open_subject(self.clock)))
        self.number = 0
        self.sent: list[Settlement] = []
        self.asked: dict[str, ClaimRequest] = {}
        self.given: set[tuple[str, int]] = set()
        self.seen: dict[str, JobRecord] = {}

    def next(self) -> int:
        self.number += 1
        return self.number

    def both(self, call: Callable[[Storage], Awaitable[T]]) -> T | None:
        """Do it to both, compare, and give the answer; None where both refused."""
        expected, answer = (self.loop.run(self._answer(call, one)) for one in (self.reference, self.subject))
        assert comparable(answer) == comparable(expected)
        return None if isinstance(answer, AiqError) else answer

    @staticmethod
    async def _answer(call: Callable[[Storage], Awaitable[T]], storage: Storage) -> T | AiqError:
        try:
            return await call(storage)
        except AiqError as error:
            return error

    # Single operations.

    @rule(batch=st.lists(specs, min_size=1, max_size=3))
    def enqueue(self, batch: list[JobSpec]) -> None:
        fitting = [replace(spec, depends_on=tuple(d for d in spec.depends_on if d != spec.id)) for spec in batch]
        self.both(lambda s: s.enqueue(fitting))

    @rule(target=runs, worker=st.sampled_from(WORKERS), count=st.integers(1, 3), wanted=st.permutations(QUEUES))
    def claim(self, worker: str, count: int, wanted: list[str]) -> object:
        wants = tuple(Want(queue, count) for queue in wanted)
        return multiple(*self.claimed(ClaimRequest(worker, self.next(), f"lease {self.number}", wants)))

    def claimed(self, request: ClaimRequest) -> tuple[JobRecord, ...]:
        answer = self.both(lambda s: s.exchange((), request))
        assert answer is not None
        for record in answer.claimed:
            assert (record.id, record.fence) not in self.given, "one run was given twice"
            self.given.add((record.id, record.fence))
        if answer.claimed:
            self.asked[request.worker] = request
        return answer.claimed

    @rule(worker=st.sampled_from(WORKERS), back=st.sampled_from((0, 0, 1)))
    def claim_again(self, worker: str, back: int) -> None:
        if worker in self.asked:
            request = self.asked[worker]
            self.both(lambda s: s.exchange((), replace(request, number=request.number - back)))

    @rule(run=runs, outcome=outcomes)
    def settle(self, run: JobRecord, outcome: Outcome) -> None:
        self.sent.append(Settlement(run.lease, str(self.next()), outcome))
        self.settle_again(1)

    @rule(last=st.integers(1, 3))
    def settle_again(self, last: int) -> None:
        self.both(lambda s: s.exchange(self.sent[-last:]))

    @rule(some=st.lists(runs, max_size=3), lease_ms=st.sampled_from((None, 10, 50)), shrink=st.booleans())
    def renew(self, some: list[JobRecord], lease_ms: int | None, shrink: bool) -> None:
        self.both(lambda s: s.renew([run.lease for run in some], lease_ms=lease_ms, shrink=shrink))

    @rule(some=st.lists(ids, min_size=1, max_size=2), force=st.booleans())
    def cancel(self, some: list[str], force: bool) -> None:
        self.both(lambda s: s.cancel(some, force=force))

    @rule(turn_ms=st.sampled_from(TURNS_MS))
    def turn_the_clock(self, turn_ms: int) -> None:
        self.clock.advance_ms(turn_ms)

    @rule()
    def turn_the_clock_to_the_next_instant(self) -> None:
        """Exactly to an expiry, a due time, a time-out or the end of a grace, whichever is next."""
        answer = self.both(lambda s: s.exchange(()))
        assert answer is not None
        self.clock.advance_ms(answer.next_due_ms or 0)

    @rule(limit=st.sampled_from((1, 2, MAX_SWEEP)))
    def upkeep(self, limit: int) -> None:
        self.both(lambda s: s.upkeep(limit))

    @rule(queue=queues, pause=st.booleans())
    def pause(self, queue: str, pause: bool) -> None:
        self.both(lambda s: s.pause(queue) if pause else s.resume(queue))

    @rule(run=runs, key=keys, value=st.sampled_from((b"1", b"2")), digest=st.sampled_from(("", "x")))
    def save_step(self, run: JobRecord, key: str, value: bytes, digest: str) -> None:
        self.both(lambda s: s.save_step(run.lease, Step(key, StepKind.VALUE, value, digest)))

    @rule(run=runs, some=st.lists(items, max_size=3))
    def append(self, run: JobRecord, some: list[NewChunk]) -> None:
        self.both(lambda s: s.append(run.lease, some))

    @rule(job_id=ids, name=st.sampled_from(("go", "go", "stop")), signal_id=st.sampled_from("1234"))
    def send(self, job_id: str, name: str, signal_id: str) -> None:
        self.both(lambda s: s.send(job_id, name, signal_id, b"p"))

    @rule(run=runs, batch=st.lists(specs, min_size=1, max_size=2), key=keys)
    def spawn(self, run: JobRecord, batch: list[JobSpec], key: str) -> None:
        children = [replace(spec, child_of=key, depends_on=()) for spec in batch]
        self.both(lambda s: s.enqueue(children, parent=run.lease))

    # Stories. Each has jobs and a queue of its own, so that nothing else comes between.

    def begin(self, **options: object) -> JobRecord:
        """A job of this story, running."""
        name = f"story {self.next()}"
        self.both(lambda s: s.enqueue([JobSpec(id=name, task="work", queue=f"q{self.number}", lease_ms=10, **options)]))
        (run,) = self.take(f"q{self.number}")
        return run

    def take(self, queue: str, count: int = 1) -> tuple[JobRecord, ...]:
        worker = f"worker {self.next()}"
        return self.claimed(ClaimRequest(worker, 1, f"lease {self.number}", (Want(queue, count),)))

    @rule(
        target=runs,
        loss=st.sampled_from(("reclaimed", "swept", "released", "cancelled")),
        data=st.data(),
    )
    def a_zombie_tries_everything(self, loss: str, data: st.DataObject) -> JobRecord:
        zombie = self.begin()
        self.append(zombie, [NewChunk(1, b"x")])
        if loss == "released":
            self.settle(zombie, Released())
        elif loss == "cancelled":
            self.cancel([zombie.id], force=True)
        else:
            self.turn_the_clock(10)
        if loss == "swept":
            self.upkeep(1)
        self.take(zombie.queue)
        self.settle(zombie, data.draw(outcomes))
        self.renew([zombie], None, shrink=False)
        self.append(zombie, [NewChunk(2, b"y")])
        self.save_step(zombie, "k", b"1", "")
        self.spawn(zombie, [JobSpec(id=f"{zombie.id} child", task="work", queue="q")], "k")
        return zombie

    @rule(
        need=st.sampled_from((None, 0, 1, 2, 3)),
        early=st.integers(0, 3),
        ends=st.lists(outcomes, min_size=3, max_size=3),
        rest=st.sampled_from(("cancel", "leave")),
        repeat=st.booleans(),
    )
    def children_end_before_and_after_their_parent_waits(
        self, need: int | None, early: int, ends: list[Outcome], rest: str, repeat: bool
    ) -> None:
        parent = self.begin()
        queue = f"{parent.queue}c"
        children = [JobSpec(id=f"{parent.id} {n}", task="work", queue=queue, child_of="k") for n in range(3)]
        self.both(lambda s: s.enqueue(children, parent=parent.lease))
        for n, (run, outcome) in enumerate(zip(self.take(queue, 3), ends, strict=True)):
            if n == early:
                self.settle(parent, Waiting("k", need, rest))
            self.settle(run, outcome)
            if repeat:
                self.settle_again(1)
        if early == 3:
            self.settle(parent, Waiting("k", need, rest))
        self.upkeep(MAX_SWEEP)
        self.take(parent.queue)

    @rule(
        order=st.permutations(("send 1", "send 2", "wait", "wait again", "time", "upkeep")),
        timeout_ms=st.sampled_from((None, 5)),
    )
    def signals_come_before_with_and_after_a_wait(self, order: list[str], timeout_ms: int | None) -> None:
        run = self.begin()
        for event in order:
            match event:
                case "time":
                    self.turn_the_clock(5)
                case "upkeep":
                    self.upkeep(MAX_SWEEP)
                case "wait" | "wait again":
                    self.settle(run, Suspended(event, "go", timeout_ms))
                case signal_id:
                    self.both(lambda s: s.send(run.id, "go", signal_id, signal_id.encode()))
        for again in self.take(run.queue):
            self.settle(again, Suspended("wait", "go"))

    @rule(
        ends=st.lists(st.sampled_from(("fail", "expire", "release", "late")), min_size=1, max_size=5),
        attempts=st.integers(1, 4),
        stalls=st.integers(1, 3),
    )
    def a_job_fails_and_stalls_until_it_is_dead(self, ends: list[str], attempts: int, stalls: int) -> None:
        run = self.begin(max_attempts=attempts, max_stalls=stalls)
        for end in ends:
            if end in ("expire", "late"):
                self.clock.set_ms((run.expires_at_ms or 0) - (end == "late"))
                self.upkeep(MAX_SWEEP)
                self.clock.advance_ms(end == "late")
            if end != "expire":
                self.settle(run, Released() if end == "release" else Retried(ERROR, 0))
            again = self.take(run.queue)
            if not again:
                return
            (run,) = again

    @rule(saved=st.lists(st.booleans(), min_size=1, max_size=3), outcome=outcomes)
    def runs_emit_within_and_outside_of_steps(self, saved: list[bool], outcome: Outcome) -> None:
        run = self.begin()
        for n, save in enumerate(saved):
            self.append(run, [NewChunk(1, b"x", step=f"step {n}"), NewChunk(2, b"y")])
            if save:
                self.save_step(run, f"step {n}", b"1", "")
            self.settle(run, Released())
            (run,) = self.take(run.queue)
        self.settle(run, outcome)
        self.both(lambda s: s.read(run.id))

    @rule(run=consumes(runs))
    def forget(self, run: JobRecord) -> None:
        """Old runs make room, so that the newer ones are drawn more often."""

    # What holds whatever happens.

    @invariant()
    def records_are_equal_and_their_history_is_lawful(self) -> None:
        page = self.both(lambda s: s.list(JobFilter()))
        assert page is not None
        for record in page.jobs:
            self._check(self.seen.get(record.id, record), record)
            self.seen[record.id] = record

    def _check(self, before: JobRecord, after: JobRecord) -> None:
        if before.state.terminal:
            assert after == before, "an ended job has changed"
        for count in ("fence", "events", "chunks", "failures", "stalls", "position"):
            assert getattr(after, count) >= getattr(before, count), f"{count} went back"
        assert after.failures <= after.max_attempts
        assert after.stalls <= after.max_stalls
        assert (after.lease_id is not None) == (after.state is S.RUNNING)

    def teardown(self) -> None:
        try:
            self._drain()
            assert self.both(look) is not None
            assert self.loop.run(self.subject.audit()) == []
        finally:
            self.loop.run(self.open.aclose())
            self.loop.run(self.reference.close())
            self.loop.close()

    def _drain(self) -> None:
        """Let everything end that can: with faults stopped, nothing that is due stays behind. Spec: LIVE-1."""
        for queue in QUEUES:
            self.both(lambda s, queue=queue: s.resume(queue))
        for _ in range(100):
            self.clock.advance_ms(30_000)
            done, counts = self.both(lambda s: s.upkeep()), self.both(lambda s: s.count())
            assert done is not None
            assert counts is not None
            wants = tuple(Want(queue, 10) for queue, states in counts.items() if S.READY in states)
            runs = self.claimed(ClaimRequest("drain", self.next(), f"lease {self.number}", wants[:MAX_BATCH]))
            for run in runs:
                self.settle(run, Succeeded(b""))
            if not runs and not done.total:
                break
        self.records_are_equal_and_their_history_is_lawful()
        left = {record.state for record in self.seen.values() if not record.state.terminal}
        assert left <= {S.SUSPENDED, S.WAITING}
        assert S.SUSPENDED in left or not left, "a job waits for jobs that have all ended"


@clause("STATE-1", "STATE-2", "STATE-3", "LEASE-1", "CLAIM-1", "CLAIM-8", "FAN-1", "SIG-3", "STREAM-1", "LIVE-1")
def test_every_history_is_that_of_the_reference(aiq_backend: Backend, pytestconfig: pytest.Config) -> None:
    effort = pytestconfig.getoption("--aiq-effort")
    histories, steps = EFFORTS[effort]
    machine = type("Machine", (Twins,), {"open_subject": staticmethod(aiq_backend)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            # The same histories each time while developing, so that a failure is never somebody else's.
            derandomize=effort == "dev",
            # Whoever only asks whether it fails need not wait for the shortest history that does.
            phases=[Phase.generate] if pytestconfig.getoption("--aiq-first-failure") else list(Phase),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
