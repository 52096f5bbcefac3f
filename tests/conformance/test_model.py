"""Random histories: the storage under test and the reference do the same and must answer the same, step by step.

The example tests explain; this one finds. Single operations drawn at random seldom lose a lease and then use it, so
there are also stories: short scripts of which only the details are drawn.
"""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from aiq.bounds import MAX_SWEEP
from aiq.model import (
    Append,
    Band,
    Cancelled,
    Cause,
    ChunkKind,
    ClaimRequest,
    Content,
    Died,
    Edit,
    JobError,
    JobRecord,
    JobSpec,
    NewChunk,
    Outcome,
    Read,
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
from aiq.storage import append, read
from aiq.testing.actions import GOOD
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.twins import Twins, run_histories

S, K = State, ChunkKind
EFFORTS = {"dev": (50, 20), "ci": (200, 50), "nightly": (5_000, 100)}
"""Histories, and steps in each."""

ERROR = JobError(type="E", message="m", cause=Cause.RESULT)
JOBS, KEYS, QUEUES, WORKERS = "abcdef", ("k", "l"), ("q", "r"), ("v", "w")
TURNS_MS = (0, 1, 5, 10, 10, 20, 40, -7, 30_000)

ids, keys, queues, picks = (
    st.sampled_from(JOBS),
    st.sampled_from(KEYS),
    st.sampled_from(QUEUES),
    st.integers(0, 7),
)
digests, delays = st.sampled_from(("", "", "", "x")), st.sampled_from((0, 5, 10))


def lawful(spec: JobSpec) -> JobSpec:
    """A job that says of its unique key only what goes together."""
    if spec.unique is None:
        return replace(spec, on_unique="keep", unique_for_ms=None)
    if spec.on_unique == "keep":
        return spec
    return replace(spec, unique_for_ms=None, delay_ms=max(1, spec.delay_ms))


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Succeeded, st.sampled_from((b"r", b"s"))),
    st.builds(Retried, st.just(ERROR), st.sampled_from((0, 5, 10, -3))),
    st.just(Died(ERROR)),
    st.just(Cancelled()),
    st.builds(Released, delays),
    st.builds(Suspended, keys, st.sampled_from(("go", "go", "stop")), st.sampled_from((None, 5, 10))),
    st.builds(Waiting, keys, st.sampled_from((None, 0, 1, 2)), st.sampled_from(("cancel", "leave"))),
    st.builds(Sleeping, keys, delays),
)
specs = st.builds(
    JobSpec,
    id=ids,
    task=st.just("work"),
    queue=queues,
    digest=digests,
    band=st.sampled_from(Band),
    delay_ms=delays,
    lease_ms=st.sampled_from((10, 20)),
    max_attempts=st.sampled_from((1, 2, 3)),
    max_stalls=st.sampled_from((1, 2)),
    depends_on=st.lists(ids, max_size=2).map(tuple),
    on_upstream=st.sampled_from(("fail", "continue")),
    tenant=st.sampled_from(("", "acme")),
    expires_ms=st.sampled_from((None, None, 10, 25)),
    unique=st.sampled_from((None, None, "u", "v")),
    on_unique=st.sampled_from(("keep", "replace", "debounce")),
    unique_for_ms=st.sampled_from((None, None, 20)),
).map(lambda spec: lawful(spec))  # noqa: PLW0108 - it is defined below
items = st.lists(
    st.tuples(
        st.sampled_from((0, 0, 0, 0, -1, 1)),
        st.sampled_from((b"x", b"x", b"y")),
        st.sampled_from((K.DATA, K.DATA, K.LOG, K.PROGRESS)),
        st.sampled_from((None, *KEYS)),
    ),
    max_size=3,
)


