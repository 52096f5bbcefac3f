"""An exchange that is repeated until it is answered."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from aiq.engine.exchanger import Exchanger
from aiq.errors import Corrupt, InvalidName, ReadOnly, StorageFull, Unavailable
from aiq.model import ClaimRequest, Exchanged, JobSpec, Lease, Released, Settled, Settlement, State, Want
from aiq.testing import LoseReply, Refuse
from aiq.testing.marks import clause
from tests.engine.world import World, virtually

CLAIM = ClaimRequest("worker", 1, "lease", (Want("default", 5),))
SETTLEMENT = Settlement(Lease("job", 1, "lease"), "1", Released())


class Scripted:
    """Raises what it is given, then answers; and notes what it was asked."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.asked: list[tuple[Sequence[Settlement], ClaimRequest | None]] = []

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        self.asked.append((settlements, claim))
        if self._errors:
            raise self._errors.pop(0)
        return Exchanged((), (), None)


def exchanger(world: World, storage: object, *, stopping: bool = False) -> Exchanger:
    return Exchanger(storage, clock=world.clock, rng=Random(1), stopping=lambda: stopping)  # type: ignore[arg-type]


@virtually
async def test_a_claim_whose_reply_was_lost_is_repeated_and_brings_the_same_jobs(world: World) -> None:
    await world.storage.enqueue([JobSpec(id=f"job-{n}", task="work") for n in range(8)])
    world.faults.plan(LoseReply("exchange"), LoseReply("exchange"))

    _, answer = await exchanger(world, world.faults).send((), CLAIM)

    assert [record.id for record in answer.claimed] == [f"job-{n}" for n in range(5)]
    assert (await world.storage.count())["default"] == {State.RUNNING: 5, State.READY: 3}


@virtually
async def test_a_settlement_whose_reply_was_lost_gets_its_first_answer(world: World) -> None:
    await world.storage.enqueue([JobSpec(id="job", task="work")])
    await world.storage.exchange((), CLAIM)
    world.faults.plan(LoseReply("exchange"), Refuse("exchange"))

    _, answer = await exchanger(world, world.faults).send((SETTLEMENT,), None)

    assert answer.settled[0].state is State.READY  # type: ignore[union-attr]


@virtually
async def test_a_lease_counts_from_the_first_exchange_that_can_have_made_it(world: World) -> None:
    first_ms = world.clock()
    lost = Scripted(Unavailable("reply lost", outcome_unknown=True), Unavailable("away"))
    refused = Scripted(Unavailable("away"), Unavailable("away"))

    sent_ms, _ = await exchanger(world, lost).send((), CLAIM)
    assert sent_ms == first_ms
    before_ms = world.clock()
    sent_ms, _ = await exchanger(world, refused).send((), CLAIM)
    assert sent_ms == world.clock() > before_ms


@virtually
async def test_a_worker_that_stops_does_not_repeat_a_claim_that_surely_did_not_happen(world: World) -> None:
    storage = Scripted(Unavailable("away"))

    await exchanger(world, storage, stopping=True).send((SETTLEMENT,), CLAIM)

    assert [claim for _, claim in storage.asked] == [CLAIM, None]


@virtually
async def test_a_worker_that_stops_repeats_a_claim_that_may_have_happened(world: World) -> None:
    storage = Scripted(Unavailable("reply lost", outcome_unknown=True))

    await exchanger(world, storage, stopping=True).send((), CLAIM)

    assert [claim for _, claim in storage.asked] == [CLAIM, CLAIM]


@virtually
@clause("OUTAGE-1")
@pytest.mark.parametrize("error", [StorageFull("no room"), ReadOnly("a replica")])
async def test_a_storage_that_takes_no_writes_for_a_while_is_waited_for(world: World, error: Exception) -> None:
    storage = Scripted(*[error] * 10)

    await exchanger(world, storage).send((SETTLEMENT,), None)

    assert len(storage.asked) == 11


@virtually
async def test_the_storage_is_found_again_within_five_seconds_however_long_it_was_away(world: World) -> None:
    away = True

    class Away:
        async def exchange(self, *_: object) -> Exchanged:
            if away:
                raise Unavailable("away")
            return Exchanged((), (), None)

    sending = asyncio.create_task(exchanger(world, Away()).send((), CLAIM))
    await asyncio.sleep(3_600)
    away = False
    back_ms = world.clock()
    await sending

    assert world.clock() - back_ms <= 5_000


@virtually
async def test_an_outage_is_said_once_and_its_end_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    await exchanger(world, Scripted(*[Unavailable("away")] * 9)).send((), CLAIM)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@virtually
async def test_an_outage_of_minutes_is_told_again_once_a_minute_with_its_length(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    back_ms = world.clock() + 200_000

    class Away:
        async def exchange(self, *_: object) -> Exchanged:
            if world.clock() < back_ms:
                raise Unavailable("away")
            return Exchanged((), (), None)

    await exchanger(world, Away()).send((), CLAIM)

    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4 + ["INFO"]
    seconds = [int(re.findall(r"(\d+) s\b", record.getMessage())[0]) for record in caplog.records[1:]]
    assert all(0 <= told - due <= 15 for told, due in zip(seconds, (60, 120, 180, 200), strict=True))


class Choosy:
    """Refuses one settlement, and so the exchange that has it, as a store does."""

    def __init__(self, refused: Settlement) -> None:
        self.refused = refused
        self.asked: list[tuple[Sequence[Settlement], ClaimRequest | None]] = []

    async def exchange(self, settlements: Sequence[Settlement], claim: ClaimRequest | None = None) -> Exchanged:
        self.asked.append((settlements, claim))
        if self.refused in settlements:
            raise InvalidName("limit", "open ai")
        return Exchanged(tuple(Settled(State.READY) for _ in settlements), (), 7)


@virtually
async def test_a_settlement_that_no_store_could_record_harms_no_other(world: World) -> None:
    bad = replace(SETTLEMENT, id="bad")
    storage = Choosy(bad)

    _, answer = await exchanger(world, storage).send((SETTLEMENT, bad, SETTLEMENT), CLAIM)

    assert [type(one) for one in answer.settled] == [Settled, InvalidName, Settled]
    assert storage.asked[-1] == ((), CLAIM)
    assert answer.next_due_ms == 7


@virtually
async def test_a_claim_that_no_store_could_answer_is_not_asked_again(world: World) -> None:
    storage = Scripted(InvalidName("worker", "\0"))

    with pytest.raises(InvalidName):
        await exchanger(world, storage).send((), CLAIM)
    assert len(storage.asked) == 1


@virtually
async def test_a_storage_beyond_repair_is_not_asked_again(world: World) -> None:
    storage = Scripted(Corrupt("torn"))

    with pytest.raises(Corrupt):
        await exchanger(world, storage).send((), CLAIM)
    assert len(storage.asked) == 1
