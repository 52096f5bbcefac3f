"""Every situation a job can be in × every operation: the exact answer, the exact change, and nothing else.

A job is brought into a situation at START. A second later (in `expired` when its lease is just over) one
operation is tried, and everything that can be seen of the storage is compared with what it was before.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from aiq.bounds import DEFAULT_LEASE_MS, ITEM_OVERHEAD_BYTES
from aiq.errors import Conflict, LeaseLost, LostReason, NotFound
from aiq.model import (
    TERMINAL,
    Admitted,
    Appended,
    CallRequest,
    CallState,
    CancelAnswer,
    Cancelled,
    Cause,
    Chunk,
    ChunkKind,
    Deferred,
    Died,
    Enqueued,
    Estimate,
    Held,
    HeldFor,
    JobError,
    JobRecord,
    Lane,
    Lease,
    Outcome,
    Released,
    Renewed,
    Report,
    Reported,
    Retried,
    Saved,
    Sent,
    Settled,
    Sleeping,
    State,
    Step,
    StepKind,
    Succeeded,
    Suspended,
    Upkept,
    Usage,
    Waiting,
)
from aiq.rules.fingerprints import OF_CAUSE
from aiq.storage import Storage, append, claim, settle
from aiq.testing.actions import (
    BAD,
    changes,
    chunks,
    end,
    enqueue_one,
    failed,
    job,
    look,
    spawn,
    start,
    value,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
START = Clock()()
LATER, EXPIRED = START + 1_000, START + DEFAULT_LEASE_MS
FAR_MS = 5_000
ERROR = JobError(type="ValueError", message="no")


NEVER_RUN = Lease("job", 0, "none")


async def absent(storage: Storage) -> Lease:
    return NEVER_RUN


async def scheduled(storage: Storage) -> Lease:
    await enqueue_one(storage, delay_ms=FAR_MS)
    return NEVER_RUN


async def ready(storage: Storage) -> Lease:
    await enqueue_one(storage)
    return NEVER_RUN


async def running(storage: Storage) -> Lease:
    return (await start(storage)).lease


async def asked_to_stop(storage: Storage) -> Lease:
    run = await start(storage)
    await storage.cancel(["job"])
    return run.lease


async def waiting_for_dependencies(storage: Storage) -> Lease:
    await storage.enqueue([job("other", queue="other"), job(depends_on=("other",))])
    return NEVER_RUN


async def waiting_for_children(storage: Storage) -> Lease:
    run = await start(storage)
    await spawn(storage, run, "other", queue="other")
    await end(storage, run, Waiting("children", None))
    return run.lease


async def held(storage: Storage) -> Lease:
    await enqueue_one(storage)
    await storage.hold(["job"])
    return NEVER_RUN


def settled(outcome: Outcome) -> Callable[[Storage], Awaitable[Lease]]:
    async def prepare(storage: Storage) -> Lease:
        run = await start(storage)
        await end(storage, run, outcome)
        return run.lease

    return prepare


@dataclass(frozen=True, slots=True)
class Situation:
    """How to get there, with the lease of the last run; where the job then is; what that run hears when it writes.

    `lost` is None where it still owns the job. `next_due_ms` is how long until something happens by itself.
    """

    prepare: Callable[[Storage], Awaitable[Lease]]
    state: State | None
    events: int = 0
    lost: LostReason | None = LostReason.TAKEN
    now_ms: int = LATER
    next_due_ms: int | None = None


SITUATIONS = {
    "absent": Situation(absent, None, 0, LostReason.TERMINAL),
    "scheduled": Situation(scheduled, S.SCHEDULED, 1, next_due_ms=4_000),
    "ready": Situation(ready, S.READY, 1),
    "running": Situation(running, S.RUNNING, 2, lost=None, next_due_ms=29_000),
    "expired": Situation(running, S.RUNNING, 2, lost=None, now_ms=EXPIRED),
    "asked to stop": Situation(asked_to_stop, S.RUNNING, 3, lost=None, next_due_ms=29_000),
    "waiting for dependencies": Situation(waiting_for_dependencies, S.WAITING, 1),
    "waiting for children": Situation(waiting_for_children, S.WAITING, 4),
    "suspended": Situation(settled(Suspended("wait", "go", FAR_MS)), S.SUSPENDED, 3, next_due_ms=4_000),
    "asleep": Situation(settled(Sleeping("nap", FAR_MS)), S.SCHEDULED, 3, next_due_ms=4_000),
    "backing off": Situation(settled(failed(FAR_MS)), S.SCHEDULED, 3, next_due_ms=4_000),
    "released": Situation(settled(Released()), S.READY, 3),
    "deferred": Situation(settled(Deferred(ERROR, FAR_MS)), S.SCHEDULED, 3, next_due_ms=4_000),
    "held": Situation(held, S.HELD, 2),
    "held by its run": Situation(settled(Held(reason=HeldFor.OPERATOR)), S.HELD, 3),
    "succeeded": Situation(settled(Succeeded(b"first")), S.SUCCEEDED, 3, LostReason.TERMINAL),
    "dead": Situation(settled(BAD), S.DEAD, 3, LostReason.TERMINAL),
    "cancelled": Situation(settled(Cancelled()), S.CANCELLED, 3, LostReason.CANCELLED),
}
OWNED = [name for name, situation in SITUATIONS.items() if situation.lost is None]
ENDED = [name for name, situation in SITUATIONS.items() if situation.state in TERMINAL]
PARKED = [name for name in SITUATIONS if name not in (*OWNED, *ENDED, "absent")]


Operation = Callable[[Storage, Lease], Awaitable[object]]
OUTCOMES: dict[str, Outcome] = {
    "succeed": Succeeded(b"r"),
    "retry": Retried(ERROR, 500),
    "die": Died(ERROR),
    "heed a cancel": Cancelled(),
    "release": Released(),
    "suspend": Suspended("until", "go", 500),
    "wait": Waiting("until", None),
    "sleep": Sleeping("until", 500),
    "defer": Deferred(ERROR, 500),
    "close its route": Deferred(ERROR, 500, close_route=True),
    "hold itself": Held(reason=HeldFor.OPERATOR),
}


def settling(outcome: Outcome) -> Operation:
    return lambda storage, lease: settle(storage, lease, outcome, settlement_id="new")


async def renew(storage: Storage, lease: Lease) -> object:
    return (await storage.renew([lease]))[0]


async def call(storage: Storage, lease: Lease) -> object:
    estimate = Estimate(input=1, output=1, max_output=1)
    return (await storage.acquire([CallRequest(lease=lease, number=1, estimate=estimate)]))[0]


async def report(storage: Storage, lease: Lease) -> object:
    told = Report(lease=lease, call=1, state=CallState.SETTLED, used=(Usage("m", 1),))
    return (await storage.report([told]))[0]


def states_after(operation: Callable[[Storage], Awaitable[Sequence[JobRecord | None]]]) -> Operation:
    """The operation's own records, by their states: what else changes of them is compared all the same."""

    async def run(storage: Storage, lease: Lease) -> object:
        return [None if record is None else record.state for record in await operation(storage)]

    return run


