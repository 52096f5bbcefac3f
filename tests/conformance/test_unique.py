"""Chapter 14: unique keys."""

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, NotFound
from aiq.model import (
    Band,
    Content,
    Died,
    Edit,
    Enqueued,
    Estimate,
    JobError,
    JobFilter,
    JobSpec,
    Keep,
    LimitSpec,
    Outcome,
    QueueSettings,
    Redrive,
    Released,
    RetentionSpec,
    State,
    Succeeded,
    Suspended,
    Target,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    GOOD,
    claim_one,
    claim_some,
    end,
    end_one,
    enqueue_one,
    failed,
    get_one,
    job,
    keep_up,
    look,
    spawn,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
BAD = Died(JobError(type="E", message="m"))


def unique(job_id: str, name: str = "k", **options: object) -> JobSpec:
    return job(job_id, unique=name, digest=f"digest of {job_id}", payload=job_id.encode(), **options)


def by_key(job_id: str, state: State = S.READY) -> Enqueued:
    return Enqueued(job_id, state, existed=True, by="unique")


@clause("UNIQ-1")
async def test_a_second_job_of_a_key_is_answered_with_the_first(storage: Storage) -> None:
    assert await storage.enqueue([unique("a")]) == [Enqueued("a", S.READY)]
    before = await look(storage)

    assert await storage.enqueue([unique("b")]) == [by_key("a")]

    assert await look(storage) == before
    assert await storage.get(["b"]) == [None]


@clause("UNIQ-1", "ENQ-2", "ENQ-3")
async def test_an_id_counts_before_a_key(storage: Storage) -> None:
    await storage.enqueue([unique("a"), unique("b", "other")])

    assert await storage.enqueue([unique("a")]) == [Enqueued("a", S.READY, existed=True, by="id")]
    with pytest.raises(Conflict) as refused:
        await storage.enqueue([job("b", unique="k", digest="another")])
    assert refused.value.reason == "content"


@clause("UNIQ-1")
async def test_a_key_belongs_to_a_task(storage: Storage) -> None:
    play = JobSpec(id="b", task="play", unique="k")

    assert await storage.enqueue([unique("a"), play, unique("c", "another")]) == [
        Enqueued(name, S.READY) for name in "abc"
    ]


@clause("UNIQ-1")
@pytest.mark.parametrize("place", ["scheduled", "waiting", "held", "running", "suspended", "backing off"])
async def test_a_holder_has_its_key_wherever_it_stands(storage: Storage, place: str) -> None:
    if place == "waiting":
        await enqueue_one(storage, "first", queue="other")
    depends_on = ("first",) if place == "waiting" else ()
    await storage.enqueue([unique("a", delay_ms=500 if place == "scheduled" else 0, depends_on=depends_on)])
    if place == "held":
        await storage.hold(["a"])
    if place in ("running", "suspended", "backing off"):
        run = await claim_one(storage)
        if place != "running":
            await end(storage, run, Suspended("wait", "go") if place == "suspended" else failed(500))
    state = S.SCHEDULED if place == "backing off" else S(place)

    assert await storage.enqueue([unique("b")]) == [by_key("a", state)]


@clause("UNIQ-1", "QUEUE-1")
async def test_a_job_that_is_not_stored_takes_no_room_in_its_queue(storage: Storage) -> None:
    await storage.configure("default", QueueSettings(max_ready=1))
    await storage.enqueue([unique("a")])

    assert await storage.enqueue([unique("b")]) == [by_key("a")]


ENDS: dict[str, Outcome | None] = {
    "succeeded": Succeeded(b""),
    "dead": BAD,
    "cancelled": None,
    "cancelled by force": None,
    "deadline": None,
    "upstream": None,
    "stalled": None,
}


@clause("UNIQ-2", "CANCEL-1", "DEADLINE-2")
@pytest.mark.parametrize("how", ENDS)
async def test_a_key_is_free_once_its_holder_has_ended(storage: Storage, clock: Clock, how: str) -> None:
    outcome = ENDS[how]
    if how == "upstream":
        await enqueue_one(storage, "first", queue="other")
    depends_on = ("first",) if how == "upstream" else ()
    expires_ms = 50 if how == "deadline" else None
    await storage.enqueue([unique("a", depends_on=depends_on, expires_ms=expires_ms, lease_ms=50, max_stalls=1)])
    if outcome is not None:
        await end_one(storage, outcome)
    elif how == "upstream":
        await end_one(storage, BAD, "other")
    elif how.startswith("cancelled"):
        await (storage.upkeep() if how == "cancelled" else claim_one(storage))
        await storage.cancel(["a"], force=how != "cancelled")
    else:
        await (claim_one(storage) if how == "stalled" else storage.upkeep())
        clock.advance_ms(50)
    await keep_up(storage)
    assert (await get_one(storage, "a")).state.terminal

    assert await storage.enqueue([unique("b")]) == [Enqueued("b", S.READY)]
    assert await storage.enqueue([unique("c")]) == [by_key("b")]


@clause("UNIQ-3")
async def test_within_a_batch_each_job_sees_the_keys_of_those_before_it(storage: Storage) -> None:
    batch = [unique("a"), unique("b"), unique("c", "other"), unique("d", "other", on_unique="replace")]

    answers = await storage.enqueue(batch)

    assert answers == [Enqueued("a", S.READY), by_key("a"), Enqueued("c", S.READY), by_key("c")]
    assert (await get_one(storage, "c")).payload == b"d"
    assert await storage.enqueue(batch) == [
        Enqueued("a", S.READY, existed=True, by="id"),
        by_key("a"),
        Enqueued("c", S.READY, existed=True, by="id"),
        by_key("c"),
    ]


@clause("UNIQ-3", "ENQ-4")
async def test_a_batch_of_which_a_job_is_refused_changes_no_holder(storage: Storage) -> None:
    await storage.enqueue([unique("a"), job("stored")])
    before = await look(storage)

    with pytest.raises(Conflict):
        await storage.enqueue([unique("b", on_unique="replace"), unique("c", "new"), job("stored", digest="other")])

    assert await look(storage) == before
    assert await storage.enqueue([unique("d", "new")]) == [Enqueued("d", S.READY)]


@clause("UNIQ-4", "ENQ-7")
async def test_nothing_can_depend_on_a_job_that_was_answered_with_another(storage: Storage) -> None:
    await storage.enqueue([unique("a")])

    with pytest.raises(NotFound):
        await storage.enqueue([unique("b"), job("c", depends_on=("b",))])

    assert await storage.get(["b", "c"]) == [None, None]


@clause("UNIQ-5")
async def test_a_key_for_a_time_is_taken_so_long_whatever_becomes_of_its_job(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([unique("a", unique_for_ms=50)])
    assert await storage.enqueue([unique("b")]) == [by_key("a")]
    await end_one(storage, GOOD)
    clock.advance_ms(49)
    assert await storage.enqueue([unique("b", unique_for_ms=50)]) == [by_key("a", S.SUCCEEDED)]

    clock.advance_ms(1)

    assert await storage.enqueue([unique("b", unique_for_ms=50)]) == [Enqueued("b", S.READY)]
    assert await storage.enqueue([unique("c", unique_for_ms=50)]) == [by_key("b")]


@clause("UNIQ-5")
async def test_a_key_for_a_time_is_free_when_that_is_over_though_its_job_has_not_ended(
    storage: Storage, clock: Clock
) -> None:
    await storage.enqueue([unique("a", unique_for_ms=50)])
    clock.advance_ms(50)

    assert await storage.enqueue([unique("b")]) == [Enqueued("b", S.READY)]
    await end_one(storage, GOOD)
    assert await storage.enqueue([unique("c")]) == [by_key("b")]


@clause("UNIQ-6", "ENQ-2")
async def test_a_job_that_replaces_changes_the_holder_that_has_not_started(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([unique("a", delay_ms=70, expires_ms=900), job("next")])
    before = await get_one(storage, "a")
    options = {"band": Band.HIGH, "lease_ms": 70, "timeout_ms": 5, "max_attempts": 7, "max_stalls": 2}
    need = Estimate(input=10, output=1, max_output=1, model="m")

    (answer,) = await storage.enqueue(
        [unique("b", on_unique="replace", estimate=need, max_deferral_ms=8, delay_ms=5, **options)]
    )

    assert answer == by_key("a", S.SCHEDULED)
    record = await get_one(storage, "a")
    assert (record.payload, record.digest, record.estimate) == (b"b", "digest of a", need)
    assert {name: getattr(record, name) for name in options} == options
    assert (record.deadline_ms, record.max_deferral_ms, record.events) == (None, 8, before.events + 1)
    assert (record.due_ms, record.position) == (clock() + 70, before.position)
    assert await storage.get(["b"]) == [None]
    clock.advance_ms(70)
    assert [run.payload for run in await claim_some(storage, 1)] == [b"b"]


@clause("UNIQ-6", "EDIT-2")
async def test_a_holder_that_is_replaced_keeps_its_place(storage: Storage) -> None:
    await storage.enqueue([unique("a"), job("next")])

    await storage.enqueue([unique("b", on_unique="replace")])

    assert [run.id for run in await claim_some(storage, 9)] == ["a", "next"]


@clause("UNIQ-6")
@pytest.mark.parametrize("other", ["queue", "tenant", "key", "limits"])
async def test_a_job_that_would_stand_elsewhere_replaces_nothing(storage: Storage, other: str) -> None:
    await storage.put_limits([LimitSpec(name="gpt", requests=5)])
    await storage.enqueue([unique("a")])
    before = await look(storage)

    with pytest.raises(Conflict) as refused:
        await storage.enqueue([unique("b", on_unique="replace", **{other: ("gpt",) if other == "limits" else "x"})])

    assert refused.value.reason == "unique"
    assert await look(storage) == before


@clause("UNIQ-7")
async def test_a_debounce_runs_the_last_one_once_it_has_been_quiet(storage: Storage, clock: Clock) -> None:
    for name in "abc":
        (answer,) = await storage.enqueue([unique(name, on_unique="debounce", delay_ms=50)])
        assert answer.job_id == "a"
        clock.advance_ms(40)
        assert await claim_some(storage, 1) == []

    clock.advance_ms(10)

    assert [(run.id, run.payload) for run in await claim_some(storage, 9)] == [("a", b"c")]


@clause("UNIQ-7", "EDIT-3")
async def test_a_debounce_makes_a_holder_wait_that_was_ready(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([unique("a", on_unique="debounce", delay_ms=50)])
    clock.advance_ms(50)
    await storage.upkeep()
    assert await states(storage, "a") == [S.READY]

    assert await storage.enqueue([unique("b", on_unique="debounce", delay_ms=50)]) == [by_key("a", S.SCHEDULED)]

    assert (await get_one(storage, "a")).due_ms == clock() + 50


@clause("UNIQ-7")
async def test_a_debounce_leaves_a_held_job_held_and_lets_a_waiting_one_wait(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([unique("a"), job("first", queue="other"), unique("w", "other", depends_on=("first",))])
    await storage.hold(["a"])

    await storage.enqueue(
        [unique(name, key, on_unique="debounce", delay_ms=50) for name, key in ("bk", ("v", "other"))]
    )

    assert await states(storage, "a", "w") == [S.HELD, S.WAITING]
    assert [record and record.payload for record in await storage.get(["a", "w"])] == [b"b", b"v"]
    await end_one(storage, GOOD, "other")
    assert (await get_one(storage, "w")).due_ms == clock() + 50


@clause("UNIQ-8", "STORE-2")
@pytest.mark.parametrize("on_unique", ["replace", "debounce"])
@pytest.mark.parametrize("started", [False, True])
async def test_a_change_that_is_sent_again_changes_nothing(
    storage: Storage, clock: Clock, on_unique: str, started: bool
) -> None:
    again = unique("b", on_unique=on_unique, delay_ms=50)
    await storage.enqueue([unique("a", on_unique=on_unique, delay_ms=50)])
    await storage.enqueue([again])
    clock.advance_ms(50)
    if started:
        await claim_one(storage)
    before = await look(storage)

    (answer,) = await storage.enqueue([again])

    assert answer == by_key("a", S.RUNNING if started else S.SCHEDULED)
    assert await look(storage) == before
    with pytest.raises(Conflict) as refused:
        await storage.enqueue([job("b", unique="k", digest="other", on_unique=on_unique, delay_ms=50)])
    assert refused.value.reason == "content"


@clause("UNIQ-9")
@pytest.mark.parametrize(("first", "second"), [("replace", "keep"), ("keep", "replace"), ("replace", "replace")])
@pytest.mark.parametrize("released", [False, True])
async def test_once_the_holder_has_started_a_job_that_would_replace_it_is_one_of_its_own(
    storage: Storage, first: str, second: str, released: bool
) -> None:
    await storage.enqueue([unique("a", on_unique=first)])
    run = await claim_one(storage)
    if released:
        await end(storage, run, Released())

    assert await storage.enqueue([unique("b", on_unique=second)]) == [Enqueued("b", S.READY)]
    assert await storage.enqueue([unique("c")]) == [by_key("b")]

    if not released:
        await end(storage, run, GOOD)
    assert await storage.enqueue([unique("c")]) == [by_key("b")]
    assert (await get_one(storage, "a")).payload == b"a"


@clause("UNIQ-10", "TIME-8")
async def test_upkeep_forgets_keys_whose_time_is_over(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([unique(name, name, unique_for_ms=50) for name in "abc"])
    for _ in "abc":
        await end_one(storage, GOOD)
    clock.advance_ms(50)

    assert [(await storage.upkeep(1)).next_due_ms for _ in "abc"] == [0, 0, None]


REFUSED = {
    "a time without a key": {"unique_for_ms": 50},
    "to replace without a key": {"on_unique": "replace"},
    "no time": {"unique": "k", "unique_for_ms": 0},
    "a time too long": {"unique": "k", "unique_for_ms": bounds.MAX_DELAY_MS + 1},
    "a time and to replace": {"unique": "k", "unique_for_ms": 50, "on_unique": "replace"},
    "a debounce of nothing": {"unique": "k", "on_unique": "debounce"},
    "a debounce with an instant": {"unique": "k", "on_unique": "debounce", "delay_ms": 5, "at_ms": 5},
    "a word that does not exist": {"unique": "k", "on_unique": "drop"},
}


@clause("UNIQ-11", "ENQ-8")
@pytest.mark.parametrize("what", REFUSED)
async def test_what_says_nothing_of_a_key_is_refused(storage: Storage, what: str) -> None:
    with pytest.raises(InvalidInput):
        await storage.enqueue([job("good"), job("bad", **REFUSED[what])])

    assert await storage.get(["good"]) == [None]


@clause("UNIQ-11")
async def test_a_child_has_no_unique_key(storage: Storage) -> None:
    parent = await start(storage, "parent")

    with pytest.raises(InvalidInput, match="its parent waits for it alone"):
        await spawn(storage, parent, "child", unique="k")


@clause("UNIQ-12")
async def test_a_job_keeps_its_task_and_key_whatever_becomes_of_both(storage: Storage) -> None:
    await storage.enqueue([unique("a")])
    await storage.enqueue([unique("b", on_unique="replace")])
    await storage.update([Edit(job_id="a", content=Content(task="work", payload=b"edited"))])
    run = await claim_one(storage)
    await storage.enqueue([unique("c", on_unique="replace")])
    await end(storage, run, BAD)
    await storage.cancel(["c"])
    await storage.redrive(Redrive(id="r", targets=(Target("a", 1),), payload=b"redriven"))
    await end_one(storage, GOOD)

    assert await storage.enqueue([unique("d")]) == [Enqueued("d", S.READY)]
    page = await storage.list(JobFilter())
    assert [(record.id, record.task, record.unique) for record in page] == [(name, "work", "k") for name in "acd"]


@clause("UNIQ-13", "UNIQ-5")
async def test_a_holder_that_is_gone_has_its_key_as_one_that_is_gone(storage: Storage, clock: Clock) -> None:
    await storage.put_retention(RetentionSpec(events=Keep(for_ms=0), ids_ms=0))
    await storage.enqueue([unique("a", unique_for_ms=50, keep_ms=0)])
    await end_one(storage, GOOD)
    await keep_up(storage)
    assert await storage.get(["a"]) == [None]
    gone = Enqueued("a", S.SUCCEEDED, existed=True, by="unique", gone=True)

    assert await storage.enqueue([unique("b")]) == [gone]
    assert await storage.enqueue([unique("b", on_unique="replace")]) == [gone]
    clock.advance_ms(50)
    assert await storage.enqueue([unique("b")]) == [Enqueued("b", S.READY)]


@clause("UNIQ-13", "GONE-3")
async def test_another_job_that_has_the_id_of_a_holder_has_not_its_key(storage: Storage) -> None:
    await storage.put_retention(RetentionSpec(events=Keep(for_ms=0), ids_ms=0))
    await storage.enqueue([unique("a", unique_for_ms=50, keep_ms=0)])
    await end_one(storage, GOOD)
    await keep_up(storage)
    assert await storage.enqueue([job("a", digest="another")]) == [Enqueued("a", S.READY)]

    answers = await storage.enqueue([unique("b"), unique("c", on_unique="replace")])

    assert answers == [Enqueued("a", S.SUCCEEDED, existed=True, by="unique", gone=True)] * 2
    assert (await get_one(storage, "a")).unique is None
    assert await storage.audit() == []
