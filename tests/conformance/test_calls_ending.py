"""Chapter 10: what becomes of calls when their run ends, and when it is lost."""

from typing import Any

import pytest

from aiq.bounds import CANCEL_GRACE_MS, RESERVATION_KEPT_MS
from aiq.errors import LeaseLost
from aiq.model import (
    CallState,
    Cancelled,
    Deferred,
    Died,
    Held,
    HeldFor,
    JobRecord,
    Outcome,
    Released,
    Reported,
    Sleeping,
    State,
    Succeeded,
    Suspended,
    Usage,
    UsageRow,
    Waiting,
)
from aiq.storage import Storage
from aiq.testing.actions import BAD, GOOD, claim_one, end, failed, get_one, keep_up, look, spawn, start
from aiq.testing.clock import Clock
from aiq.testing.marks import clause
from aiq.testing.spending import (
    OPENING,
    REFUSED,
    balance,
    counted,
    left,
    need,
    open_call,
    put_budget,
    put_limit,
    tell,
    the_limit,
    tokens,
    used,
)

C = CallState
GPT = ("gpt",)
LEASE_MS = 1_000


async def booked(storage: Storage, **options: Any) -> JobRecord:
    """A run whose claim reserved 1,000 of input and 500 of output, of a limit and a budget."""
    await put_limit(storage, requests=60, concurrency=4)
    await put_budget(storage, tokens=100_000)
    return await start(storage, limits=GPT, estimate=need(1_000, 500), budgets=("purse",), lease_ms=LEASE_MS, **options)


async def undeclared(storage: Storage) -> JobRecord:
    """A run whose claim reserved what is usual where nobody says anything: 1,000 of input and of output."""
    await put_limit(storage, requests=60, concurrency=4)
    await put_budget(storage, tokens=100_000)
    return await start(storage, limits=GPT, budgets=("purse",), lease_ms=LEASE_MS)


async def stands(storage: Storage) -> tuple[int | None, int | None, int, int]:
    """Requests and tokens left, tokens held, units taken."""
    status = await the_limit(storage)
    return status.requests_left, status.tokens_left, status.tokens_held, status.running


def estimated(rows: list[UsageRow]) -> dict[str, int]:
    return {row.category: row.estimated for row in rows}


USUAL: dict[str, Outcome] = {
    "succeed": GOOD,
    "retry": failed(),
    "die": BAD,
    "heed a cancel": Cancelled(),
    "suspend": Suspended("until", "go"),
    "wait": Waiting("until", None),
    "sleep": Sleeping("until", 5),
}
GIVEN_BACK: dict[str, Outcome] = {
    "release": Released(),
    "release later": Released(5),
    "defer": Deferred(REFUSED, 5),
    "hold": Held(reason=HeldFor.OPERATOR),
}


@clause("CALL-12", "USAGE-4")
@pytest.mark.parametrize("outcome", USUAL)
async def test_a_run_that_called_by_itself_and_says_nothing_is_settled_with_its_estimate(
    storage: Storage, outcome: str
) -> None:
    run = await booked(storage)
    await spawn(storage, run, "child", key="until", queue="children")
    await end(storage, run, USUAL[outcome])

    assert await stands(storage) == (4, OPENING - 1_500, 0, 0)
    assert await balance(storage) == (1_500, 0)
    assert await counted(storage, job_id="job") == {"input": 1_000, "output": 500}
    assert estimated(await used(storage)) == {"input": 1_000, "output": 500}


@clause("CALL-12", "USAGE-4", "BUDGET-3", "EST-3")
@pytest.mark.parametrize("outcome", USUAL)
async def test_a_run_that_calls_no_model_and_declared_nothing_takes_of_its_limits_alone(
    storage: Storage, outcome: str
) -> None:
    run = await undeclared(storage)
    await spawn(storage, run, "child", key="until", queue="children")
    await end(storage, run, USUAL[outcome])

    assert await stands(storage) == (4, OPENING - 2_000, 0, 0)
    assert await balance(storage) == (0, 0)
    assert await used(storage) == []


