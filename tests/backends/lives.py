"""Random lives of two storages: what is drawn for one is done to both."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiq.errors import AiqError
from aiq.model import (
    ClaimRequest,
    Died,
    JobError,
    JobRecord,
    JobSpec,
    Lease,
    Outcome,
    Retried,
    Settlement,
    Succeeded,
    Want,
)
from aiq.storage import Storage
from aiq.testing.actions import job
from aiq.testing.clock import Clock

QUEUES = ("q", "r", "s")
OF_MANY_KINDS = ("bounded", "lifo", "plain", "unheard-of")
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
    rare: float = 0.1
    """How often a job is not plain."""

    def specs(self) -> list[JobSpec]:
        specs = [self._spec() for _ in range(self.random.randint(1, 6))]
        return specs + specs[:1] if self.random.random() < 0.1 else specs

    def _spec(self) -> JobSpec:
        self.jobs += 1
        options: dict[str, Any] = {"queue": self.random.choice(QUEUES), "lease_ms": self.random.choice((50, 5_000))}
        if self.random.random() < self.rare:
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


async def live(course: Course, steps: int, ours: Storage, theirs: Storage) -> None:
    """Let both do the same, and compare what they answer."""
    for _ in range(steps):
        course.clock.advance_ms(course.random.choice((0, 1, 5, 20)))
        if course.random.random() < 0.4:
            specs = course.specs()
            assert await told(ours.enqueue(specs)) == await told(theirs.enqueue(specs))
        else:
            settlements, request = course.exchange()
            answer = await ours.exchange(settlements, request)
            assert repr(answer) == await told(theirs.exchange(settlements, request))
            over = {one.lease.job_id for one in settlements}
            course.runs = [run for run in course.runs if run.id not in over] + list(answer.claimed)


def some_jobs(random: Random, now_ms: int, first: int) -> list[JobSpec]:
    """Plain jobs that differ in all in which such jobs may differ."""
    return [some_job(random, now_ms, f"job {n}") for n in range(first, first + random.choice((1, 1, 2, 7)))]


def some_job(random: Random, now_ms: int, job_id: str) -> JobSpec:
    said: dict[str, Any] = {
        "task": random.choice(("work", "play")),
        "queue": random.choice(OF_MANY_KINDS),
        "payload": random.randbytes(random.randrange(5)),
        "digest": random.choice(("", "d" * 64)),
        "band": random.randrange(4),
        "delay_ms": random.choice((0, 0, 1, 500)),
        "at_ms": random.choice((None, None, now_ms - 1, now_ms, now_ms + 1, now_ms + 9_000)),
        "lease_ms": random.choice((1_000, 60_000)),
        "timeout_ms": random.choice((None, 5)),
        "max_attempts": random.choice((1, 5)),
        "max_stalls": random.choice((1, 5)),
        "flow": random.choice((None, "flöw")),
        "on_upstream": random.choice(("fail", "continue")),
        "key": random.choice((None, "key")),
        "max_deferral_ms": random.choice((0, 77)),
        "deadline_ms": random.choice((None, now_ms + 5_000)),
        "expires_ms": random.choice((None, 1, 50_000)),
        "keep_ms": random.choice((None, 0, 9)),
        "origin": random.choice((None, "b")),
    }
    return JobSpec(id=job_id, **said)