class Histories(Twins):
    """Single operations first, then stories."""

    @rule(batch=st.lists(specs, min_size=1, max_size=3))
    def enqueue(self, batch: list[JobSpec]) -> None:
        known = {*self.seen}
        for n, spec in enumerate(batch):
            batch[n] = replace(spec, depends_on=tuple(d for d in spec.depends_on if d in known - {spec.id}))
            known.add(spec.id)
        self.both(lambda s: s.enqueue(batch))

    @rule(worker=st.sampled_from(WORKERS), count=st.integers(1, 3), wanted=st.permutations(QUEUES))
    def claim(self, worker: str, count: int, wanted: list[str]) -> None:
        wants = tuple(Want(queue, count) for queue in wanted)
        self.claim_as(ClaimRequest(worker, self.next(), f"lease {self.number}", wants))

    @rule(worker=st.sampled_from(WORKERS), back=st.sampled_from((0, 0, 1)))
    def claim_again(self, worker: str, back: int) -> None:
        if worker in self.claims:
            request = self.claims[worker]
            self.both(lambda s: s.exchange((), replace(request, number=request.number - back)))

    @rule(pick=picks, outcome=outcomes)
    def settle(self, pick: int, outcome: Outcome) -> None:
        self.end(self.live(pick), outcome)

    def end(self, run: JobRecord, outcome: Outcome) -> None:
        self.sent.append(Settlement(run.lease, str(self.next()), outcome))
        self.settle_again(1)

    @rule(last=st.integers(1, 3))
    def settle_again(self, last: int) -> None:
        self.both(lambda s: s.exchange(self.sent[-last:]))

    @rule(some=st.lists(picks, max_size=3), lease_ms=st.sampled_from((None, 10, 15, 50)), shrink=st.booleans())
    def renew(self, some: list[int], lease_ms: int | None, shrink: bool) -> None:
        leases = [run.lease for run in [self.live(pick) for pick in some] + self.runs[-1:]]
        self.both(lambda s: s.renew(leases, lease_ms=lease_ms, shrink=shrink))

    @rule(some=st.lists(picks, min_size=1, max_size=2), force=st.booleans())
    def cancel(self, some: list[int], force: bool) -> None:
        self.both(lambda s: s.cancel([self.known(pick) for pick in some], force=force))

    @rule(
        pick=picks,
        band=st.sampled_from((None, *Band)),
        delay_ms=st.sampled_from((None, 0, 5, 10)),
        payload=st.sampled_from((None, b"1", b"2")),
    )
    def update(self, pick: int, band: Band | None, delay_ms: int | None, payload: bytes | None) -> None:
        content = None if payload is None else Content(task="work", payload=payload)
        edit = Edit(job_id=self.known(pick), band=band, delay_ms=delay_ms, content=content)
        self.both(lambda s: s.update([edit]))

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

    @rule(pick=picks, key=keys, value=st.sampled_from((b"1", b"2")), digest=digests)
    def save_step(self, pick: int, key: str, value: bytes, digest: str) -> None:
        self.save(self.live(pick), key, value, digest)

    def save(self, run: JobRecord, key: str, value: bytes = b"1", digest: str = "") -> None:
        self.both(lambda s: s.save_step(run.lease, Step(key, StepKind.VALUE, value, digest)))

    @rule(said=st.lists(st.tuples(picks, items), min_size=1, max_size=3))
    def append(self, said: list[tuple[int, list[tuple[int, bytes, ChunkKind, str | None]]]]) -> None:
        """Of each run mostly what follows; sometimes an item again, or one too many, or the same run twice."""
        told = [self.emitted(self.live(pick), some) for pick, some in said]
        self.both(lambda s: s.append(told))

    def emitted(self, run: JobRecord, some: list[tuple[int, bytes, ChunkKind, str | None]]) -> Append:
        emitted = self.both(lambda s: read(s, run.id))
        assert emitted is not None
        mine = [c for c in emitted.chunks if c.fence == run.fence and c.kind in (K.DATA, K.LOG, K.PROGRESS)]
        chunks = [NewChunk(max(1, len(mine) + n + off), *rest) for n, (off, *rest) in enumerate(some, 1)]
        return Append(run.lease, chunks)

    @rule(pick=picks, name=st.sampled_from(("go", "go", "stop")), signal_id=st.sampled_from("123"), payload=digests)
    def send(self, pick: int, name: str, signal_id: str, payload: str) -> None:
        self.both(lambda s: s.send(self.known(pick), name, signal_id, payload.encode()))

    @rule(pick=picks, batch=st.lists(specs, min_size=1, max_size=3), key=keys)
    def spawn(self, pick: int, batch: list[JobSpec], key: str) -> None:
        parent = self.live(pick)
        children = [replace(lawful(replace(spec, unique=None)), child_of=key, depends_on=()) for spec in batch]
        self.both(lambda s: s.enqueue(children, parent=parent.lease))

    @rule(pick=picks, after=st.integers(0, 4), limit=st.sampled_from((1, 2, 256)), others=st.lists(picks, max_size=2))
    def read(self, pick: int, after: int, limit: int, others: list[int]) -> None:
        job_id = self.known(pick)
        reads = [Read(job_id, after), *[Read(self.known(other)) for other in others]]
        self.both(lambda s: s.read(reads, limit=limit))
        self.both(lambda s: s.get_steps(job_id, after="k" * (after % 2), limit=limit))

    @rule(loss=st.sampled_from(("expired", "reclaimed", "swept", "released", "cancelled")), outcome=outcomes)
    def a_zombie_tries_everything(self, loss: str, outcome: Outcome) -> None:
        zombie = self.begin()
        self.both(lambda s: append(s, zombie.lease, [NewChunk(1, b"x")]))
        if loss == "released":
            self.end(zombie, Released())
        elif loss == "cancelled":
            self.both(lambda s: s.cancel([zombie.id], force=True))
        else:
            self.turn_the_clock(10)
        if loss == "swept":
            self.upkeep(MAX_SWEEP)
        if loss != "expired":
            self.take(zombie.queue)
        self.both(lambda s: s.renew([zombie.lease]))
        child = JobSpec(id=f"{zombie.id} child", task="work", queue="q", child_of="k")
        self.both(lambda s: s.enqueue([child], parent=zombie.lease))
        self.both(lambda s: append(s, zombie.lease, [NewChunk(2, b"y")]))
        self.save(zombie, "k")
        self.end(zombie, outcome)

    @rule(lease_id=st.booleans(), outcome=outcomes)
    def a_token_is_half_right(self, lease_id: bool, outcome: Outcome) -> None:
        run = self.begin()
        forged = replace(run, lease_id="guessed") if lease_id else replace(run, fence=run.fence + 1)
        self.both(lambda s: s.renew([forged.lease]))
        self.end(forged, outcome)

    @rule(
        bands=st.lists(st.sampled_from(Band), min_size=3, max_size=6),
        steps=st.lists(st.sampled_from(("claim 1", "claim 2", "release", "pause", "resume", "again")), max_size=8),
    )
    def a_queue_is_served_in_its_order(self, bands: list[Band], steps: list[str]) -> None:
        queue, worker, running = f"o{self.next()}", f"worker {self.number}", list[JobRecord]()
        batch = [JobSpec(id=f"{queue} {n}", task="work", queue=queue, band=band) for n, band in enumerate(bands)]
        self.both(lambda s: s.enqueue(batch))
        for step in (*steps, "release", "claim 2", "claim 2"):
            if step.startswith("claim"):
                count = int(step[-1])
                wants = (Want("q", 1), Want(queue, count), Want(queue, 1))
                running += self.claim_as(ClaimRequest(worker, self.next(), f"lease {self.number}", wants))
            elif step == "release" and running:
                self.end(running.pop(0), Released())
            elif step == "again":
                self.claim_again(worker, 0)
            else:
                self.pause(queue, step == "pause")

    @rule(
        turns_ms=st.lists(st.sampled_from((0, 1, 10, 30_000)), min_size=2, max_size=2),
        outcome=outcomes,
        sweep=st.booleans(),
        lease_ms=st.sampled_from((10, 60_000)),
    )
    def a_run_is_asked_to_stop(self, turns_ms: list[int], outcome: Outcome, sweep: bool, lease_ms: int) -> None:
        run = self.begin()
        child = JobSpec(id=f"{run.id} child", task="work", queue="q", child_of="k")
        self.both(lambda s: s.enqueue([child], parent=run.lease))
        self.both(lambda s: s.renew([run.lease], lease_ms=lease_ms))
        for turn_ms in turns_ms:
            self.both(lambda s: s.cancel([run.id]))
            self.turn_the_clock(turn_ms)
            self.both(lambda s: s.renew([run.lease]))
            self.both(lambda s: append(s, run.lease, [NewChunk(1, b"x")]))
            self.save(run, "k")
            if sweep:
                self.upkeep(MAX_SWEEP)
        self.end(run, outcome)
        self.upkeep(MAX_SWEEP)
        self.upkeep(MAX_SWEEP)

    @rule(
        need=st.sampled_from((None, 0, 1, 2, 3)),
        early=st.integers(0, 3),
        ends=st.lists(st.one_of(outcomes, st.sampled_from(("expire", "cancel"))), max_size=3),
        rest=st.sampled_from(("cancel", "leave")),
        twice=st.booleans(),
    )
    def children_end_before_and_after_their_parent_waits(
        self, need: int | None, early: int, ends: list[Outcome | str], rest: str, twice: bool
    ) -> None:
        parent = self.begin()
        queue, waiting = f"{parent.queue}c", Waiting("k", need, rest)
        children = [
            JobSpec(id=f"{parent.id} {n}", task="work", queue=queue, child_of="k", max_attempts=1)
            for n in range(len(ends))
        ]
        for _ in range(1 + twice):
            self.both(lambda s: s.enqueue(children, parent=parent.lease))
        for n, (run, end) in enumerate(zip(self.take(queue, len(ends)), ends, strict=True)):
            if n == early:
                self.end(parent, waiting)
            if end == "expire":
                self.clock.set_ms(run.expires_at_ms or 0)
                self.upkeep(MAX_SWEEP)
            elif end == "cancel":
                self.both(lambda s, name=run.id: s.cancel([name], force=True))
            else:
                self.end(run, end)
                self.settle_again(1 + twice)
        if early >= len(ends):
            self.end(parent, waiting)
        self.upkeep(MAX_SWEEP)
        self.take(parent.queue)

    @rule(
        policies=st.lists(st.sampled_from(("fail", "continue")), min_size=4, max_size=4),
        ends=st.lists(st.sampled_from((GOOD, Died(ERROR), "cancel")), min_size=2, max_size=2),
        delay_ms=delays,
        limit=st.sampled_from((1, MAX_SWEEP)),
    )
    def a_graph_runs_down_from_good_and_bad_ends(
        self, policies: list[str], ends: list[Outcome | str], delay_ms: int, limit: int
    ) -> None:
        name, queue = f"graph {self.next()}", f"g{self.number}"
        edges: dict[int, tuple[int, ...]] = {0: (), 1: (), 2: (0, 1, 0), 3: (0,), 4: (2,), 5: (2, 3)}
        graph = [
            JobSpec(
                id=f"{name} {n}",
                task="work",
                queue=queue,
                delay_ms=delay_ms if upstream else 0,
                depends_on=tuple(f"{name} {m}" for m in upstream),
                on_upstream=policies[n % 4],
            )
            for n, upstream in edges.items()
        ]
        self.both(lambda s: s.enqueue(graph[:5]))
        for run, end in zip(self.take(queue, 2), ends, strict=True):
            if end == "cancel":
                self.both(lambda s, name=run.id: s.cancel([name], force=True))
            else:
                self.end(run, end)
        self.upkeep(limit)
        self.both(lambda s: s.enqueue(graph[5:]))
        for run in self.take(queue, 3):
            self.end(run, GOOD)

    @rule(
        events=st.lists(
            st.sampled_from(("send 1", "send 2", "wait a", "wait b", "wait c", "time", "upkeep")),
            min_size=3,
            max_size=8,
        ),
        timeout_ms=st.sampled_from((None, 5, 10)),
    )
    def signals_come_before_with_and_after_a_wait(self, events: list[str], timeout_ms: int | None) -> None:
        run = self.begin()
        for event in events:
            if event == "time":
                self.turn_the_clock(5)
            elif event == "upkeep":
                self.upkeep(MAX_SWEEP)
            elif event.startswith("wait"):
                self.end(run, Suspended(event, "go", timeout_ms))
            else:
                self.both(lambda s, event=event: s.send(run.id, "go", event, event.encode()))
        for again in self.take(run.queue):
            self.end(again, Suspended("wait a", "go"))

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
                self.end(run, Released() if end == "release" else Retried(ERROR, 0))
            again = self.take(run.queue)
            if not again:
                return
            (run,) = again

    @rule(
        saved=st.lists(st.sampled_from(("saved", "lost", "saved silently", "logged")), min_size=1, max_size=3),
        outcome=outcomes,
    )
    def runs_emit_within_and_outside_of_steps(self, saved: list[str], outcome: Outcome) -> None:
        run = self.begin()
        for n, fate in enumerate(saved):
            if fate != "saved silently":
                kind = K.LOG if fate == "logged" else K.DATA
                chunks = [NewChunk(1, b"x", kind, "k"), NewChunk(2, b"y", kind, f"step {n}"), NewChunk(3, b"z", kind)]
                self.both(lambda s, run=run, chunks=chunks: append(s, run.lease, chunks))
            if fate.startswith("saved"):
                self.save(run, "k")
                self.save(run, f"step {n}")
            self.end(run, Released())
            (run,) = self.take(run.queue)
        self.end(run, outcome)
        self.both(lambda s: read(s, run.id))


@clause("STATE-1", "STATE-2", "STATE-3", "LEASE-1", "CLAIM-1", "CLAIM-8", "FAN-1", "SIG-3", "STREAM-1", "LIVE-1")
def test_every_history_is_that_of_the_reference(aiq_backend: Backend, pytestconfig: pytest.Config) -> None:
    run_histories(Histories, aiq_backend, pytestconfig, EFFORTS)