@clause("CALL-12", "USAGE-4")
async def test_what_is_told_late_of_a_call_0_that_nothing_was_counted_of_is_counted(storage: Storage) -> None:
    run = await undeclared(storage)
    await end(storage, run, GOOD)
    assert await tell(storage, run, 0, used=Usage(input=800, output=90)) == Reported(late=True)

    assert await stands(storage) == (4, OPENING - 890, 0, 0)
    assert await balance(storage) == (890, 0)
    assert await counted(storage) == {"input": 800, "output": 90}
    assert estimated(await used(storage)) == {"input": 0, "output": 0}


@clause("BUDGET-4", "USAGE-4")
async def test_of_a_lost_run_that_declared_nothing_all_that_was_held_is_spent(storage: Storage, clock: Clock) -> None:
    run = await undeclared(storage)
    await expire(storage, clock, run)

    assert await balance(storage) == (2_000, 0)
    assert estimated(await used(storage)) == {"input": 1_000, "output": 1_000}


@clause("CALL-12", "USAGE-3")
@pytest.mark.parametrize("outcome", USUAL | GIVEN_BACK)
async def test_a_run_that_called_by_itself_and_reported_is_settled_with_that(storage: Storage, outcome: str) -> None:
    run = await booked(storage)
    await tell(storage, run, 0, C.OPEN, Usage(input=900, output=100))
    await end(storage, run, (USUAL | GIVEN_BACK)[outcome])

    assert await stands(storage) == (4, OPENING - 1_000, 0, 0)
    assert await balance(storage) == (1_000, 0)
    assert estimated(await used(storage)) == {"input": 0, "output": 0}


@clause("CALL-12", "BUDGET-5")
@pytest.mark.parametrize("outcome", GIVEN_BACK)
async def test_a_run_that_was_given_back_has_sent_nothing(storage: Storage, outcome: str) -> None:
    run = await booked(storage)
    await end(storage, run, GIVEN_BACK[outcome])

    assert await stands(storage) == (5, OPENING, 0, 0)
    assert await balance(storage) == (0, 0)
    assert await counted(storage) == {}


@clause("CALL-12")
async def test_a_job_that_opens_calls_has_sent_nothing_as_call_0(storage: Storage) -> None:
    run = await booked(storage)
    await storage.put_limits([tokens("other")])
    await open_call(storage, run, 1, need(10), "other")
    await tell(storage, run, 1, used=Usage(input=10))
    await end(storage, run, failed())
    assert await stands(storage) == (5, OPENING, 0, 0)

    again = await claim_one(storage)
    assert await stands(storage) == (4, OPENING - 1_000, 500, 1)
    await end(storage, again, GOOD)
    assert await stands(storage) == (5, OPENING, 0, 0)
    assert await counted(storage) == {"input": 10}


@clause("CALL-12", "CALL-3")
async def test_what_was_adopted_is_not_given_back_a_second_time(storage: Storage) -> None:
    run = await booked(storage)
    await open_call(storage, run, 1, need(1_000, 500))
    await tell(storage, run, 1, used=Usage(input=1_000, output=400))
    await end(storage, run, GOOD)

    assert await stands(storage) == (4, OPENING - 1_400, 0, 0)
    assert await balance(storage) == (1_400, 0)


@clause("CALL-12", "USAGE-4")
@pytest.mark.parametrize("outcome", USUAL | GIVEN_BACK)
async def test_other_calls_that_are_open_at_the_end_are_settled_with_what_is_known_of_them(
    storage: Storage, outcome: str
) -> None:
    await put_limit(storage, requests=60, concurrency=4)
    run = await start(storage)
    await spawn(storage, run, "child", key="until", queue="children")
    await open_call(storage, run, 1, need(1_000, 500), "gpt")
    await open_call(storage, run, 2, need(600, 60), "gpt")
    await tell(storage, run, 1, C.OPEN, Usage(input=1_000, output=100))
    await end(storage, run, (USUAL | GIVEN_BACK)[outcome])

    assert await stands(storage) == (3, OPENING - 1_100 - 660, 0, 0)
    assert estimated(await used(storage)) == {"input": 600, "output": 60}