async def claim_it(storage: Storage, lease: Lease) -> object:
    return [run.id for run in await claim(storage, wish(1, worker="claimer", number=1))]


OPERATIONS: dict[str, Operation] = {
    **{name: settling(outcome) for name, outcome in OUTCOMES.items()},
    "renew": renew,
    "append": lambda storage, lease: append(storage, lease, chunks("a")),
    "save a step": lambda storage, lease: storage.save_step(lease, value("plan")),
    "spawn": lambda storage, lease: storage.enqueue([job("child", child_of="until")], lease),
    "enqueue again": lambda storage, lease: storage.enqueue([job()]),
    "enqueue another": lambda storage, lease: storage.enqueue([job(digest="another")]),
    "claim": claim_it,
    "cancel": lambda storage, lease: storage.cancel(["job"]),
    "cancel by force": lambda storage, lease: storage.cancel(["job"], force=True),
    "send": lambda storage, lease: storage.send("job", "go", "1", b"yes"),
    "send another": lambda storage, lease: storage.send("job", "stop", "1", b"yes"),
    "upkeep": lambda storage, lease: storage.upkeep(),
    "pause": lambda storage, lease: storage.pause("default"),
    "hold": states_after(lambda storage: storage.hold(["job"])),
    "unhold": states_after(lambda storage: storage.unhold(["job"])),
    "call": call,
    "report": report,
}
OF_THE_HOLDER = [*OUTCOMES, "renew", "append", "save a step", "spawn", "call", "report"]


