"""Random lives of two storages: what is drawn for one is done to both."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeAlias

from aiq.errors import AiqError
from aiq.model import (
    CallRequest,
    ClaimRequest,
    Died,
    JobError,
    JobRecord,
    JobSpec,
    Lease,
    Outcome,
    Redrive,
    Retried,
    Settled,
    Settlement,
    State,
    Succeeded,
    Suspended,
    Target,
    Want,
)
from aiq.storage import Storage, append
from aiq.testing.actions import chunks, job
from aiq.testing.clock import Clock
from aiq.testing.spending import units

Deed: TypeAlias = Callable[[Storage], Awaitable[object]]

QUEUES = ("q", "r", "s")
OF_MANY_KINDS = ("bounded", "lifo", "plain", "unheard-of")
ERROR = JobError(type="E", message="m")


@dataclass
class Course:
    """One random life of two storages: what is drawn for one is done to both."""

    clock: Clock
    random: Random
    runs: list[JobRecord] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    past: list[tuple[list[Settlement], ClaimRequest | None]] = field(default_factory=list)
    jobs: int = 0
    claims: int = 0
    rare: float = 0.1
    """How often a job is not plain."""
    deeds: float = 0.0
    """How often something happens that is no step of a plain job."""
    called: str = "job {}"
    """What the job of a number has for its id."""

    def _id_of(self, number: int) -> str:
        return self.called.format(number)

    def specs(self) -> list[JobSpec]:
        specs = [self._spec() for _ in range(self.random.randint(1, 6))]
        return specs + specs[:1] if self.random.random() < 0.1 else specs

    def _spec(self) -> JobSpec:
        if self.jobs and self.random.random() < 0.02:
            # One that was stored before, and may be gone.
            return job(self._id_of(self.random.randint(1, self.jobs)), payload=b"again")
        self.jobs += 1
        options: dict[str, Any] = {"queue": self.random.choice(QUEUES), "lease_ms": self.random.choice((50, 5_000))}
        if self.random.random() < self.rare:
            rare: list[dict[str, Any]] = [
                {"delay_ms": 20},
                {"deadline_ms": self.clock() + 60},
                {"tenant": "t"},
                {"key": "k"},
                {"unique": "u", "on_unique": "keep"},
                {"depends_on": (self._id_of(max(1, self.jobs - 1)),)},
                {"band": self.random.choice((1, 3))},
            ]
            options |= self.random.choice(rare)
        return job(self._id_of(self.jobs), payload=self.random.randbytes(self.random.randint(0, 40)), **options)

    def deed(self) -> Deed:
        """What leaves a job or a queue such that the next steps may not be plain."""
        job_id, queue = self._id_of(self.random.randint(1, self.jobs + 1)), self.random.choice(QUEUES)
        deeds: list[Deed] = [
            lambda storage: storage.cancel([job_id]),
            lambda storage: storage.purge([job_id]),
            lambda storage: storage.upkeep(),
            lambda storage: storage.pause(queue),
            lambda storage: storage.resume(queue),
        ]
        if self.dead:
            again = Redrive(id=f"again {self.jobs}", targets=(Target(self.random.choice(self.dead), 1),))
            deeds += [lambda storage: storage.redrive(again)] * 3
        if self.runs:
            deeds += self._deeds_of(self.random.choice(self.runs))
        return self.random.choice(deeds)

    def _deeds_of(self, run: JobRecord) -> list[Deed]:
        child = replace(self._spec(), child_of="children", depends_on=(), unique=None, on_unique="conflict")
        call = CallRequest(lease=run.lease, number=1, limits=("narrow",))
        return [
            lambda storage: append(storage, run.lease, chunks("a")),
            lambda storage: storage.enqueue([child], parent=run.lease),
            lambda storage: storage.acquire([call]),
            lambda storage: storage.send(run.id, "go", f"s {run.id}", b""),
        ]

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
            rare = (Retried(ERROR, 0), Retried(ERROR, 10), Died(ERROR), Suspended("wait", "go", 50))
            outcome = self.random.choice(rare)
        # A run goes on that has found a signal; then one settlement more is a repeat, or its next one.
        return Settlement(lease, f"s {run.id} {run.fence} {self.random.choice((1, 1, 1, 2))}", outcome)

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
    for storage in (ours, theirs):
        await storage.put_limits([units("narrow")])
    for _ in range(steps):
        # Once in a while a clock is put right.
        course.clock.advance_ms(course.random.choice((0, 1, 5, 20)) if course.random.random() < 0.95 else -30)
        drawn = course.random.random()
        if drawn < course.deeds:
            deed = course.deed()
            assert await told(deed(ours)) == await told(deed(theirs))
        elif drawn < 0.4:
            specs = course.specs()
            assert await told(ours.enqueue(specs)) == await told(theirs.enqueue(specs))
        else:
            await _exchange(course, ours, theirs)


async def _exchange(course: Course, ours: Storage, theirs: Storage) -> None:
    settlements, request = course.exchange()
    answer = await ours.exchange(settlements, request)
    assert repr(answer) == await told(theirs.exchange(settlements, request))
    pairs = list(zip(settlements, answer.settled, strict=True))
    over = {one.lease.job_id for one, said in pairs if not (isinstance(said, Settled) and said.state is State.RUNNING)}
    course.runs = [run for run in course.runs if run.id not in over] + list(answer.claimed)
    course.dead += [one.lease.job_id for one, said in pairs if isinstance(said, Settled) and said.state is State.DEAD]


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