@clause("USAGE-4")
@pytest.mark.parametrize("late", [True, False])
async def test_a_report_that_comes_late_takes_the_place_of_an_estimate(storage: Storage, late: bool) -> None:
    run = await booked(storage)
    if late:
        await end(storage, run, GOOD)
    else:
        await open_call(storage, run, 1, need(1_000, 500))
        await end(storage, run, Suspended("until", "go"))
    before = await look(storage)
    assert await tell(storage, run, 0 if late else 1, used=Usage(input=800, output=90)) == Reported(late=True)

    assert await stands(storage) == (4, OPENING - 890, 0, 0)
    assert await balance(storage) == (890, 0)
    assert await counted(storage) == {"input": 800, "output": 90}
    assert estimated(await used(storage)) == {"input": 0, "output": 0}
    assert await look(storage) == before
    await tell(storage, run, 0 if late else 1, used=Usage(input=8_000))
    assert await counted(storage) == {"input": 800, "output": 90}


async def expire(storage: Storage, clock: Clock, run: JobRecord) -> None:
    clock.advance_ms(LEASE_MS)
    await storage.upkeep()


async def cancel_by_force(storage: Storage, clock: Clock, run: JobRecord) -> None:
    clock.advance_ms(LEASE_MS)
    await storage.cancel([run.id], force=True)


async def end_the_grace(storage: Storage, clock: Clock, run: JobRecord) -> None:
    await storage.cancel([run.id])
    await storage.renew([run.lease], lease_ms=10 * CANCEL_GRACE_MS)
    clock.advance_ms(CANCEL_GRACE_MS)
    await storage.upkeep()


LOSSES = {"expired": expire, "cancelled by force": cancel_by_force, "out of grace": end_the_grace}


@clause("CALL-13", "BUDGET-4")
@pytest.mark.parametrize("loss", LOSSES)
async def test_all_that_a_lost_run_took_or_held_is_charged(storage: Storage, clock: Clock, loss: str) -> None:
    run = await booked(storage)
    await open_call(storage, run, 1, need(100, 50), "gpt")
    await open_call(storage, run, 2, need(1_000, 500), "gpt")
    await tell(storage, run, 2, C.OPEN, Usage(input=1_000, output=200))
    assert (await stands(storage))[1:] == (OPENING - 100 - 1_200, 50 + 300, 2)
    passed_ms = -clock()
    await LOSSES[loss](storage, clock, run)
    passed_ms += clock()

    # 1,650 are charged, and the time that has passed has refilled its part.
    charged = OPENING - 100 - 1_200 + passed_ms - 350
    assert (await stands(storage))[1:] == (min(charged, 10_000 - 350), 0, 0)
    assert await balance(storage) == (1_650, 0)


@clause("CALL-13")
async def test_the_next_claim_of_another_queue_revokes_and_charges_too(storage: Storage, clock: Clock) -> None:
    run = await booked(storage)
    clock.advance_ms(LEASE_MS)
    await storage.pause("default")
    other = await start(storage, "other", queue="other")

    assert (await stands(storage))[1:] == (OPENING - 1_000 + LEASE_MS - 500, 0, 0)
    assert (await get_one(storage)).state is State.READY
    assert (other.fence, run.fence) == (1, 1)


@clause("CALL-13", "BUDGET-4", "USAGE-1")
@pytest.mark.parametrize("loss", LOSSES)
async def test_a_late_settlement_corrects_what_was_charged_once_and_never_touches_the_job(
    storage: Storage, clock: Clock, loss: str
) -> None:
    run = await booked(storage)
    await open_call(storage, run, 1, need(1_000, 500))
    await LOSSES[loss](storage, clock, run)
    _, before_tokens, *_ = await stands(storage)
    before = await look(storage)
    assert before_tokens is not None
    assert await tell(storage, run, 1, used=Usage(input=1_000, output=100)) == Reported(late=True)

    assert (await stands(storage))[1:] == (min(10_000, before_tokens + 400), 0, 0)
    assert await balance(storage) == (1_100, 0)
    assert await counted(storage) == {"input": 1_000, "output": 100}
    assert await look(storage) == before
    for state in (C.SETTLED, C.UNSENT, C.OPEN):
        await tell(storage, run, 1, state, Usage(input=7_000) if state is not C.UNSENT else ())
    assert await balance(storage) == (1_100, 0)
    assert await counted(storage) == {"input": 1_000, "output": 100}


@clause("CALL-13")
async def test_a_late_settlement_takes_more_when_more_was_used(storage: Storage, clock: Clock) -> None:
    run = await booked(storage)
    await expire(storage, clock, run)
    before_tokens = (await stands(storage))[1]
    await tell(storage, run, 0, used=Usage(input=1_500, output=700))

    assert (await stands(storage))[1] == (before_tokens or 0) - 700
    assert await balance(storage) == (2_200, 0)


