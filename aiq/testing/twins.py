"""Two storages that do the same: the reference and the one under test, for tests by random histories."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from aiq.backends import open_storage
from aiq.bounds import MAX_BATCH
from aiq.errors import AiqError
from aiq.model import ClaimRequest, Exchanged, JobFilter, JobRecord, JobSpec, Settlement, State, Succeeded, Want
from aiq.storage import Storage
from aiq.testing.actions import look
from aiq.testing.clock import Clock
from aiq.testing.moves import move
from aiq.testing.plugin import Backend

_T = TypeVar("_T")


def run_histories(
    machine: "type[Twins]", backend: Backend, config: pytest.Config, efforts: Mapping[str, tuple[int, int]]
) -> None:
    """Run random histories on a backend: of each effort so many, and so many steps in each."""
    effort = config.getoption("--aiq-effort")
    histories, steps = efforts[effort]
    run_state_machine_as_test(
        type("Machine", (machine,), {"backend": staticmethod(backend)}),
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            # By day the same histories each time, so that a failure is never somebody else's; new ones by night.
            derandomize=effort != "nightly",
            # Whoever only asks whether it fails need not wait for the shortest history that does.
            phases=[Phase.generate] if config.getoption("--aiq-first-failure") else list(Phase),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Twins(RuleBasedStateMachine):
    """Two storages on one clock. Every call goes to both, and their answers must be equal; so must all records.

    What no storage may ever show is checked besides, so that the reference is tried too.
    """

    backend: Backend
    """What opens the storage under test."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.opened = AsyncExitStack()
        self.reference: Storage = self.loop.run(open_storage("memory://", clock=self.clock))
        self.subject: Storage = self.loop.run(self.opened.enter_async_context(type(self).backend(self.clock)))
        self.number = 0
        self.sent: list[Settlement] = []
        self.claims: dict[str, ClaimRequest] = {}
        self.runs: list[JobRecord] = []
        self.seen: dict[str, JobRecord] = {}

    def next(self) -> int:
        """A number that this history has not had."""
        self.number += 1
        return self.number

    def both(self, call: Callable[[Storage], Awaitable[_T]]) -> _T | None:
        """Do it to both, compare, and give the answer; None where both refused with an error of ours."""
        # Not Runner.run, which minds SIGINT each time: a history makes hundreds of calls.
        expected, answer = self.loop.get_loop().run_until_complete(self._answers(call))
        assert _comparable(answer) == _comparable(expected)
        return None if isinstance(answer, AiqError) else answer

    async def _answers(self, call: Callable[[Storage], Awaitable[_T]]) -> tuple[_T | AiqError, _T | AiqError]:
        return await _answer(call, self.reference), await _answer(call, self.subject)

    def live(self, pick: int) -> JobRecord:
        """One of the running jobs; a new one if there is none, so that no rule goes to waste."""
        running = [record for record in self.seen.values() if record.state is State.RUNNING]
        return running[pick % len(running)] if running else self.begin()

    def known(self, pick: int) -> str:
        """The id of one of the jobs, or of none."""
        return [*self.seen, "ghost"][pick % (len(self.seen) + 1)]

    def begin(self, **options: Any) -> JobRecord:
        """A new job, running, alone in a queue of its own. The options are those of JobSpec, hence Any."""
        name = f"story {self.next()}"
        self.both(lambda s: s.enqueue([JobSpec(id=name, task="work", queue=f"q{self.number}", lease_ms=10, **options)]))
        (run,) = self.take(f"q{self.number}")
        return run

    def take(self, queue: str, count: int = 1) -> tuple[JobRecord, ...]:
        """Claim from a queue, as a worker that nobody knows yet."""
        worker = f"worker {self.next()}"
        return self.claim_as(ClaimRequest(worker, 1, f"lease {self.number}", (Want(queue, count),)))

    def claim_as(self, request: ClaimRequest) -> tuple[JobRecord, ...]:
        """Make a new claim."""
        answer = self.both(lambda s: s.exchange((), request))
        assert answer is not None
        given = {(run.id, run.fence) for run in self.runs}
        assert not given & {(run.id, run.fence) for run in answer.claimed}, "one run was given twice"
        self.runs += answer.claimed
        self.seen |= {run.id: run for run in answer.claimed}
        if answer.claimed:
            self.claims[request.worker] = request
        return answer.claimed

    @invariant()
    def records_are_equal_and_their_history_is_lawful(self) -> None:
        """Compare all records, and each with what it was."""
        page = self.both(lambda s: s.list(JobFilter()))
        assert page is not None
        for record in page.jobs:
            _check_lawful(self.seen.get(record.id, record), record)
            self.seen[record.id] = record

    def teardown(self) -> None:
        """Let everything end that can, and look at all that there is."""
        try:
            if self.number % 2:
                self.loop.run(self._move())
            self._drain()
            assert self.both(look) is not None
            assert self.loop.run(self.subject.audit()) == []
        finally:
            self.loop.run(self.opened.aclose())
            self.loop.run(self.reference.close())
            self.loop.close()

    async def _move(self) -> None:
        """Let each go on from what the other holds, in a new storage. Spec: MOVE-1"""
        subject = await self.opened.enter_async_context(type(self).backend(self.clock))
        reference = await open_storage("memory://", clock=self.clock)
        await move(self.reference, subject)
        await move(self.subject, reference)
        assert await reference.audit() == []
        await self.reference.close()
        self.reference, self.subject = reference, subject

    def _drain(self) -> None:
        """With faults stopped, nothing that is due stays behind. Spec: LIVE-1."""
        for _ in range(100):
            answer = self.both(lambda s: s.exchange(()))
            assert answer is not None
            # A limit in debt may need longer than it takes for a lease to expire or a grace to end.
            self.clock.advance_ms(max(30_000, answer.next_due_ms or 0))
            done, counts = self.both(lambda s: s.upkeep()), self.both(lambda s: s.count())
            assert done is not None
            assert counts is not None
            for queue in counts:
                self._resume(queue)
            wants = tuple(Want(queue, 10) for queue, states in counts.items() if State.READY in states)
            runs = self.claim_as(ClaimRequest("drain", self.next(), f"lease {self.number}", wants[:MAX_BATCH]))
            self._succeed(runs)
            if not runs and not done.total and answer.next_due_ms is None:
                break
        self.records_are_equal_and_their_history_is_lawful()
        left = {record.state for record in self.seen.values() if not record.state.terminal}
        assert left <= {State.SUSPENDED, State.WAITING}
        assert State.SUSPENDED in left or not left, "a job waits for jobs that have all ended"

    def _resume(self, queue: str) -> None:
        self.both(lambda s: s.resume(queue))

    def _succeed(self, runs: tuple[JobRecord, ...]) -> None:
        self.both(lambda s: s.exchange([Settlement(run.lease, "drain", Succeeded(b"")) for run in runs]))


async def _answer(call: Callable[[Storage], Awaitable[_T]], storage: Storage) -> _T | AiqError:
    try:
        return await call(storage)
    except AiqError as error:
        return error


def _comparable(answer: object) -> object:
    """An answer with errors by kind and reason, since two errors are never equal."""
    if isinstance(answer, Exception):
        return type(answer), getattr(answer, "reason", None)
    if isinstance(answer, Exchanged):
        return replace(answer, settled=()), [_comparable(one) for one in answer.settled]
    return [_comparable(one) for one in answer] if isinstance(answer, list) else answer


def _check_lawful(before: JobRecord, after: JobRecord) -> None:
    """What holds between two sights of one job, whatever happened in between. Spec: STATE-2, CLAIM-8, RETRY-1."""
    redriven = after.generation > before.generation
    if before.state.terminal and not redriven:
        assert after == before, "an ended job has changed"
    counts = ("fence", "events", "chunks", *(() if redriven else ("failures", "stalls", "position")))
    for count in counts:
        assert getattr(after, count) >= getattr(before, count), f"{count} went back"
    assert after.failures <= after.max_attempts
    assert after.stalls <= after.max_stalls
    assert (after.lease_id is not None) == (after.state is State.RUNNING)
