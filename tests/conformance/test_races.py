"""Many at once on one job, one parent, one signal: whichever comes first, the clauses hold.

Half of them use a sibling, so that a storage with connections has two. What is checked is what no order may break.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from aiq.errors import Conflict, LeaseLost
from aiq.model import Enqueued, Released, State, StepKind, Succeeded, Suspended, Waiting
from aiq.storage import Storage, append, claim, read
from aiq.testing.actions import (
    BAD,
    GOOD,
    MANY,
    chunks,
    claim_one,
    claim_some,
    crowd,
    end,
    end_one,
    enqueue_one,
    failed,
    fan_out,
    get_one,
    job,
    keep_up,
    spawn,
    start,
    states,
    the_wait,
    value,
    wish,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

T = TypeVar("T")
S = State


async def at_once(attempts: Sequence[Awaitable[T]]) -> tuple[list[T], list[Exception]]:
    """Run them all; what they answered, and how the others were refused."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Exception)]
    return [result for result in results if not isinstance(result, BaseException)], refused


@clause("CLAIM-1", "CLAIM-2")
async def test_claimers_share_the_jobs_and_no_job_is_given_twice(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(100)])
    async with crowd(storage) as faces:
        claims = [claim(one, wish(10, worker=f"worker {n}")) for n, one in enumerate(faces)]
        answers, refused = await at_once(claims)

    given = [run.id for runs in answers for run in runs]
    assert not refused
    assert len(given) == len(set(given)) == 100


@clause("CLAIM-3")
async def test_a_claim_sent_many_times_at_once_gives_the_same_jobs(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(5)])
    request = wish(2)
    async with crowd(storage) as faces:
        answers, _ = await at_once([claim(one, request) for one in faces])

    assert len(set(answers)) == 1
    assert (await storage.count())["default"] == {S.RUNNING: 2, S.READY: 3}


@clause("ENQ-2")
async def test_one_job_enqueued_by_many_is_one_job(storage: Storage) -> None:
    async with crowd(storage) as faces:
        answers, refused = await at_once([one.enqueue([job()]) for one in faces])

    assert not refused
    assert Counter(answer[0].existed for answer in answers) == {False: 1, True: MANY - 1}
    assert len(await claim_some(storage, MANY)) == 1


@clause("ENQ-3", "ENQ-4")
async def test_of_many_contents_under_one_id_the_first_stands_and_the_batches_of_the_others_are_not_stored(
    storage: Storage,
) -> None:
    async with crowd(storage) as faces:
        batches = [[job(f"other {n}"), job(digest=str(n))] for n in range(MANY)]
        answers, refused = await at_once([one.enqueue(batch) for one, batch in zip(faces, batches, strict=True)])

    assert [type(error) for error in refused] == [Conflict] * (MANY - 1)
    ((first, _),) = answers
    assert isinstance(first, Enqueued)
    assert (await storage.count())["default"] == {S.READY: 2}
    assert await states(storage, first.job_id) == [S.READY]


@clause("STATE-2", "LEASE-1")
async def test_of_many_settlements_of_one_run_one_takes_effect(storage: Storage) -> None:
    run = await start(storage, max_attempts=MANY)
    outcomes = [GOOD, BAD, Released(), failed()] * (MANY // 4)
    async with crowd(storage) as faces:
        answers, refused = await at_once([end(one, run, outcome) for one, outcome in zip(faces, outcomes, strict=True)])

    assert [type(error) for error in refused] == [LeaseLost] * (MANY - 1)
    assert await states(storage, "job") == [answers[0].state]


@clause("STATE-2", "CANCEL-3", "CANCEL-6")
async def test_a_success_a_hard_cancel_and_a_sweep_end_a_job_once(storage: Storage, clock: Clock) -> None:
    for n in range(MANY):
        run = await start(storage, f"job {n}", max_attempts=1, queue=f"q{n}")
        clock.advance_ms(run.lease_ms)
        async with crowd(storage) as (one, other, *_):
            _, refused = await at_once([end(one, run, GOOD), other.cancel([run.id], force=True), one.upkeep()])
        record = await get_one(storage, run.id)
        assert (record.state is S.SUCCEEDED) == (not refused)
        assert record.events == 3


@clause("RETRY-7", "LIVE-2")
async def test_many_sweeps_revoke_each_lease_once(storage: Storage, clock: Clock) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(20)])
    await claim_some(storage, 20)
    clock.advance_ms(30_000)
    async with crowd(storage) as faces:
        answers, refused = await at_once([one.upkeep(5) for one in faces])

    assert not refused
    assert sum(done.revoked for done in answers) == 20
    assert {(await get_one(storage, f"job {n}")).stalls for n in range(20)} == {1}


