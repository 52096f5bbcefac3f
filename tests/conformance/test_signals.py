"""Chapter 7: messages to a waiting job."""

import pytest

from aiq import bounds
from aiq.errors import Conflict, InvalidName, NotFound, TooLarge
from aiq.model import (
    Cancelled,
    JobRecord,
    Lane,
    Outcome,
    Released,
    Sent,
    Settled,
    State,
    Step,
    StepKind,
    Suspended,
)
from aiq.storage import Storage, settle
from aiq.testing.actions import (
    BAD,
    GOOD,
    claim_one,
    claim_some,
    end,
    enqueue_one,
    get_one,
    keep_up,
    look,
    start,
    states,
)
from aiq.testing.clock import Clock
from aiq.testing.marks import clause

S = State


async def suspend(storage: Storage, timeout_ms: int | None = None) -> JobRecord:
    run = await start(storage)
    await end(storage, run, Suspended("approval", "go", timeout_ms))
    return run


async def the_steps(storage: Storage) -> list[tuple[str, StepKind, bytes]]:
    return [(step.key, step.kind, step.value) for step in await storage.get_steps("job")]


@clause("SIG-1", "STEP-6")
async def test_a_signal_wakes_the_wait_that_stands_open_for_it(storage: Storage) -> None:
    await suspend(storage)
    await enqueue_one(storage, "other")
    before = await get_one(storage)
    assert (before.state, before.wait_key, before.lease_id) == (S.SUSPENDED, "approval", None)

    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=True)

    again = await claim_one(storage)
    assert (again.id, again.lane, again.wait_key, again.kept_signals) == ("job", Lane.RETURNED, None, 0)
    assert await storage.get_steps("job") == [Step("approval", StepKind.SIGNAL, b"yes", fence=1)]


@clause("SIG-2")
async def test_a_signal_that_comes_first_is_kept_and_the_run_goes_on_with_it(storage: Storage) -> None:
    run = await start(storage)
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False)
    assert (await get_one(storage)).kept_signals == 1
    events = (await get_one(storage)).events

    answer = await end(storage, run, Suspended("approval", "go", 50))

    assert answer == Settled(S.RUNNING, step=Step("approval", StepKind.SIGNAL, b"yes", fence=1))
    record = await get_one(storage)
    assert (record.state, record.lease, record.expires_at_ms) == (S.RUNNING, run.lease, run.expires_at_ms)
    assert (record.kept_signals, record.remembers, record.events) == (0, True, events + 1)
    await end(storage, run, GOOD)


@clause("SIG-2", "STATE-6")
async def test_a_wait_that_took_a_kept_signal_gets_the_same_answer_again(storage: Storage) -> None:
    run = await start(storage)
    await storage.send("job", "go", "1", b"one")
    await storage.send("job", "go", "2", b"two")
    waiting = Suspended("approval", "go")
    first = await settle(storage, run.lease, waiting, settlement_id="1")
    before = await look(storage)

    assert await settle(storage, run.lease, waiting, settlement_id="1") == first
    assert await look(storage) == before


@clause("SIG-2", "STATE-6")
async def test_a_run_that_went_on_with_a_kept_signal_ends_by_another_settlement_only(storage: Storage) -> None:
    run = await start(storage)
    await storage.send("job", "go", "1", b"yes")
    first = await settle(storage, run.lease, Suspended("approval", "go"), settlement_id="1")

    assert await settle(storage, run.lease, GOOD, settlement_id="1") == first
    assert await states(storage, "job") == [S.RUNNING]
    assert (await settle(storage, run.lease, GOOD, settlement_id="2")).state is S.SUCCEEDED


@clause("SIG-2")
@pytest.mark.parametrize("parked", [Released(), Released(5)])
async def test_a_signal_to_a_job_that_nobody_runs_is_kept(storage: Storage, clock: Clock, parked: Outcome) -> None:
    await end(storage, await start(storage), parked)
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False)
    clock.advance_ms(5)

    run = await claim_one(storage)
    assert (await end(storage, run, Suspended("approval", "go"))).state is S.RUNNING


@clause("SIG-2")
async def test_a_signal_of_another_name_is_kept_and_does_not_wake(storage: Storage) -> None:
    await suspend(storage)

    assert await storage.send("job", "stop", "1", b"no") == Sent(bound=False)

    assert (await get_one(storage)).kept_signals == 1
    assert await states(storage, "job") == [S.SUSPENDED]


