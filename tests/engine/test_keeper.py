"""Renewals apart from the loop, and what they bring to the runs."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import cast

import pytest

import aiq
from aiq.bounds import MAX_BATCH
from aiq.engine.keeper import Keeper, Liveness, Pulse, blocking_line, liveness
from aiq.engine.leases import Held, Leases
from aiq.errors import Corrupt, LostReason
from aiq.model import Cause, Died, JobError, JobSpec, Lease, Renewed, State
from aiq.storage import Jobs, claim, settle
from aiq.testing import Refuse
from aiq.testing.actions import wish
from tests.engine.world import World, virtually


class Owner:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def cancel_requested(self) -> None:
        self.heard.append("cancel")

    def lost(self, reason: LostReason) -> None:
        self.heard.append(reason)


class Kept:
    """A keeper with one lease, whose rounds the test makes by hand, beside a loop that answers when it is told to."""

    def __init__(self, world: World, held: Held) -> None:
        self.world, self.held = world, held
        self.leases = Leases()
        self.leases.add([held])
        self.messages: list[Callable[[], None]] = []
        self.keeper = Keeper(
            world.faults,
            self.leases,
            self.messages.append,
            clock=world.clock,
            rng=Random(1),
            thread=threading.get_ident(),
        )

    async def round(self, *, loop_turns: bool = True) -> None:
        await self.keeper.round()
        if loop_turns:
            self.turn()

    def turn(self) -> None:
        while self.messages:
            self.messages.pop(0)()

    async def pass_ms(self, ms: int, *, loop_turns: bool) -> None:
        """Let time pass with a round every second."""
        for _ in range(ms // 1_000):
            await asyncio.sleep(1)
            await self.round(loop_turns=loop_turns)


async def kept(world: World, lease_ms: int = 10_000) -> tuple[Kept, Owner]:
    await world.storage.enqueue([JobSpec(id="job", task="work", lease_ms=lease_ms, max_stalls=9)])
    sent_ms = world.clock()
    [record] = await claim(world.storage, wish())
    owner = Owner()
    return Kept(world, Held(record.lease, record.lease_ms, sent_ms, owner)), owner


@virtually
async def test_a_lease_is_renewed_for_as_long_as_its_run_lasts(world: World) -> None:
    k, owner = await kept(world)

    await k.pass_ms(1_000_000, loop_turns=True)

    assert k.held.live(world.clock())
    assert owner.heard == []
    assert (await world.get("job")).fence == 1


@virtually
async def test_a_cancel_is_told_once(world: World) -> None:
    k, owner = await kept(world)
    await world.storage.cancel(["job"])

    await k.round()
    await k.round()

    assert owner.heard == ["cancel"]


@virtually
async def test_a_run_whose_job_was_taken_is_told_and_not_renewed_any_more(world: World) -> None:
    k, owner = await kept(world)
    await world.storage.cancel(["job"], force=True)

    await k.round()

    assert owner.heard == [LostReason.CANCELLED]
    assert len(k.leases) == 0


@virtually
async def test_a_run_whose_lease_ran_out_may_still_settle_and_goes_on(world: World) -> None:
    k, owner = await kept(world)
    await asyncio.sleep(10)

    await k.round()

    assert not k.held.live(world.clock())
    assert owner.heard == []
    await settle(world.storage, k.held.lease, Died(JobError(type="E", message="")), settlement_id="1")


@virtually
async def test_an_outage_of_two_leases_ends_the_run(world: World) -> None:
    k, owner = await kept(world)
    world.faults.plan(*[Refuse("renew")] * 100)

    await k.pass_ms(18_000, loop_turns=True)
    assert not k.held.live(world.clock())
    assert owner.heard == []

    await k.pass_ms(1_000, loop_turns=True)
    assert owner.heard == [LostReason.TAKEN]


@virtually
async def test_an_outage_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    k, _ = await kept(world, lease_ms=60_000)
    world.faults.plan(*[Refuse("renew")] * 5)

    await k.pass_ms(5_000, loop_turns=True)

    assert [record.levelname for record in caplog.records if "renewed" in record.message] == ["WARNING"]


@virtually
async def test_a_blocked_loop_keeps_its_leases_for_five_of_them_and_then_loses_them(world: World) -> None:
    k, _ = await kept(world)
    await k.round()
    await k.round(loop_turns=False)

    await k.pass_ms(50_000, loop_turns=False)
    assert k.held.live(world.clock())

    await k.pass_ms(10_000, loop_turns=False)
    assert not k.held.live(world.clock())


@virtually
async def test_a_loop_that_turns_again_is_renewed_again(world: World) -> None:
    k, _ = await kept(world)
    await k.pass_ms(55_000, loop_turns=False)
    k.turn()

    await k.pass_ms(100_000, loop_turns=True)

    assert k.held.live(world.clock())


@virtually
async def test_a_blocked_loop_is_told_of_once_with_the_line_it_is_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    k, _ = await kept(world)

    await k.pass_ms(30_000, loop_turns=False)

    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert __file__ in warnings[0].message or "keeper.py" in warnings[0].message


@virtually
async def test_a_loop_that_is_closed_is_gone_at_once(world: World) -> None:
    k, _ = await kept(world)

    def closed(message: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    keeper = Keeper(world.faults, k.leases, closed, clock=world.clock, rng=Random(1), thread=0)
    await keeper.round()
    expires_ms = (await world.get("job")).expires_at_ms
    await asyncio.sleep(1)
    await keeper.round()

    assert (await world.get("job")).expires_at_ms == expires_ms


@virtually
async def test_a_round_that_meets_a_defect_is_not_the_last(world: World, caplog: pytest.LogCaptureFixture) -> None:
    k, _ = await kept(world)

    class Broken:
        async def renew(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError

    keeper = Keeper(Broken(), k.leases, k.messages.append, clock=world.clock, rng=Random(1), thread=0)  # type: ignore[arg-type]
    task = asyncio.create_task(keeper.run())
    await asyncio.sleep(10)
    assert not task.done()
    keeper.stop()
    await task

    assert "ZeroDivisionError" in caplog.text


@virtually
async def test_short_and_long_leases_are_renewed_together_at_a_third_of_the_shortest(world: World) -> None:
    k, _ = await kept(world, lease_ms=600)
    await world.storage.enqueue([JobSpec(id="long", task="work", lease_ms=600_000)])
    [record] = await claim(world.storage, wish())
    k.leases.add([Held(record.lease, record.lease_ms, world.clock(), Owner())])

    task = asyncio.create_task(k.keeper.run())
    for _ in range(100):
        await asyncio.sleep(0.1)
        k.turn()
        assert k.held.live(world.clock())
    k.keeper.stop()
    await task

    assert (await world.get("long")).state is State.RUNNING


@virtually
async def test_a_round_that_was_cut_short_is_gone_on_with_by_the_next_one(world: World) -> None:
    renewed: list[str] = []

    class Slow:
        async def renew(self, leases: Sequence[Lease]) -> list[Renewed]:
            await asyncio.sleep(0.25)
            renewed.extend({lease.job_id for lease in leases})
            return [Renewed(3_000, cancel_requested=False, paused=False) for _ in leases]

    leases = Leases()
    for batch in range(6):
        lease = Lease(f"of batch {batch}", 1, "lease")
        leases.add(Held(replace(lease, fence=fence), 3_000, world.clock(), Owner()) for fence in range(MAX_BATCH))
    await asyncio.sleep(1)
    keeper = Keeper(cast(Jobs, Slow()), leases, lambda _: None, clock=world.clock, rng=Random(1), thread=0)

    for _ in range(2):
        await keeper.round()

    assert set(renewed) == {f"of batch {batch}" for batch in range(6)}


@virtually
async def test_a_batch_that_cannot_be_renewed_keeps_no_other_from_it(world: World) -> None:
    renewed: list[str] = []

    class Partly:
        async def renew(self, leases: Sequence[Lease]) -> list[Renewed]:
            if leases[0].job_id == "bad":
                raise Corrupt("one of them")
            renewed.append(leases[0].job_id)
            return [Renewed(3_000, cancel_requested=False, paused=False) for _ in leases]

    leases = Leases()
    for name in ("bad", "good"):
        leases.add(Held(Lease(name, fence, "lease"), 3_000, world.clock(), Owner()) for fence in range(MAX_BATCH))
    keeper = Keeper(cast(Jobs, Partly()), leases, lambda _: None, clock=world.clock, rng=Random(1), thread=0)

    await keeper.round()

    assert renewed == ["good"]


@pytest.mark.parametrize(
    ("blocked_ms", "thought"),
    [
        (999, Liveness.ALIVE),
        (1_000, Liveness.BLOCKED),
        (5_000, Liveness.BLOCKED),
        (5_001, Liveness.GONE),
    ],
)
def test_a_loop_is_judged_by_the_lease_in_question(blocked_ms: int, thought: Liveness) -> None:
    assert liveness(blocked_ms, 1_000) is thought


def test_the_time_of_a_block_is_counted_from_the_first_question_that_was_not_answered() -> None:
    now, messages = [0], list[Callable[[], None]]()
    pulse = Pulse(messages.append, lambda: now[0])

    pulse.ask()
    now[0] = 700
    pulse.ask()
    assert (pulse.blocked_ms(), len(messages)) == (700, 1)

    messages[0]()
    assert pulse.blocked_ms() == 0


def test_the_blocking_line_is_named_with_its_text() -> None:
    gate, ready = threading.Event(), threading.Event()

    def block() -> None:
        ready.set()
        gate.wait()  # this is the line

    thread = threading.Thread(target=block)
    thread.start()
    ready.wait()
    while "wait" not in blocking_line(thread.ident or 0):
        pass
    line = blocking_line(thread.ident or 0)
    gate.set()
    thread.join()

    assert "threading.py" in line or "this is the line" in line
    assert blocking_line(thread.ident or 0) == "its thread has ended"


@virtually
async def test_a_running_handler_hears_of_a_cancel_within_seconds_whatever_its_lease(world: World) -> None:
    heard_at: list[int] = []

    @aiq.task(lease=3_600)
    async def long() -> None:
        try:
            await asyncio.sleep(100_000)
        finally:
            heard_at.append(world.clock())

    [job] = await world.enqueue(long.job())
    worker = await world.start(long)
    await world.until(job, State.RUNNING)
    asked_ms = world.clock()
    await world.storage.cancel([job])
    record = await world.until(job, State.CANCELLED)
    await worker.stop()

    assert heard_at[0] - asked_ms <= 5_000
    assert record.cause is not Cause.STALLED
