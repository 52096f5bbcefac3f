"""Every write, when its reply is lost, when it is refused, and when it is cancelled wherever it waits.

A scene is played in a storage of its own up to one write. What can be seen afterwards is compared with what the
same scene shows when the write simply succeeds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

import pytest

from aiq.errors import Conflict, Unavailable
from aiq.model import (
    Band,
    Beat,
    BudgetSpec,
    CallRequest,
    CallState,
    ClaimRequest,
    Content,
    DeadQuery,
    Deferred,
    Edit,
    Enqueued,
    Estimate,
    Exchanged,
    Fired,
    Held,
    HeldFor,
    JobError,
    JobFilter,
    Lease,
    LimitSpec,
    MinuteFilter,
    PriceRow,
    QueueSettings,
    Redrive,
    Redriven,
    Report,
    RetentionSpec,
    Saved,
    ScheduleStatus,
    Sent,
    Settlement,
    Suspended,
    Target,
    Throttle,
    Usage,
    UsageFilter,
    Waiting,
    Want,
)
from aiq.storage import Storage, append, claim, read
from aiq.testing.actions import BAD, GOOD, Sight, chunks, failed, job, look, value
from aiq.testing.clock import Clock
from aiq.testing.faulty import CancelAt, Faulty, LoseReply
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.schedules import fires, schedule

# These tests open storages of their own, several one after another, in the loop of this fixture.
pytestmark = pytest.mark.usefixtures("runner")

Call = Callable[[Storage], Awaitable[object]]


def lease(job_id: str, fence: int = 1) -> Lease:
    return Lease(job_id, fence, f"lease of {job_id}")


def claiming(job_id: str, queue: str, number: int = 1) -> ClaimRequest:
    return ClaimRequest(f"worker of {job_id}", number, f"lease of {job_id}", (Want(queue, 1),))


GPT = LimitSpec(name="gpt", tokens=60_000, requests=600, concurrency=9, burst_ms=10_000)
NEED = Estimate(input=100, output=50, max_output=50, model="gpt")


async def play(storage: Storage) -> None:
    """The scene: a bit of everything, with names instead of chance."""
    await storage.put_limits([GPT])
    await storage.put_budgets(
        [BudgetSpec(id="purse", caps={"tokens": 99_000}), BudgetSpec(id="dry", caps={"tokens": 9})]
    )
    await storage.put_prices([PriceRow(model="gpt", category="input", usd_micros_per_million=1_000_000)])
    terms = {"limits": ("gpt",), "budgets": ("purse",), "estimate": NEED}
    for name in ("calls", "poor", "waits"):
        await storage.enqueue([job(name, queue=name, lease_ms=60_000, **terms)])
    await storage.enqueue([job("broke", queue="broke", budgets=("dry",), estimate=NEED)])
    for name in ("calls", "broke"):
        await claim(storage, claiming(name, name))
    await storage.acquire([CallRequest(lease=lease("calls"), number=1, estimate=NEED)])
    await storage.hold(["poor"])
    for name in ("runs", "parent", "asks"):
        await storage.enqueue([job(name, queue=name, lease_ms=60_000)])
        await claim(storage, claiming(name, name))
    await append(storage, lease("runs"), chunks("a"))
    await storage.enqueue([job(f"child {n}", child_of="k", queue="children") for n in (1, 2)], lease("parent"))
    await storage.exchange([Settlement(lease("parent"), "1", Waiting("k", 1))])
    await storage.exchange([Settlement(lease("asks"), "1", Suspended("until", "go", 60_000))])
    await claim(storage, claiming("child 1", "children"))
    await storage.enqueue([job("leaf", depends_on=("runs",)), job("due", delay_ms=5), job("next")])
    await storage.enqueue([job("expired", queue="expired", lease_ms=10)])
    await claim(storage, claiming("expired", "expired"))
    await storage.enqueue([job("unique", unique="key")])
    await storage.enqueue([job("dead", queue="dead", lease_ms=60_000), job("gone", queue="gone", lease_ms=60_000)])
    for name in ("dead", "gone"):
        await claim(storage, claiming(name, name))
        await storage.exchange([Settlement(lease(name), "1", BAD)])
    await storage.pause("paused")
    await storage.pause_key("default", "still")
    await storage.enqueue([job(f"in turn {n}", queue="turns", key="talk", per_key=1) for n in (1, 2)])
    await claim(storage, claiming("in turn 1", "turns"))
    await storage.put_schedules([schedule("tick"), schedule("new"), schedule("halted", paused=True)])
    tick = (await storage.get_schedules(["tick"]))[0]
    await storage.fire([fires(tick, slot_ms=None, passed_ms=-1, next_ms=TICK_MS)])
    await storage.beat(Beat(worker="known"))


TICK_MS = Clock()() + 5
TICK = ScheduleStatus(spec=schedule("tick"), next_ms=TICK_MS)
DEFERRED = Deferred(JobError(type="E", message="429"), 400, (Throttle(limit="gpt", retry_after_ms=400),))
HELD = Held(reason=HeldFor.BUDGET, by="purse", need={"tokens": 500_000})
WRITES: dict[str, tuple[str, Call]] = {
    "enqueue": ("enqueue", lambda s: s.enqueue([job("new"), job("newer", depends_on=("new", "next"))])),
    "spawn": ("enqueue", lambda s: s.enqueue([job("child", child_of="more")], lease("runs"))),
    "succeed": ("exchange", lambda s: s.exchange([Settlement(lease("runs"), "2", GOOD)])),
    "die": ("exchange", lambda s: s.exchange([Settlement(lease("runs"), "2", BAD)])),
    "retry": ("exchange", lambda s: s.exchange([Settlement(lease("runs"), "2", failed(5))])),
    "suspend": ("exchange", lambda s: s.exchange([Settlement(lease("runs"), "2", Suspended("w", "go", 5))])),
    "end a child": ("exchange", lambda s: s.exchange([Settlement(lease("child 1"), "2", GOOD)])),
    "claim": ("exchange", lambda s: s.exchange((), claiming("next", "default"))),
    "settle and claim": (
        "exchange",
        lambda s: s.exchange([Settlement(lease("runs"), "2", GOOD)], claiming("leaf", "default")),
    ),
    "end a job of a key": ("exchange", lambda s: s.exchange([Settlement(lease("in turn 1"), "2", GOOD)])),
    "renew": ("renew", lambda s: s.renew([lease("runs"), lease("child 1")], lease_ms=90_000)),
    "cancel": ("cancel", lambda s: s.cancel(["runs", "next", "leaf"])),
    "cancel by force": ("cancel", lambda s: s.cancel(["runs", "next"], force=True)),
    "upkeep": ("upkeep", lambda s: s.upkeep()),
    "put_retention": ("put_retention", lambda s: s.put_retention(RetentionSpec(ids_ms=5))),
    "pause": ("pause", lambda s: s.pause("default")),
    "resume": ("resume", lambda s: s.resume("paused")),
    "pause a key": ("pause_key", lambda s: s.pause_key("default", "talk")),
    "resume a key": ("resume_key", lambda s: s.resume_key("default", "still")),
    "save a step": ("save_step", lambda s: s.save_step(lease("runs"), value("plan"))),
    "send": ("send", lambda s: s.send("asks", "go", "1", b"yes")),
    "send early": ("send", lambda s: s.send("runs", "go", "1", b"yes")),
    "append": ("append", lambda s: append(s, lease("runs"), chunks("b", "c", first=2))),
    "claim what takes a limit": ("exchange", lambda s: s.exchange((), claiming("waits", "waits"))),
    "defer": ("exchange", lambda s: s.exchange([Settlement(lease("calls"), "2", DEFERRED)])),
    "hold itself": ("exchange", lambda s: s.exchange([Settlement(lease("calls"), "2", HELD)])),
    "hold": ("hold", lambda s: s.hold(["waits"])),
    "update": (
        "update",
        lambda s: s.update(
            [
                Edit(job_id="next", band=Band.HIGH, delay_ms=70),
                Edit(job_id="due", content=Content(task="work", payload=b"2")),
            ]
        ),
    ),
    "replace": ("enqueue", lambda s: s.enqueue([job("newer", unique="key", digest="newer", on_unique="replace")])),
    "let go": ("unhold", lambda s: s.unhold(["poor", "broke"])),
    "ask for a call": ("acquire", lambda s: s.acquire([asking(2, 700)])),
    "ask for a call that must wait": ("acquire", lambda s: s.acquire([asking(2, 9_000)])),
    "report": ("report", lambda s: s.report([told(CallState.OPEN, 30)])),
    "settle a call": ("report", lambda s: s.report([told(CallState.SETTLED, 300)])),
    "take a call back": ("report", lambda s: s.report([told(CallState.UNSENT)])),
    "tell of a 429": ("report", lambda s: s.report([told(CallState.THROTTLED)])),
    "tell of another 429": ("throttled", lambda s: s.throttled([Throttle(limit="gpt", retry_after_ms=400)])),
    "redrive": ("redrive", lambda s: s.redrive(Redrive(id="again", targets=(Target("dead", 1), Target("runs", 1))))),
    "purge": ("purge", lambda s: s.purge(["gone", "runs"])),
    "weigh": ("weigh", lambda s: s.weigh("acme", 2_000)),
    "put limits": ("put_limits", lambda s: s.put_limits([replace(GPT, tokens=30_000), replace(GPT, name="new")])),
    "put budgets": ("put_budgets", lambda s: s.put_budgets([BudgetSpec(id="dry", caps={"tokens": 500})])),
    "grant": ("grant", lambda s: s.grant("dry", "more", {"tokens": 500})),
    "put prices": ("put_prices", lambda s: s.put_prices([PriceRow(model="m", category="c", usd_micros_per_million=5)])),
    "beat": ("beat", lambda s: s.beat(Beat(worker="new", up_ms=5))),
    "leave": ("leave", lambda s: s.leave("known")),
    "put schedules": ("put_schedules", lambda s: s.put_schedules([schedule("tick", every_ms=5_000), schedule("a")])),
    "plan a schedule": (
        "fire",
        lambda s: s.fire([fires(replace(TICK, spec=schedule("new")), slot_ms=None, passed_ms=-1, next_ms=TICK_MS + 9)]),
    ),
    "fire a schedule": ("fire", lambda s: s.fire([fires(TICK, "fired", "fired too")])),
    "run a schedule": ("run_schedule", lambda s: s.run_schedule("tick", job("beside"))),
    "pause schedules": ("pause_schedules", lambda s: s.pause_schedules(["tick", "ghost"])),
    "resume schedules": ("resume_schedules", lambda s: s.resume_schedules(["halted", "tick"])),
    "delete schedules": ("delete_schedules", lambda s: s.delete_schedules(["tick", "ghost"])),
    "configure": ("configure", lambda s: s.configure("next", QueueSettings(max_ready=5, concurrency=3))),
}


UNSEEN = ("pause", "resume", "pause a key", "resume a key", "weigh")
"""What nothing that is compared here tells of."""


def asking(number: int, input: int) -> CallRequest:
    """A call of the run that makes calls."""
    return CallRequest(lease=lease("calls"), number=number, limits=("gpt",), estimate=replace(NEED, input=input))


def told(state: CallState, input: int = 0) -> Report:
    """What became of its first call."""
    used = (Usage("gpt", input),) if input else ()
    return Report(lease=lease("calls"), call=1, state=state, used=used, retry_after_ms=400)


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that can be seen of jobs, and of what they may take and have used."""

    jobs: Sight
    limits: object
    budgets: object
    prices: object
    used: object
    queue: object
    schedules: object
    workers: object
    events: object
    minutes: object
    retention: object


