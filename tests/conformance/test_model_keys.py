"""Random histories of ordered keys: the storage under test answers as the reference does, and as a model of lines.

The model knows no store. It follows the log of events, and says after each step who holds each key; whatever is claimed
holds its own, and whatever holds an open key is claimed. In the end every job has ended, whatever keys it had.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from aiq.bounds import MAX_PAGE, MAX_SWEEP
from aiq.model import (
    Cancelled,
    ClaimRequest,
    Edit,
    Held,
    HeldFor,
    JobRecord,
    JobSpec,
    Outcome,
    Redrive,
    Released,
    Settlement,
    Sleeping,
    State,
    Suspended,
    Target,
    Waiting,
    Want,
)
from aiq.storage import Storage
from aiq.testing.actions import BAD, GOOD, failed
from aiq.testing.lines import Lines
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.twins import Twins, run_histories

EFFORTS = {"dev": (30, 12), "ci": (120, 40), "nightly": (5_000, 100)}
"""Histories, and steps in each."""

IDS, KEYS, QUEUES = "abcdefgh", ("k", "l"), ("q", "r")
_A = TypeVar("_A")

picks, delays = st.integers(0, 9), st.sampled_from((0, 0, 5, 10))
manners: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda key, per_key, while_parked: (
        {"key": key, "per_key": per_key, "while_parked": while_parked} if key and per_key else {"key": key}
    ),
    st.sampled_from(("k", "k", "k", "l", None)),
    st.sampled_from((1, 1, 1, 2, 3, 0)),
    st.sampled_from(("hold", "free")),
)
specs = st.builds(
    lambda manner, **told: JobSpec(task="work", lease_ms=20, **told, **manner),
    manners,
    id=st.sampled_from(IDS),
    queue=st.sampled_from(("q", "q", "r")),
    delay_ms=delays,
    max_attempts=st.sampled_from((1, 2)),
    depends_on=st.lists(st.sampled_from(IDS), max_size=1).map(tuple),
    on_upstream=st.sampled_from(("fail", "continue")),
    expires_ms=st.sampled_from((None, None, None, 25)),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(GOOD),
    st.just(failed()),
    st.builds(failed, delays),
    st.just(BAD),
    st.just(Cancelled()),
    st.builds(Released, delays),
    st.just(Held(reason=HeldFor.PRICE, by="m")),
    st.builds(Suspended, st.just("s"), st.just("go"), st.sampled_from((None, 10))),
    st.builds(Waiting, st.just("c"), st.sampled_from((None, None, 1)), st.sampled_from(("cancel", "leave"))),
    st.builds(Sleeping, st.just("z"), delays),
)


def is_small(machine: Any) -> bool:
    """Whether all jobs of a history fit into the one page by which they are compared."""
    return len(machine.seen) < MAX_PAGE - 30


class Histories(Twins):
    """Operations drawn at random, and stories of trees whose jobs have the keys of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = Lines()
        self.cursor: str | None = None

    def step(self, call: Callable[[Storage], Awaitable[_A]]) -> _A | None:
        """Make a step, and let the model follow it."""
        answer = self.both(call)
        self.records_are_equal_and_their_history_is_lawful()
        page = self.loop.get_loop().run_until_complete(self.subject.read_events(self.cursor))
        self.cursor = page.cursor
        self.lines.step(page.events, self.seen)
        return answer

    @precondition(is_small)
    @rule(batch=st.lists(specs, min_size=1, max_size=4))
    def enqueue(self, batch: list[JobSpec]) -> None:
        known = {*self.seen}
        for n, spec in enumerate(batch):
            batch[n] = replace(spec, depends_on=tuple(d for d in spec.depends_on if d in known - {spec.id}))
            known.add(spec.id)
        self.step(lambda s: s.enqueue(batch))

    @precondition(is_small)
    @rule(pick=picks, children=st.lists(specs, min_size=1, max_size=3), wait=st.booleans())
    def spawn(self, pick: int, children: list[JobSpec], wait: bool) -> None:
        run = self.live(pick)
        batch = [
            replace(
                spec, id=f"{run.id}.{self.next()}", child_of="c", depends_on=(), on_parent=("leave", "cancel")[n % 2]
            )
            for n, spec in enumerate(children)
        ]
        self.step(lambda s: s.enqueue(batch, parent=run.lease))
        if wait:
            self.settle_it(run, Waiting("c", None))

    @rule(count=st.sampled_from((1, 2, 50, 50)))
    def claim(self, count: int) -> None:
        self.claim_from(count, *QUEUES)

    def claim_from(self, count: int, *queues: str) -> tuple[JobRecord, ...]:
        request = ClaimRequest("w", self.next(), f"lease {self.number}", tuple(Want(queue, count) for queue in queues))
        answer = self.step(lambda s: s.exchange((), request))
        assert answer is not None
        for run in answer.claimed:
            assert self.lines.may_start(run), f"{run.id} starts, and does not hold its key"
        if count == 50 and len(answer.claimed) < count:
            left = [one.id for one in self.seen.values() if one.state is State.READY and one.queue in queues]
            assert [name for name in left if self.lines.may_start(self.seen[name])] == []
        return answer.claimed

    def live(self, pick: int) -> JobRecord:
        running = [record for record in self.seen.values() if record.state is State.RUNNING]
        return running[pick % len(running)] if running else self.begin()

    def begin(self, **options: Any) -> JobRecord:
        name = f"story {self.next()}"
        self.step(lambda s: s.enqueue([JobSpec(id=name, task="work", queue=name.replace(" ", ""), **options)]))
        (run,) = self.claim_from(1, name.replace(" ", ""))
        return run

    @precondition(is_small)
    @rule(pick=picks, outcome=outcomes)
    def settle(self, pick: int, outcome: Outcome) -> None:
        self.settle_it(self.live(pick), outcome)

    def settle_it(self, run: JobRecord, outcome: Outcome) -> None:
        self.settle_all([run], outcome)

    def settle_all(self, runs: Sequence[JobRecord], outcome: Outcome) -> None:
        settlements = [Settlement(run.lease, str(self.next()), outcome) for run in runs]
        self.step(lambda s: s.exchange(settlements))

    @rule(pick=picks, verb=st.sampled_from(("cancel", "kill", "hold", "unhold", "send", "purge")))
    def an_operator_acts(self, pick: int, verb: str) -> None:
        name, number = self.known(pick), str(self.next())
        acts: dict[str, Callable[[Storage], Awaitable[object]]] = {
            "cancel": lambda s: s.cancel([name]),
            "kill": lambda s: s.cancel([name], force=True),
            "hold": lambda s: s.hold([name]),
            "unhold": lambda s: s.unhold([name]),
            "send": lambda s: s.send(name, "go", number, b"1"),
            "purge": lambda s: s.purge([name]),
        }
        self.step(acts[verb])

    @rule(pick=picks, delay_ms=delays)
    def put_off(self, pick: int, delay_ms: int) -> None:
        name = self.known(pick)
        self.step(lambda s: s.update([Edit(job_id=name, delay_ms=delay_ms)]))

    @rule(pick=picks, detach=st.booleans(), pace_ms=st.sampled_from((0, 0, 5)))
    def redrive(self, pick: int, detach: bool, pace_ms: int) -> None:
        ended = [one for one in self.seen.values() if one.state in (State.DEAD, State.CANCELLED)]
        if ended:
            one = ended[pick % len(ended)]
            targets = (Target(one.id, one.generation),)
            request = Redrive(id=str(self.next()), targets=targets, detach=detach, delay_ms=pace_ms)
            self.step(lambda s: s.redrive(request))

    @rule(queue=st.sampled_from(QUEUES), key=st.sampled_from(KEYS), pause=st.booleans())
    def pause_a_key(self, queue: str, key: str, pause: bool) -> None:
        self.lines.keys[queue, key].paused = pause
        self.step(lambda s: s.pause_key(queue, key) if pause else s.resume_key(queue, key))

    @rule(turn_ms=st.sampled_from((1, 5, 10, 20, 30_000)))
    def turn_the_clock(self, turn_ms: int) -> None:
        self.clock.advance_ms(turn_ms)

    @rule(limit=st.sampled_from((1, 2, MAX_SWEEP)))
    def upkeep(self, limit: int) -> None:
        self.step(lambda s: s.upkeep(limit))

    @precondition(is_small)
    @rule(
        tops=st.lists(manners, min_size=1, max_size=2),
        below=st.lists(manners, min_size=1, max_size=2),
        fates=st.lists(st.sampled_from(("park", "park", "end", "fail")), min_size=3, max_size=8),
        after=st.booleans(),
    )
    def trees_have_the_keys_of_each_other(
        self, tops: list[dict[str, Any]], below: list[dict[str, Any]], fates: list[str], after: bool
    ) -> None:
        """However parents, children and their children share keys, each tree comes to its end by itself."""
        queue, names = f"trees{self.next()}", list[str]()
        plain = JobSpec(id="", task="work", queue=queue, lease_ms=3_600_000)
        for n, manner in enumerate(tops):
            names.append(f"{queue} {n}")
            top = replace(plain, id=names[-1], **manner)
            later = replace(plain, id=f"{names[-1]} after", depends_on=(names[-1],), **manner)
            self.step(lambda s, batch=[top, later][: 1 + after]: s.enqueue(batch))
        for fate in (*fates, *["end"] * 20):
            runs = self.claim_from(50, queue)
            parents = [run for run in runs if fate == "park" and run.id.count("/") < 2 and run.fence == 1]
            for run in parents:
                self.step(lambda s, run=run: s.enqueue(children_of(run, below), parent=run.lease))
                self.settle_it(run, Waiting("c", None))
            self.settle_all([run for run in runs if run not in parents], failed() if fate == "fail" else GOOD)
            done = None if runs else self.step(lambda s: s.upkeep())
            if done is not None and not done.total:
                break
        assert [one.id for one in self.seen.values() if one.queue == queue and not one.state.terminal] == []

    @invariant()
    def the_lines_are_lawful(self) -> None:
        """What the model knows and what is stored agree."""
        self.lines.check(self.seen.values())

    def _drain(self) -> None:
        """Let whoever waits for a person go on, too: then nothing is left."""
        for queue, key in list(self.lines.keys):
            self.both(lambda s, queue=queue, key=key: s.resume_key(queue, key))
        for one in list(self.seen.values()):
            if one.state is State.HELD:
                self.both(lambda s, name=one.id: s.unhold([name]))
            elif one.state is State.SUSPENDED:
                self.both(lambda s, name=one.id: s.send(name, "go", "the end", b""))
        super()._drain()
        assert [one.id for one in self.seen.values() if not one.state.terminal] == []


def children_of(run: JobRecord, manners: list[dict[str, Any]]) -> list[JobSpec]:
    """Children of a run in its queue, each with a key of its own manner."""
    plain = JobSpec(id="", task="work", queue=run.queue, child_of="c", lease_ms=3_600_000)
    return [replace(plain, id=f"{run.id}/{n}", **manner) for n, manner in enumerate(manners)]


@clause("KEY-1", "KEY-2", "KEY-3", "KEY-4", "KEY-5", "KEY-6", "KEY-7", "KEY-8", "KEY-9", "KEY-13", "KEY-16", "KEY-17")
def test_every_history_of_keys_is_that_of_the_reference(aiq_backend: Backend, pytestconfig: pytest.Config) -> None:
    run_histories(Histories, aiq_backend, pytestconfig, EFFORTS)