async def answer_of(operation: Awaitable[object]) -> object:
    """What was answered; an error of ours by its kind and reason, so that it can stand in a table."""
    try:
        answer = await operation
    except (LeaseLost, Conflict, NotFound) as error:
        answer = error
    return (type(answer), getattr(answer, "reason", None)) if isinstance(answer, Exception) else answer


@dataclass(frozen=True, slots=True)
class Expected:
    """The answer, the fields of the job that change, and the other jobs that do (or come to be)."""

    answer: object
    fields: Mapping[str, object] = field(default_factory=dict)
    others: frozenset[str] = frozenset()


Table = dict[tuple[str, str], Expected]
FREE = {"lease_id": None, "owner": None, "expires_at_ms": None}


def written(now_ms: int, error: JobError = ERROR, **options: object) -> dict[str, object]:
    told = {"at_ms": now_ms, "fence": 1, "attempt": 1, "fingerprint": OF_CAUSE[error.cause], **options}
    return {"errors": (replace(error, **told),)}


def remembered(kind: StepKind, data: bytes = b"", key: str = "until") -> dict[str, object]:
    return {"steps": [Step(key, kind, data, fence=1)], "remembers": True}


def settlements(name: str) -> Table:
    """What each outcome of a run does that may go on as it likes."""
    now_ms, late = SITUATIONS[name].now_ms, name == "expired"
    common: dict[str, object] = {**FREE, "events": 3, **({"late": True} if late else {})}
    fields: dict[str, dict[str, object]] = {
        "succeed": {"state": S.SUCCEEDED, "result": b"r", "finished_at_ms": now_ms},
        "retry": {"state": S.SCHEDULED, "due_ms": now_ms + 500, "failures": 1, **written(now_ms)},
        "die": {
            "state": S.DEAD,
            "cause": Cause.HANDLER,
            "failures": 1,
            "finished_at_ms": now_ms,
            **written(now_ms),
        },
        "heed a cancel": {"state": S.CANCELLED, "finished_at_ms": now_ms},
        "release": {"state": S.READY, "lane": Lane.RETURNED, "position": 2},
        "suspend": {"state": S.SUSPENDED, "due_ms": now_ms + 500, "wait_key": "until", "resumes": True},
        "wait": {
            "state": S.READY,
            "lane": Lane.RETURNED,
            "position": 2,
            "resumes": True,
            **remembered(StepKind.CHILDREN),
        },
        "sleep": {
            "state": S.SCHEDULED,
            "resumes": True,
            "lane": Lane.RETURNED,
            "due_ms": now_ms + 500,
            "wait_key": "until",
            **remembered(StepKind.TIMER),
        },
    }
    fields["defer"] = {
        "state": S.SCHEDULED,
        "lane": Lane.RETURNED,
        "due_ms": now_ms + 500,
        "deferred_at_ms": now_ms,
        **written(now_ms),
    }
    fields["close its route"] = {"state": S.HELD, "held": HeldFor.QUOTA, "closed_routes": 1, **written(now_ms)}
    fields["hold itself"] = {"state": S.HELD, "held": HeldFor.OPERATOR, "resumes": True}
    return {
        (name, outcome): Expected(Settled(changed["state"], late), {**common, **changed})
        for outcome, changed in fields.items()
    }


def settlements_of_one_asked_to_stop() -> Table:
    """Completion wins; everything else is a cancel. What went wrong is written down all the same."""
    name = "asked to stop"
    table = {}
    for outcome in OUTCOMES:
        state = S.SUCCEEDED if outcome == "succeed" else S.CANCELLED
        changed = {**FREE, "state": state, "events": 4, "finished_at_ms": LATER}
        changed |= {"result": b"r"} if outcome == "succeed" else {}
        changed |= written(LATER) if outcome in ("retry", "die", "defer", "close its route") else {}
        table[name, outcome] = Expected(Settled(state), changed)
    return table