async def events_by_job(storage: Storage) -> set[tuple[str, int, str]]:
    """What happened, whatever the cursors."""
    return {(event.job_id, event.number, event.row) for event in (await storage.read_events()).events}


async def look_at_all(storage: Storage) -> Whole:
    return Whole(
        await look(storage),
        await storage.get_limits(),
        await storage.get_budgets(),
        [await storage.get_prices(model) for model in ("gpt", "m")],
        await storage.usage(UsageFilter()),
        await storage.get_queue("next"),
        await storage.get_schedules(),
        await storage.workers(),
        await events_by_job(storage),
        await storage.metrics(MinuteFilter()),
        await storage.get_retention(),
    )


@dataclass(frozen=True, slots=True)
class Course:
    """What could be seen before and after a write that simply succeeded, and its answer."""

    before: Whole
    after: Whole
    answer: object


@asynccontextmanager
async def scene(backend: Backend) -> AsyncIterator[Storage]:
    clock = Clock()
    async with backend(clock) as storage:
        await play(storage)
        clock.advance_ms(10)
        yield storage
        assert await storage.audit() == []


async def simple_course(backend: Backend, write: Call) -> Course:
    async with scene(backend) as storage:
        before = await look_at_all(storage)
        answer = await write(storage)
        return Course(before, await look_at_all(storage), answer)


