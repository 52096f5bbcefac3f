"""Steps that functions of the schema make whole: they write what the same steps write that are decided in Python."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from aiq.backends.postgres import atomic
from aiq.backends.postgres.plain import exchange as plain
from aiq.backends.relational.connection import Row
from aiq.errors import AiqError, LeaseLost
from aiq.model import (
    ClaimRequest,
    Died,
    JobError,
    JobRecord,
    JobSpec,
    Lease,
    Outcome,
    Retried,
    Settled,
    Settlement,
    Succeeded,
    Want,
)
from aiq.testing.actions import claim_one, job
from aiq.testing.clock import Clock
from tests import stores
from tests.backends.postgres.whole_tables import Stepwise, opened, tables

STEPS = 40
QUEUES = ("q", "r", "s")
ERROR = JobError(type="E", message="m")


@dataclass
class Course:
    """One random life of two storages: what is drawn for one is done to both."""

    clock: Clock
    random: Random
    runs: list[JobRecord] = field(default_factory=list)
    past: list[tuple[list[Settlement], ClaimRequest | None]] = field(default_factory=list)
    jobs: int = 0
    claims: int = 0

    def specs(self) -> list[JobSpec]:
        specs = [self._spec() for _ in range(self.random.randint(1, 6))]
        return specs + specs[:1] if self.random.random() < 0.1 else specs

    def _spec(self) -> JobSpec:
        self.jobs += 1
        options: dict[str, Any] = {"queue": self.random.choice(QUEUES), "lease_ms": self.random.choice((50, 5_000))}
        if self.random.random() < 0.1:
            rare: list[dict[str, Any]] = [
                {"delay_ms": 20},
                {"deadline_ms": self.clock() + 60},
                {"tenant": "t"},
                {"key": "k"},
                {"unique": "u", "on_unique": "keep"},
                {"depends_on": (f"job {max(1, self.jobs - 1)}",)},
                {"band": self.random.choice((1, 3))},
            ]
            options |= self.random.choice(rare)
        return job(f"job {self.jobs}", payload=self.random.randbytes(self.random.randint(0, 40)), **options)

    def exchange(self) -> tuple[list[Settlement], ClaimRequest | None]:
        if self.past and self.random.random() < 0.1:
            return self.random.choice(self.past[-3:])
        chosen = self.random.sample(self.runs, self.random.randint(0, len(self.runs)))
        settlements = [self._settlement(run) for run in chosen]
        request = self._claim() if self.random.random() < 0.8 else None
        self.past.append((settlements, request))
        return settlements, request

    def _settlement(self, run: JobRecord) -> Settlement:
        lease = Lease(run.id, run.fence - (self.random.random() < 0.02), run.lease_id or "")
        outcome: Outcome = Succeeded(self.random.randbytes(self.random.randint(0, 9)))
        if self.random.random() < 0.05:
            outcome = self.random.choice((Retried(ERROR, 0), Retried(ERROR, 10), Died(ERROR)))
        return Settlement(lease, f"s {run.id} {run.fence}", outcome)

    def _claim(self) -> ClaimRequest:
        self.claims += 1
        queues = self.random.sample(QUEUES, self.random.randint(1, 3))
        wants = tuple(Want(queue, self.random.choice((0, 1, 3, 8))) for queue in queues)
        worker = self.random.choice("vw")
        return ClaimRequest(worker, self.claims, f"lease {self.claims}", wants)


async def told(step: Awaitable[object]) -> str:
    """What a step answers, or refuses: errors are no values that could be compared."""
    try:
        return repr(await step)
    except AiqError as error:
        return repr(error)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was made by functions of the schema."""
    answers: list[object] = []

    def call(*given: Any, sure: bool) -> Row:
        row = atomic.call(*given, sure=sure)
        if row[0] is not None:
            answers.append(row)
        return row

    monkeypatch.setattr(plain, "call", call)
    return answers


@pytest.mark.parametrize("seed", range(6))
async def test_a_random_life_leaves_the_same_rows_whoever_makes_the_steps(
    clock: Clock, seed: int, made: list[object]
) -> None:
    course = Course(clock, Random(seed))
    async with opened(clock) as (ours, name), opened(clock, Stepwise) as (theirs, other):
        for _ in range(STEPS):
            clock.advance_ms(course.random.choice((0, 1, 5, 20)))
            if course.random.random() < 0.4:
                specs = course.specs()
                assert await told(ours.enqueue(specs)) == await told(theirs.enqueue(specs))
            else:
                settlements, request = course.exchange()
                answer = await ours.exchange(settlements, request)
                assert repr(answer) == await told(theirs.exchange(settlements, request))
                over = {one.lease.job_id for one in settlements}
                course.runs = [run for run in course.runs if run.id not in over] + list(answer.claimed)

        assert tables(name) == tables(other)
        assert len(made) > STEPS // 5


@pytest.mark.parametrize("lease", [Lease("job", 2**70, "mine"), Lease("job", 1, "\ud800"), Lease("job", 1, "\0")])
async def test_a_lease_that_no_database_could_store_is_lost_as_any_other(clock: Clock, lease: Lease) -> None:
    async with stores.postgres(clock) as storage:
        await storage.enqueue([job("job")])
        run = await claim_one(storage)

        answer = await storage.exchange([Settlement(lease, "1", Succeeded(b""))])
        again = await storage.exchange([Settlement(run.lease, "1", Succeeded(b""))])

        assert [type(one) for one in (*answer.settled, *again.settled)] == [LeaseLost, Settled]
