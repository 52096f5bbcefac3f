"""Chapter 1, editing: what of a job can be changed from outside, and where that leaves it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidInput, NeverFits, TooLarge
from aiq.model import (
    Band,
    Cancelled,
    Content,
    Edit,
    Estimate,
    Lane,
    LimitSpec,
    Released,
    Sleeping,
    State,
    Suspended,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import (
    BAD,
    GOOD,
    LONG_MS,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    failed,
    get_one,
    job,
    look,
    spawn,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State
OTHER = Content(task="work", payload=b'["other"]')
Prepare = Callable[[Storage], Awaitable[object]]


async def ready(storage: Storage) -> None:
    await enqueue_one(storage)


async def scheduled(storage: Storage) -> None:
    await enqueue_one(storage, delay_ms=500)


async def waiting(storage: Storage) -> None:
    await storage.enqueue([job("upstream", queue="other"), job(depends_on=("upstream",))])


async def held(storage: Storage) -> None:
    await enqueue_one(storage)
    await storage.hold(["job"])


async def parent(storage: Storage) -> None:
    run = await start(storage)
    await spawn(storage, run, "child", queue="other")
    await end(storage, run, Waiting("children", None))


def after(outcome: object) -> Prepare:
    async def prepare(storage: Storage) -> None:
        await end(storage, await start(storage), outcome)  # type: ignore[arg-type]

    return prepare


PLACES: dict[str, tuple[Prepare, str]] = {
    "ready": (ready, "band instant content"),
    "scheduled": (scheduled, "band instant content"),
    "waiting": (waiting, "band instant content"),
    "held": (held, "band content"),
    "running": (start, ""),
    "suspended": (after(Suspended("wait", "go")), ""),
    "waits for children": (parent, "band"),
    "backs off": (after(failed(500)), "band instant"),
    "asleep": (after(Sleeping("nap", 500)), "band instant"),
    "released": (after(Released()), "band"),
    "succeeded": (after(GOOD), ""),
    "dead": (after(BAD), ""),
    "cancelled": (after(Cancelled()), ""),
}
"""How a job gets there, and what of it can be changed."""
EDITS = {
    "band": Edit(job_id="job", band=Band.HIGH),
    "instant": Edit(job_id="job", delay_ms=900),
    "content": Edit(job_id="job", content=OTHER),
}


@clause("EDIT-1", "EDIT-4", "STATE-1")
@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize("place", PLACES)
async def test_what_can_be_changed_of_a_job_depends_on_where_it_stands(
    storage: Storage, clock: Clock, place: str, what: str
) -> None:
    prepare, allowed = PLACES[place]
    await prepare(storage)
    before = await look(storage)

    if what not in allowed.split():
        with pytest.raises(Conflict) as refused:
            await storage.update([EDITS[what]])
        assert refused.value.reason == "state"
        assert await look(storage) == before
        return
    (record,) = await storage.update([EDITS[what]])

    was = before.jobs["job"]
    changed = {
        "band": {"band": Band.HIGH},
        "content": {"payload": OTHER.payload},
        "instant": {"delay_ms": 0, "at_ms": clock() + 900},
    }[what]
    if what == "instant" and was.state is not S.WAITING:
        changed |= {"state": S.SCHEDULED, "due_ms": clock() + 900}
    assert record == replace(was, events=was.events + 1, **changed)
    assert await get_one(storage) == record


@clause("EDIT-2", "CLAIM-6")
async def test_an_edited_job_stands_where_it_would_always_have_stood(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b", band=Band.HIGH), job("c"), job("d", band=Band.HIGH)])

    await storage.update([Edit(job_id="c", band=Band.HIGH), Edit(job_id="a", content=OTHER)])

    assert [run.id for run in await claim_some(storage, 9)] == ["b", "c", "d", "a"]


@clause("EDIT-2", "CLAIM-6")
async def test_a_job_with_a_limit_moves_to_the_line_of_its_new_band(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", concurrency=1)])
    await storage.enqueue([job(name, limits=("gpt",), tenant="acme") for name in "abc"])
    await claim_one(storage)

    await storage.update([Edit(job_id="c", band=Band.INTERACTIVE)])

    await end(storage, (await storage.get(["a"]))[0], GOOD)  # type: ignore[arg-type]
    assert [run.id for run in await claim_some(storage, 9)] == ["c"]


@clause("EDIT-3", "STORE-6")
async def test_a_ready_job_that_is_put_off_is_scheduled_and_comes_back_in_time(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("a"), job("b")])

    (record,) = await storage.update([Edit(job_id="a", at_ms=clock() + 50)])

    assert record is not None
    assert (record.state, record.due_ms) == (S.SCHEDULED, clock() + 50)
    assert [run.id for run in await claim_some(storage, 9)] == ["b"]
    clock.advance_ms(50)
    assert [run.id for run in await claim_some(storage, 9)] == ["a"]


@clause("EDIT-3")
@pytest.mark.parametrize("ago_ms", [0, 40])
async def test_a_scheduled_job_whose_instant_is_now_or_past_is_ready(
    storage: Storage, clock: Clock, ago_ms: int
) -> None:
    await enqueue_one(storage, delay_ms=5_000)

    (record,) = await storage.update([Edit(job_id="job", at_ms=clock() - ago_ms)])

    assert record is not None
    assert (record.state, record.lane, record.due_ms) == (S.READY, Lane.FRESH, None)
    assert [run.id for run in await claim_some(storage, 9)] == ["job"]


@clause("EDIT-3", "STORE-6")
async def test_a_change_of_the_instant_wakes_whoever_waits_for_work(storage: Storage) -> None:
    await enqueue_one(storage, delay_ms=5_000)
    mark = await storage.wait({"queue:default"}, after=None, timeout_ms=0)

    await storage.update([Edit(job_id="job", delay_ms=50)])

    async with asyncio.timeout(LONG_MS / 1_000):
        await storage.wait({"queue:default"}, after=mark, timeout_ms=10 * LONG_MS)


@clause("EDIT-4", "FLOW-2")
async def test_a_job_that_waits_for_others_looks_at_its_new_instant_then(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job("first", queue="other"), job("job", depends_on=("first",), delay_ms=10)])
    await storage.update([Edit(job_id="job", delay_ms=700)])

    await end(storage, await claim_one(storage, "other"), GOOD)

    record = await get_one(storage)
    assert (record.state, record.due_ms) == (S.SCHEDULED, clock() + 700)


@clause("EDIT-4")
async def test_an_instant_wins_over_a_delay(storage: Storage, clock: Clock) -> None:
    await enqueue_one(storage)

    await storage.update([Edit(job_id="job", delay_ms=10, at_ms=clock() + 90)])

    assert (await get_one(storage)).due_ms == clock() + 90


@clause("EDIT-5")
@pytest.mark.parametrize("place", ["ready", "scheduled"])
async def test_an_edit_that_says_nothing_new_changes_nothing(storage: Storage, clock: Clock, place: str) -> None:
    await PLACES[place][0](storage)
    edit = Edit(job_id="job", band=Band.HIGH, delay_ms=70, content=OTHER)
    first = await storage.update([edit])
    before = await look(storage)

    assert await storage.update([edit]) == first
    assert await storage.update([Edit(job_id="job")]) == first
    assert await look(storage) == before


@clause("EDIT-6")
async def test_a_batch_of_edits_is_made_whole_or_not_at_all(storage: Storage) -> None:
    await storage.enqueue([job("a"), job("b")])
    await claim_one(storage)
    before = await look(storage)

    with pytest.raises(Conflict):
        await storage.update([Edit(job_id="b", band=Band.HIGH), Edit(job_id="a", band=Band.HIGH)])

    assert await look(storage) == before
    answers = await storage.update([Edit(job_id="ghost", band=Band.HIGH), Edit(job_id="b", band=Band.HIGH)])
    assert [record and record.band for record in answers] == [None, Band.HIGH]


@clause("EDIT-6")
async def test_content_of_another_task_is_a_conflict(storage: Storage) -> None:
    await enqueue_one(storage)

    with pytest.raises(Conflict) as refused:
        await storage.update([Edit(job_id="job", content=replace(OTHER, task="play"))])

    assert refused.value.reason == "task"


@clause("EDIT-6", "CALL-17")
async def test_content_that_needs_more_than_a_limit_ever_gives_is_refused(storage: Storage) -> None:
    await storage.put_limits([LimitSpec(name="gpt", tokens=1_000)])
    await enqueue_one(storage, limits=("gpt",), estimate=Estimate(input=10, output=1, max_output=1))
    before = await look(storage)
    huge = replace(OTHER, estimate=Estimate(input=50_000, output=1, max_output=1))

    with pytest.raises(NeverFits):
        await storage.update([Edit(job_id="job", content=huge)])

    assert await look(storage) == before


@clause("EDIT-1", "EDIT-6")
async def test_a_job_without_terms_takes_part_in_admission_by_its_new_estimate(storage: Storage) -> None:
    await storage.enqueue([job("job"), job("next")])
    need = Estimate(input=10, output=1, max_output=1, model="m")

    await storage.update([Edit(job_id="job", content=replace(OTHER, estimate=need))])

    assert (await get_one(storage)).estimate == need
    assert [run.id for run in await claim_some(storage, 9)] == ["job", "next"]


@clause("EDIT-7", "ENQ-2", "ENQ-3")
async def test_an_edited_job_is_found_by_what_it_was_enqueued_with(storage: Storage) -> None:
    await enqueue_one(storage, digest="first")
    await storage.update([Edit(job_id="job", content=OTHER)])

    assert (await storage.enqueue([job(digest="first")]))[0].existed
    with pytest.raises(Conflict) as refused:
        await enqueue_one(storage, digest="other")
    assert refused.value.reason == "content"


@clause("EDIT-7", "FAN-5")
async def test_an_edited_child_is_found_by_the_parent_that_spawns_it_again(storage: Storage) -> None:
    run = await start(storage, "parent")
    await spawn(storage, run, "child", digest="first")
    await storage.update([Edit(job_id="child", content=OTHER)])

    await spawn(storage, run, "child", digest="first")

    assert (await get_one(storage, "child")).payload == OTHER.payload


@clause("EDIT-6", "STORE-9")
@pytest.mark.parametrize(
    "edits",
    [
        [Edit(job_id="job"), Edit(job_id="job")],
        [Edit(job_id="")],
        [Edit(job_id="job", delay_ms=-1)],
        [Edit(job_id="job", at_ms=bounds.MAX_INSTANT_MS + 1)],
        [Edit(job_id="job", content=replace(OTHER, payload=b"x" * (bounds.MAX_PAYLOAD_BYTES + 1)))],
    ],
    ids=["twice", "no id", "a delay below zero", "an instant too far", "a payload too large"],
)
async def test_an_edit_out_of_range_is_refused(storage: Storage, edits: list[Edit]) -> None:
    await enqueue_one(storage)
    before = await look(storage)

    with pytest.raises(InvalidInput):
        await storage.update(edits)

    assert await look(storage) == before


@clause("STORE-9", "EDIT-6")
async def test_more_payload_than_a_batch_holds_is_refused(storage: Storage) -> None:
    large = replace(OTHER, payload=b"x" * bounds.MAX_PAYLOAD_BYTES)
    count = bounds.MAX_BATCH_BYTES // bounds.MAX_PAYLOAD_BYTES + 1

    with pytest.raises(TooLarge):
        await storage.update([Edit(job_id=str(n), content=large) for n in range(count)])


@clause("STORE-9", "EDIT-6")
async def test_more_edits_than_a_batch_are_refused(storage: Storage) -> None:
    with pytest.raises(TooLarge):
        await storage.update([Edit(job_id=str(n)) for n in range(bounds.MAX_BATCH + 1)])


@clause("EDIT-2", "HOLD-3")
async def test_a_held_job_that_was_edited_is_let_go_as_it_is_now(storage: Storage) -> None:
    await held(storage)

    await storage.update([Edit(job_id="job", band=Band.HIGH)])
    await storage.unhold(["job"])

    assert await states(storage, "job") == [S.READY]
    assert (await claim_one(storage)).band is Band.HIGH


@clause("EDIT-2", "KEY-1")
async def test_a_job_that_its_key_keeps_back_can_be_edited(storage: Storage) -> None:
    await storage.enqueue([job(name, key="k", per_key=1) for name in "ab"])
    await storage.enqueue([job("c")])
    first = await claim_one(storage)

    await storage.update([Edit(job_id="b", band=Band.INTERACTIVE)])

    assert [run.id for run in await claim_some(storage, 9)] == ["c"]
    await end(storage, first, GOOD)
    assert [(run.id, run.band) for run in await claim_some(storage, 9)] == [("b", Band.INTERACTIVE)]