def other_writes_of_the_holder(name: str) -> Table:
    situation = SITUATIONS[name]
    now_ms, late, asked = situation.now_ms, name == "expired", name == "asked to stop"
    expired = Expected((LeaseLost, LostReason.EXPIRED))
    step = Step("plan", StepKind.VALUE, b"1", fence=1)
    item = Chunk(1, ChunkKind.DATA, b"a", fence=1, at_ms=now_ms)
    renewed = Expected(Renewed(DEFAULT_LEASE_MS, asked, paused=False), {"expires_at_ms": now_ms + DEFAULT_LEASE_MS})
    spawned = Expected([Enqueued("child", S.READY)], {"events": situation.events + 1}, frozenset({"child"}))
    return {
        (name, "renew"): expired if late else renewed,
        (name, "append"): Expected(Appended(1, asked, late, 1 + ITEM_OVERHEAD_BYTES), {"chunks": 1, "stream": [item]}),
        (name, "save a step"): Expected(Saved(step, False, asked, late), {"steps": [step], "remembers": True}),
        (name, "spawn"): expired if late else spawned,
        (name, "call"): expired if late else Expected(Admitted(max_output=1), {"opened_calls": True}),
        (name, "report"): Expected(Reported(cancel_requested=asked)),
    }


def enqueues() -> Table:
    table: Table = {(name, "enqueue another"): Expected((Conflict, "content")) for name in SITUATIONS}
    for name, situation in SITUATIONS.items():
        stands = situation.state is not None
        answer = Enqueued("job", situation.state or S.READY, existed=stands, by="id" if stands else None)
        table[name, "enqueue again"] = Expected([answer])
    stored = Expected([Enqueued("job", S.READY)], others=frozenset({"job"}))
    return table | {("absent", "enqueue again"): stored, ("absent", "enqueue another"): stored}


REVOKED = {
    "lane": Lane.RETURNED,
    "position": 2,
    "failures": 1,
    "stalls": 1,
    **written(
        EXPIRED,
        JobError(
            type="LeaseExpired",
            message="Worker worker did not renew the lease of 30000 ms in time.",
            cause=Cause.STALLED,
            pattern="A worker did not renew the lease in time.",
        ),
    ),
}


def claims() -> Table:
    def leased(now_ms: int, fence: int, events: int) -> dict[str, object]:
        end_ms = now_ms + DEFAULT_LEASE_MS
        mine = {"lease_id": "lease claimer 1", "owner": "claimer", "expires_at_ms": end_ms}
        return {"fence": fence, "events": events, **mine}

    running, given = {"state": S.RUNNING}, ["job"]
    table = {(name, "claim"): Expected([]) for name in SITUATIONS}
    return table | {
        ("ready", "claim"): Expected(given, {**running, **leased(LATER, 1, 2), "started_at_ms": LATER}),
        ("released", "claim"): Expected(given, {**running, **leased(LATER, 2, 4)}),
        ("expired", "claim"): Expected(given, {**leased(EXPIRED, 2, 4), **REVOKED}),
    }


def cancels(operation: str) -> Table:
    unchanged = [*ENDED, "absent"]
    table = {(name, operation): Expected([CancelAnswer("job", SITUATIONS[name].state)]) for name in unchanged}
    for name in [*PARKED, *OWNED]:
        situation = SITUATIONS[name]
        changed: dict[str, object] = {"state": S.CANCELLED, "finished_at_ms": situation.now_ms}
        changed |= {"events": situation.events + 1}
        changed |= {"due_ms": None} if situation.next_due_ms and name in PARKED else {}
        changed |= {"wait_key": None} if name in ("suspended", "asleep") else {}
        changed |= {"wait_key": None, "pending": 0} if situation.state is S.WAITING else {}
        changed |= {"held": None} if situation.state is S.HELD else {}
        changed |= FREE if name in OWNED else {}
        table[name, operation] = Expected([CancelAnswer("job", S.CANCELLED)], changed)
    return table