@clause("CALL-13", "CALL-11")
async def test_a_lost_call_that_was_never_sent_gives_back_everything_in_the_end(storage: Storage, clock: Clock) -> None:
    run = await booked(storage)
    await expire(storage, clock, run)
    assert await stands(storage) == (5, OPENING - 1_500 + LEASE_MS, 0, 0)
    await tell(storage, run, 0, C.UNSENT)

    assert await stands(storage) == (6, OPENING + LEASE_MS, 0, 0)
    assert await balance(storage) == (0, 0)
    assert await counted(storage) == {}


@clause("CALL-13")
async def test_a_late_settlement_gives_nothing_back_where_the_limit_does_not(storage: Storage, clock: Clock) -> None:
    await put_limit(storage, refund=False)
    run = await start(storage, limits=GPT, estimate=need(1_000), lease_ms=LEASE_MS)
    await expire(storage, clock, run)
    await tell(storage, run, 0, used=Usage(input=100))
    assert await left(storage) == (OPENING - 1_000 + LEASE_MS, 0)


@clause("CALL-13", "LEASE-1")
async def test_a_lost_run_may_report_what_it_had_reserved_and_nothing_else(storage: Storage, clock: Clock) -> None:
    run = await booked(storage)
    await expire(storage, clock, run)
    before = await look(storage)
    answer = await tell(storage, run, 7, used=Usage(input=1))

    assert isinstance(answer, LeaseLost)
    assert await counted(storage) == {"input": 1_000, "output": 500}
    assert await look(storage) == before


@clause("CALL-13")
async def test_a_run_whose_lease_has_run_out_and_was_not_revoked_reports_as_always(
    storage: Storage, clock: Clock
) -> None:
    run = await booked(storage)
    clock.advance_ms(LEASE_MS)
    assert await tell(storage, run, 0, used=Usage(input=600)) == Reported()
    assert await left(storage) == (OPENING + LEASE_MS - 600, 0)


@clause("CALL-13")
async def test_a_reservation_that_is_long_closed_is_forgotten(storage: Storage, clock: Clock) -> None:
    run = await booked(storage)
    await expire(storage, clock, run)
    clock.advance_ms(RESERVATION_KEPT_MS - 1)
    assert isinstance(await tell(storage, run, 0, C.OPEN), Reported)
    clock.advance_ms(1)
    await keep_up(storage)

    assert isinstance(await tell(storage, run, 0, used=Usage(input=1)), LeaseLost)
    assert await balance(storage) == (1_500, 0)


@clause("CALL-13")
async def test_a_re_run_reserves_for_itself_beside_what_its_forerunner_was_charged(
    storage: Storage, clock: Clock
) -> None:
    run = await booked(storage)
    await expire(storage, clock, run)
    again = await claim_one(storage)
    assert (await stands(storage))[1:] == (OPENING - 1_500 + LEASE_MS - 1_000, 500, 1)
    await tell(storage, run, 0, used=Usage(input=100))
    await end(storage, again, Succeeded(b""))

    assert await stands(storage) == (4, OPENING + LEASE_MS - 100 - 1_500, 0, 0)
    assert await balance(storage) == (1_600, 0)


@clause("CALL-15", "BUDGET-5")
@pytest.mark.parametrize("how", ["succeed", "die", "release", "expire", "cancel", "defer"])
async def test_with_nothing_in_flight_nothing_is_held(storage: Storage, clock: Clock, how: str) -> None:
    run = await booked(storage)
    await open_call(storage, run, 1, need(200, 100))
    await open_call(storage, run, 2, need(300, 100))
    await tell(storage, run, 2, C.OPEN, Usage(input=300, output=20))
    match how:
        case "expire":
            await expire(storage, clock, run)
        case "cancel":
            await storage.cancel(["job"], force=True)
        case "succeed" | "die" | "release" | "defer":
            outcomes = {"succeed": GOOD, "die": Died(REFUSED), "release": Released(), "defer": Deferred(REFUSED, 5)}
            await end(storage, run, outcomes[how])

    assert (await stands(storage))[2:] == (0, 0)
    assert (await balance(storage))[1] == 0