@clause("FAN-1", "FAN-3", "FLOW-12")
async def test_children_that_end_at_once_move_their_parent_once(storage: Storage) -> None:
    await fan_out(storage, *(f"child {n}" for n in range(MANY)), need=MANY)
    runs = await claim_some(storage, MANY, "children")
    async with crowd(storage) as faces:
        answers, _ = await at_once([end(one, run, GOOD) for one, run in zip(faces, runs, strict=True)])

    assert len(answers) == MANY
    parent = await claim_one(storage)
    assert (parent.fence, parent.events) == (2, 6)
    assert await claim_some(storage, MANY) == []


@clause("FAN-3", "FAN-6", "FLOW-10")
async def test_a_parent_that_begins_to_wait_while_its_last_child_ends_is_not_forgotten(storage: Storage) -> None:
    for n in range(MANY):
        parent = await start(storage, f"parent {n}")
        await spawn(storage, parent, f"child {n}", queue="children")
        child = await claim_one(storage, "children")
        async with crowd(storage) as (one, other, *_):
            _, refused = await at_once([end(one, parent, Waiting("children", None)), end(other, child, GOOD)])
        assert not refused
        assert (await end_one(storage, GOOD)).id == parent.id


@clause("FLOW-9", "FAN-3")
async def test_winners_and_losers_that_end_at_once_decide_a_wait_once(storage: Storage) -> None:
    await fan_out(storage, *(f"child {n}" for n in range(MANY)), need=MANY // 2, rest="leave")
    runs = await claim_some(storage, MANY, "children")
    outcomes = [GOOD, BAD] * (MANY // 2)
    async with crowd(storage) as faces:
        await at_once([end(*each) for each in zip(faces, runs, outcomes, strict=True)])

    kind, winners = await the_wait(storage)
    assert (kind, len(winners), len(set(winners))) == (StepKind.CHILDREN, MANY // 2, MANY // 2)
    assert len(await claim_some(storage, MANY)) == 1


@clause("FLOW-2", "FAN-1")
async def test_dependencies_that_end_at_once_release_their_dependent_once(storage: Storage) -> None:
    names = [f"job {n}" for n in range(MANY)]
    await storage.enqueue([*(job(name) for name in names), job("last", depends_on=tuple(names))])
    runs = await claim_some(storage, MANY)
    async with crowd(storage) as faces:
        await at_once([end(one, run, GOOD) for one, run in zip(faces, runs, strict=True)])

    assert [run.id for run in await claim_some(storage, MANY)] == ["last"]


@clause("FAN-8", "FLOW-3")
async def test_the_outbox_applied_by_many_has_the_effect_of_once(storage: Storage) -> None:
    await storage.enqueue([job("root"), *(job(f"leaf {n}", depends_on=("root",)) for n in range(40))])
    await end_one(storage, BAD)
    async with crowd(storage) as faces:
        answers, _ = await at_once([one.upkeep(5) for one in faces])
    await keep_up(storage)

    assert sum(done.outbox for done in answers) == 40
    assert {(await get_one(storage, f"leaf {n}")).events for n in range(40)} == {2}


@clause("SIG-4")
async def test_a_signal_sent_by_many_at_once_is_one_signal(storage: Storage) -> None:
    await end(storage, await start(storage), Suspended("wait", "go"))
    async with crowd(storage) as faces:
        answers, _ = await at_once([one.send("job", "go", "1", b"yes") for one in faces])

    assert Counter((sent.bound, sent.existed) for sent in answers) == {(True, False): 1, (True, True): MANY - 1}
    assert (await get_one(storage)).kept_signals == 0


@clause("SIG-1", "SIG-3")
async def test_of_many_signals_for_one_wait_one_is_bound_and_the_others_are_kept(storage: Storage) -> None:
    await end(storage, await start(storage), Suspended("wait", "go"))
    async with crowd(storage) as faces:
        answers, _ = await at_once([one.send("job", "go", str(n), b"") for n, one in enumerate(faces)])

    assert Counter(sent.bound for sent in answers) == {True: 1, False: MANY - 1}
    assert (await get_one(storage)).kept_signals == MANY - 1


@clause("SIG-2", "SIG-7")
async def test_a_signal_and_a_wait_that_meet_always_find_each_other(storage: Storage) -> None:
    for n in range(MANY):
        run = await start(storage, f"job {n}", queue=f"q{n}")
        async with crowd(storage) as (one, other, *_):
            await at_once([end(one, run, Suspended("wait", "go")), other.send(run.id, "go", "1", b"yes")])
        assert [step.kind for step in await storage.get_steps(run.id)] == [StepKind.SIGNAL]
        assert (await get_one(storage, run.id)).state in (S.RUNNING, S.READY)


@clause("SIG-7")
async def test_a_signal_and_a_time_out_that_meet_are_never_both(storage: Storage, clock: Clock) -> None:
    for n in range(MANY):
        await end(storage, await start(storage, f"job {n}", queue=f"q{n}"), Suspended("wait", "go", 5))
        clock.advance_ms(5)
        async with crowd(storage) as (one, other, *_):
            sent, _ = await at_once([one.send(f"job {n}", "go", "1", b"yes")])
            await at_once([other.upkeep()])
        (step,) = await storage.get_steps(f"job {n}")
        assert (step.kind is StepKind.SIGNAL) == sent[0].bound


@clause("STREAM-1", "STREAM-2")
async def test_one_append_sent_many_times_at_once_is_one(storage: Storage) -> None:
    run = await start(storage)
    async with crowd(storage) as faces:
        answers, refused = await at_once([append(one, run.lease, chunks("a", "b")) for one in faces])

    assert not refused
    assert {appended.last for appended in answers} == {2}
    assert [chunk.number for chunk in (await read(storage, "job")).chunks] == [1, 2]


@clause("STEP-1")
async def test_of_many_values_saved_under_one_key_the_first_stands_for_all(storage: Storage) -> None:
    run = await start(storage)
    async with crowd(storage) as faces:
        answers, _ = await at_once(
            [one.save_step(run.lease, value("plan", str(n).encode())) for n, one in enumerate(faces)]
        )

    assert len({saved.step for saved in answers}) == 1
    assert Counter(saved.existed for saved in answers) == {False: 1, True: MANY - 1}


@clause("FAN-5")
async def test_children_spawned_twice_at_once_are_counted_once(storage: Storage) -> None:
    parent = await start(storage, "parent")
    async with crowd(storage) as faces:
        _, refused = await at_once([spawn(one, parent, "a", "b", queue="children") for one in faces])
    await end(storage, parent, Waiting("children", None))

    assert not refused
    assert (await get_one(storage, "parent")).pending == 2


@clause("STORE-4", "CLAIM-7")
async def test_no_claim_that_begins_after_a_pause_has_answered_gives_a_job(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n}") for n in range(50)])
    async with crowd(storage) as faces:
        early = asyncio.gather(*(claim(one, wish(1, worker=f"early {n}")) for n, one in enumerate(faces)))
        await storage.pause("default")
        late, _ = await at_once([claim(one, wish(1, worker=f"late {n}")) for n, one in enumerate(faces)])
        await early

    assert late == [()] * MANY


@clause("CLAIM-8", "STATE-2")
async def test_workers_that_claim_and_settle_at_once_run_every_job_to_its_end(storage: Storage) -> None:
    await storage.enqueue([job(f"job {n:03}", max_attempts=3) for n in range(120)])
    runs: Counter[tuple[str, int]] = Counter()

    async def work(one: Storage, worker: str) -> None:
        while claimed := await claim(one, wish(4, worker=worker)):
            for run in claimed:
                runs[run.id, run.fence] += 1
                assert run.fence <= 2
                await end(one, run, failed() if run.fence == 1 else Succeeded(run.id.encode()))

    async with crowd(storage) as faces:
        await asyncio.gather(*(work(one, f"worker {n}") for n, one in enumerate(faces)))

    assert (await storage.count())["default"] == {S.SUCCEEDED: 120}
    assert len(runs) == 240
    assert set(runs.values()) == {1}


@clause("ENQ-1", "STORE-7")
async def test_what_one_has_written_another_reads(storage: Storage) -> None:
    async with crowd(storage) as (one, other, *_):
        for n in range(MANY):
            await enqueue_one(one, f"job {n}")
            assert (await get_one(other, f"job {n}")).state is S.READY