def requests_to_stop() -> Table:
    told = [CancelAnswer("job", S.RUNNING, requested=True)]
    table = cancels("cancel") | {("asked to stop", "cancel"): Expected(told)}
    for name in ("running", "expired"):
        now_ms = SITUATIONS[name].now_ms
        table[name, "cancel"] = Expected(told, {"cancel_requested_at_ms": now_ms, "events": 3})
    return table


def signals() -> Table:
    table = {(name, "send another"): Expected(Sent(bound=False), {"kept_signals": 1}) for name in [*PARKED, *OWNED]}
    table |= {(name, "send another"): Expected((Conflict, "terminal")) for name in ENDED}
    table["absent", "send another"] = Expected((NotFound, None))
    table |= {(name, "send"): expected for (name, _), expected in table.items()}
    woken = {"state": S.READY, "lane": Lane.RETURNED, "position": 2, "due_ms": None, "wait_key": None, "events": 4}
    woken |= remembered(StepKind.SIGNAL, b"yes", key="wait")
    return table | {("suspended", "send"): Expected(Sent(bound=True), woken)}


def holds() -> Table:
    refused, kept = Expected((Conflict, "state")), Expected([S.HELD])
    table = {(name, "hold"): refused for name in SITUATIONS}
    table |= {(name, "unhold"): Expected([situation.state]) for name, situation in SITUATIONS.items()}
    table["absent", "hold"] = Expected([None])
    for name in ("ready", "released"):
        events = SITUATIONS[name].events + 1
        table[name, "hold"] = Expected([S.HELD], {"state": S.HELD, "held": HeldFor.OPERATOR, "events": events})
    for name, position in (("held", 2), ("held by its run", 2)):
        events = SITUATIONS[name].events + 1
        back = {"state": S.READY, "held": None, "lane": Lane.RETURNED, "position": position, "events": events}
        table |= {(name, "hold"): kept, (name, "unhold"): Expected([S.READY], back)}
    return table


def upkeeps() -> Table:
    table = {
        (name, "upkeep"): Expected(Upkept(next_due_ms=situation.next_due_ms)) for name, situation in SITUATIONS.items()
    }
    return table | {
        ("expired", "upkeep"): Expected(Upkept(revoked=1), {"state": S.READY, "events": 3, **FREE, **REVOKED})
    }


TABLE: Table = {
    **{
        (name, operation): Expected((LeaseLost, SITUATIONS[name].lost))
        for name in [*PARKED, *ENDED, "absent"]
        for operation in OF_THE_HOLDER
    },
    **settlements("running"),
    **settlements("expired"),
    **settlements_of_one_asked_to_stop(),
    **{pair: expected for name in OWNED for pair, expected in other_writes_of_the_holder(name).items()},
    **enqueues(),
    **claims(),
    **requests_to_stop(),
    **cancels("cancel by force"),
    **signals(),
    **upkeeps(),
    **holds(),
    **{(name, "pause"): Expected(None) for name in SITUATIONS},
}


@clause("STATE-1")
def test_the_table_is_complete() -> None:
    assert TABLE.keys() == {(name, operation) for name in SITUATIONS for operation in OPERATIONS}


@clause("STATE-1", "STATE-2", "LEASE-1", "CANCEL-7")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("situation", SITUATIONS)
async def test_an_operation_has_its_exact_answer_and_effect(
    storage: Storage, clock: Clock, situation: str, operation: str
) -> None:
    there, expected = SITUATIONS[situation], TABLE[situation, operation]
    lease = await there.prepare(storage)
    clock.set_ms(there.now_ms)
    before = await look(storage)
    if there.state is not None:
        assert (before.jobs["job"].state, before.jobs["job"].events) == (there.state, there.events)

    answer = await answer_of(OPERATIONS[operation](storage, lease))

    changed = changes(before, await look(storage))
    fields = changed.pop("job", {}) if there.state is not None else {}
    assert answer == expected.answer
    assert fields == expected.fields
    assert changed.keys() == expected.others