@clause("SIG-3")
async def test_kept_signals_are_taken_in_order_each_by_one_wait(storage: Storage) -> None:
    run = await start(storage)
    for signal_id, name, payload in (("9", "go", b"1"), ("1", "go", b"2"), ("5", "stop", b"s"), ("4", "go", b"3")):
        await storage.send("job", name, signal_id, payload)

    taken = [(await end(storage, run, Suspended(f"wait {n}", "go"))).step for n in range(3)]

    assert [step and step.value for step in taken] == [b"1", b"2", b"3"]
    assert (await get_one(storage)).kept_signals == 1
    assert (await end(storage, run, Suspended("wait 3", "go"))).state is S.SUSPENDED


@clause("SIG-3")
async def test_two_signals_for_one_wait_leave_the_second_kept(storage: Storage) -> None:
    await suspend(storage)

    assert (await storage.send("job", "go", "1", b"one")).bound
    assert not (await storage.send("job", "go", "2", b"two")).bound

    assert await the_steps(storage) == [("approval", StepKind.SIGNAL, b"one")]
    assert (await get_one(storage)).kept_signals == 1


@clause("SIG-4")
async def test_a_signal_sent_again_is_one_signal_with_its_first_answer(storage: Storage) -> None:
    await suspend(storage)
    await storage.send("job", "go", "1", b"one")
    await storage.send("job", "go", "2", b"two")
    before = await look(storage)

    assert await storage.send("job", "go", "1", b"one") == Sent(bound=True, existed=True)
    assert await storage.send("job", "go", "2", b"two") == Sent(bound=False, existed=True)
    assert await look(storage) == before


@clause("SIG-4")
async def test_a_signal_that_was_taken_is_not_taken_again_when_it_is_sent_again(storage: Storage) -> None:
    run = await start(storage)
    await storage.send("job", "go", "1", b"yes")
    await end(storage, run, Suspended("first", "go"))
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False, existed=True)

    assert (await end(storage, run, Suspended("second", "go"))).state is S.SUSPENDED
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False, existed=True)
    assert await states(storage, "job") == [S.SUSPENDED]


@clause("SIG-4")
@pytest.mark.parametrize(("name", "payload"), [("stop", b"yes"), ("go", b"no")])
async def test_a_signal_id_with_another_content_is_a_conflict(storage: Storage, name: str, payload: bytes) -> None:
    await enqueue_one(storage)
    await storage.send("job", "go", "1", b"yes")
    before = await look(storage)

    with pytest.raises(Conflict) as conflict:
        await storage.send("job", name, "1", payload)

    assert conflict.value.reason == "signal"
    assert await look(storage) == before


@clause("SIG-4")
async def test_signal_ids_belong_to_their_job(storage: Storage) -> None:
    for name in ("a", "b"):
        await enqueue_one(storage, name)
        assert await storage.send(name, "go", "1", name.encode()) == Sent(bound=False)


@clause("SIG-5")
@pytest.mark.parametrize("outcome", [GOOD, BAD, Cancelled()])
async def test_a_signal_to_an_ended_job_is_a_conflict(storage: Storage, outcome: Outcome) -> None:
    await end(storage, await start(storage), outcome)
    before = await look(storage)

    with pytest.raises(Conflict) as conflict:
        await storage.send("job", "go", "1", b"yes")

    assert conflict.value.reason == "terminal"
    assert await look(storage) == before


@clause("SIG-5")
async def test_a_signal_to_a_job_that_is_not_stored_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.send("ghost", "go", "1", b"yes")


@clause("SIG-6")
async def test_a_run_that_waits_again_under_the_same_key_goes_on_with_the_same_value(storage: Storage) -> None:
    await suspend(storage)
    await storage.send("job", "go", "1", b"one")
    await storage.send("job", "go", "2", b"two")
    run = await claim_one(storage)

    answer = await end(storage, run, Suspended("approval", "go"))

    assert answer == Settled(S.RUNNING, step=Step("approval", StepKind.SIGNAL, b"one", fence=1))
    assert (await get_one(storage)).kept_signals == 1


@clause("SIG-7", "SIG-8")
async def test_a_wait_that_is_not_signalled_in_time_is_over(storage: Storage, clock: Clock) -> None:
    await suspend(storage, timeout_ms=50)
    await enqueue_one(storage, "other")
    assert (await get_one(storage)).due_ms == clock() + 50
    clock.advance_ms(49)
    assert (await storage.upkeep()).timed_out == 0
    clock.advance_ms(1)

    assert (await storage.upkeep()).timed_out == 1

    again = await claim_one(storage)
    assert (again.id, again.lane, again.due_ms, again.wait_key) == ("job", Lane.RETURNED, None, None)
    assert await storage.get_steps("job") == [Step("approval", StepKind.TIMEOUT, b"", fence=1)]