def without_existed(answer: object) -> object:
    """A repeat tells that it is one, and is equal otherwise. What upkeep found to do is no part of that."""
    if isinstance(answer, Enqueued):
        return replace(answer, existed=False, by=None)
    if isinstance(answer, Fired | Redriven | Saved | Sent):
        return replace(answer, existed=False)
    if isinstance(answer, Conflict):
        return answer.reason
    if isinstance(answer, Exchanged):
        return answer.settled, answer.claimed
    return [without_existed(one) for one in answer] if isinstance(answer, list) else answer


def same(answer: object, write: str, course: Course) -> bool:
    return write == "upkeep" or without_existed(answer) == without_existed(course.answer)


@clause("STORE-2", "STATE-6", "CLAIM-3", "ENQ-2")
@pytest.mark.parametrize("write", WRITES)
async def test_a_write_whose_reply_was_lost_is_sent_again_and_has_happened_once(
    aiq_backend: Backend, write: str
) -> None:
    operation, call = WRITES[write]
    course = await simple_course(aiq_backend, call)
    assert write in UNSEEN or course.before != course.after

    async with scene(aiq_backend) as storage:
        faulty = Faulty(storage, LoseReply(operation), LoseReply(operation))
        for _ in range(2):
            with pytest.raises(Unavailable) as lost:
                await call(faulty)
            assert lost.value.outcome_unknown
        answer = await call(faulty)

        assert same(answer, write, course)
        assert await look_at_all(storage) == course.after