@clause("SIG-7")
async def test_a_signal_at_the_instant_of_the_time_out_wins_if_it_is_first(storage: Storage, clock: Clock) -> None:
    await suspend(storage, timeout_ms=50)
    clock.advance_ms(50)

    assert (await storage.send("job", "go", "1", b"yes")).bound
    assert (await storage.upkeep()).timed_out == 0

    assert await the_steps(storage) == [("approval", StepKind.SIGNAL, b"yes")]


@clause("SIG-7")
async def test_a_signal_at_the_instant_of_the_time_out_is_kept_if_it_is_second(storage: Storage, clock: Clock) -> None:
    await suspend(storage, timeout_ms=50)
    clock.advance_ms(50)
    await storage.upkeep()

    assert not (await storage.send("job", "go", "1", b"yes")).bound

    assert await the_steps(storage) == [("approval", StepKind.TIMEOUT, b"")]
    assert (await get_one(storage)).kept_signals == 1


@clause("SIG-7")
async def test_a_wait_without_a_limit_waits_for_ever(storage: Storage, clock: Clock) -> None:
    await suspend(storage)
    clock.advance_ms(bounds.MAX_DELAY_MS + 1)
    await keep_up(storage)

    assert await states(storage, "job") == [S.SUSPENDED]


@clause("SIG-8", "SIG-7")
@pytest.mark.parametrize("timeout_ms", [0, -1])
async def test_a_wait_of_no_time_is_over_at_the_next_sweep(storage: Storage, timeout_ms: int) -> None:
    await suspend(storage, timeout_ms)
    assert await states(storage, "job") == [S.SUSPENDED]

    assert (await storage.upkeep()).timed_out == 1


@clause("SIG-9")
async def test_a_late_wait_that_finds_a_signal_makes_the_job_ready_with_it(storage: Storage, clock: Clock) -> None:
    run = await start(storage)
    await storage.send("job", "go", "1", b"yes")
    await enqueue_one(storage, "other")
    clock.advance_ms(run.lease_ms)

    answer = await end(storage, run, Suspended("approval", "go"))

    assert (answer.state, answer.late) == (S.READY, True)
    record = await get_one(storage)
    assert (record.state, record.lane, record.lease_id, record.kept_signals) == (S.READY, Lane.RETURNED, None, 0)
    assert await the_steps(storage) == [("approval", StepKind.SIGNAL, b"yes")]
    assert (await claim_some(storage, 1))[0].id == "job"


@clause("SIG-10", "CANCEL-4")
async def test_a_run_that_is_to_be_cancelled_takes_no_signal(storage: Storage) -> None:
    run = await start(storage)
    await storage.cancel(["job"])
    assert await storage.send("job", "go", "1", b"yes") == Sent(bound=False)

    assert (await end(storage, run, Suspended("approval", "go"))).state is S.CANCELLED

    assert await the_steps(storage) == []
    assert (await get_one(storage)).kept_signals == 1


@clause("SIG-11", "STORE-9")
async def test_a_signal_that_is_too_large_is_refused(storage: Storage) -> None:
    await suspend(storage)

    with pytest.raises(TooLarge):
        await storage.send("job", "go", "1", b"x" * (bounds.MAX_SIGNAL_BYTES + 1))

    assert (await storage.send("job", "go", "1", b"x" * bounds.MAX_SIGNAL_BYTES)).bound


@clause("SIG-11")
async def test_only_so_many_signals_are_kept(storage: Storage) -> None:
    run = await start(storage)
    for n in range(bounds.MAX_KEPT_SIGNALS):
        await storage.send("job", "go", str(n), b"")

    with pytest.raises(TooLarge):
        await storage.send("job", "go", "one more", b"")

    assert (await get_one(storage)).kept_signals == bounds.MAX_KEPT_SIGNALS
    await end(storage, run, Suspended("approval", "go"))
    assert not (await storage.send("job", "go", "one more", b"")).existed


@clause("STORE-12")
async def test_a_signal_with_an_improper_name_is_refused(storage: Storage) -> None:
    await suspend(storage)

    with pytest.raises(InvalidName):
        await storage.send("job", "two words", "1", b"")