@clause("STORE-1", "STORE-3")
@pytest.mark.parametrize("write", WRITES)
async def test_a_write_that_is_cancelled_wherever_it_waits_has_happened_wholly_or_not_at_all(
    aiq_backend: Backend, write: str
) -> None:
    operation, call = WRITES[write]
    course = await simple_course(aiq_backend, call)

    for suspension in count(1):
        async with scene(aiq_backend) as storage:
            if not await cancelled_at(suspension, operation, call, storage):
                break
            # This write stands behind whatever the cancelled one has left under way.
            await storage.resume("nothing")
            assert await look_at_all(storage) in (course.before, course.after)
            answer = await call(storage)

            assert same(answer, write, course)
            assert await look_at_all(storage) == course.after


READS: dict[str, Call] = {
    "get": lambda s: s.get(["runs"]),
    "dead_groups": lambda s: s.dead_groups(DeadQuery()),
    "list": lambda s: s.list(JobFilter()),
    "count": lambda s: s.count(),
    "audit": lambda s: s.audit(),
    "get_steps": lambda s: s.get_steps("runs"),
    "read": lambda s: read(s, "runs"),
    "explain": lambda s: s.explain("broke"),
    "get_limits": lambda s: s.get_limits(),
    "get_budgets": lambda s: s.get_budgets(),
    "get_prices": lambda s: s.get_prices("gpt"),
    "usage": lambda s: s.usage(UsageFilter()),
    "read_events": lambda s: s.read_events(),
    "events_of": lambda s: s.events_of("runs"),
    "metrics": lambda s: s.metrics(MinuteFilter()),
    "get_retention": lambda s: s.get_retention(),
    "get_queue": lambda s: s.get_queue("next"),
    "get_schedules": lambda s: s.get_schedules(),
    "due_schedules": lambda s: s.due_schedules(),
    "workers": lambda s: s.workers(),
}


@clause("STORE-3")
@pytest.mark.parametrize("read", READS)
async def test_a_read_that_is_cancelled_wherever_it_waits_leaves_the_storage_at_work(
    aiq_backend: Backend, read: str
) -> None:
    async with scene(aiq_backend) as storage:
        expected = await READS[read](storage)
        for suspension in count(1):
            if not await cancelled_at(suspension, read, READS[read], storage):
                break
            assert await READS[read](storage) == expected


async def cancelled_at(suspension: int, operation: str, call: Call, storage: Storage) -> bool:
    """Whether a call waits that often; if so, it was cancelled there."""
    try:
        await call(Faulty(storage, CancelAt(operation, suspension)))
    except asyncio.CancelledError:
        return True
    return False
